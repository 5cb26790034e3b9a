"""The rings of one connected client: frames out of its tx ring, frames into its rx ring.

tx: requests are copied once into private memory, judged there (netif.parse), and their data copied by Xen into our
own pages, one operation a slot; then they are answered, whatever becomes of the frames. rx: each part of a frame
goes into one page that the client has posted. What finds no page waits, bounded in number and time.

Everything the client writes is taken for a lie until judged: PeerError ends this link and no other.

Source: Xen public/io/netif.h; reference behaviour Linux netback.
"""
import xen
import netif
from endpoint import Endpoint
from frame import HEADERS, Frame
from micropython import const
from netif import RX_WORDS, TX_WORDS
from peererror import PeerError
from ring import FIRST, SLOTS, BackRing

_FIRST_WORD = const(16)  # FIRST // 4
_CHAIN = const(24)  # slots that the longest packet can take which parse() will not refuse
_HELD_PAGES = const(36)  # at most, for a client that posts no buffers: two packets of 18 slots (XSA-392)
_HELD_NS = const(1000000000)


class Link(Endpoint):
    """See the module."""

    def __init__(self, name, pool, domid, refs, port, sg, gso, csum):
        """Maps the rings (refs: tx, rx) and binds the client's port. OSError: Xen refuses one of them."""
        super().__init__(name, pool, domid, sg, gso, csum)
        self.requests = xen.view(bytearray(4 * TX_WORDS * SLOTS), "I")  # private copies
        self.held = []  # (until ns, frame): no buffers posted yet
        self.held_pages = 0
        self.sending = []  # (frame, first operation): copied by the running burst
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
        for frame, _ in self.sending:
            frame.release(self.pool)
        self.held = []
        self.sending = []
        xen.evtchn_close(self.port)
        xen.unmap(self.pages)

    # ---- from the client ----------------------------------------------------------------------

    def receive(self, copies, slots):
        """Frames from the tx ring, in our pages, at least one and about `slots` slots of them; fewer without pages.

        All requests taken are answered. Raises PeerError.
        """
        waiting = self.tx.waiting()
        if waiting == 0:
            return ()
        n = min(waiting, slots + _CHAIN)
        self._copy_requests(n)
        packets = []
        first = 0
        pages = min(self.pool.free, copies.room())
        while first < n and first < slots:
            try:
                packet = netif.parse(self.requests, first, n)
            except PeerError:
                self._forget(packets, copies)
                raise
            if len(packet.fragments) > pages:
                break  # what we have no room for stays in the client's own ring
            pages -= len(packet.fragments)
            packets.append((packet, None if packet.bad else self._fetch(packet, copies)))
            first = packet.end
        copies.run()
        frames = []
        for packet, frame in packets:
            if self._answer(packet, frame, copies):
                frame.level(self.pool, HEADERS)
                frames.append(frame)
            elif frame:
                frame.release(self.pool)
        self.tx.req_cons = (self.tx.req_cons + first) & 0xFFFFFFFF
        if first and self.tx.publish():
            xen.evtchn_send(self.port)
        return frames

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

    def _fetch(self, packet, copies):
        frame = Frame(packet.blank, packet.validated, packet.gso_size)
        for gref, offset, octets, _ in packet.fragments:
            page = self.pool.take()
            copies.in_(self.domid, gref, offset, self.pool.frame(page), 0, octets)
            self.pool.written(page, octets)
            frame.add(page, 0, octets)
        frame.first_copy = copies.count - len(packet.fragments)
        return frame

    def _answer(self, packet, frame, copies):
        """Responses for all slots of the packet; True if its data is here whole."""
        failed = set()
        if frame:
            for i in range(len(packet.fragments)):
                if not copies.okay(frame.first_copy + i):
                    failed.add(packet.fragments[i][3])
        for slot in range(packet.first, packet.end):
            at = FIRST // 2 + (self.tx.rsp_prod & (SLOTS - 1)) * TX_WORDS * 2
            if packet.first < slot <= packet.first + packet.extras:
                self.tx_halves[at] = 0
                status = netif.NULL
            else:
                self.tx_halves[at] = self.requests[slot * TX_WORDS + 2] & 0xFFFF
                status = netif.ERROR if packet.bad or slot in failed else netif.OKAY
            self.tx_halves[at + 1] = status & 0xFFFF
            self.tx.rsp_prod = (self.tx.rsp_prod + 1) & 0xFFFFFFFF
        return frame and not failed

    # ---- to the client ------------------------------------------------------------------------

    def send(self, frame, copies):
        """Queue a frame for the burst that copies collects; the link has its pages from now on. Raises PeerError.

        Without buffers posted it is held for a second, within bounds, or dropped. finish() must follow
        copies.run().
        """
        if self.held or not self._queue(frame, copies):
            self._hold(frame)

    def _fits(self, frame):
        """Whether the client has posted buffers for it."""
        return self.rx.waiting() >= frame.slots()

    def _queue(self, frame, copies):
        parts = frame.parts
        if len(parts) > copies.room() or not self._fits(frame):
            return False
        self.sending.append((frame, copies.count))
        words = self.rx.words
        index = self.rx.req_cons
        for i in range(len(parts)):
            page, offset, octets = parts[i]
            gref = words[_FIRST_WORD + (index & (SLOTS - 1)) * RX_WORDS + 1]
            copies.out(self.pool.frame(page), offset, self.domid, gref, 0, octets)
            index += 2 if i == 0 and frame.gso_size else 1
        self.rx.req_cons = (self.rx.req_cons + frame.slots()) & 0xFFFFFFFF
        return True

    def _hold(self, frame):
        pages = len(frame.parts)
        if self.held_pages + pages > min(_HELD_PAGES, self.pool.free // 4):
            self.drop(frame)
            return
        self.held_pages += pages
        self.held.append((xen.ns() + _HELD_NS, frame))

    def retry(self, copies):
        """Frames held for want of buffers: queue what now finds room, drop what is too old. True if any was queued."""
        queued = False
        while self.held:
            until, frame = self.held[0]
            pages = len(frame.parts)
            if self._queue(frame, copies):
                queued = True
            elif xen.ns() > until:
                self.drop(frame)
            else:
                break
            self.held_pages -= pages
            self.held.pop(0)
        return queued

    def finish(self, copies):
        """After copies.run(): tell the client what it received, take the pages back."""
        if not self.sending:
            return
        for frame, first_copy in self.sending:
            self._respond(frame, first_copy, copies)
            frame.release(self.pool)
        self.sending = []
        if self.rx.publish():
            xen.evtchn_send(self.port)

    def _respond(self, frame, first_copy, copies):
        parts = len(frame.parts)
        for i in range(parts):
            flags = netif.MORE_DATA if i < parts - 1 else 0
            if i == 0:
                if frame.blank:
                    flags |= netif.RX_CSUM_BLANK | netif.RX_DATA_VALIDATED
                elif frame.validated:
                    flags |= netif.RX_DATA_VALIDATED
                if frame.gso_size:
                    flags |= netif.EXTRA_INFO
            status = frame.parts[i][2] if copies.okay(first_copy + i) else netif.ERROR
            self._rx_response(0, flags, status)
            if i == 0 and frame.gso_size:
                self._rx_extra(frame.gso_size)

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
