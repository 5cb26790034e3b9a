"""One round: a network of its own, and random things that happen in it, each noted with all that came of it.

A Series does the same for a seed as long as the firewall does: what it sends next depends on what came out. record(event,
answer) gets both as text; a digest stands for the octets of long frames.
"""
import hashlib

from traffic import REMOTES, Traffic

CLIENTS = tuple("10.137.0.%d" % i for i in range(21, 28))
_KEPT = 48  # frames that are remembered, of each wire and way
_SHOWN = 160  # octets of a frame in a record


def shown(frame, blank=False, gso=0, slots=0):
    """A frame as text, the same only for the same octets and offloads."""
    text = bytes(frame[:_SHOWN]).hex()
    if len(frame) > _SHOWN:
        text += "...(%d octets, SHA-256 %s)" % (len(frame), hashlib.sha256(frame).hexdigest())
    return text + (" blank" if blank else "") + (" gso=%d" % gso if gso else "") + (" slots=%d" % slots if slots else "")


class Series:
    """ground: of grounds.py; events: how many there are to be."""

    def __init__(self, ground, random, events, record):
        self.ground, self.random, self.left, self.record = ground, random, events, record
        self.traffic = Traffic(random)
        self.net = ground.net
        self.sent, self.got = {}, {}  # wire: frames
        self.together = 0  # frames that are sent before anybody looks
        self.gone = []  # wires that are no more
        if self.net.uplink:
            self._known(self.net.uplink)

    def chance(self, part):
        return self.random.random() < part

    def _known(self, wire):
        self.sent[wire], self.got[wire] = [], []

    @property
    def clients(self):
        return [wire for wire in self.sent if wire is not self.net.uplink]

    def name(self, wire):
        return "uplink" if wire is self.net.uplink else "client %s" % wire.address

    # ---- what can be done, each one event

    def note(self, event, *more):
        """Collect what has come of an event."""
        self.left -= 1
        answer = list(more)
        for wire in list(self.sent):
            for frame in self.ground.frames(wire):
                answer.append("%s < %s" % (self.name(wire), shown(*frame)))
                self._remember(self.got[wire], frame[0])
        self.record(event, "\n".join(answer + self.ground.more()))

    def _remember(self, frames, frame):
        frames.append(frame)
        if len(frames) > _KEPT:
            frames.pop(self.random.randrange(_KEPT))

    def send(self, wire, frame, blank=False, gso=0):
        if frame is None or not self.ground.may_send(wire, frame, gso):
            return
        said = self.ground.send(wire, frame, blank, gso)
        if wire in self.sent:
            self._remember(self.sent[wire], frame)
        event = "%s > %s" % (self.name(wire), shown(frame, blank, gso))
        if self.together:
            self.together -= 1
            self.left -= 1
            self.record(event, "")
        else:
            self.note(event, *said)

    def do(self, event, function, *arguments, **options):
        result = function(*arguments, **options)
        self.note("%s: %s" % (event, ", ".join(list(map(str, arguments)) + ["%s=%s" % each for each in options.items()])), str(result or ""))

    def advance(self, seconds):
        self.do("time", self.net.advance, seconds)

    # ---- what frames are about

    def client(self):
        return self.random.choice(self.clients) if self.clients else None

    def any_wire(self):
        return self.random.choice(list(self.sent)) if self.sent else None

    def a_frame(self, frames):
        """Of some frames, mostly a late one; None if there is none."""
        if not frames:
            return None
        return frames[-1] if self.chance(0.5) else self.random.choice(frames)

    def fresh(self, wire):
        """A frame that this wire may send."""
        traffic, uplink = self.traffic, self.net.uplink
        kind = self.random.random()
        frame = None
        if wire is uplink:
            if kind < 0.6:
                frame = self.a_frame(self.got[wire])
                frame = frame and traffic.answer(frame)
            elif kind < 0.75:
                frame = self.a_frame(self.got[wire])
                frame = frame and traffic.error(frame)
            elif kind < 0.85:
                frame = self.a_frame(self.sent[wire])
                frame = frame and traffic.again(frame)
            return frame or traffic.first(self.random.choice(REMOTES), self.net.address)
        if kind < 0.4:
            return traffic.first(wire.address)
        if kind < 0.75:
            frame = self.a_frame(self.sent[wire])
            frame = frame and traffic.again(frame)
        elif kind < 0.95:
            frame = self.a_frame(self.got[wire])
            frame = frame and (traffic.answer if self.chance(0.7) else traffic.error)(frame, wire.address)
        return frame or traffic.first(wire.address)
