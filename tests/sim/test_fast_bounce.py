"""Small packets of a burst lie side by side in the bounce buffer while they are copied, and nobody else sees it."""
import random

import pytest
from tests.sim.network import Network
from packets import Look, udp
from rings import ERROR

_SCRIPT = """
import xen
from firewall.bursts.tables import table
from firewall.fast import client_rx, client_tx
from net.rows import Rows

r = Rows()
ring = xen.view(xen.mem(4096), "I")
ops = xen.view(xen.mem(40 * 64), "I")
stack, marks = xen.view(xen.mem(128), "H"), xen.view(xen.mem(128), "H")
sent, counts = xen.view(xen.mem(12 * 8), "I"), xen.view(xen.mem(32), "I")
SELF, FIRST, BOUNCE = 0x7FF0, 100, 900
for i in range(64):
    stack[i] = i

def take(*sizes, bounced=64):
    # packets of one slot each; None: one of two slots, 40 octets; the second 10 of them
    at = 16
    for size in sizes:
        ring[at], ring[at + 1], ring[at + 2] = 9, 0, (size or 40) << 16
        at += 3
        if size is None:
            ring[at - 2] = 4 << 16
            ring[at], ring[at + 1], ring[at + 2] = 9, 0, 10 << 16
            at += 3
    given = (0, (at - 16) // 3, 64, 64, 64, 0, 7, FIRST, 64, 0, 0, 0, 0, BOUNCE, bounced)
    for i in range(len(given)):
        r.s[i] = given[i]
    client_tx.take(table(ring, r.slots, r.packets, r.parts, ops, stack, marks)[0], r.s)
    assert r.s[9] == len(sizes) and r.s[5] == (at - 16) // 3
    return [(ops[10 * i + 4], ops[10 * i + 6] >> 16) for i in range(r.s[5])]

def page(i):
    return FIRST + 63 - i, 0

def near(i):
    return BOUNCE + i // 16, i % 16 * 256

def answered(*failed):
    for i in range(r.s[5]):
        ops[10 * i + 9] = 0xFFFF if i in failed else 0
    client_tx.answer(table(ring, r.slots, r.packets, ops, counts, r.parts, r.places)[0], r.s)
    return [tuple([r.places[3 * i + j] for j in range(3)]) for i in range(r.s[15])]

# the first may be alone; the largest; one more; a chain
assert take(64) == [page(0)] and answered() == []
assert take(64, 65, 256, 257, 14) == [page(0), near(1), near(2), page(3), near(4)]
pages = [63 - i for i in range(5)]
assert [r.parts[4 * i] for i in range(5)] == pages and [marks[i] for i in pages] == [64, 65, 256, 257, 14]
assert answered() == [(62 * 4096, 256, 65), (61 * 4096, 512, 256), (59 * 4096, 1024, 14)]
assert answered(2) == [(62 * 4096, 256, 65), (59 * 4096, 1024, 14)]  # what has failed holds what was there before
assert r.packets[8 * 2 + 6] == 0xFFFE
assert take(64, None, 60) == [page(0), page(1), page(2), near(3)] and answered() == [(60 * 4096, 768, 60)]
assert take(*34 * [64])[15:18] == [near(15), near(16), near(17)]
assert take(*6 * [64], bounced=4) == [page(0), near(1), near(2), near(3), page(4), page(5)]
assert len(answered()) == 3

def out(*sizes, used=0, bounced=64):
    # None: one of two parts
    part = 0
    for i in range(len(sizes)):
        parts = 1 if sizes[i] else 2
        r.packets[8 * i + 2], r.packets[8 * i + 3], r.packets[8 * i + 5] = part, parts, 0
        for part in range(part, part + parts):
            r.parts[4 * part], r.parts[4 * part + 1], r.parts[4 * part + 2] = 20 + part, 2, sizes[i] or 40
        part += 1
    given = (0, len(sizes), 0, 64, 64, used, 7, FIRST, 0, 8, BOUNCE, bounced)
    for i in range(len(given)):
        r.s[i] = given[i]
    assert client_rx.out(table(ring, r.packets, r.parts, ops, sent, r.places)[0], r.s) == len(sizes)
    for i in range(used, r.s[5]):
        assert ops[10 * i + 8] == r.parts[4 * (i - used) + 2] | 2 << 16 and ops[10 * i + 2] & 0xFFFF == SELF
        assert ops[10 * i + 3] == FIRST + 20 + i - used
    return [(ops[10 * i], ops[10 * i + 2] >> 16) for i in range(used, r.s[5])]

def to_go():
    return [tuple([r.places[3 * i + j] for j in range(3)]) for i in range(r.s[12])]

def theirs(i):
    return FIRST + 20 + i, 2

assert out(64) == [theirs(0)] and to_go() == []
assert out(64, 256, 257, 14) == [theirs(0), near(1), theirs(2), near(3)]
assert to_go() == [(256, 21 * 4096 + 2, 256), (768, 23 * 4096 + 2, 14)]
assert out(64, used=5) == [near(5)] and to_go() == [(5 * 256, 20 * 4096 + 2, 64)]
assert out(64, None, 64) == [theirs(0), theirs(1), theirs(2), near(3)]
assert out(64, 64, used=16, bounced=17) == [near(16), theirs(1)]

# the pages go back, wherever they were copied from
assert out(64, 256, 257, 14)
for i in range(4):
    ops[10 * i + 9] = 0
r.s[0], r.s[1], r.s[2], r.s[3] = 0, 4, 10, FIRST
assert client_rx.respond(table(ring, ops, sent, stack, counts)[0], r.s) == 0
assert [stack[10 + i] for i in range(4)] == [20, 21, 22, 23]
print("done")
"""


def test_which_packets_go_by_the_bounce_buffer(machine, run):
    firewall = run(machine, _SCRIPT)
    assert firewall.lines()[-1] == "done", firewall.console


A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
SIZES = [22, 0, 1, 2, 3, 213, 214, 215, 300, 1400, 5] + [22] * 25  # of UDP's data: 42 octets less than the frame


@pytest.fixture
def net(machine):
    net = Network(machine=machine)
    net.a, net.b = net.client(A), net.client(B)
    net.allow((A, B))
    net.a.send(udp(A, 4001, SERVER, 53))
    net.port = Look(net.uplink.recv()).sport
    net.uplink.send(udp(SERVER, 53, net.address, net.port))
    assert net.a.recv()
    net.a.send(udp(A, 1, B, 2))
    assert net.b.recv()
    net.b.send(udp(B, 2, A, 1))
    assert net.a.recv()
    net.a.end.responses.clear()
    return net


def data(size, i):
    return random.Random(size * 100 + i).randbytes(size)


def all_data():
    return [data(size, i) for i, size in enumerate(SIZES)]


def test_a_burst_of_all_sizes_goes_to_the_netvm_and_nothing_else(net):
    for each in all_data():
        net.a.end.queue(udp(A, 4001, SERVER, 53, each))
    net.a.end.kick()
    net.settle()
    assert [Look(octets).data for octets in net.left()] == all_data()
    assert net.uplink.end.dirty == [] and net.tell("pages") == ""


def test_a_burst_of_all_sizes_comes_from_the_netvm(net):
    for i, each in enumerate(all_data()):
        net.uplink.end.send(udp(SERVER, 53, net.address, net.port, each), offsets=(i % 3 * 2,))
    net.settle()
    assert [Look(octets).data for octets, _, _, _ in net.a.end.frames] == all_data()
    assert net.tell("pages") == ""


def test_a_burst_to_two_ways_by_turns(net):
    """What goes to a client, and what to the netvm, lay in the same page."""
    for i, each in enumerate(all_data()):
        net.a.end.queue(udp(A, 1, B, 2, each) if i % 2 else udp(A, 4001, SERVER, 53, each))
    net.a.end.kick()
    net.settle()
    assert [Look(octets).data for octets in net.left()] == all_data()[::2]
    assert [Look(octets).data for octets, _, _, _ in net.b.end.frames] == all_data()[1::2]
    assert net.uplink.end.dirty == [] and net.tell("pages") == ""


@pytest.mark.parametrize("way", ["in", "out"])
@pytest.mark.parametrize("which", [0, 1, 5, 9])
def test_one_copy_of_a_burst_that_fails_takes_no_other_with_it(net, way, which):
    """Of what it brought nothing is forwarded, nor what another burst left in its place."""
    first = [b"first" + bytes([i]) * 20 for i in range(12)]
    then = [b"second" + bytes([i]) * 20 for i in range(12)]
    for each in first:
        net.a.end.queue(udp(A, 1, B, 2, each))
    net.a.end.kick()
    net.settle()
    assert [Look(octets).data for octets, _, _, _ in net.b.end.frames] == first
    net.b.end.frames.clear()
    net.machine.fail_copies(-1, skip=which if way == "in" else 12 + which)
    for each in then:
        net.a.end.queue(udp(A, 1, B, 2, each))
    net.a.end.kick()
    net.settle()
    assert [Look(octets).data for octets, _, _, _ in net.b.end.frames] == then[:which] + then[which + 1 :]
    assert [status for _, status in net.a.end.responses[-12:]].count(ERROR) == (way == "in")
    assert net.tell("pages") == ""
