"""Whatever a client's link fails at for want of memory, it gives back what it has taken, and works on.

Each allocation in turn is refused once, in passes over the rings and while a link is made; then pages, grants, ports and
mappings are counted.
"""
import pytest
from tests.sim.network import Network
from tests.sim.starving import A, B, SERVER, begun, out, quiet
from packets import ACK, Look, echo, tcp, udp

MOST = 3000  # allocations in one of these, at most


@pytest.fixture
def net(machine):
    return begun(Network(machine=machine), A)


def _in(net):
    net.uplink.end.send(udp(SERVER, 53, net.address, net.port, b"y" * 1000))


def _super_frame(net):
    net.uplink.end.send(tcp(SERVER, 80, net.address, net.tcp_port, ACK, bytes(9000), blank=True), blank=True, gso=1000)


def _ping(net):
    net.a.end.send(echo(A, net.gateway, data=b"z" * 1400))


def _across(net):
    net.a.end.send(udp(A, 1, B, 2, b"z" * 1400))


def _denied(net):
    net.a.end.send(udp("10.137.0.77", 1, SERVER, 2))
    net.b.end.send(udp(B, 1, A, 2))


def _lie(net):
    """A page crossed: what stood before it is forgotten."""
    net.a.end.queue(udp(A, 4001, SERVER, 53, b"x" * 300))
    id, ref = net.a.end.page()
    net.a.end.request(ref, 4000, 0, id, 200)
    net.a.end.kick()


@pytest.mark.parametrize("what", [out, _in, _super_frame, _ping, _across, _denied])
def test_each_allocation_in_a_pass_may_fail(net, what):
    """An exception between `frame.sent = True` and the end of `rings.send` leaked the frame's pages."""
    what(net)
    net.settle()
    quiet(net)
    before = net.holdings()
    for n in range(MOST):
        net.tell("starve rings %d" % n)
        what(net)
        net.settle()
        failed = net.tell("starved") == "1"
        quiet(net)
        net.advance(1.1)
        assert net.holdings() == before, "after allocation %d" % n
        assert net.a.end.connected() and net.b.end.connected() and net.uplink.end.connections == 1
        if not failed:
            break
    assert n < MOST
    assert (n == 0) == (what in (_in, _super_frame, _across)), "known flows between rings in order allocate nothing"
    assert net.a.pings() and net.b.pings()


def test_each_allocation_in_a_pass_may_fail_with_a_client_that_gives_no_buffers(net, machine):
    """What is held for it, what is dropped, what it gets at last."""
    deaf = net.client("10.137.0.66", post=0)
    before = net.holdings()
    for n in range(MOST):
        deaf.end.post = 0
        net.tell("starve rings %d" % n)
        for i in range(3):
            deaf.end.send(echo(deaf.address, net.gateway, seq=i))
        net.settle()
        if n % 2:
            net.advance(1.2)
        deaf.end.post = 6
        for _ in range(6):
            deaf.end.give_buffer()
        deaf.end.rx.publish()
        deaf.end.peer.evtchn_send(deaf.end.port)
        net.settle()
        failed = net.tell("starved") == "1"
        net.advance(1.2)
        quiet(net)
        assert net.figures()["held"] == 0
        if not failed:
            break
    assert 3 < n < MOST
    net.advance(2)
    assert net.holdings() == before


def test_each_allocation_while_a_link_is_made_may_fail(net):
    """It is tried again, nothing is left behind, and the device connects all the same."""
    net.set_rules("10.137.0.66", ["action=accept"])
    net.advance(1.1)
    before = net.holdings()
    for n in range(MOST):
        net.tell("starve connect %d" % n)
        wire = net.client("10.137.0.66", rules=None)
        failed = net.tell("starved") == "1"
        assert wire.pings()
        net.detach(wire)
        wire.end.peer.kill()
        net.advance(1.1)
        assert net.holdings() == before, "after allocation %d" % n
        if not failed:
            break
    assert 3 < n < MOST


def test_each_allocation_while_a_link_ends_may_fail(net):
    """Broken by its client with frames on their way and held."""
    net.advance(1.1)
    net.tell("starve rings -1")
    before = net.holdings()
    for n in range(MOST):
        net.tell("starve rings %d" % n)
        _lie(net)
        net.settle()
        failed = net.tell("starved") == "1"
        net.machine.until(lambda: not net.a.end.connected(), 10)
        net.advance(6)
        net.a.end.reconnect()
        quiet(net)
        net.advance(1.1)
        assert net.holdings() == before, "after allocation %d" % n
        if not failed:
            break
    assert 3 < n < MOST


@pytest.mark.parametrize("requests", range(1, 9))
def test_memory_that_is_short_for_a_while_ends_no_device(net, requests):
    """What has to be asked after a failure failed as well: the device was dead until dom0 touched it."""
    net.tell("short %d" % requests)
    net.machine.write(net.a.end.back + "/mtu", "1400")
    net.advance(70)
    assert not net.lines("link closed") and net.a.end.connected()
    wire = net.client("10.137.0.66", rules=None, wait=False)
    net.machine.until(wire.end.connected, 70)
    assert wire.pings() and net.a.pings() and net.b.pings()
    assert net.figures()["vifs"] == 3


@pytest.mark.parametrize("node, values", [("ip", ("10.137.0.98", "10.137.0.99")), ("mac", ("00:16:3e:5e:6c:07", "00:16:3e:5e:6c:08"))])
def test_each_allocation_while_an_address_changes_may_fail(net, node, values):
    """It was taken for done: the client's link was there, and nothing of it went anywhere."""
    for value in ("10.137.0.98", "10.137.0.99"):
        net.set_rules(value, ["action=accept"])
    net.tell("starve connect -1")
    wire = net.client("10.137.0.98", rules=None)
    for n in range(MOST):
        value = values[1 - n % 2]
        net.tell("starve connect %d" % n)
        net.machine.write("%s/%s" % (wire.end.back, node), value)
        net.settle()
        failed = net.tell("starved") == "1"
        net.advance(1.1)
        quiet(net)
        source = value if node == "ip" else "10.137.0.98"
        wire.end.send(udp(source, 4001, SERVER, 53, b"x"))
        sent = net.uplink.recv()
        assert sent and Look(sent).data == b"x", "after allocation %d" % n
        net.uplink.send(udp(SERVER, 53, net.address, Look(sent).sport, b"y"))
        got = wire.recv()
        assert got and (node == "ip" or got[:6] == bytes.fromhex(value.replace(":", ""))), "after allocation %d" % n
        if not failed:
            break
    assert 1 < n < MOST


def test_each_allocation_while_a_client_is_forgotten_may_fail(net):
    """From within the ring service: what escapes from there ends the domain."""
    net.tell("starve connect -1")
    wire = net.client("10.137.0.98")
    net.a, other = wire, net.a
    for n in range(MOST):
        wire.send(udp(wire.address, 4001, SERVER, 53))
        net.settle()
        net.tell("starve connect %d" % n)
        id, ref = wire.end.page()
        wire.end.request(ref, 4000, 0, id, 200)
        wire.end.kick()
        net.settle()
        failed = net.tell("starved") == "1"
        net.machine.until(lambda: not wire.end.connected(), 10)
        net.advance(6)
        wire.end.reconnect()
        quiet(net)
        assert wire.pings() and other.pings(), "after allocation %d" % n
        if not failed:
            break
    assert 1 < n < MOST
