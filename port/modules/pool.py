"""The pages in which packets live between one neighbour's copy and the other's.

A fixed number of pages outside the heap, each known by its number. What may be read by whom:

  mark[page]  octets from the start that may hold something the uplink's domain has not seen. A copy from a client
              raises it; before a page is lent to the uplink, clear() zeroes what lies beyond the packet, up to the
              mark; a page that comes back from the uplink holds only what that domain knows, so its mark is 0.

When the uplink moves to another domain, forget() raises every mark to a whole page.
"""
import xen
from micropython import const

PAGE = const(4096)


@micropython.viper
def _zero(memory: ptr8, start: int, end: int):
    """Clear memory[start:end]. Needs 0 <= start, end within memory; Pool.clear() sees to it."""
    while start < end and start & 3:
        memory[start] = 0
        start += 1
    words = ptr32(memory)
    while start + 4 <= end:
        words[start >> 2] = 0
        start += 4
    while start < end:
        memory[start] = 0
        start += 1


class Pool:
    def __init__(self, pages):
        """pages: how many, at most 65,535. MemoryError."""
        self.pages = pages
        self.memory = xen.mem(pages * PAGE)
        self.octets = memoryview(self.memory)
        self.first_frame = xen.frame(self.memory)
        self.stack = xen.view(xen.mem(2 * pages), "H")  # free pages
        self.free = pages
        self.mark = xen.view(xen.mem(2 * pages), "H")
        for page in range(pages):
            self.stack[page] = page

    def take(self):
        """A free page, or -1."""
        if self.free == 0:
            return -1
        self.free -= 1
        return self.stack[self.free]

    def give(self, page):
        """Back to the free ones. Whoever lent it must have revoked it."""
        self.stack[self.free] = page
        self.free += 1

    def written(self, page, octets):
        """A client's data now fills the page up to here."""
        if octets > self.mark[page]:
            self.mark[page] = octets

    def clear(self, page, octets):
        """Before the page is lent to the uplink: only the first `octets` may be seen, the rest becomes zero."""
        mark = self.mark[page]
        if mark > octets:
            _zero(self.memory, page * PAGE + octets, page * PAGE + mark)
        self.mark[page] = 0

    def forget(self):
        """The uplink is another domain from now on: nothing in here may reach it but packets."""
        for page in range(self.pages):
            self.mark[page] = PAGE

    def frame(self, page):
        """Its guest frame number, for grants and copies."""
        return self.first_frame + page

    def part(self, page, offset, octets):
        """A view of octets of a page."""
        at = page * PAGE + offset
        return self.octets[at : at + octets]
