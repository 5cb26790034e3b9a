"""Questions under way, without any network: whom they go to, and what counts as an answer. Time is in ms."""
import random
from struct import pack, unpack_from

import pytest

from firewall.names import asking, dns
from firewall.wire.ipv4 import TCP, UDP
from firewall.wire.tcp import ACK, FIN, PSH, RST, SYN

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


def test_silence_costs_four_datagrams_each_from_another_port(ways):
    seen = []
    ways.questions.ask(HOST, 0)
    now = 0
    for pause in (1000, 2000, 2000, 3000):
        port, server, message = ways.asked()
        seen.append((server, port, message[:2]))
        assert ways.questions.tick(now + pause - 1) == now + pause and not ways.sent and not ways.settled
        now += pause
        ways.questions.tick(now)
    assert ways.settled == [(HOST, dns.FAILED, now)] and not ways.ports and ways.questions.tick(now) is None
    assert [server for server, _, _ in seen] == [FIRST, SECOND, FIRST, SECOND]
    assert len({port for _, port, _ in seen}) == len({ident for _, _, ident in seen}) == 4


def test_sixty_four_wrong_answers_and_it_is_asked_elsewhere(ways):
    """An answer from elsewhere, to another port, or by the other protocol is none that is counted."""
    ways.questions.ask(HOST, 0)
    port, server, message = ways.asked()
    right = reply(message)
    for i in range(100):
        ways.questions.datagram(port, SECOND, right, 0)
        ways.questions.datagram(port + 1, server, right, 0)
        ways.questions.segment(port, server, 1, 1, SYN | ACK, b"", 0)
    for i in range(63):
        ways.questions.datagram(port, server, bytes((right[0] ^ 1,)) + right[1:], 0)
    assert not ways.sent and not ways.settled
    ways.questions.datagram(port, server, b"", 0)
    assert ways.asked()[:2] == (port + 1, SECOND)
    ways.questions.datagram(port, server, right, 0)
    assert not ways.settled


def test_a_port_that_nobody_has_is_silence(ways):
    ways.full = True
    ways.questions.ask(HOST, 0)
    assert not ways.sent and ways.questions.tick(999) == 1000
    ways.full = False
    ways.questions.tick(1000)
    assert ways.asked()[1] == SECOND


def test_what_is_cancelled_or_stopped_has_no_port_and_says_nothing(ways):
    for host in ("a", HOST, "b"):
        ways.questions.ask(host, 0)
    ways.take()
    ways.questions.cancel("b")
    assert len(ways.ports) == 2
    ways.questions.cancel("a")
    assert [question.host for question in ways.questions.open] == [HOST]
    ways.questions.tick(1000)
    port, server, _, _ = ways.by_tcp(1000)
    assert ways.questions.stop() == [HOST]
    assert not ways.ports and not ways.sent and not ways.settled and ways.questions.tick(9000) is None


def test_four_questions_at_once_go_over_tcp_and_the_fifth_in_its_turn(ways):
    for i in range(5):
        ways.questions.ask("n%d" % i, 0)
        ((proto, port, server, message),) = ways.take()
        ways.questions.datagram(port, server, reply(message, (), 0x8380), 0)
        assert [proto for proto, *_ in ways.take()] == ([TCP] if i < 4 else [])
    assert len(ways.ports) == 4
    wake = ways.questions.tick(499)
    assert 500 <= wake <= 755 and not ways.sent
    ways.questions.tick(755)
    assert [(proto, server) for proto, _, server, _ in ways.take()] == [(UDP, FIRST)]  # it counts as no try


def test_a_stream_that_stays_silent_is_asked_for_elsewhere(ways):
    """Its segments come again after one second, two and four; after six the other resolver is asked."""
    ways.questions.ask(HOST, 0)
    port, server, message = ways.asked()
    ways.questions.datagram(port, server, reply(message, (), 0x8380), 0)
    ((_, port, _, first),) = ways.take()
    times = []
    for now in range(100, 6000, 100):
        assert now < ways.questions.tick(now) <= now + 500
        for proto, same, _, again in ways.take():
            assert (proto, same, again) == (TCP, port, first)
            times.append(now)
    assert times == [1000, 3000]
    ways.questions.tick(6000)
    assert [(proto, server) for proto, _, server, _ in ways.take()] == [(UDP, SECOND)]
    assert len(ways.ports) == 1 and not ways.settled


def test_an_answer_in_pieces_that_overlap_and_out_of_order(ways):
    ways.questions.ask(HOST, 0)
    port, server, message, number = ways.by_tcp()
    octets = pack(">H", len(reply(message))) + reply(message)
    begin = THEIRS + 1

    def piece(first, end, flags=ACK):
        ways.questions.segment(port, server, begin + first & 0xFFFFFFFF, number, flags, octets[first:end], 0)
        return [what for _, _, _, what in ways.take()]

    def acknowledges(upto):
        return [(number, begin + upto & 0xFFFFFFFF, ACK, b"")]

    assert piece(30, 40) == acknowledges(0)  # a gap before it
    assert piece(0, 1) == acknowledges(1)
    assert piece(0, 20) == acknowledges(20)  # around the end of the numbers
    assert piece(0, 20) == acknowledges(20)  # again: ours was lost
    assert piece(5, 30) == acknowledges(30)
    assert piece(30, 30) == []
    ways.questions.segment(port, server, begin + 30, number + 1, ACK, octets[30:], 0)  # of what we never sent
    assert [what for *_, what in ways.take()] == acknowledges(30) and not ways.settled
    ways.questions.segment(port, server, begin + 31, number, RST, b"", 0)  # not the next number: no end
    assert not ways.sent and not ways.settled
    ((first, acknowledged, flags, _),) = piece(30, len(octets))
    assert (first, acknowledged, flags) == (number, begin + len(octets) & 0xFFFFFFFF, ACK | FIN)
    assert ways.settled == [(HOST, [(ADDRESS, 300)], 0)] and len(ways.ports) == 1
    ways.questions.segment(port, server, begin + len(octets) & 0xFFFFFFFF, number + 1, ACK | FIN, b"", 0)
    assert [what for *_, what in ways.take()] == [(number + 1, begin + len(octets) + 1 & 0xFFFFFFFF, ACK, b"")]
    assert not ways.ports and not ways.questions.open


BREAKS_OFF = {
    "reset": (RST, b""),
    "ends": (ACK | FIN, b"\0\x64123"),
    "too long": (ACK, b"\x40\x01"),
    "none": (ACK | FIN, b""),
}


@pytest.mark.parametrize("how", BREAKS_OFF)
def test_a_stream_that_breaks_off_is_asked_for_elsewhere(ways, how):
    ways.questions.ask(HOST, 0)
    port, server, message, number = ways.by_tcp()
    ways.questions.segment(port, server, THEIRS + 1, number, *BREAKS_OFF[how], 0)
    *before, (proto, _, server, _) = ways.take()
    assert (proto, server) == (UDP, SECOND) and not ways.settled and len(ways.ports) == 1
    assert [what[2] for *_, what in before] == ([] if how == "reset" else [RST | ACK])


def test_an_answer_of_16384_octets_is_taken(ways):
    ways.questions.ask(HOST, 0)
    port, server, message, number = ways.by_tcp()
    answer = reply(message)
    ways.says(port, server, answer + bytes(16384 - len(answer)), number)
    assert ways.settled == [(HOST, [(ADDRESS, 300)], 0)]


def test_a_refused_connection_is_asked_for_elsewhere(ways):
    ways.questions.ask(HOST, 0)
    port, server, message = ways.asked()
    ways.questions.datagram(port, server, reply(message, (), 0x8380), 0)
    ((_, port, _, (sequence, *_)),) = ways.take()
    for more, flags in ((0, RST | ACK), (2, SYN | ACK), (1, SYN), (1, ACK)):
        ways.questions.segment(port, server, 7, sequence + more, flags, b"", 0)
        assert not ways.sent
    ways.questions.segment(port, server, 7, sequence + 1, RST | ACK, b"", 0)
    assert [(proto, server) for proto, _, server, _ in ways.take()] == [(UDP, SECOND)]


def test_streams_that_close_are_at_most_eight_and_two_seconds(ways):
    for i in range(9):
        ways.questions.ask("n%d" % i, 0)
        ((_, port, server, message),) = ways.take()
        ways.questions.datagram(port, server, reply(message, (), 0x8380), 0)
        ((_, port, _, (sequence, *_)),) = ways.take()
        ways.questions.segment(port, server, THEIRS, sequence + 1, SYN | ACK, b"", 0)
        ((_, _, _, (_, _, _, octets)),) = ways.take()
        ways.says(port, server, reply(octets[2:]), sequence + 1 + len(octets))
        assert len(ways.settled) == i + 1 and len(ways.ports) == min(i + 1, 8)
        assert [flags for *_, (_, _, flags, _) in ways.take()] == [ACK | FIN] + ([RST | ACK] if i == 8 else [])
    assert ways.questions.tick(1999) == 2000 and len(ways.ports) == 8
    assert ways.questions.tick(2000) is None and not ways.ports
