"""Memory that is refused in the ring service, outside of the judge, and in what goes by time: nobody ends of it.

The service runs in the loop, and the clock's task is one that the firewall cannot be without: an exception from either
ends the domain. Each allocation in turn is refused once.
"""
import pytest
from tests.sim.network import Network
from tests.sim.starving import A, B, SERVER, begun, out, quiet
from packets import ACK, echo, fragments, tcp, udp

MOST = 3000


@pytest.fixture
def net(machine):
    return begun(Network(machine=machine), B, gso=False)


def back(net):
    for _ in range(3):
        net.uplink.end.send(udp(SERVER, 53, net.address, net.port, b"y" * 1000))


def cut(net):
    """A super-frame for a client that takes none, and what came behind it: segments in several turns."""
    net.uplink.end.send(tcp(SERVER, 80, net.address, net.tcp_port, ACK, bytes(20000), blank=True), blank=True, gso=1000)
    net.uplink.end.send(udp(SERVER, 53, net.address, net.port, b"y" * 100))


def cut_in_front(net):
    """The same in one slot, and as much behind it as a turn takes: the list of what has to wait grows on the way."""
    net.uplink.end.send(tcp(SERVER, 80, net.address, net.tcp_port, ACK, bytes(4000), blank=True), blank=True, gso=100)
    for _ in range(6):
        net.uplink.end.send(udp(SERVER, 53, net.address, net.port, b"y" * 100))


def spread(net):
    """An answered ping of 20 pieces."""
    for frame in fragments(echo(A, net.gateway, data=bytes(20000)), 1400, 1400, 1400):
        net.a.end.send(frame)


def refused(net):
    net.a.end.send(udp("10.137.0.77", 1, SERVER, 2))
    net.b.end.send(udp(B, 1, A, 2))


@pytest.mark.parametrize("what", [out, back, cut, cut_in_front, spread, refused])
def test_each_allocation_in_a_pass_may_fail(net, what):
    """What was allocated between a neighbour's guard and the loop ended the domain."""
    what(net)
    net.settle()
    net.advance(40)
    quiet(net)
    before = net.holdings()
    for n in range(MOST):
        net.tell("starve pass %d" % n)
        what(net)
        net.settle()
        failed = net.tell("starved") == "1"
        net.advance(1.1)
        if what is spread:
            net.advance(31)  # what has lost a piece is kept so long
        quiet(net)
        assert net.holdings() == before, "after allocation %d" % n
        assert net.a.end.connected() and net.b.end.connected() and net.uplink.end.connections == 1
        if not failed:
            break
    assert 0 < n < MOST
    assert net.a.pings() and net.b.pings()


def test_each_allocation_in_a_tick_may_fail(net):
    """Flows that end, fragments that are too old, a client that leaves: the next tick does what this one could not."""
    for n in range(40):
        net.tell("starve tick %d" % n)
        gone = net.client("10.137.0.66")
        for port in range(20):
            gone.end.send(udp(gone.address, 1000 + port, SERVER, 53))
        net.a.end.send(fragments(udp(A, 4001, SERVER, 53, bytes(2000)), 800, 800)[0])
        net.settle()
        net.detach(gone)
        net.advance(31)
        assert net.tell("starved") == "1"
        assert net.figures()["fragments"] == 0 and net.figures()["flows"] <= 2
    assert net.a.pings() and net.b.pings()


@pytest.mark.parametrize("fast", ["on", "off"])
def test_what_memory_was_refused_for_is_counted(machine, fast):
    """A burst of the fast path lost what came behind the packet that had no memory, and nobody was told."""
    net = Network(machine=machine, cmdline="fast=" + fast)
    net.a, net.b = net.client(A), net.client(B)
    net.allow((A, B))
    known = [udp(A, 4001, SERVER, 53), udp(A, 4001, B, 53), udp(A, 4001, SERVER, 53, b"x" * 99)]
    for n in range(MOST):
        net.tell("starve pass %d" % n)
        before = net.figures()
        for frame in known + [udp(A, 4002, SERVER, 54)] + known + [udp(A, 5000 + n % 1000, SERVER, 53)]:
            net.a.end.send(frame)
        net.settle()
        failed = net.tell("starved") == "1"
        after = net.figures()
        arrived = len(net.left()) + len(net.b.end.frames)
        quiet(net)
        assert arrived + sum(after[name] - before[name] for name in ("failed", "lost")) == 8, "after allocation %d" % n
        if not failed:
            break
    assert 0 < n < MOST
