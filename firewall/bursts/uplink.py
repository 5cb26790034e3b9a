"""The uplink's rings in bursts: rows of packets out of rx and into tx, and pages lent and taken back."""
import xen
from micropython import const
from net.netif import NO_PAGE
from net.quarantine import TX_RESERVE
from net.rows import FAILED, PACKETS
from peererror import PeerError

from firewall.fast import uplink_rx, uplink_tx

_MASK = const(0xFFFFFFFF)
_COMPLETED = const(256)  # slots taken back in a pass
_POSTED = const(128)  # pages lent in a pass: what was not cleared yet takes 0.1 us each


class Uplink:
    def __init__(self, pool, rows):
        self.pool = pool
        self.rows = rows
        self._ready = (rows.packets, rows.parts, pool.mark, rows.places, rows.gfns)

    def arrays(self, rings):
        """What the kernels are given of a link: those of tx, completed() first, then those of rx, arrived() first."""
        r, pool, tx, rx = self.rows, self.pool, rings.tx_lent, rings.rx_lent
        return (
            (rings.tx.words, tx.page, tx.gref, r.refs, r.pages, r.ids),
            (r.pages, r.ids, rings.tx_ids, pool.stack),
            (r.packets, r.parts, r.refs, rings.tx.words, rings.tx_ids, tx.page, tx.gref, tx.number, rings.counts),
            (rings.rx.words, rx.page, rx.gref, r.packets, r.parts, r.refs),
            (rx.page, r.packets, r.parts, pool.mark, pool.stack, rings.counts),
            (rx.page, pool.stack, pool.mark, r.places, r.gfns, r.pages),
            (rings.rx.words, rx.page, rx.gref, r.refs, r.pages),
        )

    # ---- from the netvm -------------------------------------------------------------------------

    def take(self, rings, arrays, limit):
        """Rows of packets that are in order, about `limit` slots: packets | slots << 16. Raises PeerError."""
        ring, pool, s = rings.rx, self.pool, self.rows.s
        s[0] = ring.rsp_cons
        s[1] = ring.waiting()
        s[2] = limit
        s[3] = PACKETS
        uplink_rx.arrived(arrays[3], s)
        n, slots = s[4], s[5]
        if not n:
            return 0
        if xen.revokes(self.rows.refs, slots):
            self._keep_posted(rings, slots)
        rings.rx_lent.count -= slots
        s[6] = pool.free
        uplink_rx.ours(arrays[4], s)
        pool.free = s[6]
        ring.rsp_cons = s[0]
        return n | slots << 16  # no tuple: nothing is allocated while pages are nobody's

    def _keep_posted(self, rings, slots):
        """The netvm still holds pages of which it says that they are ours. Raises PeerError."""
        lent, refs = rings.rx_lent, self.rows.refs
        for i in range(slots):
            id = rings.rx.rsp_cons + i & 255
            page = lent.page[id]
            lent.page[id] = NO_PAGE
            lent.count -= 1
            if refs[i]:
                rings.quarantine.page(refs[i], page, rings.domid)
            else:
                self.pool.mark[page] = 4096  # the netvm has written into it, who knows how far
                self.pool.give(page)
        raise PeerError("rx page still held after its response")

    def post(self, rings, arrays):
        """Lend pages for what the netvm receives; True: more than one pass's are due."""
        rx, pool, r, s = rings.rx, self.pool, self.rows, self.rows.s
        due = min(rx.room(), rings.quarantine.room(rings.domid, rings.lent()) - TX_RESERVE, pool.free)
        if due <= 0:
            return False
        s[0] = rx.req_prod
        s[1] = min(due, _POSTED)
        s[2] = pool.free
        s[3] = pool.first_gfn
        n = uplink_rx.offer(arrays[5], s)
        pool.free = s[2]
        xen.zeros(pool.memory, r.places, s[4])
        granted = xen.grants(r.gfns, r.refs, n, rings.domid, False)
        for i in range(granted, n):
            pool.give(r.pages[i])
        s[1] = granted
        uplink_rx.post(arrays[6], s)
        rx.req_prod = s[0]
        rings.rx_lent.count += granted
        return due > _POSTED and granted == _POSTED

    # ---- to the netvm ---------------------------------------------------------------------------

    def put(self, rings, arrays, first, end):
        """Queue packets for the netvm; how many the ring has taken."""
        if rings.backlog.frames or rings.backlog.stalled:
            return 0
        s, r, tx = self.rows.s, self.rows, rings.tx
        s[0] = first
        s[1] = end
        s[2] = tx.room()
        s[3] = rings.tx_free
        s[4] = max(rings.quarantine.room(rings.domid, rings.lent()), 0)
        s[5] = self.pool.first_gfn
        n = uplink_tx.ready(self._ready, s)
        if not n:
            return 0
        pages = s[6]
        xen.zeros(self.pool.memory, r.places, s[7])
        granted = xen.grants(r.gfns, r.refs, pages, rings.domid, True)
        if granted < pages:
            if xen.revokes(r.refs, granted):
                self._keep_granted(rings, first, granted)
            return 0
        s[1] = first + n
        s[2] = tx.req_prod
        uplink_tx.request(arrays[2], s)
        tx.req_prod = s[2]
        rings.tx_free = s[3]
        rings.tx_lent.count += pages
        return n

    def _keep_granted(self, rings, first, granted):
        """Nobody was told of these references, but one can be guessed: pages that are held are lost to packets."""
        r = self.rows
        k = 0
        while k < granted:
            at = 8 * first
            parts = r.packets[at + 3]
            held = 0
            for i in range(k, min(k + parts, granted)):
                held |= r.refs[i]
            if held:
                for i in range(parts):
                    page = r.parts[4 * (r.packets[at + 2] + i)]
                    if k + i < granted and r.refs[k + i]:
                        rings.quarantine.page(r.refs[k + i], page, rings.domid)
                    else:
                        self.pool.give(page)
                rings.dropped += 1
                r.packets[at + 3] = 0  # whoever gives back the rest of the burst finds none of its pages here
                r.packets[at + 6] = FAILED
            k += parts
            first += 1

    def completed(self, rings, arrays):
        """Take back pages of frames that the netvm has sent. True if there were any. Raises PeerError."""
        tx, pool, r, s = rings.tx, self.pool, self.rows, self.rows.s
        due = min(tx.waiting(), _COMPLETED)
        if not due:
            return rings.complete()
        before = s[0] = tx.rsp_cons
        s[1] = due
        n = uplink_tx.completed(arrays[0], s)
        tx.rsp_cons = s[0]
        rings.failed += s[2]
        rings.tx_lent.count -= n
        if n and xen.revokes(r.refs, n):
            for i in range(n):
                if r.refs[i]:
                    rings.quarantine.page(r.refs[i], r.pages[i], rings.domid)
                else:
                    pool.give(r.pages[i])
            raise PeerError("tx page still held after its response")
        lies = s[0] - before & _MASK < due
        s[0] = n
        s[1] = rings.tx_free
        s[2] = pool.free
        uplink_tx.regained(arrays[1], s)
        rings.tx_free = s[1]
        pool.free = s[2]
        if lies:
            rings.complete()  # this says how
        rings.refill()
        return True
