"""Clients' rings in bursts: rows of packets out of their tx rings, and into the pages that they have posted."""
from array import array

import xen
from net.rows import HOW_MANY, PACKET

from firewall.bursts.tables import table
from firewall.fast import client_rx, client_tx


class Clients:
    def __init__(self, pool, rows, inward, outward):
        """inward, outward: grantcopy.Copies from clients and to them."""
        self.pool = pool
        self.rows = rows
        self.inward = inward
        self.outward = outward

    def arrays(self, rings):
        """What the kernels are given of a link: for turn(), put(), finish()."""
        r, pool, inward, outward = self.rows, self.pool, self.inward, self.outward
        tx, rx, sent = rings.tx, rings.rx, rings.sent
        rings.copies = outward
        us = (rings.domid, pool.first_gfn, rings.port)
        fixed = array("I", us + (inward.most, xen.gfn(inward.bounce), inward.bounced))
        out = array("I", us + (outward.most, len(sent) // 3, xen.gfn(outward.bounce), outward.bounced))
        return (
            table(
                (tx.words, r.slots, r.packets, r.parts, inward.words, pool.stack, pool.mark),
                (tx.words, r.slots, r.packets, inward.words, rings.counts, r.parts, r.places),
                r.s, tx.words, tx.counters, pool.counters, fixed,
                handed=(xen.copy, inward.ops, xen.mb, xen.evtchn_send, xen.moves, pool.memory, inward.bounce, r.places),
            ), table(
                (rx.words, r.packets, r.parts, outward.words, sent, r.places),
                r.s, rx.words, rx.counters, rings.counters, outward.counters, out,
                handed=(xen.moves, outward.bounce, pool.memory, r.places),
            ), table(
                (rx.words, outward.words, sent, pool.stack, rings.counts),
                r.s, rx.words, rx.counters, rings.counters, pool.counters, out, handed=(xen.mb, xen.evtchn_send),
            ),
        )  # fmt: skip

    def take(self, rings, arrays, limit):
        """Rows of packets that are in order, about `limit` slots: packets | slots << 16. Raises PeerError.

        All requests taken are answered. Packets whose copies failed have the fate FAILED.
        """
        taken = client_tx.turn(arrays[0], limit)
        if taken < 0:
            rings.tx.waiting()  # this says why
            return 0
        return taken

    def put(self, rings, arrays, first, end, burst):
        """Copy packets to a client; how many have found buffers. burst(): do the copies that were collected."""
        if rings.held or rings.deaf:
            return 0
        done = first
        while True:
            behind = client_rx.put(arrays[1], done, end)
            if behind < 0:
                return done - first  # the slow path finds it too, and says so
            done = behind
            if done == end:
                return done - first
            parts = self.rows.packets[PACKET * done + HOW_MANY]
            if rings.sending < len(rings.sent) // 3 and parts <= self.outward.room():
                return done - first  # it wants buffers
            burst()

    def finish(self, rings, arrays):
        """After the burst's copies: tell a client what it received, take the pages back."""
        failed = client_rx.finish(arrays[2])
        if failed:
            rings.failed += failed
