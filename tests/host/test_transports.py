"""Checksums of transports beside TCP's and UDP's ordinary ones: super-frames, short UDP, UDP-Lite, DCCP."""
import struct

import pytest
from firewall.packets.checksum_offload import fill
from firewall.packets.segment import segments
from packets import ACK, DF, PSH, Look, error, fragments, ip, pseudo, tcp, tcp_segment, total, udp_datagram
from scenes import A, B, OURS, ROUTER, nothing, opened
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

SERVER = "192.0.2.9"
UDP_LITE, DCCP = 136, 33


# --- a super-frame whose checksum is whole ---


def connected(net):
    client = net.client(A)
    return client, opened(net, client, 40000, SERVER)


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("df", [0, DF])
def test_a_super_frame_leaves_with_the_pseudo_headers_sum(net, blank, df):
    """It counts as blank, so the sum that the receiver completes must stand there, whatever came in."""
    client, port = connected(net)
    data = bytes(range(250)) * 20
    out = ip(A, SERVER, 6, tcp_segment(A, 40000, SERVER, 80, ACK | PSH, data, blank=blank), fragment=df)
    client.send(out, blank=blank, gso=1448)
    frame, said_blank, gso = net.uplink.recv_offloaded()
    assert Look(frame, blank=True).data == data and said_blank is True and gso == 1448
    back = ip(SERVER, OURS, 6, tcp_segment(SERVER, 80, OURS, port, ACK | PSH, data, blank=blank), fragment=df)
    net.uplink.send(back, blank=blank, gso=1400)
    frame, said_blank, gso = client.recv_offloaded()
    assert Look(frame, blank=True).dst == A and said_blank is True and gso == 1400


def test_a_super_frame_between_two_clients(net):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    a.send(tcp(A, 40000, B, 80))
    b.recv()
    a.send(tcp(A, 40000, B, 80, ACK, bytes(5000)), gso=1448)
    assert Look(b.recv(), blank=True).src == A


@pytest.mark.parametrize("blank", [False, True])
def test_a_super_frame_is_right_in_segments(net, blank):
    client, _ = connected(net)
    client.send(tcp(A, 40000, SERVER, 80, ACK | PSH, bytes(5000), blank=blank), blank=blank, gso=1448)
    frame, _, gso = net.uplink.recv_offloaded()
    pieces = [Ether(bytes(piece)) for piece in segments(bytearray(frame), len(frame), gso)]
    assert len(pieces) == 4
    for piece in pieces:
        check = piece[TCP].chksum
        del piece[TCP].chksum, piece[IP].chksum
        assert Ether(bytes(piece))[TCP].chksum == check


def test_a_blank_super_frames_seed_is_the_senders(net):
    """Only where we say blank for the sender is the seed ours: what came in wrong goes out wrong."""
    client, _ = connected(net)
    frame = bytearray(tcp(A, 40000, SERVER, 80, ACK, bytes(5000), blank=True))
    frame[50] ^= 1
    client.send(bytes(frame), blank=True, gso=1448)
    with pytest.raises(AssertionError, match="seed"):
        Look(net.uplink.recv(), blank=True)


# --- UDP that is shorter than what IP carries ---


def short(src, sport, dst, dport, data, behind, **header):
    """Blank UDP with octets behind its end that IP carries too."""
    return ip(src, dst, 17, udp_datagram(src, sport, dst, dport, data, blank=True) + behind, **header)


def udp_right(src, dst, body):
    length = struct.unpack("!H", body[4:6])[0]
    return total(pseudo(src, dst, 17, length) + body[:length]) == 0xFFFF


@pytest.mark.parametrize("size", [0, 1, 2, 27, 1400])
@pytest.mark.parametrize("behind", [b"", b"\x77", b"behind", bytes(range(64))])
def test_a_completed_checksum_goes_by_the_length_of_udp(size, behind):
    frame = bytearray(short(A, 4001, SERVER, 80, bytes(range(200)) * 7 + bytes(size), behind))
    fill(frame, len(frame))
    assert udp_right(A, SERVER, bytes(frame[34:]))


def test_blank_udp_with_octets_behind_it_is_right_in_pieces(net):
    client = net.client(A)
    client.send(short(A, 4001, SERVER, 80, bytes(range(200)) * 10, b"behind" * 20), blank=True)
    looks = [Look(net.uplink.recv()) for _ in range(2)]
    body = b"".join(look.payload for look in looks)
    assert len(body) == 8 + 2000 + 120
    assert udp_right(OURS, SERVER, body)


# --- UDP-Lite and DCCP ---


def lite(src, dst, data=b"data", coverage=8):
    head = struct.pack("!HHHH", 40000, 5004, coverage, 0)
    covered = (head + data)[: coverage or None]
    check = total(pseudo(src, dst, UDP_LITE, 8 + len(data)) + covered) ^ 0xFFFF or 0xFFFF
    return head[:6] + struct.pack("!H", check) + data


def lite_right(src, dst, body):
    coverage = struct.unpack("!H", body[4:6])[0] or len(body)
    return body[6:8] != b"\0\0" and total(pseudo(src, dst, UDP_LITE, len(body)) + body[:coverage]) == 0xFFFF


def dccp(src, dst, data=b"", kind=0, coverage=0):
    """A DCCP-Request (RFC 4340 5.1): 16 octets of generic header, 4 of a service code."""
    head = struct.pack("!HHBBHBBHI", 40000, 5004, 5, coverage, 0, kind << 1 | 1, 0, 0, 7) + b"SERV"
    covered = head if coverage == 1 else head + data
    check = total(pseudo(src, dst, DCCP, len(head) + len(data)) + covered) ^ 0xFFFF
    return head[:6] + struct.pack("!H", check) + head[8:] + data


def dccp_right(src, dst, body):
    covered = body[:20] if body[5] & 15 == 1 else body
    return total(pseudo(src, dst, DCCP, len(body)) + covered) == 0xFFFF


KINDS = [
    pytest.param(UDP_LITE, lite, lite_right, {"coverage": 8}, id="udplite-header"),
    pytest.param(UDP_LITE, lite, lite_right, {"coverage": 0}, id="udplite-all"),
    pytest.param(UDP_LITE, lite, lite_right, {"coverage": 11}, id="udplite-odd"),
    pytest.param(DCCP, dccp, dccp_right, {}, id="dccp-all"),
    pytest.param(DCCP, dccp, dccp_right, {"coverage": 1}, id="dccp-header"),
]


@pytest.mark.parametrize("proto, build, right, how", KINDS)
def test_the_checksum_follows_the_address(net, proto, build, right, how):
    client = net.client(A)
    for i in range(50):
        data = bytes([i]) * (i + 4)
        client.send(ip(A, SERVER, proto, build(A, SERVER, data, **how)))
        out = Look(net.uplink.recv())
        assert (out.src, out.dst) == (OURS, SERVER) and right(OURS, SERVER, out.payload)
        net.uplink.send(ip(SERVER, OURS, proto, build(SERVER, OURS, data, **how)))
        back = Look(client.recv())
        assert (back.src, back.dst) == (SERVER, A) and right(SERVER, A, back.payload)
        assert back.payload == build(SERVER, A, data, **how)


@pytest.mark.parametrize("proto, build, right, how", KINDS)
def test_the_quoted_checksum_follows_too(net, proto, build, right, how):
    client = net.client(A)
    client.send(ip(A, SERVER, proto, build(A, SERVER, **how)))
    out = net.uplink.recv()[14:]
    net.uplink.send(error(ROUTER, OURS, 11, 0, out))
    told = Look(client.recv())
    assert right(A, SERVER, bytes(told.quote.payload)) and told.quote.src == A
    for octets in (20, 24, 26, 28):  # cut before and behind the checksum
        net.uplink.send(error(ROUTER, OURS, 11, 0, out[:octets]))
        assert Look(client.recv()).data == (out[:8] + told.data[8:])[:octets]
    net.uplink.send(ip(SERVER, OURS, proto, build(SERVER, OURS, **how)))
    client.send(error(A, SERVER, 3, 3, client.recv()[14:]))
    told = Look(net.uplink.recv())
    assert right(SERVER, OURS, bytes(told.quote.payload)) and told.quote.dst == OURS


@pytest.mark.parametrize("proto, build, right, how", KINDS)
def test_in_pieces_and_between_clients(net, proto, build, right, how):
    a, b = net.client(A), net.client(B)
    net.allow((A, B))
    for piece in fragments(ip(A, SERVER, proto, build(A, SERVER, bytes(2000), **how), ident=7), 1400):
        a.send(piece)
    body = b"".join(Look(net.uplink.recv()).payload for _ in range(2))
    assert right(OURS, SERVER, body)
    a.send(ip(A, B, proto, build(A, B, **how)))
    assert right(A, B, Look(b.recv()).payload)


@pytest.mark.parametrize("proto, least", [(UDP_LITE, 8), (DCCP, 12)])
def test_what_is_too_short_is_dropped(net, proto, least):
    client = net.client(A)
    for octets in range(least):
        client.send(ip(A, SERVER, proto, bytes(octets)))
        client.send(ip(A, SERVER, proto, bytes(octets & ~7), fragment=0x2000, ident=octets))
    nothing(client, net.uplink)
    assert net.counters["impossible transport header"] == least
    client.send(ip(A, SERVER, proto, bytes(least)))
    assert net.uplink.recv()


def test_a_udplite_checksum_that_becomes_zero_is_sent_as_ones(net):
    """0 is none in UDP-Lite, which has always one (RFC 3828 3.1)."""
    client = net.client(A)
    zeros = 0
    for value in range(0x10000):
        body = struct.pack("!HHHH", 40000, 5004, 8, value)
        client.send(ip(A, SERVER, UDP_LITE, body))
        out = net.uplink.recv()[34:]
        assert out[6:] != b"\0\0"
        zeros += out[6:] == b"\xff\xff"
    assert zeros >= 1


def test_a_quoted_udplite_checksum_that_becomes_zero_is_ones_too(net):
    client = net.client(A)
    client.send(ip(A, SERVER, UDP_LITE, lite(A, SERVER)))
    quote = net.uplink.recv()[14:]
    inverted = bytes(octet ^ 0xFF for octet in quote[12:16])
    zero = total(inverted + bytes(map(int, A.split("."))))  # what becomes 0 by the change of the address
    net.uplink.send(error(ROUTER, OURS, 11, 0, quote[:26] + struct.pack("!H", zero) + quote[28:]))
    assert Look(client.recv()).quote.payload[6:8] == b"\xff\xff"


@pytest.mark.parametrize("proto", [47, 50, 132])
def test_other_protocols_pass_untouched(net, proto):
    client = net.client(A)
    client.send(ip(A, SERVER, proto, bytes(range(40))))
    assert Look(net.uplink.recv()).payload == bytes(range(40))
