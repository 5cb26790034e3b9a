"""The memory of a vchan as one side sees it: the control page and a ring of octets each way.

    "left"  carries client -> server          "right"  carries server -> client

    offset  octets
         0       4  left.cons    free-running; the server advances it
         4       4  left.prod    the client
         8       4  right.cons   the client
        12       4  right.prod   the server
        16       2  left order   log2 of the ring's octets
        18       2  right order
        20       1  client's life: 0 gone, 1 connected, 2 not yet
        21       1  server's life: 0 gone, 1 connected
        22       1  what the client is asked to send an event for: WRITE, READ
        23       1  the same for the server
        24     4*n  grants of the left ring's pages, then of the right one's
      1024    1024  the ring of order 10, if there is one
      2048    2048  the ring of order 11, if there is one

All of it is the peer's too, at any moment. So of the indices only the peer's two are ever read, once for each
decision; our own are kept here and published. Lengths of the rings are those of set-up, whatever the page says later.

Source: Xen public/io/libxenvchan.h, tools/libs/vchan/io.c.
"""
import xen
from micropython import const
from peererror import PeerError

WRITE = const(1)  # "when you have written"
READ = const(2)  # "when you have read"
ABSENT = const(0)
CONNECTED = const(1)
AWAITED = const(2)

GRANTS = const(6)  # first of them, in 32-bit words
_LEFT_ORDER = const(8)  # in 16-bit words
_RIGHT_ORDER = const(9)
_CLIENT_LIFE = const(20)
_SERVER_LIFE = const(21)
_CLIENT_NOTIFY = const(22)
_SERVER_NOTIFY = const(23)
_SMALLEST = const(10)  # order of the smaller ring that fits into the control page
_OWN_PAGES = const(12)  # from this order on a ring has pages of its own
LARGEST = const(18)  # 64 pages, what one mapping takes; the protocol has 20, Qubes uses 16 at most
_MASK = const(0xFFFFFFFF)


def pages(order):
    """How many pages of its own a ring has."""
    return 1 << order - _OWN_PAGES if order >= _OWN_PAGES else 0


def order_for(octets):
    """Order of the smallest ring of whole pages that holds so many octets. ValueError: more than we share."""
    for order in range(_OWN_PAGES, LARGEST + 1):
        if octets <= 1 << order:
            return order
    raise ValueError("ring of more than %d octets" % (1 << LARGEST))


def orders(page, largest=LARGEST):
    """(left, right) as a server wrote them, judged: they are never read again. PeerError."""
    halves = xen.view(page, "H")
    left, right = halves[_LEFT_ORDER], halves[_RIGHT_ORDER]
    for order in (left, right):
        if not _SMALLEST <= order <= largest:
            raise PeerError("vchan ring of order %d" % order)
    if left == right < _OWN_PAGES:
        raise PeerError("both vchan rings of order %d in one page" % left)
    return left, right


def set_orders(page, left, right):
    halves = xen.view(page, "H")
    halves[_LEFT_ORDER] = left
    halves[_RIGHT_ORDER] = right


def ring(page, own, order):
    """The octets of a ring: all of own, its pages, or the part of the control page for a small one."""
    if order >= _OWN_PAGES:
        return memoryview(own)
    return memoryview(page)[1 << order : 2 << order]


class Side:
    """Our end of both rings. server: which end that is. left, right: memoryviews of 2**order octets."""

    def __init__(self, page, left, right, server):
        self.page = page
        self.words = xen.view(page, "I")
        if server:
            self.incoming, self.outgoing = left, right
            self.in_cons, self.in_prod, self.out_cons, self.out_prod = 0, 1, 2, 3
            self.life, self.peer_life = _SERVER_LIFE, _CLIENT_LIFE
            self.notify, self.peer_notify = _SERVER_NOTIFY, _CLIENT_NOTIFY
        else:
            self.incoming, self.outgoing = right, left
            self.in_cons, self.in_prod, self.out_cons, self.out_prod = 2, 3, 0, 1
            self.life, self.peer_life = _CLIENT_LIFE, _SERVER_LIFE
            self.notify, self.peer_notify = _CLIENT_NOTIFY, _SERVER_NOTIFY
        self.taken = self.words[self.in_cons]  # ours from now on; 0 in a page of the usual server
        self.given = self.words[self.out_prod]

    def enter(self):
        """We are there, and want an event for the peer's first octet."""
        xen.mb()  # all else in the page comes first
        self.page[self.life] = CONNECTED
        self.arm(True, False)

    def leave(self):
        self.page[self.life] = ABSENT
        xen.mb()

    def peer(self):
        """ABSENT, AWAITED, or anything else: connected."""
        return self.page[self.peer_life]

    def await_peer(self):
        """The client is to come: its octet says so until it does."""
        self.page[self.peer_life] = AWAITED

    def ready(self):
        """Octets that the peer says can be read. PeerError: more than the ring has."""
        n = (self.words[self.in_prod] - self.taken) & _MASK
        if n > len(self.incoming):
            raise PeerError("vchan: %d octets in a ring of %d" % (n, len(self.incoming)))
        return n

    def room(self):
        """Octets that the peer leaves room for. PeerError: it took what we never gave."""
        used = (self.given - self.words[self.out_cons]) & _MASK
        if used > len(self.outgoing):
            raise PeerError("vchan: peer took %d octets too many" % (_MASK + 1 - used))
        return len(self.outgoing) - used

    def take(self, n):
        """n octets, as bytes, where n is not above what ready() has said; True if the peer wants an event for it."""
        size = len(self.incoming)
        at = self.taken & size - 1
        xen.mb()  # the index before the octets
        got = bytes(self.incoming[at : min(at + n, size)])
        if len(got) < n:
            got += bytes(self.incoming[: n - len(got)])
        xen.mb()  # they are copied before the peer may overwrite them
        self.taken = self.taken + n & _MASK
        self.words[self.in_cons] = self.taken
        return got, self._asked(READ)

    def put(self, octets, start, n):
        """Write n of octets[start:], where n is not above what room() has said; True if the peer wants an event."""
        size = len(self.outgoing)
        at = self.given & size - 1
        first = min(n, size - at)  # up to the ring's end, the rest at its start
        xen.mb()  # the peer's index before the octets
        self.outgoing[at : at + first] = octets[start : start + first]
        if n > first:
            self.outgoing[: n - first] = octets[start + first : start + n]
        xen.mb()  # the octets before the index
        self.given = self.given + n & _MASK
        self.words[self.out_prod] = self.given
        return self._asked(WRITE)

    def arm(self, reading, writing):
        """Ask for an event at the peer's next write, or read. Look again after this, before sleeping."""
        bits = (WRITE if reading else 0) | (READ if writing else 0)
        xen.or8(self.page, self.peer_notify, bits)
        xen.mb()

    def _asked(self, bit):
        """Whether the peer wants to hear of what was just done; it asks again if it wants to hear of the next."""
        xen.mb()  # the index before the flags
        return xen.and8(self.page, self.notify, 0xFF & ~bit) & bit != 0
