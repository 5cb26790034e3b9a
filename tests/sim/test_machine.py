"""The simulated machine keeps Xen's rules, as far as the firewall relies on them."""
import pytest
from machine import CRASH, GTF_READING, POWEROFF, Machine, XenError

EINVAL, ESRCH, ENOSPC = -22, -3, -28
GNTST_BAD_PAGE, GNTST_EAGAIN = -9, -12


@pytest.fixture
def pair(machine):
    return machine.peer(5), machine.peer(6)


def test_a_bound_port_is_pending_once_and_carries_events_both_ways(pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    a.evtchn_send(ours)  # nobody there yet: dropped
    theirs = b.evtchn_bind(5, ours)
    assert a.pending() == [] and b.pending() == [theirs]
    a.evtchn_send(ours)
    a.evtchn_send(ours)
    assert b.pending() == [theirs] and b.pending() == []
    b.evtchn_send(theirs)
    assert a.pending() == [ours]


def test_a_port_is_for_the_domain_it_was_offered_to(machine, pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    with pytest.raises(XenError) as refused:
        machine.peer(7).evtchn_bind(5, ours)
    assert refused.value.args[0] == EINVAL
    with pytest.raises(XenError) as refused:
        b.evtchn_bind(9, ours)
    assert refused.value.args[0] == ESRCH


def test_after_the_peer_closed_a_port_stays_until_its_owner_closes_it(pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    theirs = b.evtchn_bind(5, ours)
    b.pending()
    a.evtchn_close(ours)
    assert b.pending() == []  # nobody is told
    b.evtchn_send(theirs)
    assert theirs in b.ports_in_use()
    b.evtchn_close(theirs)
    with pytest.raises(XenError):
        b.evtchn_send(theirs)


def test_a_mapped_page_cannot_be_revoked(pair):
    a, b = pair
    frame = a.page()
    ref = a.grant(frame, 6)
    handle, octets = b.map(5, ref)
    octets[0] = 7
    assert a.octets(frame)[0] == 7
    assert not a.revoke(ref)
    b.unmap(handle)
    assert a.revoke(ref)


def test_a_grant_is_for_one_domain_and_its_right(machine, pair):
    a, b = pair
    ref = a.grant(a.page(), 6, readonly=True)
    for peer, readonly in ((machine.peer(7), True), (b, False)):
        with pytest.raises(XenError) as refused:
            peer.map(5, ref, readonly)
        assert refused.value.args[0] == -1
    with pytest.raises(XenError) as refused:
        b.map(5, 5000)
    assert refused.value.args[0] == -3


def test_a_dead_domain_lets_go_of_what_it_mapped(pair):
    a, b = pair
    ref = a.grant(a.page(), 6)
    b.map(5, ref)
    b.kill()
    assert a.revoke(ref)


SCRIPT = """
import struct, xen
ops = xen.mem(4096)
page = xen.mem(4096)
def copy(source, source_domid, source_at, dest, dest_domid, dest_at, octets, flags):
    struct.pack_into("<QHHIQHHIHHhH", ops, 0, source, source_domid, source_at, 0, dest, dest_domid, dest_at, 0, octets, flags, 99, 0)
    failed = xen.copy(ops, 1)
    return failed, struct.unpack_from("<h", ops, 36)[0]
words = dict(word.split("=") for word in xen.cmdline().decode().split())
ref, ro, other = int(words["ref"]), int(words["readonly"]), int(words["other"])
frame = xen.gfn(page)
print("whole", copy(ref, 5, 0, frame, 0x7FF0, 0, 4096, 1), bytes(page[:4]))
print("beyond", copy(ref, 5, 1, frame, 0x7FF0, 0, 4096, 1))
print("no ref", copy(70000, 5, 0, frame, 0x7FF0, 0, 1, 1))
print("not ours", copy(other, 5, 0, frame, 0x7FF0, 0, 1, 1))
print("no domain", copy(ref, 9, 0, frame, 0x7FF0, 0, 1, 1))
print("foreign frame", copy(frame, 5, 0, frame, 0x7FF0, 0, 1, 0))
print("readonly", copy(frame, 0x7FF0, 0, ro, 5, 0, 1, 2))
print("nothing", copy(70000, 5, 0, frame, 0x7FF0, 0, 0, 1))
"""


def test_each_copy_has_its_own_status(machine, pair, tmp_path):
    a, _ = pair
    frame = a.page()
    a.octets(frame)[:4] = b"data"
    ref, readonly, other = a.grant(frame, 2), a.grant(frame, 2, readonly=True), a.grant(frame, 6)
    script = tmp_path / "copies.py"
    script.write_text(SCRIPT)
    firewall = machine.firewall("ref=%d readonly=%d other=%d" % (ref, readonly, other), script=str(script))
    assert firewall.wait_end() == POWEROFF
    assert firewall.lines() == [
        "whole (0, 0) b'data'", "beyond (1, -10)", "no ref (1, -3)", "not ours (1, -1)", "no domain (1, -2)",
        "foreign frame (1, -8)", "readonly (1, -1)", "nothing (0, 0)",
    ]
    assert not a.halves[4 * ref] & GTF_READING


def test_a_domain_has_1023_ports(machine, pair):
    a, _ = pair
    for _ in range(1023):
        a.evtchn_alloc(6)
    with pytest.raises(XenError) as refused:
        a.evtchn_alloc(6)
    assert refused.value.args[0] == ENOSPC
    with pytest.raises(XenError) as refused:
        a.evtchn_bind(6, machine.domains[6].evtchn_alloc(5))
    assert refused.value.args[0] == ENOSPC
    a.evtchn_close(500)
    assert a.evtchn_alloc(6) == 500


def test_a_domain_that_dies_leaves_its_peers_port_unbound(pair):
    a, b = pair
    ours = a.evtchn_alloc(6)
    b.evtchn_bind(5, ours)
    b.kill()
    a.evtchn_send(ours)  # into the void, and no error
    assert a.ports_in_use() == [ours] and a.pending() == []


def test_the_pages_of_the_dead_stay_while_they_are_mapped(machine, pair):
    a, b = pair
    frame = a.page()
    a.octets(frame)[:5] = b"still"
    handle, octets = b.map(5, a.grant(frame, 6))
    a.kill()
    again = machine.peer(5)  # the same number, another domain: in other memory
    assert again.first != a.first and bytes(octets[:5]) == b"still"
    b.unmap(handle)
    assert machine.peer(7).first == a.first  # now it can be given out again, and is clean
    assert bytes(octets[:5]) == bytes(5)


def test_only_a_domains_own_pages_can_be_granted(pair):
    a, b = pair
    ref = a.grant(b.page(), 6)
    with pytest.raises(XenError) as refused:
        b.map(5, ref)
    assert refused.value.args[0] == GNTST_BAD_PAGE
    assert not a.in_use(ref)


LIMITS = """
import xen
def until_it_fails(make):
    kept = []
    try:
        while True:
            kept.append(make())
    except Exception as error:
        return len(kept), repr(error), kept
page = xen.mem(4096)
n, error, refs = until_it_fails(lambda: xen.grant(xen.gfn(page), 5, False))
print("grants", n, error)
n, error, maps = until_it_fails(lambda: xen.map(5, list(range(8, 40))))
print("maps", n, error)
for each in maps: xen.unmap(each)
try: xen.unmap(maps[0])
except ValueError as error: print("twice", error)
n, error, _ = until_it_fails(lambda: xen.mem(1 << 20))
print("mem", n, error)
try: xen.free(page)
except OSError as error: print("lent", error)
print(all(xen.revoke(ref) for ref in refs))
xen.free(page)
"""


def test_the_firewalls_limits(machine, pair, run):
    a, _ = pair
    for _ in range(32):
        a.grant(a.page(), 2)
    firewall = run(machine, LIMITS, frames=6 + 1025)
    assert firewall.lines() == [
        "grants 2040 OSError(28,)", "maps 32 OSError(28,)", "twice not a whole mapping",
        "mem 4 MemoryError('no 1048576 octets outside the heap',)", "lent 16", "True"]


ZEROED = """
import xen
page = xen.mem(4096)
for i in range(64): page[i] = 255
for start in range(9):
    for octets in range(20):
        page[8:48] = b"x" * 40
        xen.zero(page, 10 + start, octets)
        assert bytes(page[8:48]) == b"x" * (2 + start) + bytes(octets) + b"x" * (38 - start - octets), (start, octets)
words = xen.view(bytearray(b"1234567812345678"), "I")
xen.zero(words, 4, 8)  # octets, whatever the elements are
print(list(words) == [0x34333231, 0, 0, 0x38373635])
xen.zero(page, 4096, 0)
for offset, octets in (4096, 1), (-1, 2), (0, -1), (1, 4096), (1 << 62, 1 << 62):
    try: xen.zero(page, offset, octets)
    except ValueError as error: print(error)
try: xen.zero(b"constant", 0, 1)
except TypeError: print("not writable")
"""


def test_zeros_go_where_they_should_and_nowhere_else(machine, tmp_path):
    script = tmp_path / "zeroed.py"
    script.write_text(ZEROED)
    firewall = machine.firewall(script=str(script))
    assert firewall.wait_end() == POWEROFF
    assert firewall.lines() == ["True"] + 5 * ["range outside the buffer"] + ["not writable"]


MOVED = """
import xen
near, far = bytearray(b"0123456789"), bytearray(16)
places = xen.view(xen.mem(64), "I")
def moves(*all):
    for i in range(len(all)):
        places[3 * i], places[3 * i + 1], places[3 * i + 2] = all[i]
    xen.moves(far, near, places, len(all))
moves((0, 8, 2), (15, 0, 1), (4, 3, 5), (16, 10, 0))
print(bytes(far))
most = 0xFFFFFFFF
for place in (
    (0, 9, 2), (15, 0, 2), (17, 0, 0), (0, 11, 0), (0, 0, 11), (most, 0, 1), (0, most, 1), (1, 1, most), (0, 0, 17),
):
    try: moves((1, 0, 1), place)
    except ValueError as error: print(error)
print(bytes(far))
for given in (1, -1):
    try: xen.moves(far, near, bytearray(8), given)
    except ValueError as error: print("places")
try: xen.moves(b"constant", near, places, 1)
except TypeError: print("not writable")
"""


def test_octets_move_where_they_should_and_nowhere_else(machine, tmp_path):
    script = tmp_path / "moved.py"
    script.write_text(MOVED)
    firewall = machine.firewall(script=str(script))
    assert firewall.wait_end() == POWEROFF
    assert firewall.lines() == [
        repr(b"89\0\x0034567" + bytes(6) + b"0"), *9 * ["range outside the buffer"],
        repr(b"80\0\x0034567" + bytes(6) + b"0"), *2 * ["places"], "not writable",
    ]  # fmt: skip


REVOKED = """
import xen
page = xen.mem(4096)
ref = xen.grant(xen.gfn(page), 5, False)
port = xen.evtchn_alloc(5)
ports = xen.view(bytearray(8), "H")
def wait():  # events of the console's daemon come too
    while port not in list(ports[:xen.pending(ports)]):
        xen.sleep(None)
print(ref, port)
wait()
print("held", xen.revoke(ref), bytes(page[:4]))
wait()
print("free", xen.revoke(ref))
try: xen.revoke(ref)
except ValueError as error: print(error)
"""


def test_a_page_that_a_peer_holds_is_not_taken_back(machine, pair, tmp_path):
    a, _ = pair
    script = tmp_path / "revoke.py"
    script.write_text(REVOKED)
    firewall = machine.firewall(script=str(script))
    ref, port = map(int, firewall.console.split())
    handle, octets = a.map(2, ref)
    octets[:4] = b"ours"
    theirs = a.evtchn_bind(2, port)
    a.evtchn_send(theirs)
    machine.settle()
    a.unmap(handle)
    a.evtchn_send(theirs)
    firewall.wait_end()
    assert firewall.lines()[1:] == ["held False b'ours'", "free True", "reference was not lent"]


EAGAIN = """
import struct, xen
ops = xen.mem(4096)
frame = xen.gfn(xen.mem(4096))
for i in range(6):
    struct.pack_into("<QHHIQHHIHHhH", ops, 40 * i, frame, 0x7FF0, 0, 0, frame, 0x7FF0, 64, 0, 64, 0, 99, 0)
print(xen.copy(ops, 6), [struct.unpack_from("<h", ops, 40 * i + 36)[0] for i in range(6)])
"""


def test_faults_where_the_test_wants_them(machine, run):
    machine.fail_copies(GNTST_EAGAIN, skip=2, count=3)
    assert run(machine, EAGAIN).lines() == ["3 [0, 0, -12, -12, -12, 0]"]


def test_a_peer_can_strike_in_the_middle_of_a_hypercall(machine, run):
    struck = []
    machine.preempt(2, lambda firewall: struck.append(firewall.domain.hypercalls))
    run(machine, "import xen\nport = xen.evtchn_alloc(5)\nfor _ in range(6): xen.evtchn_send(port)\n")
    assert struck == [2, 4, 6]


@pytest.mark.parametrize("guard, index", [("after", 10000), ("before", -1)])
def test_a_viper_store_beside_a_piece_of_memory_is_seen(tmp_path, guard, index):
    script = tmp_path / "wild.py"
    script.write_text(
        "import xen\n@micropython.viper\ndef store(p: ptr8, i: int):\n    p[i] = 1\n"
        "def go(n):\n    store(xen.mem(10000), n)\ngo(0)\nprint('inside')\ngo(%d)\nprint('unseen')\n" % index)
    with Machine(guard=guard) as machine:
        firewall = machine.firewall(script=str(script))
        assert firewall.wait_end() == CRASH
    assert "inside" in firewall.console and "unseen" not in firewall.console
    assert "behind the end of a piece of 10000" in firewall.console and "in go" in firewall.console
