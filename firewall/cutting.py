"""One frame that leaves as many: segments of a super-frame, pieces of a packet. A few in each turn of who brought it.

What is left waits in pages of ours, which are few: a super-frame has 18, and none that is cut in this way is taken up
while less than a quarter of all pages are free. Pieces that the judge has made lie in the heap: at most HEAPED of all
neighbours together; what is more goes out at once.
"""
from micropython import const

from firewall.packets.segment import segments

HEAPED = const(128)
_MSS = const(536)  # octets that every host takes in a segment (RFC 1122 4.2.2.6); of smaller ones the first _FIRST go
_ALL = const(123)  # segments of _MSS octets in the longest frame
_FIRST = const(64)


class Pieces:
    """Frames still to be sent to one link, from source: octets one after the other, None for some that are left out.

    egress: the Port itself, as another may have its number by then. frame: whose pages source reads, or None.
    heaped: how many lie in the heap.
    """

    def __init__(self, egress, source, frame=None, heaped=0):
        self.egress = egress
        self.source = source
        self.frame = frame
        self.heaped = heaped

    def end(self, pool):
        """None of them is sent any more."""
        if self.frame:
            self.frame.release(pool)


def super_frame(pool, frame, octets, egress):
    """The Pieces of a rewritten super-frame of so many octets; None if pages are too few. They have its pages."""
    if pool.free < pool.pages >> 2:
        return None
    head = frame.head(pool)
    most = _ALL if frame.gso_size >= _MSS else _FIRST
    return Pieces(egress, segments(head, octets, frame.gso_size, most, _Payload(pool, frame.parts).take), frame)


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
