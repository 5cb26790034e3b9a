"""Memory granted to another domain that holds it although its right has ended. Asked for again every second.

A page whose revocation failed may be read or written by that domain at any moment; using it for anything would show the
domain what is none of its business, or take what it wrote for something else. So it is kept for as long as the domain
holds it; nobody waits for that. What a domain may hold so has to be bounded (XSA-396, MSA-02), by who lends: see
net/quarantine.py for the netvm's, vchan/memory.py for vchans'.
"""
from array import array
from asyncio import sleep_ms

import xen
from loop import Flag
from micropython import const
from xennumbers import PAGE

_RETRY_MS = const(1000)


class Piece:
    """memory: the pages, zeroed, as a bytearray. refs: their references, 0: not lent."""

    def __init__(self, domid, pages):
        """MemoryError. The pages are lent by lend(), and come back by Held.take_back(), lent or not."""
        self.domid = domid
        self.refs = array("I", bytes(4 * pages))
        self.next = None  # in a Held
        self.memory = None  # there is a place for it, so that what xen.mem() gives is not lost
        self.memory = xen.mem(pages * PAGE)

    def lend(self):
        """Grant all pages to the domain. OSError: the table is full, and some of them are lent."""
        first = xen.gfn(self.memory)
        for page in range(len(self.refs)):
            self.refs[page] = xen.grant(first + page, self.domid, False)

    def lent(self):
        """How many pages have not been revoked."""
        n = 0
        for ref in self.refs:
            if ref:
                n += 1
        return n

    def freed(self):
        """Revoke what can be revoked. True: that was all, and memory is given back; its views are void."""
        refs = self.refs
        for page in range(len(refs)):
            if refs[page] and xen.revoke(refs[page]):
                refs[page] = 0
        if self.lent():
            return False
        xen.free(self.memory)
        return True


class Held:
    """Pieces that their domains have not let go of whole. take_back() allocates nothing."""

    def __init__(self):
        self._first = None  # of the pieces
        self.filled = Flag()  # something was added since it was last waited for

    def take_back(self, piece):
        """Free a piece, now or as soon as its domain lets us."""
        if not piece.freed():
            piece.next = self._first
            self._first = piece
            self._count(piece.domid, len(piece.refs))
            self.filled.set()

    def lent(self):
        """How many pages of pieces their domains still hold."""
        n = 0
        piece = self._first
        while piece:
            n += piece.lent()
            piece = piece.next
        return n

    def retry(self):
        """Take back what can be taken back."""
        piece, self._first = self._first, None
        while piece:
            following = piece.next
            self._count(piece.domid, -len(piece.refs))
            self.take_back(piece)
            piece = following

    async def run(self, after=None):
        """For the supervisor, as a SERVICE: retry() every second while anything is held. after: called each time."""
        while True:
            if self.empty():
                await self.filled.wait()
            await sleep_ms(_RETRY_MS)
            self.retry()
            if after:
                after()

    def empty(self):
        return self._first is None

    def _count(self, domid, pages):
        """So many pages more are held by this domain."""
