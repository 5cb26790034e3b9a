"""The rings of one connection to the netvm: frames into tx; intake.py has those out of rx.

Every page the netvm can see was cleared of what it must not see (pool.clear), is lent for one use, and is ours
again only when the revocation succeeded; until then it is in quarantine. Page and grant of a request are found by
its id, which is the number of a free entry of ours, never by what the netvm says otherwise.

Raises PeerError when the netvm breaks the protocol: this connection is over, clients live on without an uplink.

Source: Xen public/io/netif.h; reference behaviour Linux netfront.
"""
from array import array

import xen
from granted import Piece
from micropython import const
from net import netif
from net.netif import TX_WORDS
from net.ring import SLOTS, FrontRing
from net.slots import flags_of, tx_extra, tx_request
from netfront.backlog import LONGEST, ROOMY, Backlog
from netfront.intake import Intake
from netfront.lent import Lent
from peererror import PeerError

_FIRST_WORD = const(16)
_LAST = const(255)  # slot of a ring
_PARTS = const(32)  # more than any frame has
_COMPLETED = const(64)  # slots taken back in a pass: 256 would take a millisecond of it


class FrontLink(Intake):
    """See the module."""

    def __init__(self, name, pool, quarantine, domid, terms):
        """Allocates and grants two rings and a port for the backend's domain, or one for each: terms.Terms say.

        OSError, MemoryError: nothing is kept. The netvm sees nothing in the rings before flush().
        """
        super().__init__(name, pool, domid, terms.sg, terms.gso, terms.csum)
        self.quarantine = quarantine
        self.backlog = Backlog()
        self.tx_lent = Lent(pool, quarantine, domid)
        self.rx_lent = Lent(pool, quarantine, domid)
        self.tx_ids = bytearray(range(SLOTS))  # the first tx_free are free
        self.counters = array("I", (SLOTS,))  # what tx_free says
        self._granted = array("I", bytes(4 * _PARTS))  # references of the frame that is being queued
        self._answers = array("I", bytes(4 * _COMPLETED))  # private copies of tx responses
        self._rings = None  # the Piece of both
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
        """Make the rings and grant them."""
        self._rings = rings = Piece(self.domid, 2)
        self.refs = rings.refs  # tx, rx
        self.see(rings.memory, FrontRing)
        rings.lend()

    def _release(self):
        """Close the ports, and have the rings freed as soon as the netvm lets us."""
        for port in self.ports:
            xen.evtchn_close(port)
        if self._rings:
            self.quarantine.take_back(self._rings)

    def close(self):
        """End the connection: its ports are closed, every page goes back to the pool or into quarantine."""
        while self.backlog.frames:
            self.backlog.pop().release(self.pool)
        self.tx_lent.free_all()
        self.rx_lent.free_all()
        self._release()

    @property
    def tx_free(self):
        """How many ids of tx requests are free."""
        return self.counters[0]

    @tx_free.setter
    def tx_free(self, free):
        self.counters[0] = free

    def lent(self):
        """How many pages the netvm has from us; with those of its domain in quarantine they are at most quarantine.LIMIT."""
        return self.tx_lent.count + self.rx_lent.count

    # ---- to the netvm -------------------------------------------------------------------------

    def busy(self, now):
        """Whether clients are to keep what they have, as there is no room for more. now: ms. See backlog.py.

        While a netvm holds pages there may never be room for a turn: room for the longest frame is enough then.
        """
        some = self._room(LONGEST, LONGEST)
        room = some and (not self.quarantine.empty() or self._room(ROOMY, ROOMY))
        busy = self.backlog.busy(room, some, self.tx.rsp_cons, now)
        if self.backlog.stalled:
            while self.backlog.frames:
                self.drop(self.backlog.pop())
        return busy

    def _room(self, slots, parts):
        return self.tx.room() >= slots and self.tx_free >= parts and self.quarantine.room(self.domid, self.lent()) >= parts

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
        flags = flags_of(frame.offloads(), frame.gso_size, netif.TX_CSUM_BLANK, netif.TX_DATA_VALIDATED)
        size = frame.octets  # the first request tells the size of all
        for i in range(n):
            page, offset, octets = parts[i]
            self._request(page, self._granted[i], offset, flags | netif.MORE_DATA if i < n - 1 else flags, octets if i else size)
            if i == 0 and frame.gso_size:
                tx_extra(self.tx.words, self.tx.req_prod, frame.gso_size)
                self.tx.req_prod = (self.tx.req_prod + 1) & 0xFFFFFFFF
            flags = 0
        frame.parts = ()
        self.to_packets += 1
        self.to_octets += size

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

    def _request(self, page, gref, offset, flags, octets):
        """The next request: to send this part of a frame."""
        self.tx_free -= 1
        id = self.tx_ids[self.tx_free]
        number = self.tx.req_prod
        self.tx_lent.lend(id, page, gref, number)
        tx_request(self.tx.words, number, gref, offset, flags, id, octets)
        self.tx.req_prod = (number + 1) & 0xFFFFFFFF

    def complete(self):
        """Take back the pages of frames that the netvm has sent, of some slots. True if there were any. Raises PeerError."""
        n = min(self.tx.waiting(), _COMPLETED)
        words, answers = self.tx.words, self._answers
        number = self.tx.rsp_cons
        for i in range(n):
            answers[i] = words[_FIRST_WORD + (number + i & _LAST) * TX_WORDS]  # the netvm may rewrite it at any moment
        for i in range(n):
            id = answers[i] & 0xFFFF
            status = answers[i] >> 16
            self.tx.rsp_cons = (number + i + 1) & 0xFFFFFFFF
            if status == netif.NULL:
                continue  # answers an extra info
            if not self.tx_lent.has(id):
                raise PeerError("tx response with id %d, which is not in flight" % id)
            if not self.tx_lent.free(id):
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
        return self.tx_lent.oldest(self.tx.req_prod)

    def unanswered(self, id, number):
        """True if this request, by its id and its number in the ring, has no answer yet."""
        return self.tx_lent.has(id) and self.tx_lent.number[id] == number

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
