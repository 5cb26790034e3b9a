"""The shared rings of a network interface as Xen's headers lay them out, for peers that the test plays.

A Ring is one page of 256 slots, seen from either end; nothing here judges what the other end wrote.

Source: Xen public/io/ring.h, public/io/netif.h.
"""
SLOTS = 256
MASK = 0xFFFFFFFF
REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT = range(4)
FIRST = 64  # octets before slot 0
TX, RX = 12, 8  # octets of a slot

MORE_DATA, EXTRA_INFO = 4, 8
TX_BLANK, TX_VALIDATED = 1, 2
RX_VALIDATED, RX_BLANK = 1, 2
GSO, GSO_TCPV4 = 1, 1
OKAY, ERROR, DROPPED, NULL = 0, -1, -2, 1
PAGE = 4096
ZEROS = bytes(PAGE)


class Ring:
    """octets: the page. slot: TX or RX. own, theirs: words of the counters that this end writes and reads."""

    def __init__(self, octets, slot, front):
        self.words = octets.cast("I")
        self.halves = octets.cast("H")
        self.signed = octets.cast("h")
        self.slot = slot // 2  # halves
        self.own, self.theirs = (REQ_PROD, RSP_PROD) if front else (RSP_PROD, REQ_PROD)
        self.own_event, self.their_event = (RSP_EVENT, REQ_EVENT) if front else (REQ_EVENT, RSP_EVENT)
        self.produced = self.consumed = 0
        if front:
            self.words[REQ_EVENT] = self.words[RSP_EVENT] = 1

    def at(self, counter):
        """Index of a slot's first half word."""
        return FIRST // 2 + counter % SLOTS * self.slot

    def waiting(self):
        return (self.words[self.theirs] - self.consumed) & MASK

    def publish(self, produced=None):
        """Show what was put in; True if the other end wants an event. produced: a counter of the test's own."""
        old = self.words[self.own]
        new = self.words[self.own] = (self.produced if produced is None else produced) & MASK
        return (new - self.words[self.their_event]) & MASK < (new - old) & MASK

    def rearm(self):
        self.words[self.own_event] = (self.consumed + 1) & MASK


def pieces(frame, sizes):
    """What of a frame goes into each slot: so many octets, by sizes (or None), then whole pages. At least one, if empty."""
    parts = []
    for size in sizes or []:
        parts.append(frame[:size])
        frame = frame[size:]
    while frame or not parts:
        parts.append(frame[:PAGE])
        frame = frame[PAGE:]
    return parts


def events(peer):
    """Ports of a domain that had events and were not dealt with: several interfaces share them."""
    if not hasattr(peer, "events"):
        peer.events = set()
    peer.events.update(peer.pending())
    return peer.events
