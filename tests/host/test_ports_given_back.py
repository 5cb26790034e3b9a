"""Ports that a newcomer gets from who holds too many: whose they are afterwards, and what else ends by it."""
import pytest
from packets import ACK, SYN, Look, tcp, udp
from scenes import A, B, OURS, SERVER, drained

from tests.network import Network

OTHER = "192.0.2.51"
TCP, UDP = 6, 17
PORT = 20000


@pytest.fixture
def net():
    with Network(capacity=64, share=4) as net:
        yield net


def only(net, proto, *ports):
    """No port of UDP is free but these, and whatever is tried of TCP is the first of them."""
    if proto == UDP:
        for port in range(1, 65536):
            if port not in ports:
                net.neighbours.nat.reserve(proto, port)
    else:
        net.neighbours.nat._random = lambda octets: (ports[0] - 1024).to_bytes(2, "big")


def out(net, client, frame):
    """The port by which it leaves; None: it is refused."""
    drained(client, net.uplink)
    client.send(frame)
    seen = net.uplink.recv(0)
    return Look(seen).sport if seen else None


def hears(net, port, remote, build, **more):
    """Whose is an answer to this port? Name of the client, or None."""
    clients = [wire for wire in net._wires.values() if wire is not net.uplink]
    drained(*clients)
    net.uplink.send(build(remote, 80, OURS, port, **more))
    heard = [Look(seen).dst for seen in (wire.recv(0) for wire in clients) if seen]
    assert len(heard) < 2
    return heard[0] if heard else None


def flood(net, client, count, remote=OTHER):
    """So many flows of TCP to another remote, by ports of their own."""
    for i in range(count):
        assert out(net, client, tcp(A, 30000 + i, remote, 80)) == 30000 + i


def test_a_tcp_port_goes_to_who_is_below_its_share(net):
    a, b = net.client(A), net.client(B)
    flood(net, a, 20)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    only(net, TCP, PORT)
    assert out(net, b, tcp(B, PORT, SERVER, 80)) == PORT
    assert hears(net, PORT, SERVER, tcp, flags=SYN | ACK) == B
    # a's flow has ended; it has nothing to go on with, and gets none from b, who is below its share
    assert out(net, a, tcp(A, PORT, SERVER, 80)) is None
    assert hears(net, PORT, SERVER, tcp, flags=ACK) == B
    for i in range(20):  # the others are as they were
        assert hears(net, 30000 + i, OTHER, tcp, flags=SYN | ACK) == A


def test_no_tcp_port_is_taken_from_who_has_few(net):
    a, b = net.client(A), net.client(B)
    flood(net, a, 3)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    only(net, TCP, PORT)
    assert out(net, b, tcp(B, PORT, SERVER, 80)) is None
    assert hears(net, PORT, SERVER, tcp, flags=SYN | ACK) == A


def test_nor_for_who_has_its_share_already(net):
    a, b = net.client(A), net.client(B)
    flood(net, a, 20)
    for i in range(4):
        assert out(net, b, tcp(B, 40000 + i, OTHER, 80)) == 40000 + i
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    only(net, TCP, PORT)
    assert out(net, b, tcp(B, PORT, SERVER, 80)) is None
    assert hears(net, PORT, SERVER, tcp, flags=SYN | ACK) == A


@pytest.mark.parametrize("answered, used", [(False, False), (True, False), (True, True)])
def test_its_own_goes_if_nobody_misses_it(net, answered, used):
    """A flow of the client's own that it did not go on with makes room for another; a connection that both sides use does not."""
    a = net.client(A)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    if answered:
        assert hears(net, PORT, SERVER, tcp, flags=SYN | ACK) == A
    if used:
        assert out(net, a, tcp(A, PORT, SERVER, 80, ACK)) == PORT
        assert hears(net, PORT, SERVER, tcp, flags=ACK) == A
    only(net, TCP, PORT)
    net.neighbours.nat.reserve(TCP, PORT + 1)
    assert out(net, a, tcp(A, PORT + 1, SERVER, 80)) == (None if used else PORT)
    drained(a)
    net.uplink.send(tcp(SERVER, 80, OURS, PORT, SYN | ACK))
    assert Look(a.recv(0)).dport == (PORT if used else PORT + 1)


@pytest.mark.parametrize("remotes", [1, 3])
@pytest.mark.parametrize("answered", [False, True])
def test_a_udp_port_changes_hands_whole(net, remotes, answered):
    """Not one flow of several that share a mapping: then two clients would hear what comes to one port."""
    a, b = net.client(A), net.client(B)
    servers = ["192.0.2.%d" % (60 + i) for i in range(remotes)]
    ports = (PORT, PORT + 1, PORT + 2, PORT + 3, PORT + 4, PORT + 5)
    for port in ports:
        for server in servers:
            assert out(net, a, udp(A, port, server, 80)) == port
            if answered:
                assert hears(net, port, server, udp) == A
                assert out(net, a, udp(A, port, server, 80)) == port
    only(net, UDP, *ports)
    got = out(net, b, udp(B, 7000, SERVER, 80))
    assert got in ports
    assert hears(net, got, SERVER, udp) == B
    for port in ports:
        for server in servers:
            assert hears(net, port, server, udp) == (None if port == got else A)
    # and given back, it is free for the next
    net.detach(b)
    c = net.client("10.137.0.23")
    assert out(net, c, udp("10.137.0.23", got, SERVER, 80)) == got


@pytest.mark.parametrize("build, proto", [(udp, UDP), (tcp, TCP)])
def test_a_port_is_free_again_when_its_flows_have_ended(net, build, proto):
    a, b = net.client(A), net.client(B)
    assert out(net, a, build(A, PORT, SERVER, 80)) == PORT
    only(net, proto, PORT)
    net.advance(600)
    flags = {"flags": SYN | ACK} if build is tcp else {}
    assert hears(net, PORT, SERVER, build, **flags) is None
    assert out(net, b, build(B, PORT, SERVER, 80)) == PORT
    assert hears(net, PORT, SERVER, build, **flags) == B


def probing(net, *ports):
    """What is drawn at random from now on: these ports in turn; the list of how many octets each time."""
    drawn = []

    def octets(count):
        drawn.append(count)
        return (ports[(len(drawn) - 1) % len(ports)] - 1024).to_bytes(2, "big")[:count]

    net.neighbours.nat._random = octets
    return drawn


@pytest.mark.parametrize("build, drawn", [(udp, [2] * 16 + [1]), (tcp, [2] * 16)])
def test_sixteen_random_ports_are_tried(net, build, drawn):
    """Then the first free one is looked up; of TCP, whose ports serve several remotes, there is no table to look in."""
    a, b = net.client(A), net.client(B)
    assert out(net, a, build(A, PORT, SERVER, 80)) == PORT
    seen = probing(net, PORT)
    assert (out(net, b, build(B, PORT, SERVER, 80)) is None) == (build is tcp)
    assert seen == drawn


@pytest.mark.parametrize("flows, taken", [(16, False), (17, True)])
def test_who_has_no_more_flows_than_are_tried_keeps_them(net, flows, taken):
    a, b = net.client(A), net.client(B)
    flood(net, a, flows - 1)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    probing(net, PORT)
    assert out(net, b, tcp(B, PORT, SERVER, 80)) == (PORT if taken else None)


@pytest.mark.parametrize("more, taken", [(0, False), (1, False), (2, True)])
def test_by_one_flow_nothing_changes_hands(more, taken):
    """Two clients would take it from each other for ever."""
    with Network(capacity=128, share=32) as net:
        a, b = net.client(A), net.client(B)
        flood(net, a, 19 + more)
        for i in range(20):
            assert out(net, b, tcp(B, 40000 + i, OTHER, 80)) == 40000 + i
        assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
        probing(net, PORT)
        assert out(net, b, tcp(B, PORT, SERVER, 80)) == (PORT if taken else None)


@pytest.mark.parametrize("others, taken", [(8, False), (9, True)])
def test_who_has_most_ports_towards_a_remote_gives_one_of_its_own(net, others, taken):
    """Of 17 that are tried, its own and others': it takes one where most are others'."""
    a, b = net.client(A), net.client(B)
    flood(net, a, 20)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    assert out(net, b, tcp(B, PORT + 1, SERVER, 80)) == PORT + 1
    probing(net, *[PORT] * (others - 1) + [PORT + 1] * (17 - others))
    assert out(net, b, tcp(B, PORT, SERVER, 80)) == (PORT if taken else PORT + 1)


def test_the_largest_holder_that_is_met_gives_its_port(net):
    a, b, c = net.client(A), net.client(B), net.client("10.137.0.23")
    flood(net, a, 22)
    for i in range(18):
        assert out(net, b, tcp(B, 40000 + i, OTHER, 80)) == 40000 + i
    assert out(net, b, tcp(B, PORT, SERVER, 80)) == PORT
    assert out(net, a, tcp(A, PORT + 1, SERVER, 80)) == PORT + 1
    assert out(net, b, tcp(B, PORT + 2, SERVER, 80)) == PORT + 2
    probing(net, PORT + 1, PORT + 2)
    assert out(net, c, tcp("10.137.0.23", PORT, SERVER, 80)) == PORT + 1
    assert hears(net, PORT + 1, SERVER, tcp, flags=SYN | ACK) == "10.137.0.23"


def test_where_nobody_has_many_it_gives_one_of_its_own(net):
    a, b = net.client(A), net.client(B)
    flood(net, a, 3)
    assert out(net, a, tcp(A, PORT, SERVER, 80)) == PORT
    assert out(net, b, tcp(B, PORT + 1, SERVER, 80)) == PORT + 1
    probing(net, *[PORT] * 15 + [PORT + 1])
    assert out(net, b, tcp(B, PORT, SERVER, 80)) == PORT + 1
    assert hears(net, PORT, SERVER, tcp, flags=SYN | ACK) == A
