"""When the flow table is to be swept: as long as a round lasts, then a second after the first can have expired.

A flow that is entered later, or whose state changes, lives for the shortest timeout at least. So nothing expires before
the earliest moment that is found here, and a table of old flows costs nothing at rest. Those that expire within that
second are swept together: for a packet a flow is over in time, swept or not. Flows whose life has ended otherwise
(their client has gone, their mapping was taken away) make it a matter of the next tick.
"""
from array import array

from micropython import const

from firewall.fast import sweep
from firewall.flows.state import TIMEOUT

_VISITS = const(320)  # records that a tick sweeps
_SLICE = const(4096)  # records that a tick looks through for the first to expire, in some 0.1 ms
_SHORTEST = min(TIMEOUT)  # ms
_TOGETHER = const(1000)  # ms for which a flow that has expired waits for others


class Sweeper:
    def __init__(self, neighbours):
        self._neighbours = neighbours
        self._flows = flows = neighbours.flows
        self._clients = neighbours.clients
        self._timeouts = array("I", TIMEOUT)
        self._due = 0  # ms, before which nothing is to be swept
        self._left = 0  # records to sweep in this round
        self._at = 0  # the next to look through,
        self._earliest = 0  # and when the first of those before it can have expired, ms
        self._stirred = False  # a life has ended since the last round began
        self._ended = flows.mappings.on_end
        flows.mappings.on_end = self._mapping_ended

    def waits(self, now):
        """Whether the table is to be swept now, or looked through. now: ms."""
        if self._clients.leaving:
            return True
        return self._flows.count > 0 and (self._stirred or now >= self._due)

    def rest(self, now):
        """ms until there is something to sweep; -1: there is no flow."""
        return max(self._due - now, 0) if self._flows.count else -1

    def stir(self):
        """A life has ended: a client has gone."""
        self._stirred = True

    def tick(self, now):
        """What is due of fragments, and some of the table. now: ms."""
        stirred = self._stirred
        self._neighbours.tick(now)
        self._stirred = stirred  # the mappings that it ended have no flows
        flows = self._flows
        if self._stirred:
            self._stirred = False
            self._begin()
        if self._left > 0:
            self._left -= _VISITS
            return
        if self._at == 0:
            self._earliest = now + _SHORTEST
        end = min(self._at + _SLICE, flows._fresh)
        self._earliest = min(self._earliest, now + sweep.soonest(flows.records, self._timeouts, self._at, end, now))
        self._at = end
        if end == flows._fresh:
            self._at = 0
            self._due = self._earliest + _TOGETHER
            if self._due <= now:
                self._begin()

    def _begin(self):
        self._due = self._at = 0
        self._left = self._flows._fresh

    def _mapping_ended(self, pool, port):
        self._stirred = True
        self._ended(pool, port)
