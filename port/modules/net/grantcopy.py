"""A burst of copies between our pages and peers' granted pages: one hypercall for all of them.

Build with in_() and out(), run() once, then look at every status: a peer can make any single one fail.

The bounce buffer is for machine code (firewall/fast/): Xen looks a page of ours up once for all operations on it that
follow one another, so small packets lie side by side in there while they are copied. It is lent to nobody.

Source: Xen public/grant_table.h, struct gnttab_copy (40 octets) and GNTTABOP_copy.
"""
import struct
from array import array

import xen
from micropython import const

_OP = const(40)
_SELF = const(0x7FF0)
_SOURCE_GREF = const(1)
_DEST_GREF = const(2)
_STATUS = const(36)  # octet offset in an operation
_SOURCE = const(3)  # word
_PAGE = const(4096)
# source gref or gfn, domain, offset, pad; destination likewise; length, flags, status, pad; in the first pad, which
# is ours, once more the page's gfn, as the source may be its copy in the bounce buffer
_LAYOUT = "<QHHIQHHIHHhH"
_POISON = const(-1)  # a status that Xen never reached
BOUNCE = const(256)  # octets of an operation in the bounce buffer
_BOUNCED = const(128)  # operations that have any, at most


class Copies:
    def __init__(self, most):
        """most: operations in one burst."""
        self.most = most
        self.ops = xen.mem(most * _OP)
        self.words = xen.view(self.ops, "I")
        self.counters = array("I", (0,))  # what count says
        pages = min(most, _BOUNCED) * BOUNCE // _PAGE
        self.bounced = pages * _PAGE // BOUNCE
        self.bounce = xen.mem(pages * _PAGE)

    @property
    def count(self):
        """How many operations there are."""
        return self.counters[0]

    def room(self):
        """How many more operations fit."""
        return self.most - self.counters[0]

    def in_(self, domid, gref, offset, gfn, at, octets):
        """From the peer's page to octet `at` of our page. Returns the operation's number."""
        return self._add(gref, domid, offset, 0, gfn, _SELF, at, octets, _SOURCE_GREF)

    def out(self, gfn, at, domid, gref, offset, octets):
        """From octet `at` of our page to the peer's page. Returns the operation's number."""
        return self._add(gfn, _SELF, at, gfn, gref, domid, offset, octets, _DEST_GREF)

    def _add(self, source, source_domid, source_at, page, dest, dest_domid, dest_at, octets, flags):
        n = self.counters[0]
        struct.pack_into(
            _LAYOUT, self.ops, n * _OP,
            source, source_domid, source_at, page, dest, dest_domid, dest_at, 0, octets, flags, _POISON, 0,
        )
        self.counters[0] = n + 1
        return n

    def run(self):
        """Do all of them; statuses can be asked afterwards, until the next in_() or out()."""
        if self.counters[0]:
            xen.copy(self.ops, self.counters[0])
        self.counters[0] = 0

    def forget(self, first=0):
        """Do none of them, from number `first` on."""
        self.counters[0] = first

    def source(self, n):
        """The gfn of the page that operation n, one of out(), copies from."""
        return self.words[10 * n + _SOURCE]

    def octets(self, n):
        """How many octets operation n copies."""
        return self.words[10 * n + 8] & 0xFFFF

    def okay(self, n):
        """True if operation n of the last run() succeeded."""
        at = n * _OP + _STATUS
        return self.ops[at] == 0 and self.ops[at + 1] == 0
