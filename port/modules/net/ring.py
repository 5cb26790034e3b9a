"""The two ends of a shared ring of 256 slots: who may publish what, who is told when.

A ring is one page: four counters, then slots that hold requests and, in the same place, their responses. Counters
run freely modulo 2^32; a slot's number is its counter modulo 256. The peer may change any word of the page at any
moment: each counter is loaded once, judged, and never used as an index of more than 8 bits.

Who is notified: the other side publishes the counter value at which it wants to be told. publish() compares
after a full fence, rearm() sets our own and looks again after a full fence; leaving out either loses wake-ups.

Source: Xen public/io/ring.h (RING_PUSH_*_AND_CHECK_NOTIFY, RING_FINAL_CHECK_FOR_*).
"""
from array import array

import xen
from micropython import const
from peererror import PeerError

SLOTS = const(256)
FIRST = const(64)  # octets before slot 0

_REQ_PROD = const(0)  # word; written by the frontend
_REQ_EVENT = const(1)  # by the backend
_RSP_PROD = const(2)  # by the backend
_RSP_EVENT = const(3)  # by the frontend
_MASK = const(0xFFFFFFFF)

PROD = const(0)  # word of a ring's own counters: what we produce
PUBLISHED = const(1)  # the same, as the far side was last told
CONS = const(2)  # what we consume


def _counter(word):
    """The attribute that is this word of an object's counters, which machine code reads and writes as well."""

    def get(self):
        return self.counters[word]

    def set(self, value):
        self.counters[word] = value

    return property(get, set)


class BackRing:
    """The backend's end: takes requests, gives responses."""

    rsp_prod, published, req_cons = _counter(PROD), _counter(PUBLISHED), _counter(CONS)

    def __init__(self, page, name):
        """page: the mapped ring; name: for what a PeerError says. Starts where an earlier backend stopped."""
        self.words = xen.view(page, "I")
        self.name = name
        begin = self.words[_RSP_PROD]
        self.counters = array("I", (begin, begin, begin))

    def waiting(self):
        """How many requests can be taken. PeerError: the frontend claims more than a ring holds."""
        counters = self.counters
        n = (self.words[_REQ_PROD] - counters[CONS]) & _MASK
        unanswered = (counters[CONS] - counters[PROD]) & _MASK
        if n > SLOTS - unanswered:
            raise PeerError("%s request producer %d ahead" % (self.name, n + unanswered))
        return n

    def publish(self):
        """Show all responses up to rsp_prod to the frontend; True if it wants to be notified."""
        words = self.words
        counters = self.counters
        old = counters[PUBLISHED]
        new = counters[PUBLISHED] = counters[PROD]
        words[_RSP_PROD] = new
        xen.mb()
        return (new - words[_RSP_EVENT]) & _MASK < (new - old) & _MASK

    def rearm(self, seen=0):
        """Ask to be notified of the next request after `seen` that wait; True if one has come meanwhile."""
        self.words[_REQ_EVENT] = (self.req_cons + seen + 1) & _MASK
        xen.mb()
        return self.waiting() > seen


class FrontRing:
    """The frontend's end: gives requests, takes responses. The page is ours, zeroed, and granted to the backend."""

    req_prod, published, rsp_cons = _counter(PROD), _counter(PUBLISHED), _counter(CONS)

    def __init__(self, page, name):
        self.words = xen.view(page, "I")
        self.name = name
        self.counters = array("I", (0, 0, 0))
        self.words[_REQ_EVENT] = 1
        self.words[_RSP_EVENT] = 1

    def room(self):
        """How many requests can be added before the ring is full."""
        counters = self.counters
        return SLOTS - ((counters[PROD] - counters[CONS]) & _MASK)

    def waiting(self):
        """How many responses can be taken. PeerError: the backend answers what was not asked."""
        counters = self.counters
        n = (self.words[_RSP_PROD] - counters[CONS]) & _MASK
        if n > (counters[PUBLISHED] - counters[CONS]) & _MASK:
            raise PeerError("%s response producer %d ahead" % (self.name, n))
        return n

    def publish(self):
        """Show all requests up to req_prod to the backend; True if it wants to be notified."""
        words = self.words
        counters = self.counters
        old = counters[PUBLISHED]
        new = counters[PUBLISHED] = counters[PROD]
        words[_REQ_PROD] = new
        xen.mb()
        return (new - words[_REQ_EVENT]) & _MASK < (new - old) & _MASK

    def rearm(self):
        """Ask to be notified of the next response; True if one has come meanwhile."""
        self.words[_RSP_EVENT] = (self.rsp_cons + 1) & _MASK
        xen.mb()
        return self.waiting() > 0
