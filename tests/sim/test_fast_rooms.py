"""The kernels of the fast path where room ends, of pages, operations, buffers, slots, ids: each stops in front."""

_SCRIPT = """
import xen
from firewall.bursts.tables import table
from firewall.fast import client_rx, client_tx, uplink_tx
from net.rows import Rows

r = Rows()
ring = xen.view(xen.mem(4096), "I")
ops = xen.view(xen.mem(40 * 64), "I")
stack, marks = xen.view(xen.mem(128), "H"), xen.view(xen.mem(128), "H")
sent = xen.view(xen.mem(12 * 8), "I")
for i in range(64):
    stack[i] = i

def requests(*sizes):
    # chains of so many slots, 50 octets in each
    at = 16
    for size in sizes:
        for i in range(size):
            ring[at] = 9
            ring[at + 1] = (4 if i < size - 1 else 0) << 16
            ring[at + 2] = (50 if i else 50 * size) << 16
            at += 3
    return (at - 16) // 3

def take(sizes, free=64, room=64, packets=64, limit=64, waiting=None):
    slots = requests(*sizes)
    for i, value in enumerate((0, slots if waiting is None else waiting, limit, free, room, 0, 7, 100, packets)):
        r.s[i] = value
    client_tx.take(table(ring, r.slots, r.packets, r.parts, ops, stack, marks)[0], r.s)
    assert r.s[3] == free - r.s[11] and r.s[5] == r.s[11]
    return r.s[9], r.s[10], r.s[11]

assert take((1, 3, 2)) == (3, 6, 6)
for free in range(8):
    done = (0, 1, 1, 1, 2, 2, 3, 3)[free]
    assert take((1, 3, 2), free=free)[0] == take((1, 3, 2), room=free)[0] == done, free
    assert take((1, 3, 2), waiting=min(free, 6))[0] == done, free
    assert take((1, 3, 2), packets=free)[0] == min(free, 3)
    assert take((1, 3, 2), limit=free)[0] == (0, 1, 2, 2, 2, 3, 3, 3)[free]

def rows(gso=0):
    # packets of 1, 3 and 2 parts
    part = 0
    for i, parts in enumerate((1, 3, 2)):
        r.packets[8 * i + 2], r.packets[8 * i + 3], r.packets[8 * i + 5] = part, parts, gso << 16
        part += parts
    for part in range(6):
        r.parts[4 * part], r.parts[4 * part + 1], r.parts[4 * part + 2] = part, 0, 50

def out(waiting=64, room=64, sent_most=8, gso=0):
    rows(gso)
    for i, value in enumerate((0, 3, 0, waiting, room, 0, 7, 100, 0, sent_most)):
        r.s[i] = value
    done = client_rx.out(table(ring, r.packets, r.parts, ops, sent, r.places)[0], r.s)
    assert r.s[3] == waiting - r.s[2] and r.s[8] == done
    return done

def ready(slots=64, ids=64, pages=64, gso=0):
    rows(gso)
    for i, value in enumerate((0, 3, slots, ids, pages, 100)):
        r.s[i] = value
    done = uplink_tx.ready(table(r.packets, r.parts, marks, r.places, r.gfns)[0], r.s)
    assert r.s[6] == (0, 1, 4, 6)[done]
    return done

for n in range(10):
    done = (0, 1, 1, 1, 2, 2, 3, 3, 3, 3)[n]
    with_extras = (0, 0, 1, 1, 1, 1, 2, 2, 2, 3)[n]
    assert out(n) == out(64, n) == ready(n) == ready(64, n) == ready(64, 64, n) == done, n
    assert out(n, gso=1000) == ready(n, gso=1000) == with_extras, n
    assert out(64, n, gso=1000) == ready(64, n, gso=1000) == done, n
    assert out(sent_most=n) == min(n, 3)
print("done")
"""


def test_a_kernel_stops_where_room_ends(machine, run):
    firewall = run(machine, _SCRIPT)
    assert firewall.lines()[-1] == "done", firewall.console


_CLEARED = """
import xen
from firewall.bursts.tables import table
from firewall.fast import uplink_rx, uplink_tx
from net.rows import Rows

r = Rows()
stack, marks = xen.view(xen.mem(128), "H"), xen.view(xen.mem(128), "H")
PAGE = 3

def places(n):
    return [(r.places[2 * i] - PAGE * 4096, r.places[2 * i + 1]) for i in range(n) if r.places[2 * i + 1]]

for start in (0, 1, 2, 64, 65, 3000):
    for octets in (1, 50, 1000):
        end = start + octets
        for mark in (0, 1, start, end, end + 1, end + 2, 4096):
            marks[PAGE] = mark
            r.packets[2], r.packets[3], r.packets[5] = 0, 1, 0
            r.parts[0], r.parts[1], r.parts[2] = PAGE, start, octets
            for i, value in enumerate((0, 1, 9, 9, 9, 100)):
                r.s[i] = value
            assert uplink_tx.ready(table(r.packets, r.parts, marks, r.places, r.gfns)[0], r.s) == 1
            wanted = [(0, min(start, mark)), (end, mark - end)]
            assert places(r.s[7]) == [each for each in wanted if each[1] > 0], (start, octets, mark)
            assert marks[PAGE] == end and r.gfns[0] == 100 + PAGE

pages = xen.view(xen.mem(512), "H")
for mark in (0, 1, 2, 4096):
    for posted in (0, 1):
        for i in range(256):
            pages[i] = 0xFFFF
        pages[(255 + 1) & 255] = 7 if posted else 0xFFFF  # the second one is still with the netvm
        stack[0], stack[1], marks[PAGE], marks[4] = 4, PAGE, mark, 0
        for i, value in enumerate((0xFFFFFFFF, 5, 2, 100)):
            r.s[i] = value
        n = uplink_rx.offer(table(pages, stack, marks, r.places, r.gfns, r.pages)[0], r.s)
        assert n == 2 - posted and r.s[2] == posted
        assert places(r.s[4]) == [(0, mark)] * (mark > 0) and marks[PAGE] == 0
        assert r.gfns[0] == 100 + PAGE and r.pages[0] == PAGE

# what came: pages are marked as far as they are filled, that of an extra info is free, no id has a page any more
for gso in (0, 1):
    for i in range(256):
        pages[i] = 10 + i % 32
    for i in range(64):
        marks[i] = 80
    r.packets[1], r.packets[2], r.packets[3] = 2 + gso, 0, 2
    for part in range(2):
        r.parts[4 * part], r.parts[4 * part + 1], r.parts[4 * part + 2] = 20 + part, 30, (40, 60)[part]
    r.s[0], r.s[4], r.s[6] = 0xFFFFFFFF, 1, 5
    uplink_rx.ours(table(pages, r.packets, r.parts, marks, stack)[0], r.s)
    assert (marks[20], marks[21]) == (80, 90) and r.s[0] == 1 + gso and r.s[6] == 5 + gso
    assert [i for i in range(256) if pages[i] == 0xFFFF] == ([0, 1, 255] if gso else [0, 255])
    if gso:
        assert stack[5] == 10  # under id 0, the second of them
print("done")
"""


def test_what_is_to_be_cleared(machine, run):
    """As Pool.clear(): of a page that is lent the netvm sees the packet, and zeros."""
    firewall = run(machine, _CLEARED)
    assert firewall.lines()[-1] == "done", firewall.console
