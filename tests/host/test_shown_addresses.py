"""A client that is shown another address (net.fake-ip): translated on its side, and known by its own elsewhere."""
import pytest
from packets import ACK, SYN, Look, arp, echo, error, fragments, ip, looks, tcp, tcp_segment, udp, udp_datagram
from scenes import A, B, C, OURS, SERVER, drained, nothing

from firewall.policy import Policy
from firewall.wire.address import parse4
from tests.network import CLIENT_MAC, Network

SHOWN, GATEWAY = "192.168.1.128", "192.168.1.1"
REQUEST = 1


@pytest.fixture
def a(net):
    """The client A, which is shown SHOWN and GATEWAY."""
    net.show(A, SHOWN, GATEWAY)
    return net.client(A)


def told(wire):
    look = Look(wire.recv())
    return look.kind, look.code, look.src, look.dst


# --- outside ---


@pytest.mark.parametrize("blank", [False, True])
def test_flows_outside_both_ways(net, a, blank):
    for build, more in ((tcp, (SYN,)), (udp, ())):
        a.send(build(SHOWN, 4001, SERVER, 80, *more, blank=blank), blank=blank)
        frame, was_blank, _ = net.uplink.recv_offloaded()
        out = Look(frame, was_blank)
        assert (out.src, out.dst, was_blank) == (OURS, SERVER, blank)
        net.uplink.send(build(SERVER, 80, OURS, out.sport, *((SYN | ACK,) if more else ())))
        back = Look(a.recv())
        assert (back.src, back.dst, back.dport) == (SERVER, SHOWN, 4001)
    a.send(echo(SHOWN, SERVER))
    net.uplink.send(echo(SERVER, OURS, ident=Look(net.uplink.recv()).echo_id, kind=0))
    assert Look(a.recv()).dst == SHOWN
    a.send(ip(SHOWN, SERVER, 47, b"gre"))
    net.uplink.send(ip(SERVER, OURS, 47, b"gre"))
    assert Look(net.uplink.recv()).src == OURS and Look(a.recv()).dst == SHOWN


def test_super_frames(net, a):
    data = b"x" * 3000
    a.send(tcp(SHOWN, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(tcp(SERVER, 80, OURS, port, SYN | ACK))
    a.send(tcp(SHOWN, 4001, SERVER, 80, ACK, data, blank=True), blank=True, gso=1400)
    frame, blank, gso = net.uplink.recv_offloaded()
    assert Look(frame, blank).src == OURS and gso == 1400
    net.uplink.send(tcp(SERVER, 80, OURS, port, ACK, data, blank=True), blank=True, gso=1400)
    a.recv()
    frame, blank, gso = a.recv_offloaded()
    assert Look(frame, blank).dst == SHOWN and gso == 1400


def test_pieces(net, a):
    for piece in fragments(udp(SHOWN, 4001, SERVER, 53, b"x" * 1600), 800):
        a.send(piece)
    out = looks([net.uplink.recv(), net.uplink.recv()])
    assert {each.src for each in out} == {OURS}


def test_its_own_address_is_no_source_of_its(net, a):
    for frame in (udp(A, 1, SERVER, 80), tcp(A, 1, SERVER, 80), echo(A, OURS), udp("192.168.1.129", 1, SERVER, 80),
                  udp(GATEWAY, 1, SERVER, 80)):
        a.send(frame)
    nothing(a, net.uplink)
    assert net.counters["source not the client's"] == 5


def test_the_rules_are_those_of_its_own_address(net, a):
    net.set_rules(A, ["action=accept dst4=192.0.2.0/24"])
    a.send(udp(SHOWN, 1, SERVER, 80))
    assert net.uplink.recv()
    a.send(udp(SHOWN, 1, "198.51.100.1", 80))
    assert told(a) == (3, 13, GATEWAY, SHOWN)


def test_errors_are_translated_with_what_they_quote(net, a):
    a.send(udp(SHOWN, 4001, SERVER, 53))
    out = Look(net.uplink.recv())
    net.uplink.send(error("203.0.113.1", OURS, 3, 4, out.datagram, rest=1400))
    seen = Look(a.recv())
    assert (seen.src, seen.dst) == ("203.0.113.1", SHOWN)
    assert (seen.quote.src, seen.quote.sport, seen.quote.dst) == (SHOWN, 4001, SERVER)
    net.uplink.send(udp(SERVER, 53, OURS, out.sport))
    back = Look(a.recv())
    a.send(error(SHOWN, SERVER, 3, 3, back.datagram))
    seen = Look(net.uplink.recv())
    assert (seen.src, seen.quote.src, seen.quote.dst, seen.quote.dport) == (OURS, SERVER, OURS, out.sport)
    a.send(error(A, SERVER, 3, 3, back.datagram))
    nothing(net.uplink)


# --- ourselves ---


def test_its_gateway_is_we(net, a):
    for address in (GATEWAY, OURS):
        a.send(echo(SHOWN, address, seq=7))
        seen = Look(a.recv())
        assert (seen.kind, seen.src, seen.dst, seen.seq) == (0, address, SHOWN, 7)
        a.send(udp(SHOWN, 1, address, 53))
        assert told(a) == (3, 10, address, SHOWN)
    a.send(udp(SHOWN, 1, SERVER, 53, ttl=1))
    assert told(a) == (11, 0, GATEWAY, SHOWN)
    b = net.client(B)
    b.send(udp(B, 1, GATEWAY, 53))  # to others it is any address
    assert Look(net.uplink.recv()).dst == GATEWAY


def test_arp_by_the_shown_address_alone(net, a):
    def asks(sender, asked):
        a.send(arp(REQUEST, CLIENT_MAC, sender, asked))
        return a.recv() is not None

    assert asks(SHOWN, GATEWAY) and asks(SHOWN, OURS) and asks(SHOWN, SERVER) and asks(SHOWN, A)
    for sender, asked in ((SHOWN, SHOWN), (A, GATEWAY), ("192.168.1.5", GATEWAY), (GATEWAY, SERVER)):
        assert not asks(sender, asked)
    assert asks("0.0.0.0", GATEWAY) and asks("0.0.0.0", OURS)
    assert not asks("0.0.0.0", SHOWN) and not asks("0.0.0.0", "192.168.1.129")


# --- other clients ---


def test_two_that_are_shown_the_same(net, a):
    """They use the same ports towards the same remote, and neither gets what is the other's."""
    net.show(B, SHOWN, GATEWAY)
    b = net.client(B)
    ports = []
    for wire in (a, b):
        wire.send(tcp(SHOWN, 4001, SERVER, 80))
        ports.append(Look(net.uplink.recv()).sport)
    assert ports[0] != ports[1]
    for wire, port, other in ((a, ports[0], b), (b, ports[1], a)):
        net.uplink.send(tcp(SERVER, 80, OURS, port, SYN | ACK))
        assert Look(wire.recv()).dst == SHOWN
        nothing(other)
    net.set_rules(A, ["action=drop"])
    for wire, port in ((a, ports[0]), (b, ports[1])):
        wire.send(tcp(SHOWN, 4001, SERVER, 80, ACK, b"data"))
    assert Look(net.uplink.recv()).sport == ports[1]
    nothing(net.uplink)
    a.send(error(SHOWN, SERVER, 3, 3, tcp(SERVER, 80, SHOWN, 4001, SYN | ACK)[14:]))
    nothing(net.uplink)  # of the other's flow it says nothing


def test_one_is_shown_what_is_anothers_own(net):
    net.show(A, B, GATEWAY)
    a, b = net.client(A), net.client(B)
    for wire in (a, b):
        wire.send(udp(B, 4001, SERVER, 80))
        port = Look(net.uplink.recv()).sport
        net.uplink.send(udp(SERVER, 80, OURS, port))
        assert Look(wire.recv()).dport == 4001
        nothing(a, b)


@pytest.mark.parametrize("both", [False, True])
def test_between_clients(net, a, both):
    """Each sees the other by its own address, and itself by the one that it is shown."""
    other = "192.168.1.77" if both else B
    if both:
        net.show(B, other, GATEWAY)
    b = net.client(B)
    net.allow((A, B), (B, A))
    builds = ((tcp, (SYN,), (SYN | ACK,)), (udp, (), ()))
    for build, there, back in builds:
        a.send(build(SHOWN, 5, B, 7, *there))
        seen = Look(b.recv())
        assert (seen.src, seen.dst, seen.sport, seen.dport) == (A, other, 5, 7)
        b.send(build(other, 7, A, 5, *back))
        seen = Look(a.recv())
        assert (seen.src, seen.dst, seen.sport, seen.dport) == (B, SHOWN, 7, 5)
        b.send(build(other, 8, A, 9, *there))
        seen = Look(a.recv())
        assert (seen.src, seen.dst) == (B, SHOWN)
    a.send(echo(SHOWN, B))
    seen = Look(b.recv())
    b.send(echo(other, A, kind=0, ident=seen.echo_id))
    assert Look(a.recv()).src == B
    for proto, payload in ((47, b"gre"), (33, b"\0\5\0\7\5\0" + b"\0" * 10)):
        a.send(ip(SHOWN, B, proto, payload))
        b.send(ip(other, A, proto, payload))
        assert Look(b.recv()).src == A and Look(a.recv()).dst == SHOWN
    a.send(tcp(SHOWN, 6, B, 7, blank=True), blank=True)
    frame, blank, _ = b.recv_offloaded()
    assert Look(frame, blank).dst == other and blank
    nothing(a, b, net.uplink)


def test_errors_between_clients(net, a):
    net.show(B, "192.168.1.77", GATEWAY)
    b = net.client(B)
    net.allow((A, B))
    a.send(udp(SHOWN, 5, B, 7))
    b.send(error("192.168.1.77", A, 3, 3, Look(b.recv()).datagram))
    seen = Look(a.recv())
    assert (seen.src, seen.dst, seen.quote.src, seen.quote.dst, seen.quote.sport) == (B, SHOWN, SHOWN, B, 5)
    b.send(udp("192.168.1.77", 7, A, 5))
    a.send(error(SHOWN, B, 3, 3, Look(a.recv()).datagram))
    seen = Look(b.recv())
    assert (seen.src, seen.dst, seen.quote.src, seen.quote.dst) == (A, "192.168.1.77", "192.168.1.77", A)


def test_nobody_reaches_it_by_the_address_that_it_is_shown(net, a):
    b = net.client(B)
    net.allow((B, A))
    net.connected(SHOWN, B, only=True)
    b.send(udp(B, 5, SHOWN, 7))
    assert told(b)[:2] == (3, 13)
    nothing(a, net.uplink)
    net.uplink.send(udp(SHOWN, 5, OURS, 7))
    net.uplink.send(udp(A, 5, OURS, 7))
    assert net.counters["source of ours from the uplink"] == 2


def test_forwards_and_the_tunnels_end(net, a):
    everything = 0, 0xFFFFFFFF
    net.neighbours.set_policy(Policy(forwards={6 << 16 | 8080: (parse4(A), 80) + everything}))
    net.uplink.send(tcp(SERVER, 5, OURS, 8080))
    seen = Look(a.recv())
    assert (seen.src, seen.dst, seen.dport) == (SERVER, SHOWN, 80)
    a.send(tcp(SHOWN, 80, SERVER, 5, SYN | ACK))
    assert Look(net.uplink.recv()).sport == 8080
    net.neighbours.set_policy(Policy(only={parse4(A): (17, parse4(SERVER), 99)}))
    a.send(udp(SHOWN, 1, SERVER, 99))
    assert net.uplink.recv()
    a.send(udp(SHOWN, 1, SERVER, 98))
    nothing(net.uplink)


# --- who is there ---


def test_connected_ips_name_the_shown_address(net, a):
    for named, passes in (((SHOWN,), True), ((A,), False), ((SHOWN, B), True)):
        net.connected(*named, only=True)
        a.send(udp(SHOWN, 4001, SERVER, 80))
        assert (net.uplink.recv() is not None) == passes
        drained(a)


def test_a_change_under_flows(net):
    """At the next packet of either direction; what was begun under another address does not go on under the next."""
    a = net.client(A)
    a.send(udp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.show(A, SHOWN, GATEWAY)
    net.uplink.send(udp(SERVER, 80, OURS, port))
    a.send(udp(A, 4001, SERVER, 80))
    nothing(a, net.uplink)
    a.send(udp(SHOWN, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    a.send(udp(SHOWN, 4001, "192.168.1.9", 80))
    assert net.uplink.recv()
    net.show(A, SHOWN, "192.168.1.9")  # which it now is not
    a.send(udp(SHOWN, 4001, "192.168.1.9", 80))
    assert told(a) == (3, 10, "192.168.1.9", SHOWN)
    net.uplink.send(udp(SERVER, 80, OURS, port))
    assert Look(a.recv()).dst == SHOWN
    net.show(A, A)
    net.uplink.send(udp(SERVER, 80, OURS, port))
    a.send(udp(SHOWN, 4001, SERVER, 80))
    nothing(a, net.uplink)
    a.send(udp(A, 4001, SERVER, 80))
    assert net.uplink.recv()
    net.advance(1000)
    assert net.neighbours.flows.count == 0


def test_a_receiver_that_is_shown_another_under_flows(net):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    a.send(udp(A, 5, B, 7))
    assert b.recv()
    net.show(B, SHOWN, GATEWAY)
    b.send(udp(B, 7, A, 5))
    a.send(udp(A, 5, B, 7))  # the flow that was cut
    drained(a)
    a.send(udp(A, 5, B, 7))
    assert Look(b.recv()).dst == SHOWN


def test_it_comes_and_goes(net, a):
    a.send(udp(SHOWN, 4001, SERVER, 80))
    assert net.uplink.recv()
    net.detach(a)
    other = net.client(C)
    other.send(udp(SHOWN, 4001, SERVER, 80))
    nothing(net.uplink)
    again = net.client(A)
    again.send(udp(SHOWN, 4001, SERVER, 80))
    assert net.uplink.recv()


def test_any_sums_stay_right():
    """Over ports, data and addresses whose sums are awkward: Look() asserts every checksum."""
    with Network() as net:
        for shown in ("1.0.0.1", "223.255.255.254"):
            net.show(A, shown, GATEWAY)
            net.show(B, "9.9.9.9")
            a, b = net.client(A), net.client(B)
            net.allow((A, B))
            for i in range(60):
                data = bytes((i * 7 & 255, i * 31 & 255, 255)) * (i % 5)
                a.send(ip(shown, SERVER, 17, udp_datagram(shown, i + 1, SERVER, 65535 - i, data)))
                a.send(ip(shown, B, 6, tcp_segment(shown, i + 1, B, 65535 - i, SYN, data)))
                assert Look(net.uplink.recv()).src == OURS and Look(b.recv()).dst == "9.9.9.9"
            net.detach(a)
            net.detach(b)


def test_what_is_for_one_that_is_not_attached_is_told_to_nobody_outside(net):
    """/connected-ips has what it is shown; /mapped-ip its own."""
    b = net.client(B)
    b.send(udp(B, 1, A, 80))
    assert net.uplink.recv()
    net.show(A, SHOWN, GATEWAY)
    net.connected(SHOWN, B)
    for dst in (A, SHOWN):
        b.send(udp(B, 1, dst, 80))
        assert told(b)[:2] == (3, 13)
    nothing(net.uplink)
