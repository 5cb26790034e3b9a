"""Questions under way: each to one of our resolvers, from a port of its own, with an identification of its own.

An answer counts only if it comes from the resolver that was asked, to the port, with the identification and for the
question (RFC 5452); all else is as if it had not come. Without one the next resolver is asked, from another port; one
that refuses is not waited for. What does not fit a datagram is asked for again over TCP (RFC 7766).

ways, of who asks:
    port(proto, server)               a random port that nobody has towards it, ours from now on; -1: none
    release(proto, port)              it is nobody's again
    datagram(port, server, message)
    segment(port, server, sequence, acknowledged, flags, octets)
"""
from micropython import const

from firewall.names import stream
from firewall.names import dns
from firewall.wire import ipv4

MOST = const(16)  # questions at once
_STREAMS = const(4)  # of them over TCP
_LINGERING = const(8)  # streams that have their answer, and close
_WAITS = (1000, 2000, 2000, 3000)  # ms for an answer, by how often it was asked for
_STREAM_WAIT = const(6000)  # ms for an answer over TCP
_LINGER = const(2000)
_WRONG = const(64)  # datagrams that were no answer: somebody is guessing, so another port is better


class _Question:
    def __init__(self, host):
        self.host = host
        self.tries = 0
        self.server = 0
        self.proto = ipv4.UDP
        self.port = -1
        self.ident = 0
        self.until = 0  # ms
        self.wrong = 0
        self.stream = None


class Questions:
    """settle(host, result, now): with addresses, dns.NONE or dns.FAILED. random(octets) -> bytes."""

    def __init__(self, ways, settle, random, kind=dns.A):
        self.resolvers = ()
        self.open = []
        self._lingering = []  # questions that are answered, whose streams are not over
        self._first = 0  # the resolver that answered last
        self._ways = ways
        self._settle = settle
        self._random = random
        self._kind = kind

    def ask(self, host, now):
        """Begin to ask. To be called while there are resolvers, and less than MOST questions."""
        question = _Question(host)
        self.open.append(question)
        self._try(question, now)

    def stop(self):
        """There is no way any more: nobody has failed, nothing is settled. The hosts that were asked for."""
        hosts = [question.host for question in self.open]
        for question in self.open + self._lingering:
            question.stream = None  # in silence: there may be nobody to tell
        self._first = 0
        while self.open:
            self._release(self.open.pop())
        while self._lingering:
            self._release(self._lingering.pop())
        return hosts

    def cancel(self, host):
        """Nobody needs this host any longer."""
        for question in self.open:
            if question.host == host:
                self._release(question)
                self.open.remove(question)
                return

    def tick(self, now):
        """Ask again what got no answer. When to call again: ms, None for never."""
        for question in list(self.open):
            if question.stream:
                question.stream.tick(now)
            if question.until <= now:
                self._again(question, now)
        for question in list(self._lingering):
            question.stream.tick(now)
            if question.until <= now:
                self._forget(question)
        waiting = [question.until for question in self.open + self._lingering]
        if any(question.stream for question in self.open) or self._lingering:
            waiting.append(now + 500)
        return min(waiting) if waiting else None

    # ---- what comes -----------------------------------------------------------------------------

    def datagram(self, port, server, message, now):
        """A UDP datagram came from a server's port 53 to one of ours."""
        for question in self.open:
            if question.port == port and question.proto == ipv4.UDP and question.server == server:
                result = dns.answer(message, question.ident, question.host, self._kind)
                if result is None:
                    question.wrong += 1
                    if question.wrong >= _WRONG:
                        self._again(question, now)
                elif result == dns.TRUNCATED:
                    self._open_stream(question, now)
                else:
                    self._judge(question, result, now)
                return

    def segment(self, port, server, sequence, acknowledged, flags, octets, now):
        """A TCP segment came from a server's port 53 to one of ours."""
        for question in self.open + self._lingering:
            if question.port == port and question.proto == ipv4.TCP and question.server == server:
                if not question.stream:
                    return
                answer = question.stream.segment(sequence, acknowledged, flags, octets, now)
                if question in self._lingering:
                    if question.stream.state == stream.OVER:
                        self._forget(question)
                elif answer == stream.FAILED:
                    self._again(question, now)
                elif answer is not None:
                    result = dns.answer(answer, question.ident, question.host, self._kind)
                    if result is None or result == dns.TRUNCATED or result == dns.FAILED:
                        self._again(question, now)
                    else:
                        self._linger(question, now)
                        self._answered(question, result, now)
                return

    # ---- one question ---------------------------------------------------------------------------

    def _judge(self, question, result, now):
        if result == dns.FAILED:
            self._again(question, now)
            return
        self.open.remove(question)
        self._release(question)
        self._answered(question, result, now)

    def _answered(self, question, result, now):
        if question.server in self.resolvers:
            self._first = self.resolvers.index(question.server)
        self._settle(question.host, result, now)

    def _again(self, question, now):
        """This try came to nothing: another one, or the end."""
        self._release(question)
        if question.tries < len(_WAITS) and self.resolvers:
            self._try(question, now)
            return
        self.open.remove(question)
        self._settle(question.host, dns.FAILED, now)

    def _try(self, question, now):
        question.server = self.resolvers[(self._first + question.tries) % len(self.resolvers)]
        question.until = now + _WAITS[question.tries]
        question.tries += 1
        question.wrong = 0
        question.proto = ipv4.UDP
        question.port = self._ways.port(ipv4.UDP, question.server)
        question.ident = int.from_bytes(self._random(2), "big")
        if question.port >= 0:  # else it is as one that gets no answer
            message = dns.question(question.ident, question.host, self._kind)
            self._ways.datagram(question.port, question.server, message)

    def _open_stream(self, question, now):
        self._release(question)
        if sum([1 for each in self.open if each.stream]) >= _STREAMS:
            question.tries -= 1  # it was answered: asked again when others have theirs
            question.until = now + 500 + self._random(1)[0]
            return
        question.proto = ipv4.TCP
        question.until = now + _STREAM_WAIT
        question.port = port = self._ways.port(ipv4.TCP, question.server)
        question.ident = int.from_bytes(self._random(2), "big")
        if port < 0:
            return
        message = dns.question(question.ident, question.host, self._kind)
        send, server = self._ways.segment, question.server
        sequence = int.from_bytes(self._random(4), "big")
        question.stream = stream.Stream(lambda *what: send(port, server, *what), sequence, message, now)

    def _linger(self, question, now):
        """It is answered; its stream closes in its own time, if there are not too many."""
        self.open.remove(question)
        question.until = now + _LINGER
        self._lingering.append(question)
        if question.stream.state == stream.OVER:
            self._forget(question)
        elif len(self._lingering) > _LINGERING:
            self._forget(self._lingering[0])

    def _forget(self, question):
        self._lingering.remove(question)
        self._release(question)

    def _release(self, question):
        if question.stream:
            question.stream.abandon()
            question.stream = None
        if question.port >= 0:
            self._ways.release(question.proto, question.port)
            question.port = -1
