"""The ring service: frames from every link to the judge, and what it lets out to the link it names.

One pass, called by the loop between tasks: pages that the netvm has sent are taken back, and frames that waited for room
go first; then neighbours have turns, as turns.py says whose it is, at most _SLOTS slots of its ring or _SENT frames of
what its last turn left; then one copy hypercall for all that goes to clients, and one notification for each link that
wants it. The next pass goes on where this one stopped. What is not served stays in the sender's own ring: the rest of a
long queue, all of who owes work, and all clients' as long as the uplink has no room, at most for a second
(netfront/backlog.py).

This is the slow path, and the specification of the fast one: every packet goes through plain Python.

A neighbour that breaks its rings' protocol is told to its owner (Vif, Uplink) as broken(); a packet that makes the
judge fail is dropped and counted by that client's Guard; nobody else notices either.
"""
import xen
from log import Log
from loop import Flag
from micropython import const
from net.batch import Batch
from net.frame import from_octets
from net.grantcopy import Copies
from peererror import PeerError
from supervisor import Guard

from firewall import cutting, reasons, turns
from firewall.neighbours import UPLINK
from firewall.packets.checksum_offload import complete

_SLOTS = const(8)  # of a ring in a turn
_SENT = const(8)  # frames of our own making in a turn: segments and pieces, each in some 0.1 ms
_PASS_NS = const(1200000)  # a client whose turn has not come by then is the first in the next pass
_BURST = const(512)  # copy operations towards clients in one hypercall
_NS_PER_MS = const(1000000)

_log = Log("forward")


class Port:
    """A link that frames come from and go to. owner: its Vif or Uplink; rings: its BackLink or FrontLink."""

    def __init__(self, number, owner):
        self.number = number
        self.owner = owner
        self.rings = owner.link
        self.ring = self.rings.rx if number == UPLINK else self.rings.tx  # that frames come from
        self.credit = 0  # of work; see turns
        self.pieces = None  # cutting.Pieces of the frame that its last turn ended with
        self.rest = ()  # frames that came behind that one
        self.guard = Guard(owner.name, lambda: owner.broken("packets that cannot be judged"))


class Forwarder:
    def __init__(self, judge, pool):
        self.judge = judge
        self.pool = pool
        self.ports = {}  # number -> Port
        self.clients = []  # Ports
        self.turns = turns.Turns()
        self.batch = Batch(_SLOTS)  # of whom has his turn
        self.inward = Copies(_SLOTS + 32)  # from clients: the longest chain may begin at the last slot
        self.outward = Copies(_BURST)
        self.active = Flag()  # there was something to do since it was last waited for
        self.busy = False  # the uplink has no room: clients keep what they have in their own rings
        self.cut = 0  # super-frames of which only the first segments were sent, or none
        self._work = 0  # of the turn that goes on
        self._left = 0  # frames of our own making that this turn may still send
        self._heaped = 0  # of all neighbours' pieces
        self._lost = 0  # frames that found no page, and those for which links that are gone had no room

    # ---- links come and go --------------------------------------------------------------------

    def add(self, number, owner):
        """owner.link is connected; number: free, UPLINK for the uplink. MemoryError: it is in none of the lists."""
        port = Port(number, owner)
        self.turns.add(port)
        try:
            self.ports[number] = port
            if number != UPLINK:
                self.clients.append(port)
        except BaseException:
            self.ports.pop(number, None)
            self.turns.remove(port)
            raise

    def remove(self, number):
        """Before owner.link is closed. What is on its way to clients is copied first: its pages are still ours."""
        self._burst()
        port = self.ports.pop(number)
        self.turns.remove(port)
        self._end_pieces(port)
        for frame in port.rest:
            frame.release(self.pool)
        port.rest = ()
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
        """How many frames were dropped since boot, whole or in part, because a link had no room for them or we had no page."""
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
        done = self._make_room(now)
        if self._turns(now, ns + _PASS_NS):
            done = True
        self._burst()
        uplink = self.ports.get(UPLINK)
        if uplink:
            if uplink.rings.post():
                done = True
            uplink.rings.flush()
        if done:
            self.active.set()
        return done or self._rearm()

    def _make_room(self, now):
        """Take back what the netvm has sent, and send what waited for clients' buffers. True if there was anything."""
        uplink = self.ports.get(UPLINK)
        done = bool(uplink) and self._guarded(uplink, self._completed, now)
        for port in list(self.clients):
            if port.rings.held and self._guarded(port, self._retry, now):
                done = True
        return done

    def _turns(self, now, until):
        """Give turns until the time is over, or as many as there are neighbours, or nobody has anything. True: some were given."""
        circle = self.turns
        self.busy = False
        if self.clients and self._is_busy(now):
            return self._turn_of_uplink(now)
        most = len(circle)
        given = passed = 0  # passed: places in a row without a turn
        debtors = []
        while given < most and passed < len(circle):
            port = circle.next()
            if not self._has(port):
                passed += circle.idle(port)
            elif port.number != UPLINK and self._is_busy(now):
                return self._turn_of_uplink(now) or given > 0
            elif not circle.credit(port, passed == len(circle) - 1 and not debtors):
                debtors.append(port)
                passed += 1
            elif self._turn(port, now):
                given += 1
                passed = 0
                debtors.clear()
                if xen.ns() > until:
                    break
            else:
                passed += 1
            if debtors and passed == len(circle):
                circle.pay(debtors)
                passed = 0
                debtors.clear()
        return given > 0

    def _is_busy(self, now):
        """The uplink has no room: it is its events that let clients go on."""
        if not self.busy:
            uplink = self.ports.get(UPLINK)
            self.busy = bool(uplink) and uplink.rings.busy(now)
        return self.busy

    def _turn_of_uplink(self, now):
        """Nobody else may be served: a turn that costs nothing."""
        uplink = self.ports[UPLINK]
        credit = uplink.credit
        done = self._has(uplink) and self._turn(uplink, now)
        uplink.credit = credit
        return done

    def _has(self, port):
        """Whether there is anything for a turn of it."""
        try:
            return port.pieces or port.ring.waiting()
        except PeerError as reason:
            port.owner.broken(str(reason))
            return False

    def _turn(self, port, now):
        """What its last turn left, or slots from its ring. True if there was anything."""
        self._work = 0
        self._left = _SENT
        self._guarded(port, self._go_on if port.pieces else self._receive, now)
        if self.ports.get(port.number) is port:
            self.turns.charge(port, self._work)
        return self._work > 0

    def _guarded(self, port, function, now):
        """function(port, now), whose PeerError ends this neighbour's link."""
        try:
            return function(port, now)
        except PeerError as reason:
            port.owner.broken(str(reason))
            return True

    def _completed(self, port, _now):
        return port.rings.complete()

    def _retry(self, port, _now):
        return port.rings.retry(self.outward)

    def _receive(self, port, now):
        ring = port.ring
        if port.number == UPLINK:
            before = ring.rsp_cons
            frames = port.rings.receive(self.batch, _SLOTS)
            self._work = (ring.rsp_cons - before & 0xFFFFFFFF) * turns.SLOT
        else:
            before = ring.req_cons
            frames = port.rings.receive(self.batch, self.inward, _SLOTS)
            self._work = (ring.req_cons - before & 0xFFFFFFFF) * turns.SLOT
        self._take(port, frames, now)

    def _take(self, port, frames, now):
        """Judge frames in order; those behind one that is not yet sent to its end wait for the next turn."""
        for i in range(len(frames)):
            self._judge(port, frames[i], now)
            if port.pieces:
                port.rest = frames[i + 1 :]
                break

    def _go_on(self, port, now):
        """Send on what the last turn left, then take what came behind it."""
        self._send_pieces(port)
        if not port.pieces:
            frames, port.rest = port.rest, ()
            self._take(port, frames, now)

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
        opened = judge.opened
        verdict = judge.frame(number, frame.head(self.pool), frame.octets, self._now, frame.blank, frame.gso_size)
        whole = None
        if verdict == reasons.GATHER:
            self._work += turns.GATHERED * (frame.octets + 4095 >> 12)
            whole = frame.gather(self.pool)
            verdict = judge.frame(number, whole, len(whole), self._now, frame.blank, frame.gso_size)
        self._work += turns.FRAME[verdict]
        if verdict == reasons.FORWARDED:
            frame.blank = judge.blank
            frame.gso_size = judge.gso
            self._forward(frame, whole, judge.octets, judge.egress)
        else:
            frame.release(self.pool)
        if judge.opened != opened:
            self._work += turns.OPENED
        if judge.out:
            self._send_out(judge.out)
        return verdict

    def _forward(self, frame, whole, octets, egress):
        """Send a rewritten frame: as it lies in its pages, or cut and summed where the far side cannot."""
        port = self.ports.get(egress)
        if port is None:
            frame.release(self.pool)
            return
        rings = port.rings
        cut = frame.gso_size and not rings.gso
        if not cut and (frame.blank and not rings.csum or len(frame.parts) > 1 and not rings.sg):
            self._work += turns.GATHERED * (octets + 4095 >> 12) + turns.SENT
            whole = whole or frame.gather(self.pool)
            if frame.blank:
                complete(whole, octets)
            self.emit(egress, whole[:octets])
            frame.release(self.pool)
            return
        if whole:
            frame.release(self.pool)
            copy = self._made(memoryview(whole)[:octets])
            if copy is None:
                return
            copy.blank = frame.blank
            copy.gso_size = frame.gso_size
            frame = copy
        else:
            frame.trim(self.pool, octets)
        if cut:
            self._cut(port, frame, octets)
        else:
            self._send(port, frame)

    # ---- frames that leave as many ------------------------------------------------------------

    def _cut(self, egress, frame, octets):
        """Send segments of a super-frame, as many as this turn may; the others follow in the next."""
        pieces = None
        try:
            pieces = cutting.super_frame(self.pool, frame, octets, egress)
        finally:
            if not pieces:
                frame.release(self.pool)
        if pieces:
            frame.sent = True
            self._port.pieces = pieces
            self._send_pieces(self._port)
        else:
            self.cut += 1

    def _send_out(self, out):
        """Send what the judge has made; of many pieces some now, the others in the next turns."""
        many = len(out)
        if many > _SENT and self._heaped + many <= cutting.HEAPED and not self._port.pieces:
            egress = self.ports.get(out[0][0])
            if egress:
                self._port.pieces = cutting.Pieces(egress, iter([octets for _, octets in out]), None, many)
                self._heaped += many
                self._send_pieces(self._port)
        else:
            self._work += turns.SENT * many
            for egress, octets in out:
                self.emit(egress, octets)
        out.clear()

    def _send_pieces(self, port):
        """Send some of what a neighbour's frame became; port.pieces is None when that was all."""
        if port.guard.judge(self._some_pieces, port.pieces) is not True:
            self._end_pieces(port)

    def _some_pieces(self, pieces):
        """True if there are more."""
        egress = pieces.egress
        price = turns.SEGMENT if pieces.frame else turns.SENT
        for octets in pieces.source:
            if self.ports.get(egress.number) is not egress:
                break
            if octets is None:
                self.cut += 1  # the sender of such small ones will send the rest again
                break
            frame = self._made(octets)
            if frame:
                self._send(egress, frame)
            self._work += price
            self._left -= 1
            if self._left <= 0:
                return True
        return False

    def _end_pieces(self, port):
        if port.pieces:
            port.pieces.end(self.pool)
            self._heaped -= port.pieces.heaped
            port.pieces = None

    def emit(self, egress, octets):
        """Send octets of our own making, whose checksums are complete."""
        port = self.ports.get(egress)
        frame = self._made(octets) if port else None
        if frame:
            self._send(port, frame)

    def _made(self, octets):
        """A Frame of our own making; None, and counted as lost, when all pages are in use. MemoryError."""
        frame = from_octets(self.pool, octets)
        if frame is None:
            self._lost += 1
        return frame

    def _send(self, port, frame):
        """Hand the frame and its pages to a link. One that breaks the protocol here is ended, and no other."""
        frame.sent = True
        try:
            if port.number == UPLINK:
                port.rings.send(frame)
                return
            if not port.rings.has_room(frame.parts, self.outward):
                self._burst()
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
