"""Mappings of the NAT: which flows share a port outside, in which order mappings go, and when one has ended.

A mapping is an endpoint of a client (address, protocol, port; RFC 4787) and its port outside. Its flows form a ring, those
that are HELD first; the one at the head stands for it in the index. Every client has for each pool of ports two lists, in
order of entry: mappings without and with a HELD flow. So to end a mapping costs the same however many flows it has:

    lives[SLOTS + number]   another value for each mapping that ever had the number: flows of one that has ended are invalid

They are removed when a packet meets them, or by the sweep. A word of an entry that names another holds its number + 1,
0 at an end.
"""
from micropython import const

from firewall.flows import state
from firewall.flows.clients import SLOTS
from firewall.flows.index import Fastest
from firewall.flows.lists import Lists
from firewall.flows.record import BACK, CLIENT, EGRESS, GENERATION, KIND, LIFE, NEW_PORTS, PORTS, RING, SRC, WORDS
from firewall.wire import byteorder

_PREV = const(0)
_NEXT = const(1)
_HEAD = const(2)  # the record at the ring's head | which list << 16
_ENTRY = const(3)  # words of an entry
_HELD = const(0x10000)  # the list of those with a HELD flow; above: the pool


class Mappings:
    def __init__(self, capacity, words_of, records, clients, slots, key):
        """capacity: mappings. words_of(n): a zeroed u32 view. records: of the flows. slots, key: of the index."""
        self.index = Fastest(slots, records, key, CLIENT, 0xFFFF)
        self.on_end = None  # called with (pool, port outside)
        self._w = records
        self._entries = words_of(capacity * _ENTRY)
        self._lists = Lists(self._entries, _ENTRY, _PREV)
        self._clients = clients
        self.clear()

    def clear(self):
        """There are none any more; the index is the caller's to wipe, and so are the clients' lists."""
        self._fresh = 0  # entries from here on were never used
        self._free = 0  # a list through _NEXT

    def find(self, client, src, port, kind):
        """The number of the mapping of this endpoint of client, or -1. port: its word's low half."""
        half = self.index.find(src, client.slot, port, kind)
        return -1 if half < 0 else self._w[(half >> 1) * WORDS + BACK + LIFE] - SLOTS

    def outside(self, number):
        """The PORTS word that packets from there get outside; its first value is the port."""
        return self._w[(self._entries[number * _ENTRY + _HEAD] & 0xFFFF) * WORDS + NEW_PORTS]

    def begin(self, record, client, pool):
        """The first flow of a mapping. False, nothing is changed: the index has no place."""
        w = self._w
        at = record * WORDS
        if not self.index.add(record * 2, w[at + SRC], client.slot, w[at + PORTS] & 0xFFFF, w[at + KIND]):
            return False
        entries = self._entries
        number = self._free - 1
        if number >= 0:
            self._free = entries[number * _ENTRY + _NEXT]
        else:
            number = self._fresh
            self._fresh += 1
        at += BACK
        w[at + LIFE] = SLOTS + number
        w[at + GENERATION] = self._clients.lives[SLOTS + number]
        w[at + RING] = record << 16 | record
        self._enter(client, number, record, pool << 1)
        client.mapped[pool] += 1
        return True

    def join(self, record, number):
        """One more flow, which nobody has answered yet: at the ring's end."""
        w = self._w
        at = record * WORDS + BACK
        w[at + LIFE] = SLOTS + number
        w[at + GENERATION] = self._clients.lives[SLOTS + number]
        self._insert(record, self._entries[number * _ENTRY + _HEAD] & 0xFFFF)

    def hold(self, record):
        """The flow has become HELD."""
        w = self._w
        number = w[record * WORDS + BACK + LIFE] - SLOTS
        if number < 0 or not self._counts(record):
            return
        packed = self._entries[number * _ENTRY + _HEAD]
        head = packed & 0xFFFF
        if head != record:
            self._unlink(record)
            if packed & _HELD:  # behind the head, and the index can stay as it is
                self._insert(record, w[head * WORDS + BACK + RING] & 0xFFFF)
                return
            self._insert(record, head)
            self._lead(number, record)
        self._relist(number)

    def leave(self, record):
        """The flow ends; with the last one the mapping does."""
        w = self._w
        at = record * WORDS + BACK
        number = w[at + LIFE] - SLOTS
        if number < 0:
            return
        after = w[at + RING] & 0xFFFF
        counts = self._counts(record)
        if after == record:
            if counts:
                self.end(number)
            return
        self._unlink(record)
        if counts and self._entries[number * _ENTRY + _HEAD] & 0xFFFF == record:
            self._lead(number, after)
            self._relist(number)

    def end(self, number):
        """End a mapping: its port is free at once, and the flows that it still has are invalid."""
        w = self._w
        packed = self._entries[number * _ENTRY + _HEAD]
        head = packed & 0xFFFF
        at = head * WORDS
        client = self._clients.by_slot[w[at + CLIENT]]
        self.index.remove(head * 2, w[at + SRC], client.slot, w[at + PORTS] & 0xFFFF, w[at + KIND])
        self._lists.remove(client.maps_first, client.maps_last, packed >> 16, number)
        client.mapped[packed >> 17] -= 1
        lives = self._clients.lives
        lives[SLOTS + number] = lives[SLOTS + number] + 1 & 0xFFFFFFFF
        self._entries[number * _ENTRY + _NEXT] = self._free
        self._free = number + 1
        self.on_end(packed >> 17, byteorder.first(w[at + NEW_PORTS]))

    def recycle(self, client, pool, in_use=False):
        """End the client's oldest mapping of a pool without a HELD flow; in_use: else its oldest. True: one has ended."""
        first = client.maps_first[pool << 1] or in_use and client.maps_first[pool << 1 | 1]
        if first:
            self.end(first - 1)
        return first != 0

    # --- rings and lists ---

    def _counts(self, record):
        """True if the mapping that the flow belongs to has not ended."""
        at = record * WORDS + BACK
        return self._w[at + GENERATION] == self._clients.lives[self._w[at + LIFE]]

    def _insert(self, record, after):
        """Into the ring, before the record after."""
        w = self._w
        ring = after * WORDS + BACK + RING
        before = w[ring] >> 16
        w[record * WORDS + BACK + RING] = before << 16 | after
        w[ring] = w[ring] & 0xFFFF | record << 16
        ring = before * WORDS + BACK + RING
        w[ring] = w[ring] & 0xFFFF0000 | record

    def _unlink(self, record):
        w = self._w
        ring = w[record * WORDS + BACK + RING]
        before, after = ring >> 16, ring & 0xFFFF
        ring = before * WORDS + BACK + RING
        w[ring] = w[ring] & 0xFFFF0000 | after
        ring = after * WORDS + BACK + RING
        w[ring] = w[ring] & 0xFFFF | before << 16

    def _lead(self, number, record):
        """Another flow becomes the ring's head."""
        w = self._w
        at = number * _ENTRY + _HEAD
        packed = self._entries[at]
        head = packed & 0xFFFF
        other = record * WORDS
        # no tuple: in the middle of what must not fail nothing is allocated
        ports = w[other + PORTS] & 0xFFFF
        self.index.replace(head * 2, record * 2, w[other + SRC], w[other + CLIENT], ports, w[other + KIND])
        self._entries[at] = packed & 0xFFFF0000 | record

    def _relist(self, number):
        """Into the list that its head belongs to."""
        w = self._w
        packed = self._entries[number * _ENTRY + _HEAD]
        at = (packed & 0xFFFF) * WORDS
        which = packed >> 16 & ~1 | (state.RANK[w[at + EGRESS] >> 16] == state.HELD)
        if which != packed >> 16:
            client = self._clients.by_slot[w[at + CLIENT]]
            self._lists.remove(client.maps_first, client.maps_last, packed >> 16, number)
            self._enter(client, number, packed & 0xFFFF, which)

    def _enter(self, client, number, head, which):
        """Into a list of the client; the head of its ring is known with it."""
        self._entries[number * _ENTRY + _HEAD] = which << 16 | head
        self._lists.append(client.maps_first, client.maps_last, which, number)
