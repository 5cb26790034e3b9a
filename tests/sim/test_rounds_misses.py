"""A round of the ring services in which every packet is a miss ends in time, and the next one does first what is left.

Time is the work done (share.py), and a step of the interpreter takes a us: four times what it takes there, so that a
burst of misses is much more than a round's time.
"""
import re

import pytest
from packets import Look, udp
from tests.sim.network import Network

SERVER = "192.0.2.50"
STEP_NS = 1000
BURST = 40  # slots that are taken at once from who has brought hits alone
ROUND, PACKET = 1200, 800  # us: a round's time, and the most that is begun in it takes behind it


@pytest.fixture
def net(machine):
    return Network(machine=machine)


def gap(net):
    (line,) = [line for line in net.firewall.status() if "since last asked" in line]
    return int(re.search(r"(\d+) us", line)[1])


def calm(net, wire):
    """Its last turn brings hits alone, so that the next one takes a whole burst."""
    for _ in range(3):
        wire.send(udp(wire.address, 900, SERVER, 53))
        assert net.uplink.recv()
    net.settle()


def burst(net, wires, frames, while_it_goes=None, step_ns=STEP_NS):
    """Each brings its burst at once; (what came out, the longest gap in us)."""
    net.settle()
    net.uplink.end.frames.clear()
    for wire in wires:
        calm(net, wire)
    gap(net)
    for wire in wires:
        for frame in frames(wire):
            wire.end.queue(bytes(frame))
    net.machine.header.step_ns = step_ns
    if while_it_goes:
        net.machine.preempt(1, while_it_goes)
    for wire in wires:
        wire.end.kick()
    net.settle()
    net.machine.preempt(0, None)
    net.machine.header.step_ns = 0
    net.settle()
    return [Look(frame[0]) for frame in net.uplink.end.frames], gap(net)


def begin(wire):
    return [udp(wire.address, 2000 + i, SERVER, 53) for i in range(BURST)]


@pytest.mark.parametrize("frames, out", [("begin", BURST), ("to_judge", 0)])
def test_however_many_have_a_burst_and_time_stands_still(net, frames, out):
    """It is the number of misses that ends a turn then; nobody's packets are taken for another's."""
    wires = [net.client("10.137.0.%d" % (30 + i)) for i in range(3)]
    came, _ = burst(net, wires, globals()[frames], step_ns=0)
    assert len(came) == 3 * out
    if out:
        assert {seen.src for seen in came} == {net.address} and len({seen.sport for seen in came}) == 3 * BURST
    else:
        assert net.counters["time to live spent"] == 3 * BURST


def to_judge(wire):
    """Each is refused, and the client is told why as long as it may be."""
    return [udp(wire.address, 2000 + i, SERVER, 53, ttl=1) for i in range(BURST)]


@pytest.mark.parametrize("clients", [1, 3])
def test_flows_that_begin(net, clients, figure):
    wires = [net.client("10.137.0.%d" % (30 + i)) for i in range(clients)]
    came, us = burst(net, wires, begin)
    figure("longest gap while %d clients begin %d flows at once" % (clients, BURST), "%d us" % us, ROUND + PACKET)
    assert len(came) == clients * BURST
    if clients == 1:
        assert [seen.sport for seen in came] == sorted(seen.sport for seen in came)  # in order
    assert ROUND < us < ROUND + PACKET


def test_what_the_judge_has_to_see(net, figure):
    wire = net.client("10.137.0.30")
    came, us = burst(net, [wire], to_judge)
    figure("longest gap while %d packets at once are the judge's" % BURST, "%d us" % us, ROUND + PACKET)
    assert came == [] and ROUND < us < ROUND + PACKET


@pytest.mark.parametrize("hypercalls", [1, 2, 3])
def test_who_goes_before_its_turn_is_over_leaves_no_page_behind(net, hypercalls):
    other = net.client("10.137.0.40")
    before = net.holdings()
    wire = net.client("10.137.0.30")
    count = [0]

    def go(_firewall):
        count[0] += 1
        if count[0] == hypercalls:
            wire.end.offline(False)
        net.machine.serve()

    burst(net, [wire], to_judge, go, 5 * STEP_NS)  # a packet in each round
    net.machine.until(wire.end.gone, 10)
    net.machine.dom0.remove(wire.end.front.encode())
    net.settle()
    wire.end.leave()
    net.wires.remove(wire)
    assert 0 < net.counters["time to live spent"] < BURST  # the others nobody has judged
    assert not {name: n for name, n in net.counters.items() if n}.keys() - {"forwarded", "time to live spent"}
    assert net.holdings() == before
    other.send(udp(other.address, 900, SERVER, 53))
    assert net.uplink.recv()
