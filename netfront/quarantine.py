"""Pages that a netvm still holds although it has no right to any more. They are asked for again every second.

A page whose revocation failed may be read or written by that domain at any moment; using it for anything would show
the netvm what is none of its business, or take what it wrote for something else. So it stays here, for as long as
that domain holds it. The number is bounded: what a link lends and what is kept here are together at most LIMIT, and
a netvm that keeps collecting gets no uplink any more (XSA-396, MSA-02).
"""
import xen
from loop import Flag
from micropython import const

LIMIT = const(512)  # pages; half of the smaller pool: what lives on has the other half
TX_RESERVE = const(64)  # of them, for what is sent: receiving leaves them alone
_LEAST = const(128)  # with fewer pages to lend a connection is not worth making


class Quarantine:
    def __init__(self, pool):
        self.pool = pool
        self.held = []  # (gref, page), or (gref, None) for a ring page
        self.rings = []  # [grefs still held, memory]
        self.filled = Flag()  # something was added since it was last waited for

    def page(self, gref, page):
        """A page of the pool whose revocation has failed."""
        self.held.append((gref, page))
        self.filled.set()

    def ring(self, refs, memory):
        """A connection's two ring pages: freed now if the netvm let go of both."""
        left = [gref for gref in refs if not xen.revoke(gref)]
        if left:
            self.rings.append([left, memory])
            self.filled.set()
        else:
            xen.free(memory)

    def size(self):
        return len(self.held) + 2 * len(self.rings)

    def room(self, lent):
        """How many pages may still be lent by a link that has lent so many."""
        return LIMIT - self.size() - lent

    def full(self):
        """Whether so much is held that there can be no uplink."""
        return self.room(2) < _LEAST

    def retry(self):
        """Take back what can be taken back. Once a second."""
        still = []
        for gref, page in self.held:
            if xen.revoke(gref):
                self.pool.mark[page] = 4096  # it may have been written to meanwhile, by whoever held it
                self.pool.give(page)
            else:
                still.append((gref, page))
        self.held = still
        rings = self.rings
        self.rings = []
        for refs, memory in rings:
            self.ring(refs, memory)
