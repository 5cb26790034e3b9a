"""Pages that a netvm still holds although it has no right to any more. They are asked for again every second.

A page whose revocation failed may be read or written by that domain at any moment; using it for anything would show
the netvm what is none of its business, or take what it wrote for something else. So it stays here, for as long as
that domain holds it. The number is bounded, for each domain and in all: what a link lends and what is kept here of its
domain are together at most LIMIT, and a netvm that keeps collecting gets no uplink any more (XSA-396, MSA-02). The next
one does, until three quarters of all pages are gone.

page() and ring() allocate nothing: they are called when a connection ends, for whatever reason.
"""
import xen
from loop import Flag
from micropython import const
from xennumbers import PAGE

LIMIT = const(512)  # pages of one domain
TX_RESERVE = const(64)  # of them, for what is sent: receiving leaves them alone
_LEAST = const(128)  # with fewer pages to lend a connection is not worth making


class Rings:
    """The two ring pages of a connection, and the references under which its domain has them."""

    def __init__(self, domid):
        self.domid = domid
        self.refs = [-1, -1]  # -1: not lent
        self.memory = None
        self.next = None  # in quarantine


class Quarantine:
    def __init__(self, pool):
        self.pool = pool
        self.most = pool.pages * 3 // 4
        self.grefs = xen.view(xen.mem(4 * self.most), "I")  # of pages of the pool, as many as _count says
        self.pages = xen.view(xen.mem(2 * self.most), "H")
        self.domids = xen.view(xen.mem(2 * self.most), "H")
        self._count = 0
        self._rings = None  # the first of those that are held
        self._held = {}  # domid: how many pages it holds, rings included
        self._total = 0
        self.filled = Flag()  # something was added since it was last waited for

    def expect(self, domid):
        """A connection to this domain is about to be made: from now on nothing of it needs memory here."""
        self._held = {each: n for each, n in self._held.items() if n}
        self._held[domid] = self._held.get(domid, 0)

    def page(self, gref, page, domid):
        """A page of the pool whose revocation has failed."""
        n = self._count
        self.grefs[n] = gref
        self.pages[n] = page
        self.domids[n] = domid
        self._count = n + 1
        self._hold(domid, 1)
        self.filled.set()

    def ring(self, rings):
        """A connection's two ring pages: freed now if the netvm let go of both."""
        if not self._freed(rings):
            rings.next = self._rings
            self._rings = rings
            self._hold(rings.domid, 2)
            self.filled.set()

    def _hold(self, domid, pages):
        self._held[domid] += pages
        self._total += pages

    def _freed(self, rings):
        refs = rings.refs
        for i in range(2):
            if refs[i] >= 0 and xen.revoke(refs[i]):
                refs[i] = -1
        if refs[0] >= 0 or refs[1] >= 0:
            return False
        xen.free(rings.memory)
        return True

    def size(self):
        return self._total

    def room(self, domid, lent):
        """How many pages may still be lent by a link to this domain that has lent so many."""
        if not self._total:
            return LIMIT - lent
        return min(LIMIT - self._held.get(domid, 0), self.most - self._total) - lent

    def full(self, domid):
        """Whether so much is held that there can be no uplink to this domain."""
        return self.room(domid, 2) < _LEAST

    def retry(self):
        """Take back what can be taken back. Once a second."""
        still = 0
        for i in range(self._count):
            gref, page, domid = self.grefs[i], self.pages[i], self.domids[i]
            if xen.revoke(gref):
                self.pool.mark[page] = PAGE  # it may have been written to meanwhile, by whoever held it
                self.pool.give(page)
                self._hold(domid, -1)
            else:
                self.grefs[still] = gref
                self.pages[still] = page
                self.domids[still] = domid
                still += 1
        self._count = still
        rings, self._rings = self._rings, None
        while rings:
            following = rings.next
            self._hold(rings.domid, -2)
            self.ring(rings)
            rings = following
