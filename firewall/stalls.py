"""An uplink on which nothing moves: told in the log and in the status, never hidden; kicked, and made anew.

The same tx request has been the oldest without an answer for TOLD_MS: one log line, and an event whether the netvm asked
for one or not. After 10 s, if nothing else was answered for TOLD_MS either, the connection is closed and made again;
after 20, 40 ... 320 s the next times: a netvm that hangs is not helped by more of it. A slow one answers one after the
other; ARP that is not answered is no reason: a VPN's netvm never does. Clients: see netback/link.py.

Looked at by ticks while something waits: what goes and comes is not touched. Ticks that were missed (the machine was
asleep, or we were paused) do not count as waiting.
"""
from log import Log
from micropython import const

TOLD_MS = const(5000)
_FIRST_GAP_MS = const(10000)
_LAST_GAP_MS = const(320000)
_CALM_MS = const(60000)  # without such an end: the next one counts as the first
_ALL_MS = const(60000)  # one request that is never answered, whatever else is
_MISSED_MS = const(1000)

_log = Log("stalls")


class Stalls:
    def __init__(self, uplink):
        self.uplink = uplink
        self.waited = 0  # ms, for which the uplink's oldest request is unanswered
        self._link = None  # the one that all this is about
        self._id = -1  # its oldest request
        self._number = 0
        self._since = 0
        self._answered = 0  # the ring's counter of answers
        self._moved = 0  # ms, when that moved
        self._told = False
        self._gap = _FIRST_GAP_MS
        self._ended = -_CALM_MS  # ms, when an uplink was last closed here
        self._looked = 0

    def waits(self):
        """True while the netvm has frames of ours that it has not answered."""
        link = self.uplink.link
        return link is not None and link.in_flight()

    def tick(self, now):
        """now: ms."""
        missed = max(0, now - self._looked - _MISSED_MS)
        self._looked = now
        self._since += missed
        self._moved += missed
        link = self.uplink.link
        if link is not self._link:
            self._link = link
            self._id = -1
            self._told = False
            self._moved = now
            self._answered = 0
        self.waited = 0
        if link is None:
            return
        if link.tx.rsp_cons != self._answered:
            self._answered = link.tx.rsp_cons
            self._moved = now
            if now - self._ended > _CALM_MS:
                self._gap = _FIRST_GAP_MS
        if self._id < 0 or not link.unanswered(self._id, self._number):
            self._begin(link, now)
        if self._id >= 0:
            self.waited = now - self._since
            if self.waited >= TOLD_MS:
                self._late(link, now)

    def _begin(self, link, now):
        """Note which request is the oldest now, if there is one."""
        if self._told:
            self._told = False
            _log.info("uplink: domain %d answers again", link.domid)
        self._id = link.oldest()
        self._since = now
        if self._id >= 0:
            self._number = link.tx_lent.number[self._id]

    def _late(self, link, now):
        if not self._told:
            self._told = True
            words = "uplink: domain %d has not answered for %d s, %d pages are with it: it is told again"
            _log.warning(words, link.domid, self.waited // 1000, link.in_flight())
            link.kick()
        if self.waited >= self._gap and (now - self._moved >= TOLD_MS or self.waited >= _ALL_MS):
            self._gap = min(2 * self._gap, _LAST_GAP_MS)
            self._ended = now
            self.uplink.broken("no answer for %d s" % (self.waited // 1000))
