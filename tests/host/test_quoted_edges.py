"""Errors about packets whose quote is of a kind that planted faults showed to be tried by no test."""
import socket
import struct

import pytest
from packets import Look, echo, error, ip, pseudo, total
from scenes import A, OURS, ROUTER, SERVER

UDP_LITE, DCCP = 136, 33


def covered(src, proto, data=bytes(range(8))):
    """A transport header whose checksum, at octet 6, covers the addresses."""
    body = b"\x12\x34\x00\x50\x00\x08\0\0" + data
    check = total(pseudo(src, SERVER, proto, len(body)) + body) ^ 0xFFFF
    return body[:6] + check.to_bytes(2, "big") + body[8:]


@pytest.mark.parametrize("proto", [UDP_LITE, DCCP])
def test_udp_lite_and_dccp_are_quoted_with_a_right_checksum(net, proto):
    client = net.client(A)
    client.send(ip(A, SERVER, proto, covered(A, proto)))
    sent = net.uplink.recv()
    net.uplink.send(error(ROUTER, OURS, 3, 1, sent[14:]))
    quote = Look(client.recv()).quote
    assert (quote.src, quote.dst, quote.proto) == (A, SERVER, proto)
    assert quote.payload == covered(A, proto)  # as the client had sent it


@pytest.mark.parametrize("proto", [UDP_LITE, DCCP, 47])
@pytest.mark.parametrize("octets", [0, 4, 6, 7, 8])
def test_a_short_quote_of_them_is_left_alone_behind_its_end(net, proto, octets):
    client = net.client(A)
    client.send(ip(A, SERVER, proto, covered(A, proto)))
    sent = net.uplink.recv()[14:]
    net.uplink.send(error(ROUTER, OURS, 11, 0, sent[: 20 + octets]))
    seen = client.recv(0)
    if seen is not None:  # below 8 octets it may be dropped
        data = Look(seen).data
        assert len(data) == 20 + octets and data[20:26] == covered(A, proto)[:min(octets, 6)]
        assert data[26:] == (covered(A, proto)[6:8] if octets == 8 and proto != 47 else sent[26 : 20 + octets])
    assert octets < 8 or seen is not None


@pytest.mark.parametrize("proto", [UDP_LITE, DCCP])
def test_their_quoted_checksum_follows_whatever_it_is(net, proto):
    """It becomes what RFC 1624 says; UDP-Lite's never 0, which it does not know (RFC 3828 3.1), though DCCP's may be."""
    client = net.client(A)
    client.send(ip(A, SERVER, proto, covered(A, proto)))
    quote = net.uplink.recv()[14:]
    ours, mine = socket.inet_aton(OURS), socket.inet_aton(A)

    def after(check, old, new):
        return total(struct.pack("!H", check ^ 0xFFFF) + bytes(octet ^ 0xFF for octet in old) + new) ^ 0xFFFF
    found = set()
    for wanted in (0, 1, 0xFF, 0x100, 0x101, 0x1000, 0x8000, 0xFF00, 0xFFFE, *range(2, 0xFFFF, 997)):
        check = after(wanted, mine, ours)
        net.uplink.send(error(ROUTER, OURS, 3, 1, quote[:26] + struct.pack("!H", check)))
        seen, = struct.unpack("!H", client.recv()[-2:])
        right = after(check, ours, mine)
        assert seen == (right or 0xFFFF if proto == UDP_LITE else right)
        found.add(right)
    assert {0, 0x100, 0xFF00, 1} <= found


def test_an_echo_quoted_by_its_8_octets(net):
    client = net.client(A)
    client.send(echo(A, SERVER, ident=5, data=b"ping"))
    sent = net.uplink.recv()[14:]
    for octets in range(20, 29):
        net.uplink.send(error(ROUTER, OURS, 3, 1, sent[:octets]))
        seen = client.recv(0)
        assert (seen is not None) == (octets == 28)
    assert Look(seen).quote.src == A
