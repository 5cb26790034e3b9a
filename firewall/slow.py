"""The slow path, and the specification of the fast one: frames out of a ring, to the judge, and on."""
import xen
from micropython import const
from net.batch import Batch

from firewall import reasons, turns
from firewall.interfaces import UPLINK

SLOTS = const(8)  # of a ring in a turn


class Slow:
    def __init__(self, judge, pool, delivery, inward):
        """delivery: whose turns count the work. inward: grantcopy.Copies from clients."""
        self.judge = judge
        self.pool = pool
        self.delivery = delivery
        self.turns = delivery.turns
        self.inward = inward
        self.batch = Batch(SLOTS)  # of whom has his turn
        self.until = 0  # ns: no frame but a turn's first is judged later
        self.judging = self._judge  # bound once: a frame without memory must get as far as its guard
        self.deciding = self.decide

    def receive(self, interface, now):
        """Frames out of a ring, and what comes of them."""
        ring = interface.ring
        most = interface.rate.slots(SLOTS) if interface.rate else SLOTS
        if interface.number == UPLINK:
            before = ring.rsp_cons
            frames = interface.rings.receive(self.batch, SLOTS)
            self.turns.work = (ring.rsp_cons - before & 0xFFFFFFFF) * turns.SLOT
        else:
            before = ring.req_cons
            frames = interface.rings.receive(self.batch, self.inward, most)
            self.turns.work = (ring.req_cons - before & 0xFFFFFFFF) * turns.SLOT
        interface.frames = frames
        self._judge_frames(interface, now)

    def _judge_frames(self, interface, now):
        """Judge frames in order; those behind one that is not yet sent to its end wait for the next turn."""
        most = min(interface.judged + SLOTS, len(interface.frames))
        while interface.judged < most and not interface.pieces:
            interface.judged += 1
            self._judge(interface, interface.frames[interface.judged - 1], now)
            if xen.ns() > self.until:
                break
        if interface.judged == len(interface.frames):
            interface.frames = ()
            interface.judged = 0

    def go_on(self, interface, now):
        """Send on what the last turn left, then take what came behind it."""
        if interface.pieces:
            self.delivery.cutting.go_on(interface)
        self._judge_frames(interface, now)

    def _judge(self, interface, frame, now):
        """Judge a frame and send what comes of it. Its pages are given back or passed on, whatever happens."""
        verdict = None
        try:
            verdict = interface.guard.judge(self.deciding, interface, frame, now)
        finally:
            if verdict is None:
                if not frame.sent:
                    frame.release(self.pool)
                self.judge.out.clear()

    def decide(self, interface, frame, now):
        """Judge it and send what comes of it; the verdict."""
        judge = self.judge
        opened = judge.opened
        verdict = judge.frame(interface.number, frame.head(self.pool), frame.octets, now, frame.blank, frame.gso_size)
        whole = None
        if verdict == reasons.GATHER:
            self.turns.work += turns.GATHERED * (frame.octets + 4095 >> 12)
            whole = frame.gather(self.pool)
            verdict = judge.frame(interface.number, whole, len(whole), now, frame.blank, frame.gso_size)
        self.turns.work += turns.FRAME[verdict]
        if verdict == reasons.FORWARDED:
            frame.blank = judge.blank
            frame.gso_size = judge.gso
            self.delivery.forward(interface, frame, whole, judge.octets, judge.egress)
        else:
            frame.release(self.pool)
        if judge.opened != opened:
            self.turns.work += turns.OPENED
        if judge.out:
            self.delivery.replies(interface, judge.out, judge.summed)
        return verdict
