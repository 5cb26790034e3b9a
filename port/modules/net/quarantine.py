"""Pages that a netvm holds although it has no right to any more: of the pool, and rings. See granted.py.

The number is bounded, for each domain and in all: what a link lends and what is kept here of its domain are together at
most LIMIT, and a netvm that keeps collecting gets no uplink any more (XSA-396, MSA-02). The next one does, until three
quarters of all pages are gone.

page() and take_back() allocate nothing: they are called when a connection ends, for whatever reason.
"""
from array import array

import xen
from granted import Held
from micropython import const
from xennumbers import PAGE

LIMIT = const(512)  # pages of one domain
TX_RESERVE = const(64)  # of them, for what is sent: receiving leaves them alone
_LEAST = const(128)  # with fewer pages to lend a connection is not worth making


class Quarantine(Held):
    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.most = pool.pages * 3 // 4
        self.grefs = xen.view(xen.mem(4 * self.most), "I")  # of pages of the pool, as many as _pages says
        self.pages = xen.view(xen.mem(2 * self.most), "H")
        self.domids = xen.view(xen.mem(2 * self.most), "H")
        self._pages = 0
        self._held = {}  # domid: how many pages it holds, those of pieces included
        self.counters = array("I", (0,))  # pages of all

    def expect(self, domid):
        """A connection to this domain is about to be made: from now on nothing of it needs memory here."""
        self._held = {each: n for each, n in self._held.items() if n}
        self._held[domid] = self._held.get(domid, 0)

    def page(self, gref, page, domid):
        """A page of the pool whose revocation has failed."""
        n = self._pages
        self.grefs[n] = gref
        self.pages[n] = page
        self.domids[n] = domid
        self._pages = n + 1
        self._count(domid, 1)
        self.filled.set()

    def _count(self, domid, pages):
        self._held[domid] += pages
        self.counters[0] += pages

    def size(self):
        """How many pages are here."""
        return self.counters[0]

    def empty(self):
        return not self.counters[0]

    def room(self, domid, lent):
        """How many pages may still be lent by a link to this domain that has lent so many."""
        if not self.counters[0]:
            return LIMIT - lent
        return min(LIMIT - self._held.get(domid, 0), self.most - self.counters[0]) - lent

    def full(self, domid):
        """True if so much is held that there can be no uplink to this domain."""
        return self.room(domid, 2) < _LEAST

    def retry(self):
        """Take back what can be taken back."""
        still = 0
        for i in range(self._pages):
            gref, page, domid = self.grefs[i], self.pages[i], self.domids[i]
            if xen.revoke(gref):
                self.pool.mark[page] = PAGE  # it may have been written to meanwhile, by whoever held it
                self.pool.give(page)
                self._count(domid, -1)
            else:
                self.grefs[still] = gref
                self.pages[still] = page
                self.domids[still] = domid
                still += 1
        self._pages = still
        super().retry()
