"""The rings of one connection to the netvm: frames into tx, frames out of rx.

Every page the netvm can see was cleared of what it must not see (pool.clear), is lent for one use, and is ours
again only when the revocation succeeded; until then it is in quarantine. Page and grant of a request are found by
its id, which is the number of a free entry of ours, never by what the netvm says otherwise.

Raises PeerError when the netvm breaks the protocol: this connection is over, clients live on without an uplink.

Source: Xen public/io/netif.h; reference behaviour Linux netfront.
"""
import xen
from micropython import const
from net import netif
from net.endpoint import Endpoint
from net.frame import HEADERS, Frame
from net.netif import RX_WORDS, TX_WORDS
from net.quarantine import TX_RESERVE, Rings
from net.ring import SLOTS, FrontRing
from netfront.backlog import LONGEST, Backlog
from peererror import PeerError
from xennumbers import PAGE

_PAGE = const(4096)
_FIRST_HALF = const(32)
_NOBODY = const(0xFFFF)
_POSTED = const(32)  # pages lent in one pass: a new netvm is due 256, and each has to be cleared whole first
_PARTS = const(32)  # more than any frame has
_COMPLETED = const(64)  # slots taken back in a pass: 256 would take a millisecond of it


class _Lent:
    """Pages lent under the 256 ids of one ring, in flat arrays. page: NOBODY if there is none; number: of the request,
    as the ring counts them."""

    def __init__(self):
        self.page = xen.view(bytearray(b"\xff\xff" * SLOTS), "H")
        self.gref = xen.view(bytearray(4 * SLOTS), "I")
        self.number = xen.view(bytearray(4 * SLOTS), "I")

    def has(self, id):
        """True if a page is lent under this id, which may be anything the netvm says."""
        return id < SLOTS and self.page[id] != _NOBODY

    def forget(self, id):
        page = self.page[id]
        self.page[id] = _NOBODY
        return page


class Link(Endpoint):
    """See the module. lent: how many pages the netvm has from us; with those in quarantine they are at most LIMIT."""

    def __init__(self, name, pool, quarantine, domid, terms):
        """Allocates and grants two rings and a port for the backend's domain, or one for each: terms.Terms say.

        OSError, MemoryError: nothing is kept. The netvm sees nothing in the rings before flush().
        """
        super().__init__(name, pool, domid, terms.sg, terms.gso, terms.csum)
        self.quarantine = quarantine
        self.backlog = Backlog()
        self.tx_lent = _Lent()
        self.rx_lent = _Lent()
        self.lent = 0
        self.tx_ids = bytearray(range(SLOTS))  # the first tx_free are free
        self.tx_free = SLOTS
        self._granted = [0] * _PARTS
        self._rings = Rings(domid)
        self.refs = self._rings.refs
        self.ports = []  # tx, rx; or one for both
        quarantine.expect(domid)
        try:
            for _ in range(2 if terms.split else 1):
                self.ports.append(xen.evtchn_alloc(domid))  # first: the domain may have died
            self._lay()
        except BaseException:
            self._release()
            raise

    def _lay(self):
        self._rings.memory = memory = xen.mem(2 * PAGE)
        self.see(memory, FrontRing)
        first = xen.gfn(memory)
        for page in range(2):
            self.refs[page] = xen.grant(first + page, self.domid, False)

    def _release(self):
        for port in self.ports:
            xen.evtchn_close(port)
        if self._rings.memory:
            self.quarantine.ring(self._rings)

    def close(self):
        """End the connection: its ports are closed, every page goes back to the pool or into quarantine."""
        while self.backlog.frames:
            self.backlog.pop().release(self.pool)
        self._take_all_back(self.tx_lent)
        self._take_all_back(self.rx_lent)
        self._release()

    def _take_all_back(self, lent):
        for id in range(SLOTS):
            if lent.has(id):
                self._take_back(lent, id)

    def _take_back(self, lent, id):
        """Revoke and free the page of a request that has ended; False if the netvm still holds it."""
        gref = lent.gref[id]
        page = lent.forget(id)
        self.lent -= 1
        if xen.revoke(gref):
            self.pool.give(page)
            return True
        self.quarantine.page(gref, page, self.domid)
        return False

    # ---- to the netvm -------------------------------------------------------------------------

    def busy(self, now):
        """Whether clients are to keep what they have, as there is no room for more. now: ms. See backlog.py."""
        busy = self.backlog.busy(self._room(LONGEST, LONGEST), self.tx.rsp_cons, now)
        if self.backlog.stalled:
            while self.backlog.frames:
                self.drop(self.backlog.pop())
        return busy

    def _room(self, slots, parts):
        return self.tx.room() >= slots and self.tx_free >= parts and self.quarantine.room(self.domid, self.lent) >= parts

    def _fits(self, frame):
        return self._room(frame.slots(), len(frame.parts))

    def send(self, frame):
        """Queue a frame; the link has its pages from now on, unless this raises: MemoryError.

        Without room it waits; what is too much is dropped.
        """
        if not self.backlog.frames and not self.backlog.stalled and self._fits(frame):
            self._queue(frame)
        elif not self.backlog.keep(frame):
            self.drop(frame)

    def _queue(self, frame):
        """There is room for it. Should Xen grant no more pages it is dropped."""
        parts = frame.parts
        n = len(parts)
        if not self._grant(parts, n):
            self.drop(frame)
            return
        for i in range(n):
            page, offset, octets = parts[i]
            flags = netif.MORE_DATA if i < n - 1 else 0
            size = octets
            if i == 0:
                size = frame.octets  # the first request tells the size of all
                if frame.blank:
                    flags |= netif.TX_CSUM_BLANK | netif.TX_DATA_VALIDATED
                elif frame.validated:
                    flags |= netif.TX_DATA_VALIDATED
                if frame.gso_size:
                    flags |= netif.EXTRA_INFO
            self._request(page, self._granted[i], offset, flags, size)
            if i == 0 and frame.gso_size:
                self._extra(frame.gso_size)
        frame.parts = ()

    def _grant(self, parts, n):
        """Lend the pages of all parts, or none of them; whether they are lent. Allocates nothing."""
        for i in range(n):
            page, offset, octets = parts[i]
            self.pool.clear(page, offset, offset + octets)
            try:
                self._granted[i] = xen.grant(self.pool.gfn(page), self.domid, True)
            except (OSError, MemoryError):
                while i:
                    i -= 1
                    if not xen.revoke(self._granted[i]):  # nobody was told of it, but a reference can be guessed
                        self.quarantine.page(self._granted[i], parts[i][0], self.domid)
                        del parts[i]
                return False
        return True

    def _request(self, page, gref, offset, flags, size):
        self.tx_free -= 1
        id = self.tx_ids[self.tx_free]
        lent = self.tx_lent
        number = self.tx.req_prod
        lent.page[id] = page
        lent.gref[id] = gref
        lent.number[id] = number
        self.lent += 1
        at = _FIRST_HALF + (number & (SLOTS - 1)) * TX_WORDS * 2
        halves = self.tx_halves
        halves[at] = gref & 0xFFFF
        halves[at + 1] = gref >> 16
        halves[at + 2] = offset
        halves[at + 3] = flags
        halves[at + 4] = id
        halves[at + 5] = size
        self.tx.req_prod = (number + 1) & 0xFFFFFFFF

    def _extra(self, gso_size):
        at = _FIRST_HALF + (self.tx.req_prod & (SLOTS - 1)) * TX_WORDS * 2
        halves = self.tx_halves
        halves[at] = netif.EXTRA_GSO
        halves[at + 1] = gso_size
        halves[at + 2] = netif.GSO_TCPV4
        halves[at + 3] = halves[at + 4] = halves[at + 5] = 0
        self.tx.req_prod = (self.tx.req_prod + 1) & 0xFFFFFFFF

    def complete(self):
        """Take back the pages of frames that the netvm has sent, of some slots. True if there were any. Raises PeerError."""
        n = min(self.tx.waiting(), _COMPLETED)
        for _ in range(n):
            at = _FIRST_HALF + (self.tx.rsp_cons & (SLOTS - 1)) * TX_WORDS * 2
            id = self.tx_halves[at]
            status = self.tx_halves[at + 1]
            self.tx.rsp_cons = (self.tx.rsp_cons + 1) & 0xFFFFFFFF
            if status == netif.NULL:
                continue  # answers an extra info
            if not self.tx_lent.has(id):
                raise PeerError("tx response with id %d, which is not in flight" % id)
            if not self._take_back(self.tx_lent, id):
                raise PeerError("tx page still held after its response")
            if status & 0x8000:
                self.failed += 1
            self.tx_ids[self.tx_free] = id
            self.tx_free += 1
        self.refill()
        return n > 0

    def refill(self):
        """Queue what waits for room, as far as there is some."""
        while self.backlog.frames and self._fits(self.backlog.frames[0]):
            self._queue(self.backlog.pop())

    def in_flight(self):
        """How many pages the netvm has of frames to send."""
        return SLOTS - self.tx_free

    def oldest(self):
        """The id of the tx request that has gone unanswered for the longest, -1: there is none. Looks at all ids."""
        found = -1
        if self.tx_free < SLOTS:
            most = 0
            lent = self.tx_lent
            for id in range(SLOTS):
                if lent.has(id):
                    age = (self.tx.req_prod - lent.number[id]) & 0xFFFFFFFF
                    if age > most:
                        most = age
                        found = id
        return found

    def unanswered(self, id, number):
        """Whether that is so of this request still."""
        return self.tx_lent.has(id) and self.tx_lent.number[id] == number

    # ---- from the netvm -----------------------------------------------------------------------

    def post(self):
        """Lend pages for what the netvm receives, as many as there is room and pages for; True: more than one pass's are due."""
        left = _POSTED
        while self.rx.room() and self.pool.free and self.quarantine.room(self.domid, self.lent) > TX_RESERVE:
            id = self.rx.req_prod & (SLOTS - 1)
            if self.rx_lent.has(id):
                break
            if not left:
                return True
            left -= 1
            page = self.pool.take()
            self.pool.clear(page, 0, 0)
            try:
                gref = xen.grant(self.pool.gfn(page), self.domid, False)
            except (OSError, MemoryError):
                self.pool.give(page)
                break
            self.rx_lent.page[id] = page
            self.rx_lent.gref[id] = gref
            self.lent += 1
            at = _FIRST_HALF + id * RX_WORDS * 2
            self.rx_halves[at] = id
            self.rx_halves[at + 1] = 0
            self.rx_halves[at + 2] = gref & 0xFFFF
            self.rx_halves[at + 3] = gref >> 16
            self.rx.req_prod = (self.rx.req_prod + 1) & 0xFFFFFFFF
        return False

    def receive(self, slots):
        """Whole frames from the rx ring, at least one and about `slots` responses of them. Raises PeerError.

        Without memory there are fewer; what was begun is lost then, and counted.
        """
        frames = []
        frame = None
        waiting = self.rx.waiting()
        taken = 0
        try:
            while taken < waiting and taken < slots:
                frame = Frame(False, False, 0)
                taken += self._packet(frame, waiting - taken)
                if frame.octets:  # one that is too short the judge counts
                    frame.level(self.pool, HEADERS)
                    frames.append(frame)
                else:
                    self.failed += 1
                frame = None
        except MemoryError:
            if frame:
                self.failed += 1
                frame.release(self.pool)
        except PeerError:
            frame.release(self.pool)
            for frame in frames:
                frame.release(self.pool)
            raise
        return frames

    def _packet(self, frame, limit):
        """One packet of at most `limit` responses into frame; returns how many it had. A bad one leaves it empty."""
        halves = self.rx_halves
        failed = False
        count = parts = 0
        flags = netif.MORE_DATA
        while flags & netif.MORE_DATA:
            if count == limit or parts > netif.SLOTS_MAX:
                raise PeerError("rx packet unfinished after %d slots" % count)
            at = self._response_at()
            id = halves[at]  # one load each
            offset = halves[at + 1]
            flags = halves[at + 2]
            status = halves[at + 3]
            page = self._take_posted(id)
            count += 1
            parts += 1
            if status & 0x8000:
                failed = True
                status = 0
            if offset + status > _PAGE:
                self.pool.give(page)
                raise PeerError("rx response crosses a page: offset %d, %d octets" % (offset, status))
            if not status or not self._add(frame, page, offset, status):
                self.pool.give(page)
                failed = failed or status > 0
            if parts == 1:
                frame.blank = flags & netif.RX_CSUM_BLANK != 0
                frame.validated = flags & netif.RX_DATA_VALIDATED != 0
                if flags & netif.EXTRA_INFO:
                    count += self._extras(frame, limit - count)
        if failed:
            frame.release(self.pool)
            frame.octets = 0
        return count

    def _add(self, frame, page, offset, octets):
        """Make it a part of the frame. False: there is no memory for that; the rest of the packet is taken all the same."""
        self.pool.written(page, offset + octets)
        try:
            frame.add(page, offset, octets)
        except MemoryError:
            return False
        return True

    def _extras(self, frame, limit):
        count = 0
        more = True
        while more:
            if count == limit:
                raise PeerError("rx extra info missing")
            at = self._response_at()
            word = self.rx_halves[at]
            size = self.rx_halves[at + 1]
            kind = self.rx_halves[at + 2]
            self.pool.give(self._take_posted(self.rx.rsp_cons - 1 & (SLOTS - 1)))  # the page of its request went unused
            count += 1
            if word & 0xFF != netif.EXTRA_GSO or kind & 0xFF != netif.GSO_TCPV4 or size == 0 or frame.gso_size:
                raise PeerError("rx extra info of type %d, gso type %d, size %d" % (word & 0xFF, kind & 0xFF, size))
            frame.gso_size = size
            more = word >> 8 & netif.EXTRA_MORE
        return count

    def _response_at(self):
        """Where the next response lies, as an index of halves; counts it as taken."""
        at = _FIRST_HALF + (self.rx.rsp_cons & (SLOTS - 1)) * RX_WORDS * 2
        self.rx.rsp_cons = (self.rx.rsp_cons + 1) & 0xFFFFFFFF
        return at

    def _take_posted(self, id):
        """The page posted under this id, ours again. A response stands in the slot of its request."""
        if id != self.rx.rsp_cons - 1 & (SLOTS - 1) or not self.rx_lent.has(id):
            raise PeerError("rx response with id %d, which is not posted there" % id)
        page = self.rx_lent.forget(id)
        gref = self.rx_lent.gref[id]
        self.lent -= 1
        if not xen.revoke(gref):
            self.quarantine.page(gref, page, self.domid)
            raise PeerError("rx page still held after its response")
        return page

    # ---- both ---------------------------------------------------------------------------------

    def flush(self):
        """Publish what was queued and posted; notify the netvm if it asked for it."""
        tx = self.tx.published != self.tx.req_prod and self.tx.publish()
        rx = self.rx.published != self.rx.req_prod and self.rx.publish()
        if tx or rx and len(self.ports) == 1:
            xen.evtchn_send(self.ports[0])
        if rx and len(self.ports) == 2:
            xen.evtchn_send(self.ports[1])

    def kick(self):
        """Tell the netvm to look, whether it asked for it or not: it does not do what it should."""
        for port in self.ports:
            xen.evtchn_send(port)

    def rearm(self):
        """Before sleep: ask for events; True if there is work already."""
        tx = self.tx.rearm()
        return self.rx.rearm() or tx
