"""The pages in which packets live between one neighbour's copy and the other's.

A fixed number of pages outside the heap, each known by its number. The netvm sees whole pages, so nothing but the
packet may be in one that it is lent, not even what it has seen before: with a client's address in it (XSA-403).

  mark[page]  from here on the page is zero. Who writes into it raises the mark by written(); before the page is
              lent, clear() zeroes all below the mark but the packet.

The netvm itself may write anywhere into a page lent for receiving; that it reads again, or nobody. When the uplink
moves to another domain, forget() raises every mark to a whole page.
"""
from array import array

import xen
from micropython import const

_PAGE = const(4096)


class Pool:
    def __init__(self, pages):
        """pages: how many, at most 65,535. MemoryError."""
        self.pages = pages
        self.memory = xen.mem(pages * _PAGE)
        self.octets = memoryview(self.memory)
        self.first_gfn = xen.gfn(self.memory)
        self.stack = xen.view(xen.mem(2 * pages), "H")  # free pages
        self.counters = array("I", (pages,))  # how many of them there are
        self.mark = xen.view(xen.mem(2 * pages), "H")
        self.stack[:] = array("H", range(pages))

    @property
    def free(self):
        """How many pages are free."""
        return self.counters[0]

    def take(self):
        """A free page, or -1."""
        counters = self.counters
        if counters[0] == 0:
            return -1
        counters[0] -= 1
        return self.stack[counters[0]]

    def give(self, page):
        """Back to the free ones. Whoever lent it must have revoked it."""
        counters = self.counters
        self.stack[counters[0]] = page
        counters[0] += 1

    def written(self, page, octets):
        """The page holds something up to here."""
        if octets > self.mark[page]:
            self.mark[page] = octets

    def clear(self, page, start, end):
        """Before the page is lent to the netvm: only octets from start to end may be seen, the rest becomes zero."""
        at = page * _PAGE
        mark = self.mark[page]
        if start:
            xen.zero(self.memory, at, min(start, mark))
        if mark > end:
            xen.zero(self.memory, at + end, mark - end)
        self.mark[page] = end

    def forget(self):
        """The uplink is another domain from now on: nothing in here may reach it but packets."""
        for page in range(self.pages):
            self.mark[page] = _PAGE

    def gfn(self, page):
        """Its guest frame number, for grants and copies."""
        return self.first_gfn + page

    def part(self, page, offset, octets):
        """A view of octets of a page."""
        at = page * _PAGE + offset
        return self.octets[at : at + octets]
