"""Rows 59 to 67 of docs/behaviours.md: ICMP, through the whole firewall."""
import pytest
from packets import ACK, DF, ICMP, SYN, Look, echo, error, icmp_message, ip, tcp, udp
from scenes import A, B, OURS, ROUTER, SERVER, begun, nothing


def wrong_quotes(port):
    """Each is a packet of the live flow but for one thing."""
    yield "source", udp(SERVER, port, SERVER, 80)
    yield "destination", udp(OURS, port, "192.0.2.51", 80)
    yield "source port", udp(OURS, port ^ 1, SERVER, 80)
    yield "destination port", udp(OURS, port, SERVER, 81)
    yield "protocol", tcp(OURS, port, SERVER, 80)
    yield "inside address", udp(A, port, SERVER, 80)
    yield "turned round", udp(SERVER, 80, OURS, port)
    yield "later fragment", udp(OURS, port, SERVER, 80, fragment=1)
    yield "ports cut off", udp(OURS, port, SERVER, 80)[: 14 + 23]
    yield "header cut off", udp(OURS, port, SERVER, 80)[: 14 + 19]
    yield "nothing", b"\0" * 14
    yield "version", udp(OURS, port, SERVER, 80)[:14] + b"\x65" + udp(OURS, port, SERVER, 80)[15:]


def test_behaviour_59_a_quote_that_is_not_wholly_of_a_flow(net):
    client, seen = begun(net)
    for name, quote in wrong_quotes(seen.sport):
        for kind in (3, 11, 12):
            net.uplink.send(error(ROUTER, OURS, kind, 0, quote[14:]))
        nothing(client, net.uplink)
    assert net.counters["ICMP error about no flow"] == 36
    net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, seen.sport, SERVER, 80)[14:]))
    assert client.recv()


def test_behaviour_59_wrong_checksum_of_the_message(net):
    client, seen = begun(net)
    good = error(ROUTER, OURS, 3, 1, udp(OURS, seen.sport, SERVER, 80)[14:])
    net.uplink.send(good[:-1] + bytes([good[-1] ^ 1]))
    nothing(client)


def test_behaviour_59_a_clients_error_reaches_only_who_it_is_about(net):
    client, seen = begun(net)
    net.uplink.send(udp(SERVER, 80, OURS, seen.sport))
    got = client.recv()
    client.send(error(A, ROUTER, 3, 3, got[14:]))
    client.send(error(A, SERVER, 3, 3, udp(SERVER, 81, A, 4001)[14:]))
    nothing(net.uplink, client)
    client.send(error(A, SERVER, 3, 3, got[14:]))
    told = Look(net.uplink.recv())
    assert (told.src, told.dst, told.kind) == (OURS, SERVER, 3)
    assert (told.quote.src, told.quote.sport, told.quote.dst, told.quote.dport) == (SERVER, 80, OURS, seen.sport)


@pytest.mark.parametrize("build", [udp, tcp])
@pytest.mark.parametrize("octets", [28, 36, 40, 548])
@pytest.mark.parametrize("sport", [4001, 401])  # a port that is kept, one that is not
def test_behaviour_60_quotes_are_translated_with_right_checksums(net, build, octets, sport):
    client = net.client(A)
    client.send(build(A, sport, SERVER, 80, data=b"x" * 100))
    sent = net.uplink.recv()
    net.uplink.send(error(ROUTER, OURS, 11, 0, sent[14:][:octets], ttl=9))
    told = Look(client.recv())
    assert (told.src, told.dst, told.kind, told.ttl) == (ROUTER, A, 11, 8)
    mine = bytearray(build(A, sport, SERVER, 80, data=b"x" * 100, ttl=63)[14:][:octets])
    assert told.data == mine


def test_behaviour_60_from_the_remote_itself_and_with_an_mtu(net):
    client, seen = begun(net, tcp)
    net.uplink.send(error(SERVER, OURS, 3, 4, tcp(OURS, seen.sport, SERVER, 80)[14:], rest=1280))
    told = Look(client.recv())
    assert (told.src, told.code, told.seq) == (SERVER, 4, 1280)


def test_behaviour_61_errors_end_no_mapping_and_refresh_none(net):
    client, seen = begun(net, tcp)
    net.uplink.send(tcp(SERVER, 80, OURS, seen.sport, SYN | ACK))
    assert client.recv()
    for code in (0, 1, 2, 3, 9, 13):
        net.uplink.send(error(ROUTER, OURS, 3, code, tcp(OURS, seen.sport, SERVER, 80)[14:]))
        assert Look(client.recv()).code == code
    client.send(tcp(A, 4001, SERVER, 80, ACK))
    assert Look(net.uplink.recv()).sport == seen.sport
    client.send(udp(A, 5001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    for _ in range(13):
        net.advance(10)
        net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, port, SERVER, 80)[14:]))
    assert net.neighbours.flows.count == 1  # of UDP nothing is left after 120 s without the client


def test_behaviour_62_quoted_options_and_short_quotes(net):
    client, seen = begun(net)
    for octets in (24, 25, 27, 28, 31):
        net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, seen.sport, SERVER, 80)[14:][:octets]))
        told = Look(client.recv())
        assert told.data[12:16] == bytes((10, 137, 0, 21)) and len(told.data) == octets
    for options in (b"\x01" * 4, b"\x44\x08\x05\x00\0\0\0\0", b"\x63\x00ab"):
        net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, seen.sport, SERVER, 80, options=options)[14:][:48]))
        inner = Look(client.recv()).quote
        assert (inner.src, inner.sport, inner.dport) == (A, 4001, 80)


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 9, 10, 15, 16, 17, 18, 30, 37, 255])
def test_behaviour_63_other_kinds_are_dropped(net, kind):
    client, seen = begun(net)
    for quote in (bytes(8), udp(OURS, seen.sport, SERVER, 80)[14:]):
        net.uplink.send(error(ROUTER, OURS, kind, 0, quote))
        net.uplink.send(error("10.138.0.1", OURS, kind, 1, quote))
    client.send(error(A, SERVER, kind, 0, udp(SERVER, 80, A, 4001)[14:]))
    nothing(client, net.uplink)
    assert net.counters["ICMP type not carried"] == 5


def test_behaviour_64_no_error_about_these(net):
    client = net.client(A, ["action=drop"])
    nothing(client)
    denied = udp(A, 1, SERVER, 80)
    silent = [
        error(A, SERVER, 3, 3, denied[14:]),
        error(A, SERVER, 11, 0, denied[14:], ttl=1),
        error(A, "10.137.0.99", 5, 0, denied[14:]),
        udp(A, 1, "255.255.255.255", 80, ttl=1),
        udp(A, 1, "224.0.0.5", 80, ttl=1),
        b"\xff" * 6 + udp(A, 1, SERVER, 80, ttl=1)[6:],
        b"\x01" + udp(A, 1, SERVER, 80, ttl=1)[1:],
        ip(A, SERVER, 17, bytes(64), fragment=5, ttl=1),
        udp("0.0.0.0", 1, SERVER, 80, ttl=1),
        udp("127.0.0.1", 1, SERVER, 80, ttl=1),
    ]
    for frame in silent:
        client.send(frame)
        nothing(client, net.uplink)
    client.send(denied)
    assert Look(client.recv()).kind == 3


def test_behaviour_64_none_towards_the_uplink_either(net):
    client = net.client(A, mtu=600)
    client.send(udp(A, 4001, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, port, SERVER, 80, bytes(600))[14:], fragment=DF))
    net.uplink.send(error(ROUTER, OURS, 3, 1, udp(OURS, port, SERVER, 80)[14:], ttl=1))
    nothing(client, net.uplink)


def test_behaviour_65_own_messages_are_limited_for_each_client(net):
    a, b = net.client(A, ["action=drop"]), net.client(B, ["action=drop"])

    def answers(wire, frames):
        count = 0
        for frame in frames:
            wire.send(frame)
            count += wire.recv(0) is not None
        return count

    denied = [udp(A, port, SERVER, 80) for port in range(1, 1001)]
    assert answers(a, denied) == 50
    assert answers(a, [udp(A, 1, SERVER, 80, ttl=1)] * 10 + [tcp(A, 1, B, 80)] * 10) == 0
    assert answers(b, [udp(B, 1, SERVER, 80)] * 10) == 10  # another's share is untouched
    net.advance(1)
    assert answers(a, denied) == 50
    net.advance(1)
    assert answers(a, [echo(A, OURS)] * 3000) == 1000


@pytest.mark.parametrize("frame", [tcp(A, 1, SERVER, 80), udp(A, 1, SERVER, 80), echo(A, SERVER), ip(A, SERVER, 47, bytes(9))])
def test_behaviour_66_drop_says_administratively_prohibited(net, frame):
    client = net.client(A, ["action=drop"])
    client.send(frame)
    told = Look(client.recv())
    assert (told.src, told.dst, told.kind, told.code, told.data) == (OURS, A, 3, 13, frame[14:])
    nothing(client, net.uplink)


def test_behaviour_67_pings_are_mapped_for_each_client(net):
    wires = [net.client("10.137.0.%d" % i) for i in range(10, 20)]
    ids = {}
    for wire in wires:
        for destination in (SERVER, ROUTER):
            wire.send(echo(wire.address, destination, ident=5))
            seen = Look(net.uplink.recv())
            assert ids.setdefault(seen.echo_id, wire) is wire  # one id outside for one client
    assert len(ids) == 10
    for ident, wire in ids.items():
        net.uplink.send(echo(SERVER, OURS, ident=ident, kind=0))
        assert Look(wire.recv()).echo_id == 5
        net.uplink.send(echo("192.0.2.99", OURS, ident=ident, kind=0))  # not asked
    nothing(net.uplink, *wires)


def test_behaviour_67_timestamps_are_queries_too(net):
    client = net.client(A)
    client.send(ip(A, SERVER, ICMP, icmp_message(13, 0, 5 << 16 | 1, bytes(12))))
    seen = Look(net.uplink.recv())
    net.uplink.send(echo(SERVER, OURS, ident=seen.echo_id, kind=0))  # an echo was not asked for
    nothing(client)
    net.uplink.send(ip(SERVER, OURS, ICMP, icmp_message(14, 0, seen.echo_id << 16 | 1, bytes(12))))
    assert Look(client.recv()).echo_id == 5


def test_embedded_replies_are_known_too(net):
    """A client that complains about an echo reply or a segment it got."""
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    outside = Look(net.uplink.recv()).echo_id
    client.send(error(A, SERVER, 3, 2, echo(SERVER, A, ident=5, kind=0)[14:]))
    assert Look(net.uplink.recv()).quote.echo_id == outside
