"""rewrite() alone, against whole sums: every protocol, every checksum that a header can have, blank and wrong ones."""
import random
import struct

import pytest
from packets import ACK, Look, address, echo, icmp_message, ip, pseudo, tcp, total, udp

from firewall.flows.record import DELTAS, NEW_DST, NEW_PORTS, NEW_SRC
from firewall.packets import v4
from firewall.packets.packet import Packet
from firewall.packets.v4 import rewrite

AT = 16  # the half's first word: others lie around it


def folded(value):
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def delta(old, new):
    """Of octets that change from old to new, in little-endian words (RFC 1071 2B: any order will do)."""
    return folded(sum(struct.unpack("<%dH" % (len(new) // 2), new)) + sum(0xFFFF ^ word for word in struct.unpack("<%dH" % (len(old) // 2), old)))


def half(packet, src, dst, ports):
    """The words of a half: source, destination and ports become these octets."""
    w = [0xDEADBEEF] * 48
    was = packet.frame[26:34]
    changed = delta(bytes(was), src + dst)
    both = changed
    if packet.query:
        both = delta(bytes(packet.frame[packet.l4 + 4:packet.l4 + 6]), ports[:2])
    elif packet.proto in (6, 17):
        both = folded(changed + delta(bytes(packet.frame[packet.l4:packet.l4 + 4]), ports))
    w[AT + NEW_SRC], w[AT + NEW_DST], w[AT + NEW_PORTS] = struct.unpack("<III", src + dst + ports)
    w[AT + DELTAS] = changed | both << 16
    return w


def read(frame, blank=False, gso=0):
    packet = Packet()
    assert v4.read(packet, None, bytearray(frame), len(frame), blank, gso) == 0 and packet.transport() == 0
    return packet


def rewritten(frame, src, dst, ports=bytes(4), blank=False, gso=0):
    packet = read(frame, blank, gso)
    rewrite(packet, half(packet, src, dst, ports), AT)
    out = bytes(packet.frame)
    assert out[:22] == frame[:22] and out[22] == frame[22] - 1 and out[23] == frame[23] and out[26:34] == src + dst
    assert total(out[14:packet.l4]) == 0xFFFF
    return out


def octets(rng, count):
    return bytes(rng.choice((0, 0, 0xFF, 0xFF, rng.randrange(256))) for _ in range(count))


@pytest.mark.parametrize("build, check", [(tcp, 16), (udp, 6)])
def test_addresses_and_ports(build, check):
    rng = random.Random(1)
    for _ in range(2000):
        options = rng.choice((b"", bytes((1, 1, 1, 0))))
        src, dst, new_src, new_dst = (octets(rng, 4) for _ in range(4))
        frame = build(src, rng.randrange(65536), dst, rng.randrange(65536), data=octets(rng, rng.randrange(9)),
                      ident=rng.randrange(65536), ttl=rng.choice((2, 64, 255)), options=options)
        ports = octets(rng, 4)
        out = rewritten(frame, new_src, new_dst, ports)
        l4 = 34 + len(options)
        assert out[l4:l4 + 4] == ports and out[l4 + 4:l4 + check] == frame[l4 + 4:l4 + check] and out[l4 + check + 2:] == frame[l4 + check + 2:]
        Look(out)


def test_every_header_checksum():
    """Identifications of all sizes, so checksums of all sizes; other protocols are not touched behind their header."""
    for src, new in ((b"\x0a\x89\0\x15", b"\x0a\x8a\0\2"), (b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe"), (bytes(4), b"\0\1\xff\xff"), (b"\1\2\3\4",) * 2):
        packet = read(ip(src, "192.0.2.50", 47, b"\x12\x34\x56\x78\x9a\xbc"))
        w, frame = half(packet, new, address("192.0.2.50"), bytes(4)), packet.frame
        head = bytes(frame[:22])
        for ident in range(0, 65536, 19):
            struct.pack_into("!H", frame, 18, ident)
            frame[22:34] = b"\x40\x2f\0\0" + src + address("192.0.2.50")
            struct.pack_into("!H", frame, 24, total(bytes(frame[14:34])) ^ 0xFFFF)
            rewrite(packet, w, AT)
            assert total(bytes(frame[14:34])) == 0xFFFF, hex(ident)
        assert frame[:18] == head[:18] and frame[34:] == b"\x12\x34\x56\x78\x9a\xbc"


@pytest.mark.parametrize("build, at, size", [(tcp, 16, 20), (udp, 6, 8)])
def test_every_transport_checksum(build, at, size):
    """UDP's 0 means none and stays; a result of 0 is written as 0xFFFF there. One's-complement zero has two forms."""
    for before, after in (("10.137.0.21", "10.138.0.2"), ("255.255.0.0", "0.0.255.254"), ("0.0.0.0", "255.255.255.255")):
        plain = bytearray(build(before, 4001, "192.0.2.50", 80, data=b"ab"))
        zeros = 0
        for word in range(0, 65536, 67):
            plain[34 + size:36 + size] = word.to_bytes(2, "big")
            plain[34 + at:36 + at] = b"\0\0"
            check = total(pseudo(before, "192.0.2.50", plain[23], size + 2) + bytes(plain[34:])) ^ 0xFFFF
            if build is udp:
                check = check or 0xFFFF
            plain[34 + at:36 + at] = check.to_bytes(2, "big")
            out = rewritten(bytes(plain), address(after), address("192.0.2.50"), b"\x12\x34\0\x50")
            assert total(pseudo(after, "192.0.2.50", plain[23], size + 2) + out[34:]) == 0xFFFF
            zeros += out[34 + at:36 + at] in (b"\0\0", b"\xff\xff")
            assert build is tcp or out[34 + at:36 + at] != b"\0\0"
    frame = udp("10.137.0.21", 4001, "192.0.2.50", 80, check=0)
    out = rewritten(frame, address("10.138.0.2"), address("192.0.2.50"), b"\x12\x34\0\x50")
    assert out[40:42] == b"\0\0" and out[34:40] == b"\x12\x34\0\x50" + frame[38:40]


def test_a_result_of_zero():
    """The data is chosen so that the new sum is all ones, whose inverse is 0."""
    for build, at, expected in ((tcp, 50, b"\0\0"), (udp, 40, b"\xff\xff")):
        frame = bytearray(build("10.138.0.2", 0x1234, "192.0.2.50", 80, data=b"\0\0"))
        frame[-2:] = frame[at:at + 2]  # then what stood in the checksum would be 0
        frame[at:at + 2] = b"\0\0"
        assert total(pseudo("10.138.0.2", "192.0.2.50", frame[23], len(frame) - 34) + bytes(frame[34:])) == 0xFFFF
        sent = build("10.137.0.21", 4001, "192.0.2.50", 80, data=bytes(frame[-2:]))
        out = rewritten(sent, address("10.138.0.2"), address("192.0.2.50"), b"\x12\x34\0\x50")
        assert out[at:at + 2] == expected


@pytest.mark.parametrize("wrong", [1, 0x100, 0x8000, 0xFFFE])
@pytest.mark.parametrize("build, at", [(tcp, 50), (udp, 40)])
def test_what_came_wrong_goes_out_as_wrong(build, at, wrong):
    frame = bytearray(build("10.137.0.21", 4001, "192.0.2.50", 80, data=b"abcd"))
    frame[at:at + 2] = folded(int.from_bytes(frame[at:at + 2], "big") + wrong).to_bytes(2, "big")
    out = rewritten(bytes(frame), address("10.138.0.2"), address("192.0.2.50"), b"\x12\x34\0\x50")
    over = pseudo("10.138.0.2", "192.0.2.50", frame[23], len(frame) - 34)
    assert total(over + out[34:]) == wrong


@pytest.mark.parametrize("build", [tcp, udp])
def test_blank_ones_keep_the_pseudo_headers_sum(build):
    rng = random.Random(2)
    for _ in range(1000):
        src, new = octets(rng, 4), octets(rng, 4)
        frame = build(src, 4001, "192.0.2.50", 80, data=b"abc", blank=True)
        out = rewritten(frame, new, address("192.0.2.50"), b"\x12\x34\0\x50", blank=True)
        at = 50 if build is tcp else 40
        assert out[at:at + 2] == total(pseudo(new, "192.0.2.50", frame[23], len(frame) - 34)).to_bytes(2, "big") or new == bytes(4)
        assert out[at + 2:] == frame[at + 2:] and out[38:at] == frame[38:at]


@pytest.mark.parametrize("blank", [False, True])
def test_a_super_frame_has_a_seed_whatever_it_came_with(blank):
    frame = tcp("10.137.0.21", 4001, "192.0.2.50", 80, ACK, bytes(3001), blank=blank)
    out = rewritten(frame, address("10.138.0.2"), address("192.0.2.50"), b"\x12\x34\0\x50", blank=blank, gso=1448)
    Look(out, blank=True)
    assert out[52:] == frame[52:]


@pytest.mark.parametrize("kind", [8, 0, 13, 14])
def test_queries_and_their_answers(kind):
    """The identifier changes, and the checksum by it; the addresses are not in it."""
    rng = random.Random(3)
    for _ in range(500):
        frame = ip("10.137.0.21", "192.0.2.50", 1, icmp_message(kind, 0, rng.getrandbits(32), octets(rng, 12)))
        ident = octets(rng, 2)
        out = rewritten(frame, address("10.138.0.2"), address("192.0.2.50"), ident + b"\xff\xff")
        assert out[38:40] == ident and out[34:36] == frame[34:36] and out[40:] == frame[40:]
        assert total(out[34:]) == 0xFFFF
    wrong = bytearray(echo("10.137.0.21", "192.0.2.50"))
    wrong[36] ^= 1
    assert total(rewritten(bytes(wrong), address("10.138.0.2"), address("192.0.2.50"), b"\1\2\0\0")[34:]) != 0xFFFF


@pytest.mark.parametrize("proto, size", [(136, 8), (33, 16)])
def test_udp_lite_and_dccp(proto, size):
    """Their ports stay; the checksum at octet 6 covers the addresses. UDP-Lite writes 0xFFFF for 0, as UDP."""
    rng = random.Random(4)
    for _ in range(1000):
        body = bytearray(octets(rng, size))
        body[6:8] = b"\0\0"
        src, new = octets(rng, 4), octets(rng, 4)
        check = total(pseudo(src, "192.0.2.50", proto, size) + bytes(body)) ^ 0xFFFF
        body[6:8] = ((check or 0xFFFF) if proto == 136 else check).to_bytes(2, "big")
        out = rewritten(ip(src, "192.0.2.50", proto, bytes(body)), new, address("192.0.2.50"))
        assert total(pseudo(new, "192.0.2.50", proto, size) + out[34:]) == 0xFFFF
        assert out[34:40] == body[:6] and out[42:] == body[8:]
        assert proto != 136 or out[40:42] != b"\0\0"


@pytest.mark.parametrize("proto", [0, 2, 4, 41, 47, 50, 51, 132, 255])
def test_others_are_not_touched_behind_their_header(proto):
    body = bytes(range(1, 41))
    out = rewritten(ip("10.137.0.21", "192.0.2.50", proto, body), address("10.138.0.2"), address("192.0.2.50"), b"\x12\x34\x56\x78")
    assert out[34:] == body
