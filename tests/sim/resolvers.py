"""A netvm's side of name service: the questions that came to it, and answers to them. By RFC 1035 and 9293 alone."""
import struct

from packets import ACK, FIN, PSH, SYN, TCP, UDP, Look, ip, tcp_segment, udp

FIRST, SECOND = "10.139.1.1", "10.139.1.2"


class Question:
    """One that came by UDP, or over an open TCP connection."""

    def __init__(self, look, message):
        self.look, self.message = look, message
        self.ident, self.flags = struct.unpack(">HH", message[:4])
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1 : at + 1 + message[at]].decode())
            at += message[at] + 1
        self.host = ".".join(labels)
        self.kind = struct.unpack(">H", message[at + 1 : at + 3])[0]
        self.server, self.port = look.dst, look.sport

    def said(self, *addresses, ttl=300, flags=0x8180, records=b"", count=None, ident=None, message=None):
        """The message that answers it."""
        message = message or self.message
        ident = self.ident if ident is None else ident
        records = records or b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, ttl, 4) + bytes(map(int, each.split("."))) for each in addresses)
        count = len(addresses) if count is None else count
        return struct.pack(">6H", ident, flags, 1, count, 0, 0) + message[12:] + records


def questions(net):
    """Those that are for a resolver's UDP port 53 among the frames that left by the uplink; the others are put back."""
    net.settle()
    return _questions(net)


def _questions(net):
    found, others = [], []
    for each in net.uplink.end.frames:
        look = Look(each[0], each[1]) if each[0][12:14] == b"\x08\x00" else None
        if look and look.proto == UDP and look.dport == 53 and look.src == net.address:
            found.append(Question(look, look.data))
        else:
            others.append(each)
    net.uplink.end.frames[:] = others
    return found


def reply(net, question, message, source=None, port=None, sport=53, **header):
    """An answer by UDP."""
    net.uplink.send(udp(source or question.server, sport, net.address, port or question.port, message, **header))
    net.settle()


class Zone:
    """Answers all questions at once: {host: [address, ...]}; [] does not exist; None: nothing is said.

    asked: names of all that came. A client's questions are answered as ours are.
    """

    def __init__(self, net, names, ttl=300):
        self.net, self.names, self.ttl = net, names, ttl
        self.asked, self.seen = [], []
        net.machine.actors.append(self._serve)
        net.settle()

    def _serve(self):
        found = _questions(self.net) if self.net.uplink and self.net.uplink.end.frames else ()
        for question in found:
            self.asked.append(question.host)
            self.seen.append(question)
            addresses = self.names.get(question.host)
            if addresses is not None:
                message = question.said(*addresses, ttl=self.ttl, flags=0x8180 if addresses else 0x8183)
                self.net.uplink.end.send(udp(question.server, 53, self.net.address, question.port, message))
        return len(found) > 0


class Connection:
    """The server's end of a TCP connection to port 53, which came as this SYN."""

    def __init__(self, net, syn):
        assert syn.flags == SYN
        self.net, self.port, self.server = net, syn.sport, syn.dst
        self.theirs = struct.unpack(">I", syn.payload[4:8])[0] + 1
        self.ours = 5000
        self.got = b""
        self.closed = False

    def send(self, flags=ACK, data=b"", ours=None):
        seq, ack = (ours or self.ours) & 0xFFFFFFFF, self.theirs & 0xFFFFFFFF
        segment = tcp_segment(self.server, 53, self.net.address, self.port, flags, data, seq, ack)
        self.net.uplink.send(ip(self.server, self.net.address, TCP, segment))
        if ours is None:
            self.ours += len(data) + (flags & SYN != 0) + (flags & FIN != 0)
        self.net.settle()
        return self.take()

    def take(self):
        """Segments that came for it since."""
        found = []
        for look in segments(self.net):
            assert look.sport == self.port and look.dst == self.server
            seq = struct.unpack(">I", look.payload[4:8])[0]
            if seq == self.theirs & 0xFFFFFFFF:
                self.got += look.data
                self.theirs += len(look.data) + (look.flags & FIN != 0)
                self.closed = self.closed or look.flags & FIN != 0
            found.append(look)
        return found

    def question(self, syn):
        """The question over it, when it was opened."""
        self.send(SYN | ACK)
        size = struct.unpack(">H", self.got[:2])[0]
        assert len(self.got) == size + 2
        return Question(syn, self.got[2:])

    def answer(self, message, pieces=(), fin=False):
        """Send a message with its length before it, in pieces of these octets."""
        octets = struct.pack(">H", len(message)) + message
        for size in pieces:
            self.send(ACK, octets[:size])
            octets = octets[size:]
        self.send(ACK | PSH | (FIN if fin else 0), octets)


def segments(net):
    """TCP to a resolver's port 53 among what left by the uplink."""
    net.settle()
    found, others = [], []
    for each in net.uplink.end.frames:
        look = Look(each[0], each[1]) if each[0][12:14] == b"\x08\x00" else None
        if look and look.proto == TCP and look.dport == 53 and look.src == net.address:
            found.append(look)
        else:
            others.append(each)
    net.uplink.end.frames[:] = others
    return found
