"""Clients' rings in bursts: rows of packets out of their tx rings, and into the pages that they have posted."""
import xen
from micropython import const
from net.rows import PACKETS
from peererror import PeerError

from firewall.fast import client_rx, client_tx

_MASK = const(0xFFFFFFFF)


class Clients:
    def __init__(self, pool, rows, inward, outward):
        """inward, outward: grantcopy.Copies from clients and to them."""
        self.pool = pool
        self.rows = rows
        self.inward = inward
        self.outward = outward

    def arrays(self, rings):
        """What the kernels are given of a link: for take(), answer(), out(), respond()."""
        r, ops, out = self.rows, self.inward.words, self.outward.words
        return (
            (rings.tx.words, r.slots, r.packets, r.parts, ops, self.pool.stack, self.pool.mark),
            (rings.tx.words, r.slots, r.packets, ops, rings.counts),
            (rings.rx.words, r.packets, r.parts, out, rings.sent),
            (rings.rx.words, out, rings.sent, self.pool.stack, rings.counts),
        )

    def take(self, rings, arrays, limit):
        """Rows of packets that are in order, about `limit` slots: packets | slots << 16. Raises PeerError.

        All requests taken are answered. Packets whose copies failed have the fate FAILED.
        """
        ring, pool, copies, s = rings.tx, self.pool, self.inward, self.rows.s
        s[0] = ring.req_cons
        s[1] = ring.waiting()
        s[2] = limit
        s[3] = pool.free
        s[4] = copies.most
        s[5] = 0
        s[6] = rings.domid
        s[7] = pool.first_gfn
        s[8] = PACKETS
        client_tx.take(arrays[0], s)
        n, slots = s[9], s[10]
        if not n:
            return 0
        pool.free = s[3]
        copies.count = s[5]
        try:
            copies.run()
        except BaseException:
            pool.free += s[11]  # they still lie behind the free ones
            copies.forget()
            raise
        s[12] = ring.rsp_prod
        client_tx.answer(arrays[1], s)
        ring.rsp_prod = s[12]
        ring.req_cons = ring.req_cons + slots & _MASK
        if ring.publish():
            xen.evtchn_send(rings.port)
        return n | slots << 16  # no tuple: nothing is allocated while pages are nobody's

    def put(self, rings, arrays, first, end, burst):
        """Copy packets to a client; how many have found buffers. burst(): do the copies that were collected."""
        if rings.held or rings.deaf:
            return 0
        s, out = self.rows.s, self.outward
        done = first
        while True:
            try:
                s[3] = rings.rx.waiting()
            except PeerError:
                return done - first  # the slow path finds it too, and says so
            s[0] = done
            s[1] = end
            s[2] = rings.rx.req_cons
            s[4] = out.most
            s[5] = out.count
            s[6] = rings.domid
            s[7] = self.pool.first_gfn
            s[8] = rings.sending
            s[9] = most = len(rings.sent) // 3
            done += client_rx.out(arrays[2], s)
            rings.copies = out
            rings.rx.req_cons = s[2]
            out.count = s[5]
            rings.sending = s[8]
            if done == end or rings.sending < most and self.rows.packets[8 * done + 3] <= out.room():
                return done - first
            burst()

    def finish(self, rings, arrays):
        """After the burst's copies: tell a client what it received, take the pages back."""
        if not rings.sending:
            return
        s, pool = self.rows.s, self.pool
        s[0] = rings.rx.rsp_prod
        s[1] = rings.sending
        s[2] = pool.free
        s[3] = pool.first_gfn
        rings.failed += client_rx.respond(arrays[3], s)
        rings.rx.rsp_prod = s[0]
        pool.free = s[2]
        rings.sending = 0
        if rings.rx.publish():
            xen.evtchn_send(rings.port)
