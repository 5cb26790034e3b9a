"""Questions under way, without any network: whom they go to, and what counts as an answer. Time is in ms."""
import random
from struct import pack, unpack_from

import pytest

from firewall.names import asking, dns
from firewall.wire.ipv4 import TCP, UDP
from firewall.wire.tcp import ACK, PSH, SYN

FIRST, SECOND = 0x0A8B0101, 0x0A8B0102
HOST = "www.example.org"
ADDRESS = 0xC0000207
THEIRS = 0xFFFFFFF0  # a server's sequence numbers begin here, and go round


def reply(message, addresses=(ADDRESS,), flags=0x8180):
    """What a resolver says to a question of ours."""
    records = b"".join([b"\xc0\x0c" + pack(">HHIHI", 1, 1, 300, 4, each) for each in addresses])
    return message[:2] + pack(">HHHHH", flags, 1, len(addresses), 0, 0) + message[12:] + records


class Ways:
    """The ways of Questions; sent: (proto, port, server, what) of all that went out."""

    def __init__(self, count=2):
        self.sent, self.settled, self.ports = [], [], set()
        self.next = 2000
        self.full = False
        settle, octets = lambda *what: self.settled.append(what), random.Random(1).randbytes
        self.questions = asking.Questions(self, settle, octets)
        self.questions.resolvers = (FIRST, SECOND)[:count]

    def port(self, proto, server):
        if self.full:
            return -1
        self.next += 1
        self.ports.add((proto, self.next))
        return self.next

    def release(self, proto, port):
        self.ports.remove((proto, port))

    def datagram(self, port, server, message):
        assert (UDP, port) in self.ports
        self.sent.append((UDP, port, server, message))

    def segment(self, port, server, *what):
        assert (TCP, port) in self.ports
        self.sent.append((TCP, port, server, what))

    def take(self):
        sent, self.sent = self.sent, []
        return sent

    def asked(self):
        """(port, server, message) of the one datagram that went out."""
        ((proto, port, server, message),) = self.take()
        assert proto == UDP and dns.asked(message)[1:] == (HOST, dns.A)
        return port, server, message

    def by_tcp(self, now=0):
        """Truncate the datagram that went out: (port, server, the message of the stream, its next number)."""
        port, server, message = self.asked()
        self.questions.datagram(port, server, reply(message, (), 0x8380), now)
        ((proto, port, again, (sequence, acknowledged, flags, octets)),) = self.take()
        assert (proto, again, acknowledged, flags, octets) == (TCP, server, 0, SYN, b"")
        sequence = sequence + 1 & 0xFFFFFFFF
        self.questions.segment(port, server, THEIRS, sequence, SYN | ACK, b"", now)
        ((proto, _, _, (first, acknowledged, flags, octets)),) = self.take()
        assert (first, acknowledged, flags) == (sequence, THEIRS + 1, ACK | PSH)
        assert unpack_from(">H", octets)[0] == len(octets) - 2
        return port, server, octets[2:], sequence + len(octets) & 0xFFFFFFFF

    def says(self, port, server, message, acknowledged, now=0):
        """A whole answer over TCP."""
        octets = pack(">H", len(message)) + message
        self.questions.segment(port, server, THEIRS + 1, acknowledged, ACK | PSH, octets, now)


@pytest.fixture
def ways():
    return Ways()


OF_NO_USE = {
    "refused": lambda message: reply(message, (), 0x8182),
    "truncated": lambda message: reply(message, (), 0x8380),
    "another": lambda message: b"\xff\xff" + reply(message)[2:],
}


@pytest.mark.parametrize("how", OF_NO_USE)
def test_who_fails_over_tcp_is_not_the_last_one_asked(ways, how):
    """It truncates, and says nothing of use over TCP: the other one was never asked, whenever the name came up."""
    ways.questions.ask(HOST, 0)
    port, server, message, number = ways.by_tcp()
    assert server == FIRST
    ways.says(port, server, OF_NO_USE[how](message), number)
    assert not ways.settled
    *_, (proto, port, server, message) = ways.take()
    assert (proto, server) == (UDP, SECOND)
    ways.questions.datagram(port, server, reply(message), 0)
    assert ways.settled == [(HOST, [(ADDRESS, 300)], 0)] and not ways.ports
    ways.questions.ask(HOST, 0)
    assert ways.asked()[1] == SECOND  # who answered last is asked first


def test_who_answers_over_tcp_is_asked_first(ways):
    ways.questions.ask(HOST, 0)
    port, server, message = ways.asked()
    ways.questions.datagram(port, server, reply(message, (), 0x8185), 0)
    port, server, message, number = ways.by_tcp()
    assert server == SECOND
    ways.says(port, server, reply(message), number)
    assert ways.settled == [(HOST, [(ADDRESS, 300)], 0)]
    ways.take()
    ways.questions.ask(HOST, 0)
    assert ways.asked()[1] == SECOND


def test_other_resolvers_are_asked_the_first_first(ways):
    ways.questions.ask(HOST, 0)
    for flags in (0x8185, 0x8180):
        port, server, message = ways.asked()
        ways.questions.datagram(port, server, reply(message, flags=flags), 0)
    assert server == SECOND and ways.settled
    ways.questions.stop()
    ways.questions.resolvers = (SECOND + 1, SECOND + 2)
    ways.questions.ask(HOST, 0)
    assert ways.asked()[1] == SECOND + 1
