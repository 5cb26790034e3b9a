"""The rings of one connected client: frames out of its tx ring, frames into its rx ring.

tx: requests are copied once into private memory, judged there (netif.parse), and their data copied by Xen into our
own pages, one operation a slot; then they are answered, whatever becomes of the frames. rx: each part of a frame
goes into one page that the client has posted. What finds no page waits, bounded in number and time.

Everything the client writes is taken for a lie until judged: PeerError ends this link and no other. Whatever fails in
here, for want of memory too, gives back what it has taken: nothing is half done when an exception leaves.

Source: Xen public/io/netif.h; reference behaviour Linux netback.
"""
import xen
from log import Log
from micropython import const
from net import netif
from net.endpoint import Endpoint
from net.frame import HEADERS, Frame
from net.netif import RX_WORDS, TX_WORDS
from net.ring import FIRST, SLOTS, BackRing
from peererror import PeerError

_FIRST_WORD = const(16)  # FIRST // 4
_CHAIN = const(24)  # slots that the longest packet can take which parse() will not refuse
_HELD_PAGES = const(36)  # at most, for a client that posts no buffers: two packets of 18 slots (XSA-392)
_HELD_NS = const(1000000000)
_SENT_MOST = const(128)  # packets of a burst

_log = Log("netback")


class Link(Endpoint):
    """See the module."""

    def __init__(self, name, pool, domid, refs, port, sg, gso, csum):
        """Maps the rings (refs: tx, rx) and binds the client's port. OSError: Xen refuses one of them."""
        super().__init__(name, pool, domid, sg, gso, csum)
        self.requests = xen.view(bytearray(4 * TX_WORDS * SLOTS), "I")  # private copies
        self.held = []  # (until ns, frame): no buffers posted yet
        self.held_pages = 0
        self.sent = xen.view(bytearray(12 * _SENT_MOST), "I")  # first operation, parts, offloads of each
        self.sending = 0  # packets that the running burst copies
        self._copies = None  # it
        self.deaf = False  # the client takes nothing while frames wait for it; told
        self.pages = xen.map(domid, refs)
        try:
            self.see(self.pages, BackRing)
            self.port = xen.evtchn_bind(domid, port)
        except BaseException:
            xen.unmap(self.pages)
            raise

    def close(self):
        """Unmap, unbind, give back what was held. The client may be gone already."""
        for _, frame in self.held:
            frame.release(self.pool)
        self.held.clear()
        self.held_pages = 0
        for n in range(self.sending):
            self._give_sent(n)
        self.sending = 0
        try:
            xen.evtchn_close(self.port)
        finally:
            xen.unmap(self.pages)

    # ---- from the client ----------------------------------------------------------------------

    def receive(self, copies, slots):
        """Frames from the tx ring, in our pages, at least one and about `slots` slots of them; fewer without pages.

        All requests taken are answered. Raises PeerError. What there is no memory for stays in the client's ring.
        """
        waiting = self.tx.waiting()
        if waiting == 0:
            return ()
        packets = ()
        try:
            packets = []
            taken = self._take(min(waiting, slots + _CHAIN), slots, packets, copies)
            copies.run()
        except BaseException as exception:
            self._forget(packets, copies)
            if isinstance(exception, MemoryError):
                return ()
            raise
        return self._give(packets, taken, copies)

    def _take(self, n, slots, packets, copies):
        """Judge requests and order their data: (Packet, Frame or None) each into packets. How many slots that is."""
        self._copy_requests(n)
        first = 0
        pages = min(self.pool.free, copies.room())
        while first < n and first < slots:
            packet = netif.parse(self.requests, first, n)
            if len(packet.fragments) > pages:
                break  # what we have no room for stays in the client's own ring
            pages -= len(packet.fragments)
            frame = None if packet.bad else Frame(packet.blank, packet.validated, packet.gso_size)
            packets.append((packet, frame))
            if frame:
                self._fetch(packet, frame, copies)
            first = packet.end
        return first

    def _give(self, packets, taken, copies):
        """Answer the requests; the list of packets becomes that of the frames that are here whole. Allocates nothing."""
        whole = 0
        for packet, frame in packets:
            if self._answer(packet, frame, copies) and self._level(frame):
                packets[whole] = frame
                whole += 1
            else:
                self.failed += 1
                if frame:
                    frame.release(self.pool)
        while len(packets) > whole:
            packets.pop()
        self.tx.req_cons = (self.tx.req_cons + taken) & 0xFFFFFFFF
        if taken and self.tx.publish():
            xen.evtchn_send(self.port)
        return packets

    def _level(self, frame):
        """Headers in one piece; False without memory for that."""
        try:
            frame.level(self.pool, HEADERS)
            return True
        except MemoryError:
            return False

    def _copy_requests(self, n):
        words = self.tx.words
        for i in range(n):
            at = _FIRST_WORD + ((self.tx.req_cons + i) & (SLOTS - 1)) * TX_WORDS
            to = i * TX_WORDS
            self.requests[to] = words[at]  # one load each: the client may rewrite them at any moment
            self.requests[to + 1] = words[at + 1]
            self.requests[to + 2] = words[at + 2]

    def _forget(self, packets, copies):
        """The ring is over: what stood in front of the lie is not taken either."""
        for _, frame in packets:
            if frame:
                frame.release(self.pool)
        copies.forget()

    def _fetch(self, packet, frame, copies):
        frame.first_copy = copies.count
        page = -1
        try:
            for gref, offset, octets, _ in packet.fragments:
                page = self.pool.take()
                frame.add(page, 0, octets)
                page = -1  # it is the frame's
                part = frame.parts[-1][0]
                copies.in_(self.domid, gref, offset, self.pool.gfn(part), 0, octets)
                self.pool.written(part, octets)
        finally:
            if page >= 0:
                self.pool.give(page)

    def _answer(self, packet, frame, copies):
        """Responses for all slots of the packet; True if its data is here whole."""
        halves = self.tx_halves
        begun = self.tx.rsp_prod
        for slot in range(packet.first, packet.end):
            at = FIRST // 2 + (self.tx.rsp_prod & (SLOTS - 1)) * TX_WORDS * 2
            if packet.first < slot <= packet.first + packet.extras:
                halves[at] = 0
                status = netif.NULL
            else:
                halves[at] = self.requests[slot * TX_WORDS + 2] & 0xFFFF
                status = netif.ERROR if packet.bad else netif.OKAY
            halves[at + 1] = status & 0xFFFF
            self.tx.rsp_prod = (self.tx.rsp_prod + 1) & 0xFFFFFFFF
        if frame is None:
            return False
        whole = True
        for i in range(len(packet.fragments)):
            if not copies.okay(frame.first_copy + i):
                slot = begun + packet.fragments[i][3] - packet.first
                halves[FIRST // 2 + (slot & (SLOTS - 1)) * TX_WORDS * 2 + 1] = netif.ERROR & 0xFFFF
                whole = False
        return whole

    # ---- to the client ------------------------------------------------------------------------

    def send(self, frame, copies):
        """Queue a frame for the burst that copies collects; the link has its pages from now on.

        Without buffers posted it is held for a second, within bounds, or dropped. finish() must follow
        copies.run(). Raises PeerError; whatever it raises, nothing was queued, and the pages stay the caller's.
        """
        if self.held or not self._queue(frame, copies):
            self._hold(frame)

    def _fits(self, frame):
        """Whether the client has posted buffers for it."""
        return self.rx.waiting() >= frame.slots()

    def has_room(self, parts, copies):
        """True if the running burst can take a frame of these parts."""
        return len(parts) <= copies.room() and self.sending < _SENT_MOST

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
                gref = words[_FIRST_WORD + (index & (SLOTS - 1)) * RX_WORDS + 1]
                copies.out(self.pool.gfn(page), offset, self.domid, gref, 0, octets)
                index += 2 if i == 0 and frame.gso_size else 1
        except BaseException:
            copies.forget(first)
            raise
        at = 3 * self.sending
        self.sent[at] = first
        self.sent[at + 1] = len(parts)
        self.sent[at + 2] = (1 if frame.blank else 0) | (2 if frame.validated else 0) | frame.gso_size << 16
        self.sending += 1
        self._copies = copies
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
        return queued

    def _tell(self, what):
        try:
            _log.info("vif %s: %s", self.name, what)
        except MemoryError:
            pass  # the status tells it too

    def finish(self, copies):
        """After copies.run(): tell the client what it received, take the pages back."""
        if not self.sending:
            return
        for n in range(self.sending):
            self._respond(n, copies)
            self._give_sent(n)
        self.sending = 0
        if self.rx.publish():
            xen.evtchn_send(self.port)

    def _give_sent(self, n):
        """The pages of a packet that was copied."""
        for op in range(self.sent[3 * n], self.sent[3 * n] + self.sent[3 * n + 1]):
            self.pool.give(self._copies.source(op) - self.pool.first_gfn)

    def _respond(self, n, copies):
        first, parts, offloads = self.sent[3 * n], self.sent[3 * n + 1], self.sent[3 * n + 2]
        gso_size = offloads >> 16
        failed = False
        for i in range(parts):
            flags = netif.MORE_DATA if i < parts - 1 else 0
            if i == 0:
                if offloads & 1:
                    flags |= netif.RX_CSUM_BLANK | netif.RX_DATA_VALIDATED
                elif offloads & 2:
                    flags |= netif.RX_DATA_VALIDATED
                if gso_size:
                    flags |= netif.EXTRA_INFO
            status = copies.octets(first + i)
            if not copies.okay(first + i):
                status = netif.ERROR
                failed = True
            self._rx_response(0, flags, status)
            if i == 0 and gso_size:
                self._rx_extra(gso_size)
        if failed:
            self.failed += 1

    def _rx_response(self, offset, flags, status):
        """The id is already there: a response stands in the slot of its request."""
        at = FIRST // 2 + (self.rx.rsp_prod & (SLOTS - 1)) * RX_WORDS * 2
        self.rx_halves[at + 1] = offset
        self.rx_halves[at + 2] = flags
        self.rx_halves[at + 3] = status & 0xFFFF
        self.rx.rsp_prod = (self.rx.rsp_prod + 1) & 0xFFFFFFFF

    def _rx_extra(self, gso_size):
        at = FIRST // 2 + (self.rx.rsp_prod & (SLOTS - 1)) * RX_WORDS * 2
        self.rx_halves[at] = netif.EXTRA_GSO  # and flags 0: the only one
        self.rx_halves[at + 1] = gso_size
        self.rx_halves[at + 2] = netif.GSO_TCPV4
        self.rx_halves[at + 3] = 0
        self.rx.rsp_prod = (self.rx.rsp_prod + 1) & 0xFFFFFFFF

    def rearm(self, taking):
        """Before sleep: ask for events; True if there is work already. taking: frames of the client are wanted too."""
        tx = taking and self.tx.rearm()
        # buffers are news only while something waits for more of them: else each one given would wake us
        return bool(self.held) and (self._fits(self.held[0][1]) or self.rx.rearm(self.rx.waiting())) or tx
