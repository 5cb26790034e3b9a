"""/connected-ips says whose addresses are clients': each change of it counts at the next packet of every flow."""
import pytest
from packets import ACK, RST, SYN, Look, echo, tcp, udp
from scenes import A, B, OURS, SERVER, nothing

BUILDS = {
    "udp": lambda src, dst: udp(src, 4001, dst, 4001),
    "tcp": lambda src, dst: tcp(src, 4001, dst, 4001),
    "echo": lambda src, dst: echo(src, dst),
}


def told(wire):
    look = Look(wire.recv())
    return look.kind, look.code


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_flow_to_an_address_that_becomes_a_client_is_cut(net, build):
    """It went on by the uplink: the netvm read, and could answer, what was meant for another client."""
    client = net.client(A)
    for dst in (B, SERVER):
        client.send(build(A, dst))
        assert net.uplink.recv()
    net.connected(A, B)
    client.send(build(A, B))
    assert told(client) == (3, 13)
    client.send(build(A, B))
    assert told(client) == (3, 13)
    net.uplink.send(build(B, OURS))
    nothing(client, net.uplink)
    client.send(build(A, SERVER))  # nobody else's flow suffers
    assert net.uplink.recv()
    net.connected(A)  # it is none any more
    client.send(build(A, B))
    assert net.uplink.recv()


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("paired", [False, True])
def test_nor_does_it_go_on_when_the_address_is_attached(net, build, paired):
    """Whether or not dom0 has said so before."""
    if paired:
        net.allow((A, B))
    a = net.client(A)
    a.send(build(A, B))
    assert net.uplink.recv()
    b = net.client(B)
    a.send(build(A, B))
    nothing(net.uplink)
    assert told(a) == (3, 13), "the flow that was cut"
    a.send(build(A, B))
    nothing(net.uplink)
    if paired:
        assert Look(b.recv()).src == A
    else:
        assert told(a) == (3, 13)
    nothing(a, b)


def test_errors_are_asked_as_packets_are(net):
    """An ICMP error about a flow whose address is a client's now is none that the uplink may send."""
    from packets import error

    client = net.client(A)
    client.send(udp(A, 4001, B, 4001))
    quote = net.uplink.recv()[14:]
    net.connected(A, B)
    net.uplink.send(error("203.0.113.1", OURS, 3, 1, quote))
    nothing(client)


def test_a_list_without_change_cuts_and_asks_nothing(net):
    client = net.client(A)
    net.connected(A, B)
    generation = list(net.neighbours.clients.generations)
    net.connected(B, A)
    assert list(net.neighbours.clients.generations) == generation
    client.send(udp(A, 1, SERVER, 1))
    assert net.uplink.recv()


def test_who_is_not_named_gets_nothing(net):
    """The netvm of a running HVM was taken away: only one of its two interfaces goes (behaviours of Qubes, no. 50)."""
    net.allow((A, B), (B, A))
    a, b = net.client(A), net.client(B)
    a.send(tcp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, OURS, port, SYN | ACK))
    b.send(udp(B, 7, A, 7))
    assert len(a.frames) == 2
    a.frames.clear()
    net.connected(B, only=True)
    net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, b"data"))
    nothing(a)
    a.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(a.recv()).flags == RST
    for frame in (udp(A, 1, SERVER, 1), udp(A, 8, B, 7), tcp(A, 4002, SERVER, 80)):
        a.send(frame)
        assert told(a) == (3, 13)
    b.send(udp(B, 7, A, 7))
    assert told(b) == (3, 13)
    nothing(a, b, net.uplink)
    b.send(udp(B, 1, SERVER, 1))
    assert net.uplink.recv()
    net.connected(A, B, only=True)
    a.send(udp(A, 1, SERVER, 1))
    assert net.uplink.recv()
    nothing(a, b, net.uplink)


def test_before_the_key_was_read_all_who_are_attached_are_served(net):
    client = net.client(A)
    client.send(udp(A, 1, SERVER, 1))
    assert net.uplink.recv()
    net.connected(only=True)  # it may be empty
    client.send(udp(A, 2, SERVER, 1))
    assert told(client) == (3, 13)
    nothing(net.uplink)
