"""A burst of packets on its way through: which are hits, where they leave, and what the slow path has to do."""
from array import array

import xen
from micropython import const
from net.frame import HEADERS, Frame
from net.rows import FAILED, FATE, FIRST_PART, HOW_MANY, OFFLOADS, PACKET, PART, Rows

from firewall import opening, reasons, turns
from firewall.bursts.alone import BEGAN, BEGUN, GONE, LEFT, LOOKED_UP, OF, TAKEN, Alone
from firewall.bursts.clients import Clients
from firewall.bursts.uplink import Uplink
from firewall.bursts.look import Look
from firewall.fast import entries, known, rings, runs
from firewall.flows import state
from firewall.interfaces import NUMBERS, UPLINK
from firewall.wire import byteorder

_MASK = const(0xFFFFFFFF)
CALM_SLOTS = const(40)  # of a ring in a turn, if its last turn had no miss: two super-frames of 64 KiB
_NS_PER_MS = const(1000000)
_MISSED = const(24)  # in a go: what opening.py has done counts 1,
_JUDGED = const(3)  # a frame for the judge


class Bursts:
    """count: packets that went this way since boot."""

    def __init__(self, judge, interfaces, pool, delivery, inward):
        """delivery, inward: the slow path's, and its copies from clients."""
        self.count = 0
        self.tap = None  # capture.Taps, while somebody captures
        self._judge = judge
        self._pool = pool
        self._turns = delivery.turns  # which count the work
        self._delivery = delivery
        self._by_number = interfaces.by_number
        self._rows = rows = Rows()
        self._clients = Clients(pool, rows, inward, delivery.outward)
        self._uplink = Uplink(pool, rows)
        self.look = Look()
        self._packets = (rows.packets, rows.parts, pool.memory)
        n = self._neighbours = judge.neighbours
        self._scalars = xen.view(xen.mem(4 * 64), "I")
        self._flows = flows = n.flows
        self._tables = (
            self._scalars, flows.records, flows.index.slots, n.clients.generations, n.clients.lives, interfaces.rows,
            state.NEXT, state.RANK, array("I", state.TIMEOUT), n.clients.ends, entries.move,
            flows.mappings.hold,
        )  # fmt: skip
        self._opening = opening.Opening(judge, self._tables, self._packets)
        self._beginning = self._opening.begin
        for i in range(9):
            rings.enter(self._scalars, 16 + 2 * i, self._tables[i])
        self._told_ours = self._told_gateway = self._told_broadcast = -1
        self._told_key = None
        self._told = False  # in this pass
        self._burst = delivery.burst  # bound once: a burst without memory would end here, and its packets with it
        self._arrays = [None] * NUMBERS
        self._calm = bytearray(NUMBERS)  # 1: all that the last turn took was hits
        self._gone = 0  # packets of the rows whose pages are no longer theirs
        self._end = 0  # packets of a turn that is not over: those from _gone on are the first in the next pass
        self.until = 0  # ns: no miss but a turn's first is begun later
        self._of_hits = tuple([rings.place(memory) for memory in self._packets + (self._scalars,)])
        self.alone = Alone(
            self.look, self._packets, self._of_hits, self._tables, rows.s, self._arrays, self._calm, delivery.outward,
            delivery.turns, self.begun, _MISSED, self.strays,
        )  # fmt: skip

    def add(self, interface, rings):
        """These rings have come for it. MemoryError."""
        way = self._uplink if interface.number == UPLINK else self._clients
        self._arrays[interface.number] = arrays = way.arrays(rings)
        self.look.add(interface.number, rings, arrays)

    def remove(self, interface):
        """Its rings are about to go."""
        if self._turns.open is interface:
            self._turns.open = None
            for i in range(self._gone, self._end):
                self._release(i)
        self._arrays[interface.number] = None
        self.look.remove(interface.number)

    def watch(self, tap):
        """tap: capture.Taps while somebody captures, or None."""
        self.tap = tap
        self.alone.watch(tap)

    def completed(self, interface):
        """Uplink.completed() of an interface."""
        return self._uplink.completed(interface.rings, self._arrays[interface.number])

    def answered(self, interface):
        """The rest of Uplink.completed() of an interface, where machine code has stopped. PeerError."""
        self._uplink.answered(interface.rings, self.alone.said(TAKEN))

    def held(self, interface):
        """The netvm still holds pages of which it says that they are ours. PeerError."""
        self._uplink.keep_posted(interface.rings, -2 - self.alone.said(TAKEN))

    def failed(self):
        """Machine code has met copies that failed in what a client was sent: the rest of finish()."""
        self._by_number[self.alone.words[OF]].rings.failed += self.alone.words[TAKEN]
        self.finish()

    def hits(self, count):
        """So many were."""
        self.count += count
        self._judge.counters[reasons.FORWARDED] += count

    def post(self, interface):
        """Uplink.post() of an interface."""
        return self._uplink.post(interface.rings, self._arrays[interface.number])

    def flush(self, interface):
        """Uplink.flush() of an interface."""
        self._uplink.flush(self._arrays[interface.number])

    def finish(self):
        """Clients.finish() of all who have copies in the burst that was done."""
        number = self.look.sending()
        while number:
            self._clients.finish(self._by_number[number].rings, self._arrays[number])
            number = self.look.sending()

    def begin(self):
        """Turns begin in which time and addresses are others."""
        self._told = False

    # ---- through --------------------------------------------------------------------------------

    def receive(self, interface, limit, now, judge_frame, calm_limit):
        """Send on what is in order in a neighbour's ring, some `limit` slots or more. True: there was any. PeerError.

        calm_limit: slots, if its last turn had no miss.
        judge_frame(interface, frame, now): the slow path's way for a packet that is a miss.
        """
        way = self._uplink if interface.number == UPLINK else self._clients
        number = interface.number
        taken = way.take(interface.rings, self._arrays[number], calm_limit if self._calm[number] else limit)
        n = taken & 0xFFFF
        if not n:
            return False
        self._turns.work += turns.BURST + (taken >> 16) * turns.BURST_SLOT
        self._gone = 0
        self._calm[number] = 1
        self._through(interface, 0, -1, n, now, judge_frame)
        return True

    def go_on(self, interface, now, judge_frame):
        """Do what machine code has left of a turn, see receive(). PeerError."""
        words = self.alone.words
        self._gone = words[GONE]
        said = self.alone.said(LEFT)
        n, end = words[TAKEN] & 0xFFFF, words[LOOKED_UP]
        self._through(interface, words[GONE], end, n, now, judge_frame, said, words[BEGUN])

    def go_on_with(self, interface, now, judge_frame):
        """Go on with the turn that is not over: its next packet is a miss. PeerError."""
        self._turns.open = None
        if not self._told:
            self.tell(now)
        if self.tap:  # there may have been none, or another
            self.tap.came(self.tap.kernel, self._packets, interface.number, self._end)
        self._through(interface, self._gone, self._gone, self._end, now, judge_frame)

    def begun(self, number, i):
        """For machine code: whether the flow of a client's packet, a miss, has begun; else nothing has changed.

        Where one would have to go for it none has: what that costs is charged by _begin().
        """
        if self._flows.count >= self._flows.capacity:
            return False
        words = self.alone.words
        now = (words[BEGAN] | words[BEGAN + 1] << 32) // _NS_PER_MS
        try:
            return self._opening.let_out(self._by_number[number], i, now) == opening.BEGUN
        except Exception:
            return False  # it is asked again, and fails under the guard

    def strays(self, number, first, n):
        """Rows that nobody need read are dropped, from this one on; the row behind them. See opening.py.

        For machine code, too. While somebody captures they go one by one, see _begin().
        """
        if self.tap:
            return first
        try:
            behind = self._opening.strays(self._by_number[number], first, n)
        except Exception:
            return first  # they are judged, under the guard
        runs.give(self._packets, self._pool.stack, self._pool.counters, first, behind)
        self._gone = behind
        return behind

    def _look_up(self, number, first, n):
        """Hits are rewritten, from the first packet on; the first one that is a miss, or n."""
        end = known.known(self._of_hits, self._tables, first, n, number)
        if end > first:
            self.hits(end - first)
            if self.tap:
                self._turns.work += self.tap.went(self.tap.kernel, self._packets, number, first, end)
        return end

    def _through(self, interface, first, end, n, now, judge_frame, said=0, missed=0):
        """_send_on(). Whatever ends it, no page is lost."""
        try:
            self._send_on(interface, first, end, n, now, judge_frame, said, missed)
        except BaseException:
            for i in range(self._gone, n):
                self._release(i)
                if interface.rings:
                    interface.rings.failed += 1
            raise

    def _send_on(self, interface, first, end, n, now, judge_frame, said, missed):
        """Packets from the first on, of n; those before `end` are hits, that one is none. said: see _put().

        end: -1: none was looked up yet. missed: so many of the turn have been misses.
        """
        if end < 0:
            if not self._told:
                self.tell(now)
            if self.tap:
                self.tap.came(self.tap.kernel, self._packets, interface.number, n)
            end = self._look_up(interface.number, 0, n)
        while True:
            if end > first:
                self._put(first, end, said)
                said = 0
            if end < n and interface.number == UPLINK and self.strays(UPLINK, end, n) > end:
                first, end = self._gone, self._look_up(UPLINK, self._gone, n)
                continue
            if end < n:
                self._calm[interface.number] = 0
                if missed and (missed >= _MISSED or xen.ns() > self.until) and interface.rings:
                    self._turns.open, self._end = interface, n  # who has ended has no next go
                    return
                missed += 1
                begun = self._begin(interface, end, now)
                if begun == opening.BEGUN:  # a hit now
                    first = end
                    end = self._look_up(interface.number, first, n)
                    continue
                frame = self._miss(interface, end) if begun == opening.LEFT else None
                if frame:
                    judge_frame(interface, frame, now)
                    missed += _JUDGED - 1
                if interface.pieces:
                    self._put_off(interface, end + 1, n)
                    return
            first = end + 1
            if first >= n:
                return
            end = self._look_up(interface.number, first, n)

    def _begin(self, interface, i, now):
        """What opening.py says of a miss."""
        begun = interface.guard.judge(self._beginning, interface, i, now)
        if begun == opening.BEGUN:
            self._turns.work += turns.BEGUN + (turns.ENDED if self._opening.ended else 0)
        elif begun != opening.LEFT:
            self._turns.work += turns.BARRED
            if self.tap:
                self._turns.work += turns.STOPPED + self.tap.stopped(self.tap.kernel, interface.number, i)
            self._gone = i + 1
            self._release(i)
        return begun

    def _put_off(self, interface, first, n):
        """What came behind a frame that is not yet sent to its end waits for the next turn."""
        interface.frames = frames = []  # at once: what is in it has its turn, whatever becomes of the others
        while first < n:
            frame = self._miss(interface, first)
            first += 1
            if frame:
                try:
                    frames.append(frame)
                except MemoryError:
                    frame.release(self._pool)
                    interface.rings.failed += 1

    def tell(self, now):
        """What known() has to know beside the tables: nothing of it changes within a pass. now: ms."""
        self._told = True
        self._scalars[9] = now & _MASK
        self.tell_places()

    def tell_places(self):
        """The same, but for the time: nothing of it changes while no Python runs."""
        s, n = self._scalars, self._neighbours
        ours, gateway, broadcast, index = n.nat.address, n.gateway, n.broadcast, self._flows.index
        if ours != self._told_ours or gateway != self._told_gateway or broadcast != self._told_broadcast:
            self._told_ours, self._told_gateway, self._told_broadcast = ours, gateway, broadcast
            s[10] = byteorder.swap(ours)
            s[11] = byteorder.swap(gateway)
            s[12] = byteorder.swap(broadcast) if broadcast >= 0 else 0
        if index.key is not self._told_key:
            self._told_key = index.key
            for i in range(7):
                s[i] = self._told_key[i]
            s[7] = index.buckets
            s[8] = index.shift

    # ---- misses ---------------------------------------------------------------------------------

    def _miss(self, interface, i):
        """The Frame of a packet for the slow path to judge. None: it came with an error, or there is no memory."""
        self._gone = i + 1
        self._turns.work += self._rows.packets[PACKET * i + HOW_MANY] * turns.MISSED_SLOT
        if self._rows.packets[PACKET * i + FATE] == FAILED:
            self._release(i)
            frame = None
        else:
            frame = self._frame(i)
        if frame is None and interface.rings:
            interface.rings.failed += 1
        return frame

    def _frame(self, i):
        """A packet as a Frame, headers in one piece. None: there is no memory for it, and its pages are free again."""
        packets, parts = self._rows.packets, self._rows.parts
        at = PACKET * i
        offloads = packets[at + OFFLOADS]
        try:
            frame = Frame(offloads & 1 != 0, offloads & 2 != 0, offloads >> 16)
            first = packets[at + FIRST_PART]
            for part in range(PART * first, PART * (first + packets[at + HOW_MANY]), PART):
                frame.add(parts[part], parts[part + 1], parts[part + 2])
        except MemoryError:
            self._release(i)
            return None
        try:
            frame.level(self._pool, HEADERS)
        except MemoryError:
            frame.release(self._pool)
            return None
        return frame

    def _release(self, i):
        packets, parts = self._rows.packets, self._rows.parts
        first = packets[PACKET * i + FIRST_PART]
        for part in range(PART * first, PART * (first + packets[PACKET * i + HOW_MANY]), PART):
            self._pool.give(parts[part])

    # ---- out ------------------------------------------------------------------------------------

    def _put(self, first, end, said=0):
        """Hits leave by the ways that are their fates; what finds no room in a ring as the slow path has it.

        said: what the uplink's kernel has said already of those that leave first, if it is not 0.
        """
        packets = self._rows.packets
        while first < end:
            behind = runs.together(self._packets, first, end)
            egress = self._by_number[packets[PACKET * first + FATE]]
            rings = egress and egress.rings
            done = 0
            if rings:
                arrays = self._arrays[egress.number]
                if egress.number == UPLINK:
                    done = self._uplink.put(rings, arrays, first, behind, said)
                elif not egress.rate:
                    done = self._clients.put(rings, arrays, first, behind, self._burst)
            said = 0
            self._gone = first + done
            for i in range(first + done, behind):
                self._gone = i + 1
                if packets[PACKET * i + FATE] == FAILED:
                    continue  # its pages are lost
                frame = self._frame(i) if egress and egress.rings else self._release(i)
                if frame:
                    self._delivery.send(egress, frame)
            first = behind
