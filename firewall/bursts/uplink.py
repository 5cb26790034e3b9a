"""The uplink's rings in bursts: rows of packets out of rx and into tx, and pages lent and taken back."""
from array import array

import xen
from micropython import const
from net.netif import NO_PAGE
from net.rows import FAILED, FATE, FIRST_PART, HOW_MANY, PACKET, PART
from peererror import PeerError

from firewall.bursts.tables import table
from firewall.fast import uplink_rx, uplink_tx

_COMPLETED = const(256)  # slots taken back in a pass
_UNKNOWN = const(-1)  # how many pages may be lent: machine code knows, while nothing is in quarantine


class Uplink:
    def __init__(self, pool, rows):
        self.pool = pool
        self.rows = rows

    def arrays(self, rings):
        """What the kernels are given of a link: for turn(), put(), lend(), take_back(), flush()."""
        r, pool, tx, rx, tx_lent, rx_lent = self.rows, self.pool, rings.tx, rings.rx, rings.tx_lent, rings.rx_lent
        kept = rings.quarantine.counters
        fixed = array("I", (rings.domid, pool.first_gfn, rings.ports[0], rings.ports[-1]))
        return (
            table(
                (rx.words, rx_lent.page, rx_lent.gref, r.packets, r.parts, r.refs),
                (rx_lent.page, r.packets, r.parts, pool.mark, pool.stack),
                r.s, rx.words, rx.counters, pool.counters, rx_lent.counters, (r.packets, rings.counts),
                handed=(r.refs, xen.revokes),
            ), table(
                (r.packets, r.parts, pool.mark, r.places, r.gfns),
                (r.packets, r.parts, r.refs, tx.words, rings.tx_ids, tx_lent.page, tx_lent.gref, tx_lent.number,
                 rings.counts),
                r.s, tx.counters, rings.counters, tx_lent.counters, rx_lent.counters, kept, fixed,
                handed=(xen.zeros, pool.memory, r.places, xen.grants, r.gfns, r.refs),
            ), table(
                (rx_lent.page, pool.stack, pool.mark, r.places, r.gfns, r.pages),
                (rx.words, rx_lent.page, rx_lent.gref, r.refs, r.pages),
                r.s, rx.counters, pool.counters, tx_lent.counters, rx_lent.counters, kept, fixed, r.pages, pool.stack,
                handed=(xen.zeros, pool.memory, r.places, xen.grants, r.gfns, r.refs),
            ), table(
                tx.words, tx_lent.page, tx_lent.gref, r.refs, r.pages, r.ids, rings.tx_ids, pool.stack,
                r.s, tx.counters, rings.counters, pool.counters, tx_lent.counters,
                handed=(r.refs, xen.revokes),
            ),
            table(tx.words, tx.counters, rx.words, rx.counters, fixed, handed=(xen.mb, xen.evtchn_send)),
        )  # fmt: skip

    # ---- from the netvm -------------------------------------------------------------------------

    def take(self, rings, arrays, limit):
        """Rows of packets that are in order, about `limit` slots: packets | slots << 16. Raises PeerError."""
        taken = uplink_rx.turn(arrays[0], limit)
        if taken >= 0:
            return taken  # no tuple: nothing is allocated while pages are nobody's
        if taken == -1:
            rings.rx.waiting()  # this says why
            return 0
        return self.keep_posted(rings, -2 - taken)

    def keep_posted(self, rings, slots):
        """The netvm still holds pages of which it says that they are ours. Raises PeerError."""
        lent, refs = rings.rx_lent, self.rows.refs
        for i in range(slots):
            id = rings.rx.rsp_cons + i & 255
            page = lent.page[id]
            lent.page[id] = NO_PAGE
            lent.counters[0] -= 1
            if refs[i]:
                rings.quarantine.page(refs[i], page, rings.domid)
            else:
                self.pool.mark[page] = 4096  # the netvm has written into it, who knows how far
                self.pool.give(page)
        raise PeerError("rx page still held after its response")

    def post(self, rings, arrays):
        """Lend pages for what the netvm receives; True: more than one pass's are due."""
        more = uplink_rx.lend(arrays[2], _UNKNOWN)
        if more < 0:
            more = uplink_rx.lend(arrays[2], max(rings.quarantine.room(rings.domid, rings.lent()), 0))
        return more > 0

    # ---- to the netvm ---------------------------------------------------------------------------

    def put(self, rings, arrays, first, end, said=0):
        """Queue packets for the netvm; how many the ring has taken. said: what the kernel has said already, or 0."""
        if not said and (rings.backlog.frames or rings.backlog.stalled):
            return 0
        n = said or uplink_tx.put(arrays[1], first, end, _UNKNOWN)
        if n == -1:
            n = uplink_tx.put(arrays[1], first, end, max(rings.quarantine.room(rings.domid, rings.lent()), 0))
        if n >= 0:
            return n
        if xen.revokes(self.rows.refs, -2 - n):
            self._keep_granted(rings, first, -2 - n)
        return 0

    def _keep_granted(self, rings, first, granted):
        """Nobody was told of these references, but one can be guessed: pages that are held are lost to packets."""
        r = self.rows
        k = 0
        while k < granted:
            at = PACKET * first
            parts = r.packets[at + HOW_MANY]
            held = 0
            for i in range(k, min(k + parts, granted)):
                held |= r.refs[i]
            if held:
                for i in range(parts):
                    page = r.parts[PART * (r.packets[at + FIRST_PART] + i)]
                    if k + i < granted and r.refs[k + i]:
                        rings.quarantine.page(r.refs[k + i], page, rings.domid)
                    else:
                        self.pool.give(page)
                rings.dropped += 1
                r.packets[at + HOW_MANY] = 0  # whoever gives back the rest of the burst finds none of its pages here
                r.packets[at + FATE] = FAILED
            k += parts
            first += 1

    def completed(self, rings, arrays):
        """Take back pages of frames that the netvm has sent. True if there were any. Raises PeerError."""
        return self.answered(rings, uplink_tx.take_back(arrays[3], _COMPLETED))

    def answered(self, rings, done):
        """The same, behind machine code, which has said this. Raises PeerError."""
        if done == -1:
            rings.complete()  # this says why
        elif done:
            if self.rows.s[2]:
                rings.failed += self.rows.s[2]
            if done < -1:
                self._keep_sent(rings, -2 - done)
        if rings.backlog.frames:
            rings.refill()
        return done != 0

    def _keep_sent(self, rings, n):
        """The netvm still holds pages that it says it has sent. Raises PeerError."""
        r = self.rows
        for i in range(n):
            if r.refs[i]:
                rings.quarantine.page(r.refs[i], r.pages[i], rings.domid)
            else:
                self.pool.give(r.pages[i])
        raise PeerError("tx page still held after its response")

    # ---- both -----------------------------------------------------------------------------------

    def flush(self, arrays):
        """Publish what was queued and posted; notify the netvm if it asked for it."""
        uplink_tx.flush(arrays[4])
