"""The ring service: frames from every link to the judge, and what it lets out to the link it names.

One pass, called by the loop between tasks: what the uplink brought, then each client in turn, at most QUANTUM slots
of each (if the uplink's part alone took the time of a pass, the next one has none of it: clients come to their turn
whatever it brings); then one copy hypercall for all that goes to clients, and one notification for each link that wants it.
What is not served stays in the sender's own ring: the rest of a long queue, and all clients' as long as the uplink has
no room, at most for a second (netfront/backlog.py). The next pass goes on with the client whose turn it is.

This is the slow path, and the specification of the fast one: every packet goes through plain Python.

A neighbour that breaks its rings' protocol is told to its owner (Vif, Uplink) as broken(); a packet that makes the
judge fail is dropped and counted by that client's Guard; nobody else notices either.
"""
import xen
from copies import Copies
from frame import from_octets
from log import Log
from loop import Flag
from micropython import const
from peererror import PeerError
from supervisor import Guard

from firewall import reasons
from firewall.neighbours import UPLINK
from firewall.segment import complete, segments

QUANTUM = const(8)  # slots of one neighbour in a pass
_PASS_NS = const(1500000)  # a client whose turn has not come by then is the first in the next pass
_BURST = const(512)  # copy operations towards clients in one hypercall
_SEGMENTS = const(8)  # cut out of super-frames in one pass, each in some 0.1 ms
_MSS = const(536)  # octets that every host takes in a segment (RFC 1122 4.2.2.6); of smaller ones the first _FIRST go
_ALL = const(123)  # segments of _MSS octets in the longest frame
_FIRST = const(64)
_NS_PER_MS = const(1000000)

_log = Log("forward")


class Port:
    """A link that frames come from and go to. owner: its Vif or Uplink; rings: its link.Link."""

    def __init__(self, number, owner):
        self.number = number
        self.owner = owner
        self.rings = owner.link
        self.guard = Guard(owner.name, lambda: owner.broken("packets that cannot be judged"))


class Forwarder:
    def __init__(self, judge, pool):
        self.judge = judge
        self.pool = pool
        self.ports = {}  # number -> Port
        self.clients = []  # Ports, in the order in which they are served next
        self.inward = Copies(QUANTUM + 32)  # from clients: the longest chain may begin at the last slot
        self.outward = Copies(_BURST)
        self.active = Flag()  # there was something to do since it was last waited for
        self.busy = False  # the uplink has no room: clients keep what they have in their own rings
        self._late = False  # the uplink's part took the whole pass: no client had a turn
        self.cut = 0  # super-frames of which only the first _FIRST segments were sent
        self._left = 0  # segments that this pass may still cut
        self._cutting = None  # (Port, segments) of a super-frame for which the last pass had too few
        self._rest = None  # (Port, frames): what came behind it; until it is dealt with nobody is drained
        self._lost = 0  # frames for which links had no room that are gone by now

    # ---- links come and go --------------------------------------------------------------------

    def add(self, number, owner):
        """owner.link is connected; number: free, UPLINK for the uplink."""
        port = self.ports[number] = Port(number, owner)
        if number != UPLINK:
            self.clients.append(port)

    def remove(self, number):
        """Before owner.link is closed. What is on its way to clients is copied first: its pages are still ours."""
        self._burst()
        port = self.ports.pop(number)
        self._lost += port.rings.dropped
        if number != UPLINK:
            self.clients.remove(port)

    def free_number(self):
        """A number for a client's link."""
        number = 1
        while number in self.ports:
            number += 1
        return number

    def lost(self):
        """How many frames were dropped since boot, whole or in part, because a link had no room for them."""
        return self._lost + self.cut + sum(port.rings.dropped for port in self.ports.values())

    def holding(self):
        """Whether frames wait for a neighbour that gives no room."""
        if self.busy:
            return True
        for port in self.clients:
            if port.rings.held:
                return True
        return False

    # ---- one pass -----------------------------------------------------------------------------

    def service(self):
        """For loop.serve(). True if there was anything to do."""
        ns = xen.ns()
        now = ns // _NS_PER_MS
        until = ns + _PASS_NS
        done = False
        self._left = _SEGMENTS
        cutting = self._rest is not None
        if cutting:  # that is all this pass takes on
            self._go_on(now)
            done = True
        uplink = self.ports.get(UPLINK)
        if uplink and self._guarded(uplink, self._completed if self._late or cutting else self._from_uplink, now):
            done = True
        for port in list(self.clients):
            if port.rings.held and self._guarded(port, self._retry, now):
                done = True
        self.busy = False
        self._late = not cutting and not self._late and xen.ns() > until
        for _ in range(0 if self._late or cutting else len(self.clients)):
            uplink = self.ports.get(UPLINK)
            self.busy = bool(uplink) and uplink.rings.busy(now)
            if self.busy or self._rest or not self.clients:
                break
            port = self.clients.pop(0)
            self.clients.append(port)
            if self._guarded(port, self._from_client, now):
                done = True
            if xen.ns() > until:
                break
        self._burst()
        uplink = self.ports.get(UPLINK)
        if uplink:
            if uplink.rings.post():
                done = True
            uplink.rings.flush()
        if done:
            self.active.set()
        return done or self._rearm()

    def _guarded(self, port, function, now):
        """function(port, now), whose PeerError ends this neighbour's link."""
        try:
            return function(port, now)
        except PeerError as reason:
            port.owner.broken(str(reason))
            return True

    def _completed(self, port, _now):
        return port.rings.complete()

    def _from_uplink(self, port, now):
        completed = port.rings.complete()
        frames = port.rings.receive(QUANTUM)
        self._take(port, frames, now)
        return completed or bool(frames)

    def _retry(self, port, _now):
        return port.rings.retry(self.outward)

    def _from_client(self, port, now):
        frames = port.rings.receive(self.inward, QUANTUM)
        self._take(port, frames, now)
        return bool(frames)

    def _take(self, port, frames, now):
        """Judge frames in order; those behind a super-frame that is not yet cut to its end wait for the next pass."""
        for i in range(len(frames)):
            self._judge(port, frames[i], now)
            if self._cutting:
                self._rest = port, frames[i + 1 :]
                break

    def _go_on(self, now):
        """Cut on where the last pass stopped, then take what came behind, unless its neighbour has gone."""
        port, frames = self._rest
        cutting, self._cutting, self._rest = self._cutting, None, None
        port.guard.judge(self._cut, cutting)
        if self._cutting:
            self._rest = port, frames
        elif self.ports.get(port.number) is port:
            self._take(port, frames, now)
        else:
            for frame in frames:
                frame.release(self.pool)

    def _rearm(self):
        """Nothing to do: ask every neighbour for an event. True if one was faster.

        While the uplink has no room clients are not asked for frames: it is its event that lets them go on.
        """
        more = False
        for port in list(self.ports.values()):
            if self.ports.get(port.number) is port and self._guarded(port, self._rearm_port, 0):
                more = True
        return more

    def _rearm_port(self, port, _now):
        return port.rings.rearm() if port.number == UPLINK else port.rings.rearm(not self.busy)

    # ---- one frame ----------------------------------------------------------------------------

    def _judge(self, port, frame, now):
        """Judge a frame and send what comes of it. Its pages are given back or passed on, whatever happens."""
        self._now = now
        self._port = port
        if port.guard.judge(self._decide, frame) is None:
            if not frame.sent:
                frame.release(self.pool)
            self.judge.out.clear()

    def _decide(self, frame):
        judge = self.judge
        number = self._port.number
        verdict = judge.frame(number, frame.head(self.pool), frame.octets, self._now, frame.blank, frame.gso_size)
        whole = None
        if verdict == reasons.GATHER:
            whole = frame.gather(self.pool)
            verdict = judge.frame(number, whole, len(whole), self._now, frame.blank, frame.gso_size)
        if verdict == reasons.FORWARDED:
            frame.blank = judge.blank
            frame.gso_size = judge.gso
            self._forward(frame, whole, judge.octets, judge.egress)
        else:
            frame.release(self.pool)
        if judge.out:
            for egress, octets in judge.out:
                self.emit(egress, octets)
            judge.out.clear()
        return verdict

    def _forward(self, frame, whole, octets, egress):
        """Send a rewritten frame: as it lies in its pages, or cut and summed where the far side cannot."""
        port = self.ports.get(egress)
        if port is None:
            frame.release(self.pool)
            return
        rings = port.rings
        if frame.gso_size and not rings.gso:
            whole = whole or frame.gather(self.pool)
            most = _ALL if frame.gso_size >= _MSS else _FIRST
            self._cut((port, segments(whole, octets, frame.gso_size, most)))
        elif frame.blank and not rings.csum or len(frame.parts) > 1 and not rings.sg:
            whole = whole or frame.gather(self.pool)
            if frame.blank:
                complete(whole, octets)
            self.emit(egress, whole[:octets])
        elif whole:
            copy = from_octets(self.pool, memoryview(whole)[:octets])
            if copy:
                copy.blank = frame.blank
                copy.gso_size = frame.gso_size
                self._send(port, copy)
        else:
            frame.trim(self.pool, octets)
            self._send(port, frame)
            return
        frame.release(self.pool)

    def _cut(self, cutting):
        """Send segments of a super-frame, as many as this pass may cut; what is left becomes self._cutting."""
        port, pieces = cutting
        for segment in pieces:
            if self.ports.get(port.number) is not port:
                break
            if segment is None:
                self.cut += 1  # the sender of such small ones will send the rest again
                break
            self.emit(port.number, segment)
            self._left -= 1
            if self._left <= 0:
                self._cutting = cutting
                break
        return True

    def emit(self, egress, octets):
        """Send octets of our own making, whose checksums are complete."""
        port = self.ports.get(egress)
        frame = from_octets(self.pool, octets) if port else None
        if frame:
            self._send(port, frame)

    def _send(self, port, frame):
        """Hand the frame and its pages to a link. One that breaks the protocol here is ended, and no other."""
        frame.sent = True
        if port.number == UPLINK:
            port.rings.send(frame)
            return
        if self.outward.room() < len(frame.parts):
            self._burst()
        try:
            port.rings.send(frame, self.outward)
        except PeerError as reason:
            frame.release(self.pool)
            port.owner.broken(str(reason))
        except BaseException:
            frame.release(self.pool)  # nothing was queued
            raise

    def _burst(self):
        """Do the copies that were collected, and tell the clients concerned."""
        if self.outward.count == 0:
            return
        self.outward.run()
        for port in self.clients:
            port.rings.finish(self.outward)
