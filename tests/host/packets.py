"""Packets for tests, built and read without any code of the firewall: struct and RFC 1071 only."""
import socket
import struct

ETHER = b"\xfe\xff\xff\xff\xff\xff" + b"\x00\x16\x3e\x5e\x6c\x00"
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
DF, MF = 0x4000, 0x2000


def total(data):
    """Folded ones'-complement sum."""
    if len(data) % 2:
        data += b"\0"
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def address(text):
    return socket.inet_aton(text) if isinstance(text, str) else text


def pseudo(src, dst, proto, size):
    return address(src) + address(dst) + struct.pack("!BBH", 0, proto, size)


def ip(src, dst, proto, payload, ttl=64, ident=1, fragment=0, options=b"", tos=0):
    """Ethernet frame around a datagram. fragment: the whole word, flags and offset in units."""
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, tos, size + len(payload), ident, fragment, ttl, proto, 0)
    head += address(src) + address(dst) + options
    head = head[:10] + struct.pack("!H", total(head) ^ 0xFFFF) + head[12:]
    return ETHER + b"\x08\x00" + head + payload


def tcp_segment(src, sport, dst, dport, flags=SYN, data=b"", seq=1, ack=0, blank=False, options=b""):
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, offset, flags, 8192, 0, 0) + options
    over = pseudo(src, dst, TCP, len(head) + len(data))
    check = total(over) if blank else total(over + head + data) ^ 0xFFFF
    return head[:16] + struct.pack("!H", check) + head[18:] + data


def tcp(src, sport, dst, dport, flags=SYN, data=b"", blank=False, **header):
    return ip(src, dst, TCP, tcp_segment(src, sport, dst, dport, flags, data, blank=blank), **header)


def udp_datagram(src, sport, dst, dport, data=b"data", check=None, blank=False):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    over = pseudo(src, dst, UDP, 8 + len(data))
    if check is None:
        check = total(over) if blank else (total(over + head + data) ^ 0xFFFF) or 0xFFFF
    return head[:6] + struct.pack("!H", check) + data


def udp(src, sport, dst, dport, data=b"data", check=None, blank=False, **header):
    return ip(src, dst, UDP, udp_datagram(src, sport, dst, dport, data, check, blank), **header)


def icmp_message(kind, code, rest, data=b""):
    head = struct.pack("!BBHI", kind, code, 0, rest)
    return head[:2] + struct.pack("!H", total(head + data) ^ 0xFFFF) + head[4:] + data


def echo(src, dst, ident=5, seq=9, kind=8, data=b"ping", **header):
    return ip(src, dst, ICMP, icmp_message(kind, 0, ident << 16 | seq, data), **header)


def error(src, dst, kind, code, quote, rest=0, **header):
    """ICMP error that quotes a datagram (a frame without its Ethernet header, or cut)."""
    return ip(src, dst, ICMP, icmp_message(kind, code, rest, quote), **header)


def fragments(frame, *sizes):
    """The frame in pieces of these sizes of data (multiples of 8) and one with the rest."""
    head, data = frame[14:34], frame[34:]
    src, dst, proto, ident = head[12:16], head[16:20], head[9], struct.unpack("!H", head[4:6])[0]
    pieces = []
    at = 0
    for size in sizes + (len(data) - sum(sizes),):
        more = MF if at + size < len(data) else 0
        pieces.append(ip(src, dst, proto, data[at : at + size], ident=ident, fragment=more | at // 8))
        at += size
    return pieces


def arp(oper, sha, spa, tpa, tha=bytes(6)):
    body = struct.pack("!HHBBH", 1, 0x800, 6, 4, oper) + sha + address(spa) + tha + address(tpa)
    return b"\xff" * 6 + sha + b"\x08\x06" + body


class Look:
    """What a frame says; asserts that all its checksums are right (blank: the seed is) and nothing is behind."""

    def __init__(self, frame, blank=False, quoted=False):
        assert frame is not None, "no frame came"
        self.frame = frame
        self.ether = frame[:14]
        self.datagram = packet = frame if quoted else frame[14:]
        self.size = (packet[0] & 15) * 4
        (self.total, self.ident, self.fragment, self.ttl, self.proto) = struct.unpack("!2xHHHBB", packet[:10])
        self.src, self.dst = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        assert total(packet[: self.size]) == 0xFFFF, "IP checksum"
        self.payload = body = packet[self.size :]
        if not quoted:
            assert self.total == len(packet), "padding or missing octets"
        if self.fragment & 0x3FFF:
            return
        whole = len(packet) >= self.total
        if self.proto in (TCP, UDP) and len(body) >= 8:
            self.sport, self.dport = struct.unpack("!HH", body[:4])
            over = pseudo(packet[12:16], packet[16:20], self.proto, len(body))
            self.check = None
            if self.proto == UDP:
                self.check = struct.unpack("!H", body[6:8])[0]
                self.data = body[8:]
            elif len(body) >= 20:
                self.check = struct.unpack("!H", body[16:18])[0]
                self.flags = body[13]
                self.data = body[body[12] // 16 * 4 :]
            if blank:
                assert self.check == total(over), "seed"
            elif whole and self.check is not None and not (self.proto == UDP and self.check == 0):
                assert total(over + body) == 0xFFFF, "transport checksum"
        elif self.proto == ICMP and len(body) >= 8:
            self.kind, self.code, self.echo_id, self.seq = struct.unpack("!BB2xHH", body[:8])
            self.data = body[8:]
            if whole:
                assert total(body) == 0xFFFF, "ICMP checksum"
            if self.kind in (3, 11, 12):
                self.quote = Look(bytes(self.data), quoted=True)


def looks(frames, blank=False):
    """A Look at each of the frames; one that a wire keeps is the first of a tuple, before what the ring said of it."""
    return [Look(each if isinstance(each, (bytes, bytearray)) else each[0], blank) for each in frames]
