"""Nothing grows: many clients within the daemons' quotas, and attach and detach for as long as one likes."""
import pytest
from attacks import all_work
from frontend import CLOSED, INITIALISING
from machine import Machine
from tests.sim.network import Network
from packets import echo, udp
from passing import address, ended
from store import NODES_MAX, OXENSTORED, XENSTORED

A, SERVER = "10.137.0.21", "192.0.2.50"
CLIENTS = 55
HEAP_SLACK = 32768  # octets: what one round may differ from another; a leak of 4 octets a cycle would be more


@pytest.fixture
def few(request):
    """The full counts take minutes: --long."""
    return not request.config.getoption("--long")


@pytest.mark.parametrize("personality", [XENSTORED, OXENSTORED], ids=lambda personality: personality.name)
def test_55_clients_within_the_quotas(personality, figure):
    with Machine(personality=personality) as machine:
        net = Network(machine=machine)
        net.figures()
        before = net.holdings()
        wires = [net.client(address(i)) for i in range(CLIENTS)]
        held = net.holdings()
        assert held["nodes"] < NODES_MAX and held["watches"] < personality.watches - 10
        for _ in range(2):
            all_work(net, wires)
        figure("xenstore nodes with %d clients (%s)" % (CLIENTS, personality.name), held["nodes"], NODES_MAX)
        figure("xenstore watches with %d clients (%s)" % (CLIENTS, personality.name), held["watches"], personality.watches)
        for wire in wires:
            net.detach(wire)
        net.advance(5)
        assert net.holdings() == before


def _heap(net):
    """Octets in use: the least of a few looks, for a collector that takes a number on the stack for an address may
    keep a chain of dead objects until something else stands there."""
    looks = []
    for _ in range(5):
        net.advance(1.1)
        looks.append(net.figures()["heap"])
    return min(looks)


def _cycle(net, end, way):
    """One life of a device: attach, connect, a packet, and one of the ways in which it ends."""
    end.attach()
    net.machine.until(end.connected, 30)
    end.send(echo(A, net.gateway))
    net.settle()
    assert len(end.frames) == 1
    end.frames.clear()
    end.responses.clear()
    ended(net, end, way)


def test_attach_and_detach_level_out(few, figure, machine):
    """10,000 of them (300 without --long), in three ways of ending: all that is held is as before, the heap too."""
    net = Network(machine=machine)
    wire = net.client(A)
    wire.end.detach()
    wire.end.release()
    cycles = 300 if few else 10000
    for i in range(30):
        _cycle(net, wire.end, i % 3)
    net.advance(5)
    before, heap = net.holdings(), _heap(net)
    for i in range(cycles):
        _cycle(net, wire.end, i % 3)
        if i % 1000 == 999:
            assert net.holdings() == before, "after %d" % i
    net.advance(5)
    assert net.holdings() == before
    grown = _heap(net) - heap
    figure("heap grown over %d attach and detach cycles" % cycles, "%d octets" % grown, HEAP_SLACK)
    assert grown < HEAP_SLACK


def test_a_device_that_connects_again_and_again_levels_out(few, machine):
    """state-flap with real connections: 5 s each after the first five."""
    net = Network(machine=machine)
    wire = net.client(A)
    net.advance(1)
    before = net.holdings()
    for _ in range(50 if few else 2000):
        wire.end.set_state(CLOSED)
        machine.until(lambda: wire.end.their_state() == CLOSED, 10)
        wire.end.set_state(INITIALISING)
        machine.until(wire.end.connected, 30)
    net.advance(1)
    assert net.holdings() == before


def test_uplinks_that_come_and_go_level_out(few, machine):
    net = Network(machine=machine)
    wire = net.client(A)
    before = None
    for i in range(40 if few else 1000):
        wire.send(udp(A, 1000, SERVER, 53))
        assert net.uplink.recv()
        net.advance(1.1)
        before = before or (net.holdings(), _heap(net))
        assert net.holdings() == before[0], "after %d" % i
        net.no_netvm()
        net.netvm(net.address, domid=1000 + i % 7)
    assert _heap(net) < before[1] + HEAP_SLACK


def test_clients_that_die_without_a_word_level_out(few, machine):
    """As by `xl destroy`: the domain is gone, dom0 removes what is left."""
    net = Network(machine=machine)
    net.figures()
    before = net.holdings()
    for i in range(20 if few else 500):
        wire = net.client(A)
        for seq in range(3):
            wire.send(echo(A, net.gateway, seq=seq))
        wire.end.kill()
        wire.end.offline(force=True)
        machine.until(wire.end.gone, 10)
        wire.end.leave()
        net.wires.remove(wire)
        net.advance(1)
    assert net.holdings() == before
