"""One question over TCP (RFC 7766): connect, send it, read one answer, close. A client of our own, as small as that.

It knows of no IP: send(sequence, acknowledged, flags, octets) is given. Sequence numbers are compared exactly (RFC
5961): only what comes next is taken, so what is out of order comes again. Nothing is kept but what the answer's own
length says, at most _ANSWER octets.
"""
from micropython import const

from firewall.wire.tcp import ACK, FIN, PSH, RST, SYN

_ANSWER = const(16384)  # octets; 256 addresses take some 4,200
WINDOW = const(16386)  # an answer with its length before it
_AGAIN = const(1000)  # ms until what was not acknowledged is sent again; then twice as long
_MASK = const(0xFFFFFFFF)
(_SYN_SENT, _OPEN, _CLOSING, OVER) = range(4)

FAILED = const(-1)


class Stream:
    """state: OVER once nothing more is to come."""

    def __init__(self, send, sequence, message, now):
        """sequence: a random one to begin with. message: the question."""
        self.state = _SYN_SENT
        self._send = send
        self._message = bytes((len(message) >> 8, len(message) & 0xFF)) + message
        self._una = sequence  # the first octet of ours that is not acknowledged
        self._next = sequence + 1 & _MASK
        self._theirs = 0  # the octet that we expect next
        self._finished = False  # they have sent all
        self._buffer = bytearray()
        self._again = now + _AGAIN
        self._pause = _AGAIN
        self._repeat()

    def tick(self, now):
        """Send again what was not acknowledged for too long."""
        if self._una != self._next and now >= self._again and self.state != OVER:
            self._pause *= 2
            self._again = now + self._pause
            self._repeat()

    def abandon(self):
        """The end, at once."""
        if self.state == _OPEN or self.state == _CLOSING:
            self._send(self._next, self._theirs, RST | ACK, b"")
        self.state = OVER

    def segment(self, sequence, acknowledged, flags, octets, now):
        """What came: the answer as bytes once it is whole; FAILED: it never will be; None otherwise."""
        if self.state == _SYN_SENT:
            return self._connected(sequence, acknowledged, flags, now)
        if self.state == OVER:
            return None
        if flags & RST:
            if sequence != self._theirs:
                return None
            return self._broken()
        if flags & SYN or not flags & ACK or acknowledged - self._una & _MASK > self._next - self._una & _MASK:
            self._send(self._next, self._theirs, ACK, b"")
            return None
        self._una = acknowledged
        known = self._theirs - sequence & _MASK  # octets of it that came before
        again = known == len(octets) > 0 and not flags & FIN
        if known > len(octets) or again or self._finished:  # a gap before it, or nothing new
            if known or octets or flags & FIN:
                self._send(self._next, self._theirs, ACK, b"")
            self._end()
            return None
        octets = octets[known:]
        self._theirs = self._theirs + len(octets) & _MASK
        if flags & FIN:
            self._finished = True
            self._theirs = self._theirs + 1 & _MASK
        if self.state == _OPEN:
            return self._read(octets, now)
        if octets or flags & FIN:
            self._send(self._next, self._theirs, ACK, b"")
        self._end()
        return None

    def _connected(self, sequence, acknowledged, flags, now):
        if not flags & ACK or acknowledged != self._next:
            return None
        if flags & RST:
            return self._broken()
        if flags & SYN:
            self.state = _OPEN
            self._una = acknowledged
            self._theirs = sequence + 1 & _MASK
            self._next = self._next + len(self._message) & _MASK
            self._pause = _AGAIN
            self._again = now + _AGAIN
            self._repeat()
        return None

    def _read(self, octets, now):
        buffer = self._buffer
        size = -1
        if len(buffer) < _ANSWER + 2:
            buffer.extend(octets[: _ANSWER + 2 - len(buffer)])
        if len(buffer) >= 2:
            size = (buffer[0] << 8 | buffer[1]) + 2
        if size > _ANSWER + 2 or self._finished and not 0 < size <= len(buffer):
            self.abandon()
            return FAILED
        if not 0 < size <= len(buffer):
            if octets or self._finished:
                self._send(self._next, self._theirs, ACK, b"")
            return None
        self.state = _CLOSING
        self._message = b""
        self._una = self._next
        self._next = self._next + 1 & _MASK
        self._pause = _AGAIN
        self._again = now + _AGAIN
        self._repeat()
        self._buffer = b""
        return bytes(buffer[2:size])

    def _repeat(self):
        """Send what is not acknowledged: one segment, whatever the state."""
        if self.state == _SYN_SENT:
            self._send(self._una, 0, SYN, b"")
        elif self.state == _OPEN:
            begin = self._next - len(self._message) & _MASK
            self._send(self._una, self._theirs, ACK | PSH, self._message[self._una - begin & _MASK :])
        elif self.state == _CLOSING:
            self._send(self._next - 1 & _MASK, self._theirs, ACK | FIN, b"")

    def _end(self):
        if self.state == _CLOSING and self._finished and self._una == self._next:
            self.state = OVER

    def _broken(self):
        failed = self.state != _CLOSING
        self.state = OVER
        return FAILED if failed else None
