"""Who may say what about whose flow: ICMP errors among several clients, a list that changes, and what is quoted."""
import itertools
import socket
import struct

import pytest
from packets import ACK, SYN, Look, echo, error, tcp, total, udp
from scenes import A, B, C, OURS, ROUTER, SERVER, nothing

GUESS = "a client's ICMP error about no flow of its own"


def answered(net, wire, sport=4001, build=udp):
    """A flow of this client to SERVER:80; (the answer as it came in at the client, the port outside)."""
    wire.send(build(wire.address, sport, SERVER, 80))
    port = Look(net.uplink.recv()).sport
    net.uplink.send(build(SERVER, 80, OURS, port, *((SYN | ACK,) if build is tcp else ())))
    return wire.recv()[14:], port


@pytest.mark.parametrize("rules", [["action=drop"], ["action=accept"], None])
@pytest.mark.parametrize("build", [udp, tcp])
def test_a_client_says_nothing_about_anothers_flow(net, rules, build):
    """It would go by the other's rules, with the first one's data and private address."""
    a, b = net.client(A, rules), net.client(B)
    got, _ = answered(net, b, build=build)
    for kind in (3, 11, 12):
        a.send(error(A, SERVER, kind, 3, got + b"data past the rules"))
    nothing(a, b, net.uplink)
    assert net.counters[GUESS] == 3
    b.send(error(B, SERVER, 3, 3, got))
    told = Look(net.uplink.recv())
    assert (told.src, told.dst, told.quote.dst) == (OURS, SERVER, OURS)


def test_nor_about_anothers_ping(net):
    a, b = net.client(A), net.client(B)
    b.send(echo(B, SERVER, ident=5))
    outside = Look(net.uplink.recv()).echo_id
    net.uplink.send(echo(SERVER, OURS, ident=outside, kind=0))
    got = b.recv()[14:]
    a.send(error(A, SERVER, 3, 2, got))
    nothing(a, b, net.uplink)


def test_wrong_guesses_are_counted_and_limited_for_each_client(net):
    a, b = net.client(A), net.client(B)
    mine, theirs = answered(net, a)[0], answered(net, b)[0]
    for port in range(1, 51):
        a.send(error(A, SERVER, 3, 3, udp(SERVER, 80, A, port)[14:]))
    a.send(error(A, SERVER, 3, 3, mine))  # nobody looks whether this one is right
    nothing(net.uplink)
    assert net.counters[GUESS] == 51
    b.send(error(B, SERVER, 3, 3, theirs))
    assert Look(net.uplink.recv()).quote.dport
    net.advance(1)
    for _ in range(200):  # right ones cost nothing
        a.send(error(A, SERVER, 3, 3, mine))
        assert Look(net.uplink.recv()).src == OURS


def test_wrong_guesses_from_outside_stop_no_right_error(net):
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    sent = net.uplink.recv()[14:]
    for port in range(1, 2000):
        net.uplink.send(error(ROUTER, OURS, 3, 3, udp(OURS, port, "192.0.2.99", 80)[14:]))
    nothing(client)
    net.uplink.send(error(ROUTER, OURS, 3, 3, sent))
    assert client.recv()


def test_between_two_clients_the_receivers_error_goes_to_the_sender_only(net):
    a, b, c = net.client(A), net.client(B), net.client(C)
    net.allow((A, B))
    a.send(udp(A, 4001, B, 80))
    there = b.recv()[14:]
    b.send(udp(B, 80, A, 4001))
    back = a.recv()[14:]
    for wire, quote, other in ((b, there, a), (a, back, b)):
        wire.send(error(wire.address, other.address, 3, 3, quote))
        told = Look(other.recv())
        assert (told.src, told.dst, told.data) == (wire.address, other.address, quote)
    nothing(a, b, c, net.uplink)
    for wire, quote in itertools.product((a, b, c), (there, back)):
        for destination in (A, B, C, SERVER):
            right = {A: (B, there), B: (A, back)}.get(destination)
            if wire.address != destination and (wire.address, quote) != right:
                wire.send(error(wire.address, destination, 3, 3, quote))
    for quote in (there, back):
        net.uplink.send(error(ROUTER, OURS, 3, 3, quote))
    nothing(a, b, c, net.uplink)


@pytest.mark.parametrize("build", [udp, tcp])
def test_errors_about_a_flow_that_rules_now_deny(net, build):
    """From either side: the first packet of any kind after the commit ends the flow."""
    for from_client in (True, False):
        client = net.client(A)
        got, port = answered(net, client, build=build)
        client.send(build(A, 4001, SERVER, 80, *((ACK,) if build is tcp else ())))
        sent = net.uplink.recv()[14:]
        net.set_rules(A, ["action=drop dst4=192.0.2.0/24", "action=accept"])
        if from_client:
            client.send(error(A, SERVER, 3, 3, got))
        else:
            net.uplink.send(error(ROUTER, OURS, 11, 0, sent))
        nothing(client, net.uplink)
        assert net.counters["denied by the rules"] == 2 - from_client
        assert net.neighbours.flows.count == 0
        net.detach(client)


def test_errors_between_clients_when_the_pair_is_gone(net):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    a.send(udp(A, 4001, B, 80))
    there = b.recv()[14:]
    net.allow()
    b.send(error(B, A, 3, 3, there))
    nothing(a, b, net.uplink)


def test_what_is_outside_about_two_clients_reaches_the_right_one(net):
    """docs/behaviours.md 59 with two clients that have the same ports inside: each error goes to whom it is about."""
    a, b = net.client(A), net.client(B)
    for build in (udp, tcp, lambda src, *_: echo(src, SERVER, ident=4001)):
        quotes = []
        for wire in (a, b):
            wire.send(build(wire.address, 4001, SERVER, 80))
            quotes.append(net.uplink.recv()[14:])
        assert quotes[0][20:] != quotes[1][20:]
        for wire, other, quote in ((a, b, quotes[0]), (b, a, quotes[1])):
            net.uplink.send(error(ROUTER, OURS, 11, 0, quote))
            told = Look(wire.recv())
            assert told.dst == wire.address
            assert told.data == build(wire.address, 4001, SERVER, 80)[14:22] + b"\x3f" + told.data[9:]
            nothing(other, net.uplink)


def test_a_quoted_echo_whose_identifier_was_changed(net):
    """Its checksum follows the identifier, in both directions."""
    a, b = net.client(A), net.client(B)
    a.send(echo(A, SERVER, ident=5))
    net.uplink.recv()
    sent = echo(B, SERVER, ident=5, data=b"who is there?", ttl=63)
    b.send(echo(B, SERVER, ident=5, data=b"who is there?"))
    out = net.uplink.recv()
    outside = Look(out).echo_id
    assert outside != 5, "the identifier is taken by the other client"
    net.uplink.send(error(ROUTER, OURS, 11, 0, out[14:]))
    told = Look(b.recv())
    assert told.data == sent[14:] and told.quote.echo_id == 5  # Look has summed the quote
    net.uplink.send(echo(SERVER, OURS, ident=outside, kind=0, data=b"it is me"))
    b.send(error(B, SERVER, 3, 2, b.recv()[14:]))
    told = Look(net.uplink.recv())
    assert (told.src, told.quote.dst, told.quote.echo_id) == (OURS, OURS, outside)
    nothing(a, b, net.uplink)


def stale(quote, by=1):
    """The quote with another TTL and the checksum it had before."""
    return quote[:8] + bytes([quote[8] - by]) + quote[9:]


def test_a_stale_header_checksum_in_the_quote_passes(net):
    """The message's own checksum guards it; Linux and others let it pass. What is stale stays as stale as it was."""
    client = net.client(A)
    client.send(tcp(A, 4001, SERVER, 80))
    out = net.uplink.recv()
    net.uplink.send(error(ROUTER, OURS, 3, 4, stale(out[14:]), rest=1280))
    told = client.recv()
    assert told[14 + 20 + 8 :] == stale(tcp(A, 4001, SERVER, 80, ttl=63)[14:])
    assert total(told[34:]) == 0xFFFF and total(told[14:34]) == 0xFFFF
    got, _ = answered(net, client, 4002)
    client.send(error(A, SERVER, 3, 3, stale(got)))
    told = net.uplink.recv()
    assert told[14 + 20 + 8 + 12 :][:8] == bytes((192, 0, 2, 50, 10, 138, 0, 2))
    assert total(stale(told[42:62], -1)) == 0xFFFF


def test_no_address_of_a_client_leaves_by_the_uplink(net):
    """docs/behaviours.md 18, outward: as source of a datagram, of any kind that a client may send about anybody's flow."""
    wires = [net.client(ip) for ip in (A, B, C)]
    net.allow((A, B))
    quotes = []
    for wire, build in itertools.product(wires, (udp, tcp)):
        quotes.append(answered(net, wire, 4001, build)[0])
    wires[0].send(udp(A, 4001, B, 80))
    quotes.append(wires[1].recv()[14:])
    passed = 0
    for wire, quote, destination in itertools.product(wires, quotes, (SERVER, ROUTER, A, B, C, OURS)):
        for source in (A, B, C):
            for frame in (
                error(source, destination, 3, 3, quote),
                udp(source, 4001, destination, 80),
                tcp(source, 4001, destination, 80, ACK),
                echo(source, destination, kind=0),
                echo(source, destination),
            ):
                wire.send(frame)
        net.advance(1)  # so that nobody's share of messages is used up
        while (out := net.uplink.recv(0)) is not None:
            look = Look(out)
            assert look.src == OURS and look.dst in (SERVER, ROUTER)
            passed += look.proto == 1 and look.kind == 3
    assert passed == 6


def test_a_quoted_udp_checksum_follows_whatever_it_is(net):
    """None (0) stays none; any other becomes what RFC 1624 says, and never none."""
    client = net.client(A)
    client.send(udp(A, 4001, SERVER, 80))
    quote = net.uplink.recv()[14:]
    changed = bytes(octet ^ 0xFF for octet in quote[12:16]) + socket.inet_aton(A)  # the port was kept
    zero = total(changed)  # the checksum that would become 0
    for check in (0, 1, 2, 0xFF, 0x100, 0x1FF, 0xFF00, 0xFFFE, 0xFFFF, zero - 1, zero, zero + 1, *range(3, 0xFFFF, 997)):
        net.uplink.send(error(ROUTER, OURS, 3, 1, quote[:26] + struct.pack("!H", check)))
        told = client.recv()
        seen = struct.unpack("!H", told[-2:])[0]
        right = total(struct.pack("!H", check ^ 0xFFFF) + changed) ^ 0xFFFF
        assert seen == (0 if check == 0 else right or 0xFFFF)
    assert total(struct.pack("!H", zero ^ 0xFFFF) + changed) == 0xFFFF


@pytest.mark.parametrize("octets, passes", [(7, False), (8, True), (9, True)])
def test_a_quoted_echo_needs_its_whole_header(net, octets, passes):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    quote = net.uplink.recv()[14:][: 20 + octets]
    net.uplink.send(error(ROUTER, OURS, 11, 0, quote))
    assert (client.recv(0) is not None) == passes


def test_a_quoted_icmp_message_that_is_no_query(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5))
    quote = net.uplink.recv()[14:]
    for kind in (3, 4, 5, 11, 12, 15, 17):
        net.uplink.send(error(ROUTER, OURS, 11, 0, quote[:20] + bytes([kind]) + quote[21:]))
    nothing(client)
