"""The ring service: frames from every link to the judge, and what it lets out to the link it names.

One pass, called by the loop between tasks: pages that the netvm has sent are taken back, and frames that waited for room
go first; then neighbours have turns, as turns.py says whose it is, at most slow.SLOTS slots of its ring or _SENT frames of
what its last turn left; then one copy hypercall for all that goes to clients, and one notification for each link that
wants it. The next pass goes on where this one stopped. What is not served stays in the sender's own ring: the rest of a
long queue, all of who owes work, and all clients' as long as the uplink has no room (netfront/backlog.py).

What bursts/ does not take goes through plain Python here: the slow path, and the specification of the fast one.

A neighbour that breaks its rings' protocol is told to its owner (Vif, Uplink) as broken(); a packet that makes the
judge fail is dropped and counted by that client's Guard; nobody else notices either.
"""
import xen
from micropython import const
from nap import Nap
from net import netif
from net.grantcopy import Copies
from peererror import PeerError
from supervisor import Guard

from firewall import turns
from firewall.bursts.alone import ANSWERS, AT_REST, BEGAN, COUNT, DONE, DUE, FAILED, GIVEN, HOW, LONGEST, MANY, MAY_WAIT
from firewall.bursts.alone import MOST, NUMBER, PACKETS, REST, SEEN, TURN, WAITS, WHOLE, WORK
from firewall.bursts.look import ANSWERED, ASKED, HOLDING, MORE, ROOM, SOME, WAITING, WHO
from firewall.bursts.through import CALM_SLOTS, Bursts
from firewall.cutting import SENT
from firewall.delivery import Delivery
from firewall.interfaces import UPLINK
from firewall.rates import Rates
from firewall.slow import SLOTS, Slow

TICK_MS = const(50)  # between two slices of the flow table
_PASS_NS = const(1200000)  # who has not had a turn by then is the first in the next pass, or whose is not over
_HURRY_NS = const(100000)  # the same, where garbage is collected behind the pass
_NS_PER_MS = const(1000000)
_MANY_NS = const(16000000)  # in as long
_MANY = const(24)  # slots to the netvm are many
_TO_DO = SOME | ANSWERED | HOLDING | WAITING
_NO_REST = SOME | ANSWERED | MORE | HOLDING | WAITING | ASKED


class Forwarder:
    """uplink: its Interface, None without one."""

    def __init__(self, judge, interfaces, pool, fast=True):
        """fast: established flows go by machine code; without it every packet goes its way in plain Python."""
        self.judge = judge
        self.interfaces = interfaces
        self.pool = pool
        self.uplink = None
        self.turns = turns.Turns()
        self.delivery = Delivery(pool, interfaces, self.turns)
        self.clients = self.delivery.clients
        self.inward = Copies(CALM_SLOTS + 32)  # from clients: the longest chain may begin at the last slot
        self.fast = self.delivery.fast = Bursts(judge, interfaces, pool, self.delivery, self.inward) if fast else None
        pause = self.fast.look.pause if fast else None
        self.rates = self.delivery.rates = Rates(pool, self.delivery.hand_on, judge, pause)
        self.active = Nap(TICK_MS)  # there was something to do since main's last tick
        self.busy = False  # the uplink has no room: clients keep what they have in their own rings
        self.starting = False  # nobody has turns: it is not known yet whether there is an uplink
        self.many = False  # slots that went to the netvm lately, as counted
        self._since = self._sent = 0
        self.left = False  # some interface may have frames or pieces that its last turn left, or that is not over
        self.seen = _TO_DO  # when the rings were last looked at
        self.quick = self if fast else None  # for loop.serve()
        if fast:
            look = self.fast.look
            self._look, self._end, self._tables, self._of_end = look.look, look.end, look.place, look.tables
            alone = self.fast.alone
            alone.call(self._count, SLOTS, CALM_SLOTS)
            self._alone, self.serve, self.tables, self._words = alone.run, alone.serve, alone.tables, alone.words
            self.hurry(False)
        self.slow = Slow(judge, pool, self.delivery, self.inward)

    # ---- interfaces come and go ---------------------------------------------------------------

    def add(self, interface, owner):
        """owner.link is connected. MemoryError: its frames are not served."""
        guard = Guard(owner.name, lambda: owner.broken("packets that cannot be judged"))
        self.turns.add(interface)
        try:
            if self.fast:
                self.fast.add(interface, owner.link)
            if interface.number != UPLINK:
                self.rates.join(interface, xen.ns())
                self.clients.append(interface)
        except BaseException:
            self.turns.remove(interface)
            self.rates.leave(interface)
            if self.fast:
                self.fast.remove(interface)
            raise
        self.interfaces.join(interface, owner, guard)
        self._turns_in_a_pass()
        if interface.number == UPLINK:
            self.uplink = interface

    def remove(self, interface):
        """Before owner.link is closed. What is on its way to clients is copied first: its pages are still ours."""
        if interface.rings is None:
            return
        self.delivery.burst()
        self.turns.remove(interface)
        self._turns_in_a_pass()
        self.rates.leave(interface)
        self.delivery.cutting.end(interface)
        while interface.judged < len(interface.frames):
            interface.frames[interface.judged].release(self.pool)
            interface.judged += 1
        interface.frames = ()
        self.delivery.gone += interface.rings.dropped
        if interface.number == UPLINK:
            self.uplink = None
        else:
            self.clients.remove(interface)
        if self.fast:
            self.fast.remove(interface)
        self.interfaces.part(interface)

    def _turns_in_a_pass(self):
        if self.fast:
            self._words[MOST] = len(self.turns)

    def holding(self):
        """Whether frames wait for a neighbour that gives no room."""
        if self.busy:
            return True
        for interface in self.clients:
            if interface.rings.held:
                return True
        return False

    # ---- one pass -----------------------------------------------------------------------------

    def service(self):
        """For loop.serve(). True if there was anything to do. Where memory is refused the pass ends; the next goes on."""
        if self.starting:
            return False
        try:
            return self._pass()
        except MemoryError:
            return True

    def _pass(self):
        """What neighbours have is done within the pass, if time allows, and there need be no other to find nothing."""
        fast = self.fast
        if not fast:
            return self._plain_pass()
        words = self._words
        how = words[HOW]  # what the loop's last pass has left
        words[HOW] = WHOLE
        if not how and (self.left or self.busy or self.rates.all):
            done = self.rates.begin(xen.ns()) if self.rates.all else False
            self.seen = self._look(self._tables)
            words[GIVEN] = 0
            seen, done = self._step_by_step(REST, done)
        else:
            if not how:
                fast.tell_places()
                how = self._alone(self.tables)
            seen, done = words[SEEN], words[DONE]
            self.end()
            if how:
                self.seen = seen
                seen, done = self._step_by_step(how, done)
        if seen & ASKED:
            if fast.post(self.uplink):
                seen |= MORE
            fast.flush(self.uplink)
        if done and not self.active.state:
            self.active.set()
        if not (self.busy or self.left or seen & _NO_REST):
            self.turns.rest()
            return False
        if self.busy or seen & (HOLDING | WAITING | ASKED):
            return done or seen & MORE != 0 or self._rearm()
        return True

    def begin(self):
        """For the loop: whether passes may be made in machine code until end(), as nothing waits for Python."""
        if self.left or self.busy or self.rates.all or self.starting:
            return False
        words = self._words
        words[DONE], words[AT_REST] = 0, not self.active.state
        words[MAY_WAIT] = not words[WAITS]  # it waited, and Python has run since, as it does each tick: is it a stall?
        self.fast.tell_places()
        return True

    def end(self):
        """For the loop: Python goes on, counts what machine code has done, and wakes the tick."""
        words = self._words
        words[MAY_WAIT] = 0
        if words[COUNT]:
            self.fast.hits(words[COUNT])
            words[COUNT] = 0
        if words[DONE] and not self.active.state:
            self.active.set()

    def hurry(self, yes):
        """For the loop: whether passes are to be short from now on."""
        self._words[LONGEST] = _HURRY_NS if yes else _PASS_NS

    def _step_by_step(self, how, done):
        """A pass, from where machine code has stopped: what was seen, and whether there was anything to do."""
        given = self._words[GIVEN]
        ns = self._words[BEGAN] | self._words[BEGAN + 1] << 32 if given else xen.ns()
        now = ns // _NS_PER_MS
        until = self.slow.until = self.fast.until = ns + self._words[LONGEST]
        if how != REST:
            self._take_up(how, now)
            self.seen = self._look(self._tables)
            done = True
        self.fast.begin()
        if self.seen & _TO_DO or self.left or self.busy:
            done = done or self.turns.open is not None
            if ns - self._since > _MANY_NS:
                self._count(ns)
            if self.seen & (ANSWERED | HOLDING | WAITING) and self._make_room(now):
                done = True
            if not given or given < len(self.turns) and xen.ns() < until:
                if self._turns(now, until, given):
                    done = True
        self.delivery.burst()
        self.seen = self._end(self._of_end, 0 if self.left or self.busy else 2 if self.many else 1)
        return self.seen, done

    def _take_up(self, how, now):
        """What machine code has left undone."""
        if how == FAILED:
            self.fast.failed()
        elif how == PACKETS:
            interface = self.interfaces.by_number[self._words[NUMBER]]
            self.turns.work = self._words[WORK]
            self.delivery.cutting.left = SENT
            self._guarded(Forwarder._go_through, interface, now)
            self._charged(interface)
        elif how == TURN:
            self._turn(self.interfaces.by_number[self._words[NUMBER]], now)
        elif self.uplink:
            self._guarded(Forwarder._answered if how == ANSWERS else Forwarder._held, self.uplink, now)

    def _count(self, ns):
        """Whether many slots go to the netvm lately. At rest it is asked for an event with each of its answers."""
        sent = self.uplink.rings.tx.req_prod if self.uplink else 0
        self.many = self._words[MANY] = ns - self._since < 2 * _MANY_NS and (sent - self._sent & 0xFFFFFFFF) >= _MANY
        self._sent = sent
        self._since = ns
        if self.fast:
            due = ns + _MANY_NS + 1
            self._words[DUE], self._words[DUE + 1] = due & 0xFFFFFFFF, due >> 32

    def _plain_pass(self):
        ns = xen.ns()
        until = self.slow.until = ns + _PASS_NS
        done = self.rates.begin(ns) if self.rates.all else False
        done = self._make_room(ns // _NS_PER_MS) or done
        if self._turns(ns // _NS_PER_MS, until):
            done = True
        self.delivery.burst()
        if self.uplink:
            if self.uplink.rings.post():
                done = True
            self.uplink.rings.flush()
        if done:
            self.active.set()
        return done or self._rearm()

    def _make_room(self, now):
        """Take back what the netvm has sent, and send what waited for clients' buffers. True if there was anything."""
        seen, uplink, links = self.seen, self.uplink, len(self.turns)
        done = False
        if uplink and seen & (ANSWERED | WAITING):
            done = self._guarded(Forwarder._completed, uplink, now)
        i = 0
        while seen & HOLDING and i < len(self.clients):
            interface = self.clients[i]
            if interface.rings.held and self._guarded(Forwarder._retry, interface, now):
                done = True
            if interface.rings:  # else it is gone, and the next stands in its place
                i += 1
        if self.fast and len(self.turns) < links:
            self._nobody()  # who has ended is seen no more
        return done

    def _turns(self, now, until, given=0):
        """Give turns until time is up, all could have had one, or nobody has anything. True: some were given.

        given: so many were in this pass before.
        """
        circle = self.turns
        self.busy = False
        if self.left and not self._ends(now, until):
            return True
        if self.fast and not self.left:
            if not self.seen & SOME:
                return False
            if self.seen & SOME == 1:
                return self._turns_alone(now, until, given)
        if self.clients and self._is_busy(now):
            return self._turn_of_uplink(now)
        most = len(circle)
        passed = 0  # places in a row without a turn
        circle.begin()
        while given < most and passed < len(circle):
            interface = circle.next()
            if not self._has(interface):
                passed += circle.idle(interface)
            elif interface.number != UPLINK and self._is_busy(now):
                return self._turn_of_uplink(now) or given > 0
            elif not circle.credit(interface, passed == len(circle) - 1 and not circle.owing):
                circle.put_off(interface)
                passed += 1
            elif self._turn(interface, now):
                given += 1
                passed = 0
                circle.begin()
                if self.turns.open or xen.ns() > until or self.fast and self._nobody():
                    break
            else:
                passed += 1
            if circle.owing and passed == len(circle):
                circle.pay()
                passed = 0
        return given > 0

    def _ends(self, now, until):
        """Go on with the turn that is not over, if there is one. False: there is no time for others."""
        if self.turns.open:
            self._turn(self.turns.open, now)
            if self.turns.open or xen.ns() > until:
                return False
            self.seen = self._look(self._tables)
        self.left = self._leaves()
        return True

    def _turns_alone(self, now, until, given):
        """Turns of the only neighbour that has anything, as long as it is that. True: some were given."""
        while True:
            interface = self.interfaces.by_number[self.seen >> WHO]
            if interface.number != UPLINK and self._is_busy(now):
                break
            self.turns.alone(interface)
            if not self._turn(interface, now):
                break
            given += 1
            if self._nobody() or self.left or self.seen & SOME > 1 or given >= len(self.turns) or xen.ns() > until:
                break
        return given > 0

    def _nobody(self):
        """Look again: True if nobody has anything for a turn."""
        self.seen = seen = self._look(self._tables)
        return not (seen & SOME or self.left)

    def _is_busy(self, now):
        """The uplink has no room: it is its events that let clients go on."""
        uplink = self.uplink
        if not self.busy and uplink and (not self.seen & ROOM or self.seen & WAITING):
            self.busy = uplink.rings.busy(now)
        return self.busy

    def _leaves(self):
        """Whether any turn has left frames or pieces, or is not over."""
        uplink = self.uplink
        if self.turns.open:
            return True
        if uplink and (uplink.pieces or uplink.frames):
            return True
        for interface in self.clients:
            if interface.pieces or interface.frames:
                return True
        return False

    def _turn_of_uplink(self, now):
        """Nobody else may be served: a turn that costs nothing."""
        uplink = self.uplink
        if uplink is None:
            return False
        credits = self.turns.credits
        credit = credits[UPLINK]
        done = self._has(uplink) and self._turn(uplink, now)
        credits[UPLINK] = credit
        return done

    def _has(self, interface):
        """Whether there is anything for a turn of it."""
        if self.fast:
            return self.fast.look.has[interface.number] or interface.pieces or interface.frames
        try:
            paused = interface.rate and interface.rate.paused
            return interface.pieces or interface.frames or not paused and interface.ring.waiting()
        except PeerError as reason:
            interface.owner.broken(str(reason))
            return False

    def _turn(self, interface, now):
        """What its last turn left, or slots from its ring. True if there was anything."""
        self.turns.work = 0
        self.delivery.cutting.left = SENT
        before = interface.rings.traffic()[1] if interface.rate else 0
        function = Forwarder._go_on if interface.pieces or interface.frames else Forwarder._receive
        if self.turns.open is interface:
            function = Forwarder._go_on_with
        self._guarded(function, interface, now)
        if interface.rate and interface.rings:
            self.rates.taken(interface, interface.rings.traffic()[1] - before)
        self._charged(interface)
        return self.turns.work > 0

    def _charged(self, interface):
        """Its turn is over."""
        if interface.rings:
            self.turns.charge(interface)
            if interface.pieces or interface.frames or self.turns.open:
                self.left = True

    def _guarded(self, function, interface, now):
        """function(self, interface, now), whose PeerError ends this neighbour's link. Refused memory ends the call."""
        try:
            return function(self, interface, now)
        except PeerError as reason:
            interface.owner.broken(str(reason))
        except MemoryError:
            pass  # the others have their turns
        return True

    def _completed(self, interface, _now):
        return self.fast.completed(interface) if self.fast else interface.rings.complete()

    def _answered(self, interface, _now):
        self.fast.answered(interface)

    def _held(self, interface, _now):
        self.fast.held(interface)

    def _go_through(self, interface, now):
        self.fast.go_on(interface, now, self.slow.judging)

    def _go_on_with(self, interface, now):
        self.fast.go_on_with(interface, now, self.slow.judging)

    def _retry(self, interface, _now):
        return interface.rings.retry(self.delivery.outward)

    def _receive(self, interface, now):
        if self.fast:
            least, most = SLOTS, CALM_SLOTS
            if interface.rate:
                least = most = interface.rate.slots(SLOTS)
            elif not self.seen & ROOM and self.uplink and interface.number != UPLINK:
                # what finds no room costs much more
                most = max(SLOTS, min(most, self.uplink.rings.tx.room() - netif.SLOTS_MAX))
            if self.fast.receive(interface, least, now, self.slow.judging, most):
                return
        self.slow.receive(interface, now)

    def _go_on(self, interface, now):
        self.slow.go_on(interface, now)

    def _rearm(self):
        """Nothing to do: ask every neighbour for an event. True if one was faster. All debts are forgiven.

        While the uplink has no room clients are not asked for frames: it is its event that lets them go on.
        """
        self.turns.rest()
        more = self.uplink is not None and self._guarded(Forwarder._rearm_uplink, self.uplink, 0)
        i = 0
        while i < len(self.clients):
            interface = self.clients[i]
            if self._guarded(Forwarder._rearm_client, interface, 0):
                more = True
            if interface.rings:
                i += 1
        return more

    def _rearm_uplink(self, interface, _now):
        return interface.rings.rearm()

    def _rearm_client(self, interface, _now):
        return interface.rings.rearm(not self.busy and not (interface.rate and interface.rate.paused))
