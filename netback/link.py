"""The rings of one connected client: frames out of its tx ring, frames into its rx ring.

intake.py has the tx ring. rx: each part of a frame goes into one page that the client has posted. What finds no page
waits, bounded in number and time.

Everything the client writes is taken for a lie until judged: PeerError ends this link and no other. Whatever fails in
here, for want of memory too, gives back what it has taken: nothing is half done when an exception leaves.

Source: Xen public/io/netif.h; reference behaviour Linux netback.
"""
from array import array

import xen
from log import Log
from micropython import const
from net import netif
from net.netif import RX_WORDS
from net.ring import BackRing
from net.slots import flags_of, rx_extra, rx_response
from netback.intake import Intake

_FIRST_WORD = const(16)
_LAST = const(255)  # slot of a ring
_HELD_PAGES = const(36)  # at most, for a client that posts no buffers: two packets of 18 slots (XSA-392)
_HELD_NS = const(1000000000)
_SENT_MOST = const(128)  # packets of a burst
SENDING = const(0)  # of a link's counters
HELD = const(1)
DEAF = const(2)

_log = Log("netback")


class BackLink(Intake):
    """See the module."""

    def __init__(self, name, pool, domid, refs, port, sg, gso, csum):
        """Maps the rings (refs: tx, rx) and binds the client's port. OSError: Xen refuses one of them."""
        super().__init__(name, pool, domid, sg, gso, csum)
        self.held = []  # (until ns, frame): no buffers posted yet
        self.counters = array("I", (0, 0, 0))  # packets that the running burst copies; how many are held; deaf
        self.held_pages = 0
        self.sent = array("I", bytes(12 * _SENT_MOST))  # first operation, parts, offloads of each
        self.copies = None  # it
        self.pages = self.port = None  # a place for each: were there none for what Xen has given, it would be lost
        self.pages = xen.map(domid, refs)
        try:
            self.see(self.pages, BackRing)
            self.port = xen.evtchn_bind(domid, port)
        except BaseException:
            xen.unmap(self.pages)
            raise

    @property
    def sending(self):
        """Packets that the running burst copies."""
        return self.counters[SENDING]

    @property
    def deaf(self):
        """The client takes nothing while frames wait for it; told."""
        return self.counters[DEAF] != 0

    @deaf.setter
    def deaf(self, deaf):
        self.counters[DEAF] = deaf

    def close(self):
        """Answer what waits, unmap, unbind, give back what was held. The client may be gone already."""
        try:
            self.dismiss()
        except (MemoryError, OSError):
            pass  # of a ring that makes no sense there is nothing to be said; of a port that is gone neither
        for _, frame in self.held:
            frame.release(self.pool)
        self.held.clear()
        self.held_pages = self.counters[HELD] = 0
        for n in range(self.counters[SENDING]):
            self._give_sent(n)
        self.counters[SENDING] = 0
        try:
            xen.evtchn_close(self.port)
        finally:
            xen.unmap(self.pages)

    # ---- to the client ------------------------------------------------------------------------

    def send(self, frame, copies):
        """Queue a frame for the burst that copies collects; the link has its pages from now on.

        Without buffers posted it is held for a second, within bounds, or dropped. finish() must follow
        copies.run(). Raises PeerError; whatever it raises, nothing was queued, and the pages stay the caller's.
        """
        if self.held or not self._queue(frame, copies):
            self._hold(frame)

    def _fits(self, frame):
        """True if the client has posted buffers for all of the frame."""
        return self.rx.waiting() >= frame.slots()

    def has_room(self, parts, copies):
        """True if the running burst can take a frame of these parts."""
        return len(parts) <= copies.room() and self.counters[SENDING] < _SENT_MOST

    def _queue(self, frame, copies):
        parts = frame.parts
        if not self.has_room(parts, copies) or not self._fits(frame):
            return False
        first = copies.count
        try:
            words = self.rx.words
            index = self.rx.req_cons
            for i in range(len(parts)):
                page, offset, octets = parts[i]
                gref = words[_FIRST_WORD + (index & _LAST) * RX_WORDS + 1]
                copies.out(self.pool.gfn(page), offset, self.domid, gref, 0, octets)
                index += 2 if i == 0 and frame.gso_size else 1
        except BaseException:
            copies.forget(first)
            raise
        at = 3 * self.counters[SENDING]
        self.sent[at] = first
        self.sent[at + 1] = len(parts)
        self.sent[at + 2] = frame.offloads() | frame.gso_size << 16
        self.counters[SENDING] += 1
        self.copies = copies
        self.rx.req_cons = (self.rx.req_cons + frame.slots()) & 0xFFFFFFFF
        frame.parts = ()
        if self.deaf:
            self.deaf = False
            self._tell("takes frames again; %d were dropped for want of its buffers" % self.dropped)
        return True

    def _hold(self, frame):
        pages = len(frame.parts)
        if self.held_pages + pages > min(_HELD_PAGES, self.pool.free // 4):
            self.drop(frame)
            return
        self.held.append((xen.ns() + _HELD_NS, frame))
        self.counters[HELD] += 1
        self.held_pages += pages

    def retry(self, copies):
        """Frames held for want of buffers: queue what now finds room, drop what is too old. True if any was queued."""
        queued = False
        while self.held:
            until, frame = self.held[0]
            pages = len(frame.parts)
            try:
                room = self._queue(frame, copies)
            except MemoryError:
                break
            if room:
                queued = True
            elif xen.ns() > until:
                self.drop(frame)
                if not self.deaf:
                    self.deaf = True
                    self._tell("takes nothing from its rx ring: what comes for it is dropped")
            else:
                break
            self.held_pages -= pages
            self.held.pop(0)
            self.counters[HELD] -= 1
        return queued

    def _tell(self, what):
        try:
            _log.info("vif %s: %s", self.name, what)
        except MemoryError:
            pass  # the status tells it too

    def finish(self, copies):
        """After copies.run(): tell the client what it received, take the pages back."""
        if not self.counters[SENDING]:
            return
        for n in range(self.counters[SENDING]):
            self._respond(n, copies)
            self._give_sent(n)
        self.counters[SENDING] = 0
        if self.rx.publish():
            xen.evtchn_send(self.port)

    def _give_sent(self, n):
        """The pages of a packet that was copied."""
        for op in range(self.sent[3 * n], self.sent[3 * n] + self.sent[3 * n + 1]):
            self.pool.give(self.copies.source(op) - self.pool.first_gfn)

    def _respond(self, n, copies):
        """Responses for a packet's parts, and for its extra info."""
        first, parts, offloads = self.sent[3 * n], self.sent[3 * n + 1], self.sent[3 * n + 2]
        gso_size = offloads >> 16
        words = self.rx.words
        number = self.rx.rsp_prod
        flags = flags_of(offloads, gso_size, netif.RX_CSUM_BLANK, netif.RX_DATA_VALIDATED)
        failed = False
        sent = 0
        for i in range(parts):
            status = copies.octets(first + i)
            sent += status
            if not copies.okay(first + i):
                status = netif.ERROR
                failed = True
            rx_response(words, number, flags | netif.MORE_DATA if i < parts - 1 else flags, status)
            number += 1
            if i == 0 and gso_size:
                rx_extra(words, number, gso_size)
                number += 1
            flags = 0
        self.rx.rsp_prod = number & 0xFFFFFFFF
        if failed:
            self.failed += 1
        else:
            self.to_packets += 1
            self.to_octets += sent

    def rearm(self, taking):
        """Before sleep: ask for events; True if there is work already. taking: frames of the client are wanted too."""
        tx = taking and self.tx.rearm()
        if not self.held:  # buffers are news only while something waits for more of them: else each given would wake us
            return tx
        seen = self.rx.waiting()  # once: what comes behind this look is news
        return seen >= self.held[0][1].slots() or self.rx.rearm(seen) or tx
