"""Frames for a netvm that has no room for them: for how long they wait, and when it is given up.

    room ──too little──▶ busy ──hardly anything taken for STALL_MS──▶ stalled ──room──▶ room

While it is busy clients are not drained: what they send stays in their own rings, and a netvm that is only slow costs
nobody a frame. There is room if a client's turn would find it (ROOMY): with less the netvm still has some 200 slots to
do, and is told of more long before it has done them. If it is slow, so that others would wait for long, room for the
longest frame is enough. What waits here is at most what was taken from one client when
the room ended. A netvm that for a second takes less than one frame of the longest kind is as good as none: frames for
it are dropped and counted, lest they keep in clients' rings what goes elsewhere: pings to us, ARP, other clients.
"""
from array import array

from log import Log
from micropython import const

STALL_MS = const(1000)
SOON_MS = const(50)  # a netvm that does not do a turn's slots in this time is slow
LONGEST = const(19)  # slots of one frame: 18 of data and an extra info
ROOMY = const(58)  # slots that a turn may take, and what its last frame has more
_MOST_PAGES = const(256)  # what one client sends in its turn is less, also when it is cut into segments

_log = Log("netfront")


class Backlog:
    """frames: those that wait. stalled: the netvm takes nothing, and none may wait. waits: either, or it was busy."""

    def __init__(self):
        self.frames = []  # oldest first
        self.stalled = False
        self.counters = array("I", (0,))  # 1: what waits says
        self._pages = 0
        self._since = 0  # ms, when it became busy or had taken LONGEST slots more; 0: it is not busy
        self._taken = 0  # how many it had taken then
        self._began = 0  # ms, when it became busy or had taken ROOMY slots more; 0: there is room
        self._then = 0  # how many it had taken then
        self._slow = 0  # ms, until when it counts as slow
        self._looked = 0  # ms, when busy() was last asked

    @property
    def waits(self):
        return self.counters[0] != 0

    def keep(self, frame):
        """Let a frame wait. False: there are too many, and it is the caller's still."""
        pages = len(frame.parts)
        if self.stalled or self._pages + pages > _MOST_PAGES:
            return False
        self.frames.append(frame)
        self.counters[0] = 1
        self._pages += pages
        return True

    def pop(self):
        """The oldest, which has found room."""
        frame = self.frames.pop(0)
        self._pages -= len(frame.parts)
        return frame

    def busy(self, room, some, taken, now):
        """Whether clients are to wait; stalled is true or false from now on.

        room: a client's turn would find its place; some: the longest frame would. taken: slots that the netvm has
        taken, modulo 2**32. now: ms. Time in which nobody asked does not count: the host slept, and the netvm too.
        """
        missed = now - self._looked
        self._looked = now
        if room:
            self._began = 0
        elif not self._began or (taken - self._then) & 0xFFFFFFFF >= ROOMY:
            self._began = now
            self._then = taken
        elif now - self._began >= SOON_MS:
            self._slow = now + STALL_MS
        if some and (self.stalled or now < self._slow):
            room = True
        self.counters[0] = not room or len(self.frames) > 0
        if not self.counters[0]:
            self._since = 0
            if self.stalled:
                self.stalled = False
                _log.warning("uplink: takes frames again")
            return False
        if self.stalled:
            return False
        if self._since and missed > STALL_MS:
            self._since += missed
        if not self._since or (taken - self._taken) & 0xFFFFFFFF >= LONGEST:
            self._since = now
            self._taken = taken
        if now - self._since < STALL_MS:
            return True
        self.stalled = True
        _log.warning("uplink: takes nothing: what is sent there is dropped")
        return False
