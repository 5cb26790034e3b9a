"""Pages that one ring has lent to the netvm, by the id of their request."""
from array import array

import micropython
import xen
from micropython import const
from net.netif import NO_PAGE
from net.ring import SLOTS

_SLOTS = const(256)
_NOBODY = const(0xFFFF)


class Lent:
    """page: the pool's number of each page, NO_PAGE: nothing is lent under this id. count: how many are lent.

    What the netvm says of a request is only its id; page and reference are those that stand here.
    """

    def __init__(self, pool, quarantine, domid):
        self.pool = pool
        self.quarantine = quarantine
        self.domid = domid
        self.page = array("H", b"\xff" * (2 * SLOTS))
        self.gref = array("I", bytes(4 * SLOTS))
        self.number = array("I", bytes(4 * SLOTS))  # of the request, as the ring counts
        self.counters = array("I", (0,))  # what count says

    @property
    def count(self):
        return self.counters[0]

    def has(self, id):
        """True if a page is lent under this id, which may be anything the netvm says."""
        return id < SLOTS and self.page[id] != NO_PAGE

    def lend(self, id, page, gref, number):
        """The page was granted for this request."""
        self.page[id] = page
        self.gref[id] = gref
        self.number[id] = number
        self.counters[0] += 1

    def revoke(self, id):
        """End a request that was answered. Its page, ours again; -1: the netvm still holds it, and quarantine has it."""
        page = self.page[id]
        self.page[id] = NO_PAGE
        self.counters[0] -= 1
        gref = self.gref[id]
        if xen.revoke(gref):
            return page
        self.quarantine.page(gref, page, self.domid)
        return -1

    def free(self, id):
        """revoke(), and give the page back to the pool. False: the netvm still holds it."""
        page = self.revoke(id)
        if page < 0:
            return False
        self.pool.give(page)
        return True

    def free_all(self):
        """The connection has ended."""
        for id in range(SLOTS):
            if self.page[id] != NO_PAGE:
                self.free(id)

    def oldest(self, number):
        """The id of the request that was made first, of those still lent; number: of the next one. -1: nothing is lent."""
        return _oldest(self.page, self.number, number) if self.counters[0] else -1


@micropython.viper
def _oldest(page: ptr16, numbers: ptr32, number: int) -> int:  # noqa: F821  (viper's own)
    found = 0 - 1
    most = 0
    for id in range(_SLOTS):
        if page[id] != _NOBODY:
            age = number - numbers[id] & 0xFFFFFFFF
            if age > most:
                most = age
                found = id
    return found
