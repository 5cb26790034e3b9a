"""Random frames that get far: conversations that are answered, errors that quote them, pieces, and what is wrong with each.

Everything is drawn from one random.Random, and built by tests/host/packets.py: nothing here knows the firewall.
"""
import struct

import rulegen
from packets import (ACK, DF, FIN, ICMP, MF, PSH, RST, SYN, TCP, UDP, URG, arp, echo, error, fragments, icmp_message, ip,
                     tcp_segment, total, udp_datagram)

REMOTES = rulegen.HOSTS + rulegen.RESOLVERS + ("192.0.2.50",)
ROUTERS = ("192.0.2.1", "198.51.100.1", "10.138.0.1")
NOBODY = ("0.0.0.0", "127.0.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "10.137.9.9", "10.138.0.255")
OPTIONS = (b"\x01" * 4, b"\x07\x07\x04\0\0\0\0\0", b"\x94\x04\0\0", b"\x44\x0c\x05" + bytes(9), b"\x83\x07\x04\0\0\0\0\0",
           b"\x89\x07\x04\0\0\0\0\0", b"\x07\x01\0\0", b"\x07\x09\0\0", b"\0\x83\0\0")  # the last four as in no honest packet
PROTOCOLS = (2, 4, 33, 47, 47, 50, 50, 51, 132, 136, 255)
MTUS = (0, 68, 500, 576, 1280, 1400, 1500, 65535)
ODD_FLAGS = (0, FIN, SYN | FIN, SYN | RST, FIN | PSH | URG, 63, RST, RST | ACK, SYN | PSH, ACK | URG, 0xC2)
_OURS = b"\x00\x16\x3e\x5e\x6c\x00"


class View:
    """What a frame says of itself; ipv4 is False for all that is none. proto is -1 for later fragments."""

    def __init__(self, frame):
        self.frame = frame
        size = (frame[14] & 15) * 4 if len(frame) > 33 else 0
        self.ipv4 = size >= 20 and frame[12:14] == b"\x08\x00" and len(frame) >= 14 + size
        self.proto = -1
        if not self.ipv4:
            return
        self.src, self.dst = bytes(frame[26:30]), bytes(frame[30:34])
        self.body = bytes(frame[14 + size :])
        if struct.unpack("!H", frame[20:22])[0] & 0x1FFF == 0 and len(self.body) >= 8:
            self.proto = frame[23]
            self.sport, self.dport = struct.unpack("!HH", self.body[:4])
            self.flags = self.body[13] if self.proto == TCP and len(self.body) >= 20 else 0
            self.seq, self.ack = struct.unpack("!II", self.body[4:12]) if self.flags else (0, 0)


class Traffic:
    def __init__(self, random):
        self.random = random

    def chance(self, part):
        return self.random.random() < part

    def header(self, options=0.05):
        """Arguments of packets.ip(), mostly plain."""
        random = self.random
        made = {"ident": random.choice((1, 2, 3, random.randrange(65536)))}
        if self.chance(0.1):
            made["ttl"] = random.choice((0, 1, 1, 2, 3, 255))
        if self.chance(0.3):
            made["fragment"] = DF
        if self.chance(0.05):
            made["tos"] = random.randrange(256)
        if self.chance(options):
            made["options"] = random.choice(OPTIONS if self.chance(0.3) else OPTIONS[:4])
        return made

    def data(self):
        random = self.random
        return random.randbytes(random.choice((0, 1, 4, 8, 9, 40, 40, 200, random.randrange(1500), 1460, 1472, 1473, 1480, 1600, 3000)))

    def tcp(self, src, sport, dst, dport, flags, data=b"", seq=1, ack=0, blank=False):
        options = b"\x02\x04\x05\xb4" if flags & SYN and self.chance(0.5) else b""
        segment = tcp_segment(src, sport, dst, dport, flags, data, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, blank, options)
        return ip(src, dst, TCP, segment, **self.header())

    def udp(self, src, sport, dst, dport, data, blank=False):
        check = 0 if self.chance(0.05) else None
        return ip(src, dst, UDP, udp_datagram(src, sport, dst, dport, data, check, blank and check is None), **self.header())

    def question(self, src, dst, kind=8, ident=5, data=b"ping"):
        return ip(src, dst, ICMP, icmp_message(kind, 0, ident << 16 | self.random.randrange(4), data), **self.header())

    def ports(self):
        random = self.random
        return random.choice((1, 53, 1000, 4001, 4002, 4003, 40000, random.randrange(65536))), random.choice(rulegen.PORTS)

    def first(self, src, dst=None):
        """What may begin a conversation."""
        random = self.random
        dst = dst or random.choice(REMOTES)
        sport, dport = self.ports()
        kind = random.randrange(12)
        if kind < 5:
            return self.tcp(src, sport, dst, dport, SYN if self.chance(0.9) else random.choice(ODD_FLAGS + (ACK, SYN | ACK)))
        if kind < 9:
            return self.udp(src, sport, dst, dport, self.data())
        if kind < 11:
            data = self.data() if self.chance(0.3) else b"ping"
            return self.question(src, dst, random.choice((8, 8, 8, 13, 17, 0, 10)), random.choice((5, 6, random.randrange(65536))), data)
        return ip(src, dst, random.choice(PROTOCOLS), self.data(), **self.header())

    def _flags(self, seen):
        random = self.random
        if seen & RST or self.chance(0.05):
            return random.choice(ODD_FLAGS + (SYN, ACK, SYN | ACK))
        if seen & SYN and not seen & ACK:
            return random.choice((SYN | ACK,) * 8 + (RST | ACK, ACK, SYN))
        if seen & SYN:
            return random.choice((ACK, ACK, ACK, PSH | ACK, RST))
        if seen & FIN:
            return random.choice((ACK, FIN | ACK, FIN | ACK, RST))
        return random.choice((ACK, ACK, PSH | ACK, PSH | ACK, FIN | ACK, RST, RST | ACK))

    def answer(self, frame, src=None, blank=False):
        """What its receiver may say to it; None if nothing can be said. src: who answers, if not whom it was sent to."""
        seen = View(frame)
        if seen.proto < 0:
            return None
        src, dst = src or seen.dst, seen.src
        if seen.proto == TCP:
            flags = self._flags(seen.flags)
            data = self.data() if not flags & (SYN | RST) else b""
            return self.tcp(src, seen.dport, dst, seen.sport, flags, data, seen.ack, seen.seq + 1, blank)
        if seen.proto == UDP:
            return self.udp(src, seen.dport, dst, seen.sport, self.data(), blank)
        if seen.proto == ICMP:
            kind = {8: 0, 13: 14, 17: 18}.get(seen.body[0], 8)
            kind = self.random.choice((0, 8, 14)) if self.chance(0.05) else kind
            return ip(src, dst, ICMP, icmp_message(kind, 0, struct.unpack("!I", seen.body[4:8])[0], seen.body[8:]), **self.header())
        return ip(src, dst, seen.proto, self.data(), **self.header())

    def again(self, frame, blank=False):
        """What its sender may say next."""
        seen = View(frame)
        if seen.proto < 0:
            return None
        if seen.proto == TCP:
            flags = self.random.choice((SYN, ACK, ACK, PSH | ACK, FIN | ACK, RST)) if self.chance(0.9) else self.random.choice(ODD_FLAGS)
            data = self.data() if not flags & (SYN | RST) else b""
            return self.tcp(seen.src, seen.sport, seen.dst, seen.dport, flags, data, seen.seq + 1, seen.ack + 1, blank)
        if seen.proto == UDP:
            return self.udp(seen.src, seen.sport, seen.dst, seen.dport, self.data(), blank)
        return ip(seen.src, seen.dst, seen.proto, seen.body, **self.header())

    def error(self, frame, src=None, dst=None):
        """An ICMP error about a frame, to its sender, from a router or whom it was sent to."""
        seen = View(frame)
        if not seen.ipv4:
            return None
        random = self.random
        quote = bytes(frame[14:])
        if self.chance(0.15):
            at = random.randrange(len(quote))
            quote = quote[:at] + bytes((quote[at] ^ 1 << random.randrange(8),)) + quote[at + 1 :]
        quote = quote[: random.choice((28, 28, 28, 48, 128, 548, 1400, random.randrange(40)))]
        src = src or (seen.dst if self.chance(0.5) else random.choice(ROUTERS))
        kind, code = random.choice(((3, 1), (3, 3), (3, 3), (3, 4), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1), (3, 15)))
        rest = random.choice(MTUS) if (kind, code) == (3, 4) else 0
        return error(src, dst or seen.src, kind, code, quote, rest, **self.header(options=0.1))

    def in_pieces(self, frame):
        """The frame's datagram in pieces, some of them lost, doubled, out of order, or such that they cannot fit."""
        random = self.random
        if not View(frame).ipv4 or frame[14] != 0x45 or len(frame) < 60:
            return [frame]
        data = len(frame) - 34
        sizes, rest = [], data
        while rest > 16 and len(sizes) < 70:
            sizes.append(min(random.choice((8, 16, 24, 200, 800, 1480)), rest - 8) & ~7 or 8)
            rest -= sizes[-1]
        made = fragments(bytes(frame), *sizes)
        if self.chance(0.5):
            random.shuffle(made)
        if self.chance(0.2):
            made.pop(random.randrange(len(made)))
        if made and self.chance(0.2):
            made.append(random.choice(made))
        if made and self.chance(0.15):
            odd = bytearray(random.choice(made))
            odd[20:22] = struct.pack("!H", random.choice((MF, 0x1FFF, MF | 0x1FFF, 1, 2, DF | MF, 0x8000, MF | 185)))
            made.insert(random.randrange(len(made) + 1), summed(odd))
        return made

    def super_frame(self, frame):
        """(frame, blank, gso): much data in the TCP conversation that this frame is of."""
        seen = View(frame)
        random = self.random
        if seen.proto != TCP:
            return None
        gso = random.choice((1448, 1448, 1448, 536, 1400, 1461, 9000, 1))
        octets = random.randrange(100, 3000) if gso == 1 else random.choice((1449, 2896, 4042, 4043, 8192, 20000, 65535 - 54))
        blank = self.chance(0.9)
        flags = random.choice((ACK, PSH | ACK, ACK | FIN))
        segment = tcp_segment(seen.src, seen.sport, seen.dst, seen.dport, flags, random.randbytes(octets), blank=blank)
        return ip(seen.src, seen.dst, TCP, segment, fragment=DF if self.chance(0.7) else 0), blank, gso

    def wrong(self, src, ours, neighbours):
        """From src: what nobody honest sends, or what is not for the wire."""
        random = self.random
        kind = random.randrange(8)
        if kind == 0:
            return self.first(random.choice(NOBODY + neighbours + (ours,)))
        if kind == 1:
            return self.first(src, random.choice(NOBODY + neighbours + (ours, src)))
        if kind == 2:
            return bytes(random.choice((b"\x08\x00", b"\x86\xdd", b"\x81\0\0\0\x08\0", b"\x81\0\0\5\x08\0", b"\x88\x8e", b"\0\x2e"))
                         .join((self.first(src)[:12], self.first(src)[14:])))
        if kind == 3:
            return bytes((random.choice((0xFF, 0x01, 0x33)),)) + self.first(src)[1:]
        if kind == 4:
            spa = random.choice((src, src, ours, random.choice(NOBODY)))
            return arp(random.choice((1, 1, 1, 2, 3)), _OURS, spa, random.choice((ours, ours, "10.138.0.1") + neighbours + REMOTES[:2]))
        if kind == 5:
            return random.randbytes(random.choice((0, 1, 13, 14, 15, 33, 34, 60)))
        if kind == 6:
            to = random.choice((53, 67, 68, 80, random.randrange(65536)))
            return random.choice((
                echo(src, ours, ident=random.randrange(3), data=self.data()), self.udp(src, 67, ours, to, b"x"),
                self.tcp(src, 1000, ours, to, random.choice((SYN, ACK, RST)))))
        return ip(src, random.choice(REMOTES + (ours,)), random.choice((ICMP, TCP, UDP)), random.randbytes(random.randrange(24)), **self.header())

    def mutated(self, frame):
        random = self.random
        frame = bytearray(frame)
        if not frame:
            return b"\0"
        for _ in range(random.choice((0, 1, 1, 2, 5))):
            at = random.randrange(min(len(frame), random.choice((24, 44, 80, 2000))))
            frame[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, frame[at] ^ 1 << random.randrange(8), random.randrange(256)))
        if self.chance(0.6) and len(frame) >= 34:
            frame = bytearray(summed(frame))
        if self.chance(0.2):
            del frame[random.randrange(len(frame)) :]
        elif self.chance(0.15):
            frame += random.randbytes(random.randrange(60))
        return bytes(frame)


def summed(frame):
    """With the IP header's checksum that belongs to it."""
    size = max((frame[14] & 15) * 4, 20)
    frame = bytearray(frame)
    frame[24:26] = bytes(2)
    frame[24:26] = struct.pack("!H", total(bytes(frame[14 : 14 + size])) ^ 0xFFFF)
    return bytes(frame)
