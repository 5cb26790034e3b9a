"""An Ethernet frame in our own pages, on its way from one link to another."""
from micropython import const

HEADERS = const(192)  # octets: Ethernet, IPv4 and TCP with all options, and what an ICMP error quotes
_PAGE = const(4096)


class Frame:
    """Parts in order; each lies within one page of the pool. Who holds the frame holds its pages."""

    def __init__(self, blank, validated, gso_size):
        self.parts = []  # (page, offset, octets)
        self.octets = 0  # of all parts
        self.blank = blank  # the transport checksum is only begun (Xen public/io/netif.h, csum_blank)
        self.validated = validated  # the sender vouches for the data
        self.gso_size = gso_size  # octets of payload in each segment; 0: one packet
        self.sent = False  # handed to a link, which has its pages

    def add(self, page, offset, octets):
        self.parts.append((page, offset, octets))
        self.octets += octets

    def slots(self):
        """How many of a ring it takes: one for each part, and one for the extra info."""
        return len(self.parts) + (1 if self.gso_size else 0)

    def offloads(self):
        """In one number, as a Batch has them: netif.TX_CSUM_BLANK and TX_DATA_VALIDATED."""
        return (1 if self.blank else 0) | (2 if self.validated else 0)

    def release(self, pool):
        """Give all pages back; they must not be lent. Allocates nothing."""
        for page, _, _ in self.parts:
            pool.give(page)
        self.parts = ()

    def trim(self, pool, octets):
        """Cut what lies behind this many octets: padding of the wire."""
        while self.octets - self.parts[-1][2] >= octets and len(self.parts) > 1:
            page, _, have = self.parts.pop()
            pool.give(page)
            self.octets -= have
        excess = self.octets - octets
        if excess > 0:
            page, offset, have = self.parts[-1]
            self.parts[-1] = (page, offset, have - excess)
            self.octets = octets

    def head(self, pool):
        """The first part, as a view: what the judge reads and rewrites."""
        page, offset, octets = self.parts[0]
        return pool.part(page, offset, octets)

    def gather(self, pool):
        """All octets in one bytearray of their own."""
        whole = bytearray(self.octets)
        at = 0
        for page, offset, octets in self.parts:
            whole[at : at + octets] = pool.part(page, offset, octets)
            at += octets
        return whole

    def level(self, pool, octets):
        """Make the first part hold at least this many octets, if the frame has them: headers come in one piece.

        A peer may split them over as many slots as it likes, and begin at any octet of a page. octets: less than half
        a page.
        """
        parts = self.parts
        page, offset, have = parts[0]
        if have >= octets or len(parts) == 1:
            return
        if offset + octets > _PAGE:  # it ends where its page does: from the page's beginning there is room
            pool.part(page, 0, have)[:] = pool.part(page, offset, have)
            offset = 0
        while have < octets and len(parts) > 1:
            next_page, next_offset, next_octets = parts[1]
            moved = min(octets - have, next_octets)
            pool.part(page, offset + have, moved)[:] = pool.part(next_page, next_offset, moved)
            have += moved
            pool.written(page, offset + have)
            if moved == next_octets:
                pool.give(next_page)
                del parts[1]
            else:
                parts[1] = (next_page, next_offset + moved, next_octets - moved)
        parts[0] = (page, offset, have)


def from_octets(pool, octets):
    """A Frame of our own making with these octets, checksums complete; None when the pool is empty. MemoryError."""
    frame = Frame(False, True, 0)
    octets = memoryview(octets)  # its slices are no copies
    at = 0
    try:
        while at < len(octets):
            page = pool.take()
            if page < 0:
                frame.release(pool)
                return None
            n = min(_PAGE, len(octets) - at)
            try:
                pool.part(page, 0, n)[:] = octets[at : at + n]
                pool.written(page, n)
                frame.add(page, 0, n)
            except BaseException:
                pool.give(page)
                raise
            at += n
    except BaseException:
        frame.release(pool)
        raise
    return frame
