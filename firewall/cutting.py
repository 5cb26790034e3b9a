"""One frame that leaves as many: segments of a super-frame, pieces of a packet. A few in each turn of who brought it.

What is left waits in pages of ours, which are few: a super-frame has 18, and none that is cut in this way is taken up
while less than a quarter of all pages are free. Pieces that the judge has made are in the heap: at most HEAPED of all
neighbours together; what is more goes out at once.
"""
from micropython import const

from firewall import turns
from firewall.packets.segment import segments

HEAPED = const(128)
SENT = const(8)  # frames of our own making in a turn: segments and pieces, each in some 0.1 ms
_MSS = const(536)  # octets that every host takes in a segment (RFC 1122 4.2.2.6); of smaller ones the first _FIRST go
_ALL = const(123)  # segments of _MSS octets in the longest frame
_FIRST = const(64)


class Pieces:
    """Frames still to be sent by one interface, from source: octets one after the other, None for some that are left out.

    egress: the Interface itself, as another may have its number by then. frame: whose pages source reads, or None.
    heaped: how many are in the heap. validated: their transport checksums are known to be right.
    """

    def __init__(self, egress, source, frame=None, heaped=0, validated=True):
        self.egress = egress
        self.source = source
        self.frame = frame
        self.heaped = heaped
        self.validated = validated


class Cutting:
    """The frames that neighbours' last turns left to be sent: interface.pieces of who brought them."""

    def __init__(self, pool, circle, send):
        """circle: turns.Turns, which counts the work. send(egress, octets, validated): makes a frame and sends it."""
        self.left_out = 0  # super-frames of which only the first segments were sent, or none
        self.left = SENT  # frames that the turn that goes on may still send
        self._pool = pool
        self._turns = circle
        self._send = send
        self.ingress = None  # who brought what is just being sent
        self._heaped = 0  # of all neighbours' pieces
        self._some = self._send_some  # bound once: a turn without memory must get as far as its guard

    def cut(self, ingress, egress, frame, octets):
        """Begin to send segments of a rewritten super-frame of so many octets. Its pages are passed on or given back."""
        pieces = None
        try:
            if self._pool.free >= self._pool.pages >> 2:
                head = frame.head(self._pool)
                most = _ALL if frame.gso_size >= _MSS else _FIRST
                source = segments(head, octets, frame.gso_size, most, _Payload(self._pool, frame.parts).take)
                pieces = Pieces(egress, source, frame)
        finally:
            if not pieces:
                frame.release(self._pool)
        if not pieces:
            self.left_out += 1
            return
        frame.sent = True
        ingress.pieces = pieces
        self.go_on(ingress)

    def spread(self, ingress, egress, out, validated):
        """Send what the judge has made over several turns, if it is much and there is room for it. False: there is not."""
        many = len(out)
        if many <= SENT or self._heaped + many > HEAPED or ingress.pieces:
            return False
        ingress.pieces = Pieces(egress, iter([octets for _, octets in out]), None, many, validated)
        self._heaped += many
        self.go_on(ingress)
        return True

    def go_on(self, ingress):
        """Send some of what its frame became; ingress.pieces is None when that was all."""
        more = None
        self.ingress = ingress
        try:
            more = ingress.guard.judge(self._some, ingress, ingress.pieces, 0)
        finally:
            self.ingress = None
            if more is not True:
                self.end(ingress)

    def end(self, ingress):
        """None of what it has left is sent any more."""
        pieces = ingress.pieces
        if pieces:
            ingress.pieces = None
            self._heaped -= pieces.heaped
            if pieces.frame:
                pieces.frame.release(self._pool)

    def _send_some(self, _ingress, pieces, _now):
        """True if there are more."""
        egress = pieces.egress
        price = turns.SEGMENT if pieces.frame else turns.SENT
        for octets in pieces.source:
            if egress.rings is None:
                break
            if octets is None:
                self.left_out += 1  # the sender of such small ones will send the rest again
                break
            self._send(egress, octets, pieces.validated)
            self._turns.work += price
            self.left -= 1
            if self.left <= 0:
                return True
        return False


class _Payload:
    """Octets of a frame, read in ascending order out of its pages."""

    def __init__(self, pool, parts):
        self._pool = pool
        self._parts = parts
        self._part = 0
        self._begins = 0  # which octet of the frame is the first of this part

    def take(self, start, end):
        """Octets start to end, in one piece."""
        taken = b""
        while start < end:
            page, offset, octets = self._parts[self._part]
            at = start - self._begins
            if at >= octets:
                self._begins += octets
                self._part += 1
                continue
            n = min(octets - at, end - start)
            part = self._pool.part(page, offset + at, n)
            if n == end - start and not taken:
                return part
            taken = bytes(taken) + part
            start += n
        return taken
