"""A netvm that takes few slots a second, in even steps, a client whose ring is full, and what others notice of it."""
import pytest
from packets import echo, udp
from tests.sim.network import Network

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
MS = 1_000_000


@pytest.fixture(params=["on", "off"])
def net(machine, request):
    net = Network(machine=machine, cmdline="fast=" + request.param)
    net.a, net.b = net.client(A), net.client(B)
    net.a.send(udp(A, 9000, SERVER, 53))
    assert net.uplink.recv()
    net.advance(0.2)
    net.uplink.end.holds = True
    return net


def slot(net, rate):
    """The client's ring is full, and after its part of a second the netvm answers one slot."""
    for _ in range(net.a.end.room()):
        net.a.end.queue(udp(A, 9000, SERVER, 53))
    net.a.end.kick()
    net.advance(1 / rate)
    net.uplink.end.resume(limit=1)
    net.settle()


@pytest.mark.parametrize("rate", [9, 18])
def test_nobody_loses_a_frame(net, rate):
    for _ in range(5 * rate):
        slot(net, rate)
    assert net.figures()["lost"] == 0 and not net.lines("uplink: takes nothing")


@pytest.mark.parametrize("rate, most", [(20, 1000), (50, 400), (400, 100)])
def test_a_ping_to_us_does_not_wait_for_long(net, rate, most):
    """most: ms."""
    for _ in range(2 * rate):
        slot(net, rate)
    for _ in range(3):
        net.b.end.frames.clear()
        net.b.end.send(echo(B, net.gateway, seq=7))
        sent = net.machine.now
        while not net.b.end.frames:
            slot(net, rate)
            assert net.machine.now - sent < most * MS
        slot(net, rate)
