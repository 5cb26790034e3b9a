"""Storms of flows that are no attack: what was answered once, or closed by one side, costs nobody a new flow."""
import pytest
from packets import ACK, FIN, Look, echo, ip, tcp, udp
from scenes import A, B, OURS, SERVER, opened, remote

from tests.network import Network


def exchanged(net, client, sport, server=SERVER):
    """One question, one answer."""
    client.send(udp(A, sport, server, 53))
    frame = net.uplink.recv(0)
    if frame is None:
        return False
    net.uplink.send(udp(server, 53, OURS, Look(frame).sport))
    return client.recv(0) is not None


@pytest.mark.parametrize("capacity, rate, seconds", [(1024, 10, 103), (65536, 260, 256)])
def test_exchanges_answered_once_are_recycled_before_anybody_is_refused(capacity, rate, seconds):
    """udp-answered-once-storm: the client's own new flows were refused from the 252nd second on, TCP too."""
    with Network(capacity=capacity) as net:
        client = net.client(A)
        kept = opened(net, client, 700, "192.0.2.51")
        for second in range(seconds):
            for i in range(rate):
                number = second * rate + i
                assert exchanged(net, client, 1024 + number % 60000, remote(number // 60000)), number
            net.advance(1)
        opened(net, client, 701, "192.0.2.51")
        net.uplink.send(tcp("192.0.2.51", 80, OURS, kept, ACK))
        assert client.recv(), "what is in use stays"


@pytest.mark.parametrize("capacity", [1024, 8192])
def test_one_port_towards_many_remotes_is_recycled_too(capacity):
    """dht-one-port-storm."""
    with Network(capacity=capacity) as net:
        client = net.client(A)
        for i in range(capacity + 100):
            assert exchanged(net, client, 6881, remote(i)), i
        opened(net, client, 701)


@pytest.mark.parametrize("closer", ["server", "client"])
def test_half_closed_connections_are_recycled(closer):
    """tcp-half-closed-storm: they were held for 124 minutes, and the client's new ones refused."""
    with Network(capacity=1024) as net:
        client = net.client(A)
        for i in range(1024):
            port = opened(net, client, 5000 + i)
            if closer == "server":
                net.uplink.send(tcp(SERVER, 80, OURS, port, FIN | ACK))
                assert client.recv()
                client.send(tcp(A, 5000 + i, SERVER, 80, ACK))
            else:
                client.send(tcp(A, 5000 + i, SERVER, 80, FIN | ACK))
            assert net.uplink.recv()
            net.advance(1)
        assert net.neighbours.flows.count == 1024, "while there is room, nothing ends early"
        opened(net, client, 8000)
        net.uplink.send(tcp(SERVER, 80, OURS, 5001, ACK, b"the rest of a long download"))
        assert client.recv(), "only the oldest went"


@pytest.mark.parametrize("build, answer", [
    (lambda i: echo(A, SERVER, ident=i), lambda i: echo(SERVER, OURS, ident=i, kind=0)),
    (lambda i: ip(A, remote(i), 47, b"gre"), lambda i: ip(remote(i), OURS, 47, b"gre")),
])  # fmt: skip
def test_neighbours_of_the_udp_exchange(build, answer):
    """A ping, a datagram of another protocol: answered once, they are no dearer."""
    with Network(capacity=64) as net:
        client = net.client(A)
        for i in range(200):
            client.send(build(i))
            assert net.uplink.recv(), i
            net.uplink.send(answer(i))
            assert client.recv(), i


def test_a_newcomer_takes_answered_ones_before_those_in_use():
    with Network(capacity=64, share=16) as net:
        a = net.client(A)
        kept = [opened(net, a, 5000 + i) for i in range(32)]
        for i in range(32):
            assert exchanged(net, a, 6000 + i)
        b = net.client(B)
        for i in range(16):
            b.send(udp(B, 5000 + i, SERVER, 80))
            assert net.uplink.recv()
        for port in kept:
            net.uplink.send(tcp(SERVER, 80, OURS, port, ACK))
            assert a.recv()
