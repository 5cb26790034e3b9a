"""The flow table: records, who may have how many, and how they go.

Memory is given from outside and never grows: records (record.py), an index of both halves, mappings (mappings.py), and per
client a list for each rank (state.RANK), in order of entry: flows nobody answered or that are over, those answered
once or half closed, those in use. Every operation touches a bounded number of records, however full the table is; large
tasks (sweeping, burying a client) go in slices through tick().

    cap(client) = capacity - SHARE * other attached clients (at least an even part)
    at its cap, a client recycles its own oldest flow of the lowest rank, but none that is HELD: then it is refused
    table full: who has less than SHARE takes from the largest holder, its oldest of the lowest rank, of those HELD
                the longest idle of the _LOOKS oldest; others recycle their own
"""
from array import array

from micropython import const

from firewall.flows import state as flowstate
from firewall.flows.entering import ended, write
from firewall.flows.index import KEY_OCTETS, Fastest
from firewall.flows.lists import Lists
from firewall.flows.mappings import Mappings
from firewall.flows.record import BACK, CLIENT, DST, EGRESS, GENERATION, KIND, LIFE, NEXT, PREV, SEEN, WORDS

SHARE = const(512)  # flows that a client gets whatever others hold
_LOOKS = const(32)  # flows looked at for one that may go
_REMOVAL = const(16)  # what a removal costs in visits of the sweep, measured
_ZEROS = const(1024)  # words; tables are cleared so many at a time, 1.6 MB in 0.6 ms


class Flows:
    def __init__(self, capacity, words, random, clients, share=SHARE):
        """capacity: flows, a power of two, 16 to 65536. words(n): a zeroed u32 view of n words.

        random(octets) -> bytes: for the index keys; see rekey(). clients: clients.Clients.
        """
        self.capacity = capacity
        self.count = 0
        self.records = words(capacity * WORDS)
        self.clients = clients
        self.share = share
        self._slots = (words(capacity * 4), words(capacity * 2))
        self._random = random
        self.index = Fastest(self._slots[0], self.records, random(KEY_OCTETS))
        self.find = self.index.find  # (SRC, DST, PORTS, KIND) -> half or -1; it may be stale: live()
        self.mappings = Mappings(capacity, words, self.records, clients, self._slots[1], random(KEY_OCTETS))
        self._lists = Lists(self.records, WORDS, PREV)  # of clients, for each rank
        self._zeros = words(_ZEROS)
        self._timeouts = array("I", flowstate.TIMEOUT)
        self._fresh = 0  # records from here on were never used
        self._free = 0  # record + 1 of a list through PREV
        self._cursor = 0

    def rekey(self):
        """Draw both index keys anew, as long as there is no flow that was entered under the old ones. False: there is."""
        if self.count:
            return False
        for index in (self.index, self.mappings.index):
            index.set_key(self._random(KEY_OCTETS))
        return True

    def live(self, half, now):
        """True if the flow of half still counts: not expired, both its clients and its mapping the same as then.

        So the sender of a packet that found it is the flow's own: an address is attached only once.
        """
        w = self.records
        there = (half >> 1) * WORDS
        back = there + BACK
        client = self.clients.by_slot[w[there + CLIENT]]
        if client is None or not client.interfaces or w[back + GENERATION] != self.clients.lives[w[back + LIFE]]:
            return False
        state = w[there + EGRESS] >> 16
        limit = flowstate.TIMEOUT[state]
        # the usual case first, without the call
        return now - w[there + SEEN] & 0xFFFFFFFF <= limit or (
            flowstate.idle(state, now, w[there + SEEN], w[back + SEEN]) <= limit
        )

    def end(self):
        """No record from here on was ever used."""
        return self._fresh

    def cap(self, client):
        """How many flows this client may have."""
        attached = len(self.clients.by_address)
        return max(self.capacity - self.share * (attached - 1), self.capacity // (attached or 1))

    # --- entering ---

    def room(self, client, now):
        """Make room for one more flow of client. False: it is at its limit and has none to spare."""
        if client.flows >= self.cap(client):
            return self._recycle(client)
        if self.count < self.capacity:
            return True
        for gone in self.clients.leaving:
            if gone.flows:
                self._remove_one(gone)
                return True
        if client.flows >= self.share or (largest := self.clients.largest()) is client:
            return self._recycle(client)
        elif not self._recycle(largest):
            self.remove(self._longest_idle(largest, now))
        return True

    def add(self, client, there, back, mapped, now):
        """Enter a flow; room() has said True. The record's number, or -1: the index has no place.

        there, back: the words SRC to GENERATION of each half. mapped: the mapping that it joins; -1 - pool to begin one;
        None for a flow that has none (TCP, no NAT).
        """
        record = self._free - 1 if self._free else self._fresh
        half = record * 2
        w = self.records
        at = record * WORDS
        free = w[at + PREV]  # if it comes from the list
        # from here on nothing is allocated: a flow is entered whole, or not at all
        if not self.index.add(half, there[0], there[1], there[2], there[3]):
            return -1
        if not self.index.add(half + 1, back[0], back[1], back[2], back[3]):
            self.index.remove(half, there[0], there[1], there[2], there[3])
            return -1
        write(w, at, there, back, now & 0xFFFFFFFF)
        w[at + BACK + LIFE] = back[CLIENT]
        if mapped is not None:
            if mapped >= 0:
                self.mappings.join(record, mapped)
            elif not self.mappings.begin(record, client, -1 - mapped):
                self.index.remove(half, there[0], there[1], there[2], there[3])
                self.index.remove(half + 1, back[0], back[1], back[2], back[3])
                w[at + KIND] = 0
                w[at + PREV] = free
                return -1
        if self._free:
            self._free = free
        else:
            self._fresh += 1
        self._lists.append(client.first, client.last, flowstate.RANK[there[EGRESS] >> 16], record)
        client.flows += 1
        self.count += 1
        return record

    def move(self, record, state):
        """The flow's state becomes one of another rank, and so it stands in another list of its client."""
        w = self.records
        egress = record * WORDS + EGRESS
        old = w[egress] >> 16
        w[egress] = w[egress] & 0xFFFF | state << 16
        client = self.clients.by_slot[w[record * WORDS + CLIENT]]
        self._lists.remove(client.first, client.last, flowstate.RANK[old], record)
        self._lists.append(client.first, client.last, flowstate.RANK[state], record)
        if flowstate.RANK[state] == flowstate.HELD:
            self.mappings.hold(record)

    # --- leaving ---

    def remove(self, record):
        """End a flow, and its mapping if it was the last of it."""
        w = self.records
        at = record * WORDS
        self.index.remove(record * 2, w[at], w[at + 1], w[at + 2], w[at + 3])
        back = at + BACK
        self.index.remove(record * 2 + 1, w[back], w[back + 1], w[back + 2], w[back + 3])
        client = self.clients.by_slot[w[at + CLIENT]]
        self.mappings.leave(record)
        self._lists.remove(client.first, client.last, flowstate.RANK[w[at + EGRESS] >> 16], record)
        client.flows -= 1
        self.count -= 1
        w[at + KIND] = 0
        w[at + PREV] = self._free
        self._free = record + 1

    def clear(self):
        """End all flows at once: our own address changed. Ports are the caller's to free."""
        for slots in self._slots:
            self.wipe(slots)
        # records from 0 on count as never used: the sweep stops at _fresh
        self._fresh = self._free = self._cursor = self.count = 0
        self.mappings.clear()
        for client in self.clients.by_slot:
            if client is not None:
                client.clear()

    def _remove_one(self, gone):
        """End one flow of a leaving client that has some."""
        self.remove((gone.first[0] or gone.first[1] or gone.first[2]) - 1)

    def wipe(self, table):
        """Make all words of a table zero, by a store for each page of it: one for each word takes 14 ms."""
        for i in range(0, len(table), _ZEROS):
            left = min(_ZEROS, len(table) - i)
            table[i : i + left] = self._zeros[:left]

    def bury_one(self):
        """Forget the leaving client with fewest flows at once: its slot is needed. At most capacity / 1023 of them."""
        gone = min(self.clients.leaving, key=lambda client: client.flows, default=None)
        if gone:
            while gone.flows:
                self._remove_one(gone)
            self.clients.release(gone)

    def tick(self, now, visits):
        """Bury detached clients, then sweep on. visits: how many records to look at, at most."""
        leaving = self.clients.leaving
        while leaving and visits > 0:
            client = leaving[0]
            visits -= _REMOVAL
            if client.flows:
                self._remove_one(client)
            if not client.flows:
                self.clients.release(client)
        lives = self.clients.lives
        left = self._fresh  # once round, not further
        while left and visits > 0:
            if self._cursor >= self._fresh:
                self._cursor = 0
            begin = self._cursor
            end = min(begin + min(left, visits), self._fresh)
            found = ended(self.records, lives, self._timeouts, begin, end, now)
            self._cursor = end
            if found < end:
                self.remove(found)
                self._cursor = found + 1
                visits -= _REMOVAL
            left -= self._cursor - begin
            visits -= self._cursor - begin

    def going_to(self, words, found, first, count):
        """Add to found the words, addresses, that flows in count records from first on go to. False: no records."""
        w = self.records
        end = min(first + count, self._fresh)
        for at in range(first * WORDS, end * WORDS, WORDS):
            if w[at + KIND] and w[at + DST] in words:
                found.add(w[at + DST])
        return first < end

    def _recycle(self, client):
        first = client.first[flowstate.IDLE] or client.first[flowstate.ANSWERED]
        if first:
            self.remove(first - 1)
        return first != 0

    def _longest_idle(self, client, now):
        """The record that rested longest among the first held ones.

        An exact order would cost a move on every packet. Of up to _LOOKS flows it is exact; of more, each search sees
        one that the last did not.
        """
        w = self.records
        entry = client.first[flowstate.HELD]
        found = longest = -1
        for _ in range(_LOOKS):
            if not entry:
                break
            at = (entry - 1) * WORDS
            rest = flowstate.idle(w[at + EGRESS] >> 16, now, w[at + SEEN], w[at + BACK + SEEN])
            if rest > longest:
                found = entry - 1
                longest = rest
            entry = w[at + NEXT]
        return found
