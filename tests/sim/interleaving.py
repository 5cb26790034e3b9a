"""Neighbours that take one step at a time, between any two of the firewall's accesses to the rings' counters.

A neighbour is honest and acts as Linux does: its interrupt handler runs only when it has an event, it never polls, and
whoever has shown something notifies only if the firewall's event counter asks for it. What it does at once elsewhere
is in steps here, as a second processor would do it: to show and to tell (what asks for an event is read after the
counter was written, and perhaps much later); to take and to ask (for an event with the next, and a last look).

    NAME.queue   a client shows one more frame      NAME.tell   and notifies, if it is asked to
    NAME.take    a client's handler, if it has an event: what came is taken, rx buffers are given again
    NAME.ask     it asks for events, and looks once more
    NAME.cross, NAME.long, NAME.fresh, NAME.cut
                 as queue, with one for the client after it, one of 18 slots, the first of a flow, a super-frame
    NAME.give    a client without buffers shows another  NAME.gave  and notifies, if it is asked to
    n.send       the netvm shows a frame            n.told      and notifies, if it is asked to
    n.take       its handler: requests are taken, and not answered yet
    n.ask        it asks for events, and looks once more
    n.answer     it shows the oldest answer         n.tell      and notifies, if it is asked to

A step may be several, as `a.take+a.queue`, and one so many times, as `n.send*256`.

Schedules.run() does a list of steps: the first ones while the firewall sleeps, then each of the others so many accesses
after the step before it, or when the firewall sleeps, whichever comes first. all() does so for all numbers of accesses.
Whenever the firewall sleeps, asleep() looks at all rings; at the end everybody goes on until nobody has an event.
"""
from packets import ACK, TCP, ip, tcp_segment, udp
from rings import MASK, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SLOTS, events

SERVER = "192.0.2.50"
PARTS, PART, SEGMENTS = 18, 75, 20  # slots of the longest frame without super-frames, and octets in each
LONGEST = 19  # slots of the longest frame
ROOMY = 58  # slots that a turn may take; with less room the uplink is busy
ARP = b"\x08\x06"
STEPS = 100000  # of all in the end; more is a firewall that spins


def ahead(counter, other):
    """By how much; less than 0: it is behind."""
    return ((counter - other + 0x80000000) & MASK) - 0x80000000


def asked(shown, event):
    """Whether who has shown (old, new) is to notify."""
    old, new = shown
    return (new - event) & MASK < (new - old) & MASK


class Client:
    """A client's end, with what it has shown and told nobody of."""

    def __init__(self, scene, wire, port):
        """port: of its flow, outside."""
        self.scene, self.wire, self.end, self.port = scene, wire, wire.end, port
        self.shown = self.given = None  # (old, new) of tx, of rx
        self.taking = False
        self.sent = self.flows = 0  # frames for the netvm, and how many were the first of a flow
        self.due = self.got = 0  # frames for it
        actors = scene.net.machine.actors
        actors[actors.index(self.end.serve)] = self.serve

    def serve(self):
        """Step by step, outside of schedules."""
        if not self.port_has_event():
            return self.end._follow()
        self.take()
        self.ask()
        return True

    def port_has_event(self):
        return self.end.port in events(self.end.peer)

    def queue(self):
        self.sent += 1
        self._show(udp(self.wire.address, 4001, SERVER, 53))

    def cross(self):
        clients = self.scene.clients
        other = clients[(clients.index(self) + 1) % len(clients)]
        other.due += 1
        self._show(udp(self.wire.address, 4001, other.wire.address, 53))

    def long(self):
        self.sent += 1
        frame = udp(self.wire.address, 4001, SERVER, 53, bytes(PART * PARTS))
        self._show(frame, sizes=[len(frame) - PART * (PARTS - 1)] + [PART] * (PARTS - 1))

    def fresh(self):
        self.sent += 1
        self.flows += 1
        self._show(udp(self.wire.address, 5000 + self.flows, SERVER, 53))

    def cut(self):
        self.sent += SEGMENTS
        segment = tcp_segment(self.wire.address, 4002, SERVER, 80, ACK, bytes(100 * SEGMENTS), blank=True)
        self._show(ip(self.wire.address, SERVER, TCP, segment), True, 100)

    def _show(self, *frame, **how):
        self.tell()
        self.end.queue(*frame, **how)
        self.show()

    def show(self):
        """What was queued."""
        tx = self.end.tx
        self.shown = tx.words[REQ_PROD], tx.produced & MASK
        tx.words[REQ_PROD] = tx.produced & MASK

    def tell(self):
        shown, self.shown = self.shown, None
        if shown and asked(shown, self.end.tx.words[REQ_EVENT]):
            self.end.peer.evtchn_send(self.end.port)

    def take(self):
        if self.port_has_event():
            self.end.peer.events.discard(self.end.port)
            self.taking = True
            self._consume()

    def _consume(self):
        """What came, and events are not asked for yet."""
        end = self.end
        words = [(ring.words, ring.words[RSP_EVENT]) for ring in (end.tx, end.rx)]
        end._completed()
        end._received()
        for ring, event in words:
            ring[RSP_EVENT] = event
        end.responses.clear()
        self.received(end.frames)
        end.frames.clear()

    def received(self, frames):
        self.got += len(frames)

    def ask(self):
        if self.taking:
            end = self.end
            end.tx.rearm()
            end.rx.rearm()
            while end.tx.waiting() or end.rx.waiting():
                self._consume()
                end.tx.rearm()
                end.rx.rearm()
            self.taking = False

    def give(self):
        self.gave()
        rx = self.end.rx
        self.end.give_buffer()
        self.given = rx.words[REQ_PROD], rx.produced & MASK
        rx.words[REQ_PROD] = rx.produced & MASK

    def gave(self):
        given, self.given = self.given, None
        if given and asked(given, self.end.rx.words[REQ_EVENT]):
            self.end.peer.evtchn_send(self.end.port)

    def unread(self):
        """Slots that wait for the firewall: all that it takes it answers at once."""
        return ahead(self.end.tx.words[REQ_PROD], self.end.tx.words[RSP_PROD])


class Netvm:
    """The netvm's end. owed: answers that it has not given yet; it keeps `kept` of them in the end."""

    def __init__(self, scene, wire):
        self.scene, self.end, self.kept = scene, wire.end, 0
        self.owed = []
        self.shown = {}  # (old, new) by ring
        self.taking = False
        self.sent = self.got = 0
        self.to = 0  # whose port the next frame is for
        self.end.answer_now, self.end.answer = self.end.answer, lambda id, status: self.owed.append((id, status))
        self.end.kick = self.show
        actors = scene.net.machine.actors
        actors[actors.index(self.end.serve)] = self.serve

    def serve(self):
        if not self.any_event() and len(self.owed) <= self.kept:
            return self.end._follow()
        self.take()
        self.ask()
        self.answer_all()
        self.told()
        return True

    def has_event(self, port):
        return port in events(self.end.peer)

    def any_event(self):
        return self.has_event(self.end.port) or self.has_event(self.end.rx_port)

    def show(self, ring):
        self._notify(ring)
        self.shown[ring] = ring.words[RSP_PROD], ring.produced & MASK
        ring.words[RSP_PROD] = ring.produced & MASK

    def _notify(self, ring):
        shown = self.shown.pop(ring, None)
        if shown and asked(shown, ring.words[RSP_EVENT]):
            self.end.peer.evtchn_send(self.end.rx_port if ring is self.end.rx else self.end.port)

    def send(self):
        clients = self.scene.clients
        client = clients[self.to % len(clients)]
        self.to += 1
        self.sent += 1
        client.due += 1
        self.end.send(udp(SERVER, 53, self.scene.net.address, client.port))

    def told(self):
        self._notify(self.end.rx)

    def take(self):
        end = self.end
        of_tx = self.has_event(end.port)
        if self.has_event(end.rx_port):
            end.peer.events.discard(end.rx_port)
            while end.backlog and end._put(*end.backlog[0]):
                end.backlog.pop(0)
            if end.backlog:
                end._ask_for_buffers()
        if of_tx:
            end.peer.events.discard(end.port)
            self.taking = True
            self._consume()

    def _consume(self):
        self.end._transmitted()
        self.received([octets for octets, _, _, _ in self.end.frames if octets[12:14] != ARP])  # that time brings
        self.end.frames.clear()

    def received(self, frames):
        self.got += len(frames)

    def ask(self):
        if self.taking:
            self.end.tx.rearm()
            while self.end.tx.waiting():
                self._consume()
                self.end.tx.rearm()
            self.taking = False

    def answer(self):
        if self.owed:
            self.end.answer_now(*self.owed.pop(0))
            self.show(self.end.tx)

    def answer_all(self):
        """But those that it keeps."""
        while len(self.owed) > self.kept:
            self.answer()
        self.tell()

    def tell(self):
        self._notify(self.end.tx)

    def room(self):
        """Slots of the ring that are not in flight."""
        return SLOTS - ahead(self.end.tx.words[REQ_PROD], self.end.tx.words[RSP_PROD])


class Schedules:
    def __init__(self, net, clients, netvm=None):
        """clients: functions that make them, given this."""
        self.net, self.firewall, self.header = net, net.firewall, net.machine.header
        self.clients = [make(self) for make in clients]
        self.netvm = (netvm or Netvm)(self, net.uplink)
        self.names = dict(zip("abc", self.clients), n=self.netvm)
        self.count = 0  # schedules so far
        self.flooded = False
        self.before = lambda: None  # of each schedule
        self._plan = None

    def open(self):
        """Watch these rings in schedules."""
        ends = [client.end for client in self.clients] + [self.netvm.end]
        frames = [self._frame(ring) for end in ends for ring in (end.tx, end.rx)]
        for i, frame in enumerate(frames):
            self.header.watched[i] = frame
        self.net.machine.on_preempt = self._preempted

    def fill(self, room):
        """The netvm keeps so many frames that its ring has room for no more slots than that."""
        self.netvm.kept = SLOTS - room
        client = self.clients[0]
        while self.netvm.room() > room:
            client.queue()
            client.tell()
            self.net.settle()
        assert self.netvm.room() == room

    def flood(self):
        """Many slots go to the netvm, so that it is asked for events with many answers. The clock stands still then."""
        self.flooded = True
        client, words = self.clients[0], self.netvm.end.tx.words
        for _ in range(2):
            for _ in range(40):
                client.queue()
            client.tell()
            self.net.settle()
            self.net.advance(0.0165)
        client.queue()
        client.tell()
        self.net.settle()
        assert ahead(words[RSP_EVENT], words[RSP_PROD]) > 40

    def _frame(self, ring):
        from ctypes import addressof, c_char
        from hypervisor import PAGE

        return (addressof(c_char.from_buffer(ring.words)) - self.net.machine.at.value) // PAGE

    # ---- one schedule

    def do(self, step):
        for each in step.split("+"):
            who, _, what = each.partition(".")
            what, _, times = what.partition("*")
            for _ in range(int(times or 1)):
                getattr(self.names[who], what)()

    def run(self, begin, steps, gaps):
        """See the module. gaps: accesses before each of the steps; which of them were done asleep instead."""
        self.count += 1
        self.before()
        self.history = begin, steps, gaps
        for step in begin:
            self.do(step)
        late = []
        self._plan = steps, gaps, late
        self._at = 0
        self.header.accesses = 0
        self._go_on()
        while True:
            self._turn()
            self.asleep()
            if self._at == len(steps):
                break
            late.append(True)
            self.do(steps[self._at])
            self._at += 1
            self._go_on()
        self.rest()
        return late

    def _go_on(self):
        """Steps that follow at once; then the next access at which there is one."""
        steps, gaps, late = self._plan
        while self._at < len(steps) and not gaps[self._at]:
            late.append(False)
            self.do(steps[self._at])
            self._at += 1
        self.header.watch_at = self.header.accesses + gaps[self._at] if self._at < len(steps) else 0

    def _preempted(self, _firewall):
        steps, _, late = self._plan
        late.append(False)
        self.do(steps[self._at])
        self._at += 1
        self._go_on()

    def _turn(self):
        if self.firewall.runnable():
            self.firewall.turn()

    def rest(self):
        """Everybody goes on until nobody has an event; all that was sent has arrived then."""
        netvm, clients = self.netvm, self.clients
        for _ in range(STEPS):
            for each in clients:
                each.tell()
                each.gave()
                each.take()
                each.ask()
            netvm.tell()
            netvm.told()
            netvm.take()
            netvm.ask()
            if len(netvm.owed) > netvm.kept:
                netvm.answer_all()
            elif not self.firewall.runnable():
                if not (netvm.shown or netvm.any_event()) and not any(each.port_has_event() for each in clients):
                    break
            self._turn()
            self.asleep()
        else:
            raise AssertionError("it does not come to rest after %s %s %s" % self.history)
        self.whole()

    # ---- what must hold

    def asleep(self):
        """The firewall sleeps: whatever lies in a ring has an event on its way, or waits for another that will come."""
        if self.firewall.runnable():
            return
        netvm = self.netvm
        words = netvm.end.tx.words
        coming = netvm.end.tx in netvm.shown and asked(netvm.shown[netvm.end.tx], words[RSP_EVENT])
        busy = netvm.room() < ROOMY or coming
        waits = False
        for each in self.clients:
            tx = each.end.tx.words
            told = each.shown and asked(each.shown, tx[REQ_EVENT])
            unread = each.unread()
            waits = waits or unread and not told
            if not busy and not told:
                self._holds(not unread, "a frame lies in a client's ring")
                self._holds(tx[REQ_EVENT] == (tx[REQ_PROD] + 1) & MASK, "no event is asked for with a client's frames")
            if not each.taking and not each.port_has_event():
                for ring in (each.end.tx, each.end.rx):
                    self._holds(not ring.waiting(), "a client was not told of what it got")
        awaited = ahead(words[RSP_EVENT], words[RSP_PROD])  # answers until there is an event
        most = 64 if self.flooded and not waits else 1
        if any(each.unread() for each in self.clients):
            most = max(most, ROOMY - netvm.room())
        self._holds(coming or 1 <= awaited <= most, "no event is asked for with the netvm's answers")
        rx = netvm.end.rx
        if not (rx in netvm.shown and asked(netvm.shown[rx], rx.words[RSP_EVENT])):
            self._holds(ahead(rx.words[RSP_EVENT], rx.words[RSP_PROD]) == 1, "a frame lies in the netvm's ring")
        if not netvm.taking and not netvm.has_event(netvm.end.port):
            self._holds(not netvm.end.tx.waiting(), "the netvm was not told of frames")
        if not netvm.has_event(netvm.end.rx_port):
            self._holds(not netvm.end.backlog or not netvm.end.posted(), "the netvm was not told of buffers")

    def _holds(self, condition, what):
        assert condition, "%s, after %s %s %s" % ((what,) + self.history)

    def whole(self):
        """At rest: all that was sent has arrived, and all is answered."""
        netvm = self.netvm
        for each in self.clients:
            self._holds(not each.unread() and not each.end.in_flight, "a client's frames were not taken")
            self._holds(each.got == each.due, "a client has not got all")
        self._holds(netvm.got == sum(each.sent for each in self.clients), "the netvm has not got all")
        self._holds(not netvm.end.backlog, "the netvm found no buffers")

    # ---- all of them

    def all(self, begin, steps):
        """run() with all gaps there are: how many."""
        begin, steps = begin.split(), steps.split()
        gaps = [0] * len(steps)
        n = 0
        while True:
            late = self.run(begin, steps, list(gaps))
            n += 1
            at = len(steps) - 1
            while at >= 0 and late[at]:
                gaps[at] = 0
                at -= 1
            if at < 0:
                return n
            gaps[at] += 1
