"""What the judge lets out goes to the rings of the interface that it names: whole, put together, summed or cut.

To the uplink frames go at once. What goes to clients is copied by one hypercall for all of them, by burst(), at the end of
a pass, or before when the operations for it are used up.
"""
from micropython import const
from net.frame import from_octets
from net.grantcopy import Copies
from peererror import PeerError

from firewall import turns
from firewall.cutting import Cutting
from firewall.interfaces import UPLINK
from firewall.packets.checksum_offload import fill

_BURST = const(512)  # copy operations towards clients in one hypercall


class Delivery:
    """clients: interfaces with rings, in the order in which they came."""

    def __init__(self, pool, interfaces, circle):
        """circle: turns.Turns, which counts the work."""
        self.pool = pool
        self.clients = []
        self.outward = Copies(_BURST)
        self.cutting = Cutting(pool, circle, self.make)
        self.gone = 0  # frames that found no page, and those for which interfaces that are gone had no room
        self.tap = None  # capture.Taps, while somebody captures
        self.fast = None  # bursts.through.Bursts, if the fast path is on
        self.rates = None  # rates.Rates
        self._by_number = interfaces.by_number
        self.turns = circle

    def forward(self, ingress, frame, whole, octets, number):
        """Send a rewritten frame: as it lies in its pages, or cut and summed where the far side cannot.

        ingress: who brought it. whole: all of it, if it was put together to be judged. octets: its length.
        """
        egress = self._by_number[number]
        rings = egress and egress.rings
        if not rings:
            frame.release(self.pool)
            return
        cut = frame.gso_size and not rings.gso
        if not cut and (frame.blank and not rings.csum or len(frame.parts) > 1 and not rings.sg):
            self.turns.work += turns.GATHERED * (octets + 4095 >> 12) + turns.SENT
            whole = whole or frame.gather(self.pool)
            if frame.blank:
                fill(whole, octets)
            self.make(egress, whole[:octets], frame.blank or frame.validated)
            frame.release(self.pool)
            return
        if whole:
            frame.release(self.pool)
            copy = self._frame(memoryview(whole)[:octets])
            if copy is None:
                return
            copy.blank = frame.blank
            copy.validated = frame.validated
            copy.gso_size = frame.gso_size
            frame = copy
        else:
            frame.trim(self.pool, octets)
        if cut:
            self.cutting.cut(ingress, egress, frame, octets)
        else:
            if self.tap:
                self.tap.left(self.tap.kernel, number, frame.parts[0], frame.octets)
            self.send(egress, frame)

    def replies(self, ingress, out, validated=True):
        """Send what the judge has made, (number, octets) each; of many pieces some now, the others in the next turns.

        validated: their transport checksums are known to be right.
        """
        egress = self._by_number[out[0][0]]
        if not (egress and egress.rings and self.cutting.spread(ingress, egress, out, validated)):
            self.turns.work += turns.SENT * len(out)
            for number, octets in out:
                self.emit(number, octets, validated)
        out.clear()

    def emit(self, number, octets, validated=True):
        """Send octets of our own making, whose checksums are complete, by the interface of this number, if it is there."""
        egress = self._by_number[number]
        if egress and egress.rings:
            self.make(egress, octets, validated)

    def make(self, egress, octets, validated):
        """Make a frame of octets, and send it. MemoryError."""
        if self.tap:
            ingress = self.cutting.ingress
            self.tap.made(self.tap.kernel, ingress.number if ingress else -1, egress.number, octets, len(octets))
        frame = self._frame(octets)
        if frame:
            frame.validated = validated
            self.send(egress, frame)

    def _frame(self, octets):
        """A Frame of our own making; None, and counted as lost, when all pages are in use. MemoryError."""
        frame = from_octets(self.pool, octets)
        if frame is None:
            self.gone += 1
        return frame

    def send(self, egress, frame):
        """Hand the frame and its pages to an interface, or let it wait if its client has got too much already."""
        frame.sent = True
        try:
            if egress.rate and not self.rates.passes(egress, frame):
                return
        except BaseException:
            frame.release(self.pool)
            raise
        self.hand_on(egress, frame)

    def hand_on(self, egress, frame):
        """Hand the frame and its pages to an interface. One that breaks the protocol here is ended, and no other."""
        rings = egress.rings
        try:
            if egress.number == UPLINK:
                rings.send(frame)
                return
            if not rings.has_room(frame.parts, self.outward):
                self.burst()
            rings.send(frame, self.outward)
        except PeerError as reason:
            frame.release(self.pool)
            egress.owner.broken(str(reason))
        except BaseException:
            frame.release(self.pool)  # nothing was queued
            raise

    def burst(self):
        """Do the copies that were collected, and tell the clients concerned."""
        if self.outward.count == 0:
            return
        self.outward.run()
        if self.fast:
            self.fast.finish()
            return
        for interface in self.clients:
            interface.rings.finish(self.outward)

    def lost(self, uplink):
        """How many frames were dropped since boot, whole or in part, because a link had no room for them or we had no page."""
        dropped = self.gone + self.cutting.left_out + (uplink.rings.dropped if uplink else 0)
        for interface in self.clients:
            dropped += interface.rings.dropped
        return dropped
