"""What each interface has carried is counted: the same by the fast path and by the slow one, dropped or not."""
import pytest
from tests.sim.network import Network
from packets import ACK, SYN, Look, echo, tcp, udp
from rings import ERROR

A, B, SERVER = "10.137.0.21", "10.137.0.22", "192.0.2.50"
UPLINK, NUMBER_A, NUMBER_B = 0, 1, 2


@pytest.fixture(params=["on", "off"])
def net(request, machine):
    net = Network(machine=machine, cmdline="fast=" + request.param)
    net.a, net.b = net.client(A), net.client(B)
    net.allow((A, B))
    net.is_fast = request.param == "on"
    return net


class Counted:
    """What the far sides themselves have sent and received, beside what the firewall says of it."""

    def __init__(self, net):
        self.net, self.began = net, net.traffic()

    def moved(self, number):
        now = self.net.traffic()
        return tuple(after - before for after, before in zip(now[number], self.began[number]))


def test_known_flows_both_ways(net):
    net.a.send(udp(A, 4001, SERVER, 53))
    port = Look(net.uplink.recv()).sport
    counted = Counted(net)
    sizes = [0, 18, 700, 1400]
    for size in sizes:
        net.a.send(udp(A, 4001, SERVER, 53, bytes(size)))
        assert net.uplink.recv()
        for _ in range(2):
            net.uplink.send(udp(SERVER, 53, net.address, port, bytes(size)))
            assert net.a.recv()
    octets = sum(sizes) + 42 * len(sizes)
    assert counted.moved(NUMBER_A) == (4, octets, 8, 2 * octets)
    assert counted.moved(UPLINK) == (8, 2 * octets, 4, octets)
    assert counted.moved(NUMBER_B) == (0, 0, 0, 0)
    assert (net.figures()["fast"] >= 10) == net.is_fast


def test_super_frames_count_once_and_padding_counts(net):
    net.a.send(tcp(A, 4002, SERVER, 80, SYN))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, net.address, port, SYN | ACK))
    assert net.a.recv()
    net.a.send(tcp(A, 4002, SERVER, 80, ACK))
    assert net.uplink.recv()
    counted = Counted(net)
    large = tcp(A, 4002, SERVER, 80, ACK, bytes(20000), blank=True)
    net.a.send(large, True, 1400)
    assert len(net.uplink.recv()) == len(large)
    net.a.send(tcp(A, 4002, SERVER, 80, ACK) + bytes(6))
    assert len(net.uplink.recv()) == 54
    large = tcp(SERVER, 80, net.address, port, ACK, bytes(30000), blank=True)
    net.uplink.send(large, True, 1400)
    assert len(net.a.recv()) == len(large)
    assert counted.moved(NUMBER_A) == (2, 20054 + 60, 1, 30054)
    assert counted.moved(UPLINK) == (1, 30054, 2, 20054 + 54)


def test_what_is_dropped_came_but_went_nowhere(net):
    counted = Counted(net)
    net.a.send(udp(B, 1, SERVER, 2, b"x" * 58))  # not its address
    net.uplink.send(udp(SERVER, 1, net.address, 999, b"x" * 8))  # of no flow
    net.settle()
    assert counted.moved(NUMBER_A) == (1, 100, 0, 0)
    assert counted.moved(UPLINK) == (1, 50, 0, 0)


def test_our_own_frames_went(net):
    counted = Counted(net)
    net.a.send(echo(A, net.gateway, data=b"x" * 30))
    seen = net.a.recv()
    assert counted.moved(NUMBER_A) == (1, 72, 1, len(seen))


def test_what_could_not_be_copied(net):
    """Out of a client's page: it came, as far as anybody can say. Into one: it went nowhere."""
    for _ in range(3):
        net.a.send(udp(A, 1, B, 2, b"x" * 58))
        assert net.b.recv()
    counted = Counted(net)
    net.machine.fail_copies(-1)
    net.a.send(udp(A, 1, B, 2, b"x" * 58))
    net.settle()
    assert net.a.end.responses[-1][1] == ERROR
    assert counted.moved(NUMBER_A) == (1, 100, 0, 0)
    net.machine.fail_copies(-1, skip=1)
    net.a.send(udp(A, 1, B, 2, b"x" * 58))
    net.settle()
    assert net.b.end.frames == []
    assert counted.moved(NUMBER_A) == (2, 200, 0, 0) and counted.moved(NUMBER_B) == (0, 0, 0, 0)


def test_another_connection_begins_at_nought(net):
    net.a.send(udp(A, 4001, SERVER, 53))
    assert net.uplink.recv()
    assert net.traffic()[NUMBER_A][0] == 1
    net.detach(net.a)
    net.settle()
    assert NUMBER_A not in net.traffic()
    net.a = net.client(A)
    assert net.traffic()[NUMBER_A] == (0, 0, 0, 0)


def test_who_is_not_there(net):
    assert set(net.traffic()) == {UPLINK, NUMBER_A, NUMBER_B}
