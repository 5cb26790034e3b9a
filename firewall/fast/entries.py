"""The innermost steps of the flow table in machine code: its index, a record's first words, and which flow has ended.

Imports nothing of ours: constants are copies of those of record.py and state.py, and a host test compares them. The
twins are index.Index and the functions in flows/entering.py, plain Python that CPython runs; tests/host/test_entries.py
plays both over the same flows and compares all words.

Viper has no bounds checks: halves, buckets and records come from tables that Python alone writes.
"""
from array import array

import micropython
from micropython import const

# tables of an index, in the order of the tuple that each step is given
_SLOTS = const(0)  # u32
_RECORDS = const(1)  # u32
_KEY = const(2)  # u32: seven numbers of the hash, and
_BUCKETS = const(7)
_SHIFT = const(8)
_SECOND = const(9)
_MASK = const(10)

# of a record; see record.py
_KIND = const(3)
_EGRESS = const(8)
_CLIENT = const(9)
_GENERATION = const(10)
_SEEN = const(11)
_PREV = const(14)
_AFTER = const(15)
_LIFE = const(14)
_BACK = const(16)
_WORDS = const(32)

_OF_CLIENT = const(8)  # words of a client in clients.Clients.ends; the lasts are behind so many:
_LASTS = const(4)

_PRIME = const(0x7FFFFFFF)
_ICMP_ASSURED = const(2)


@micropython.viper
def place(t, w0: int, w1: int, w2: int, w3: int) -> int:
    """The bucket of a key | its tag << 32."""
    key = ptr32(t[_KEY])
    h = key[0] * (w0 & 0xFFFF) + key[1] * (w0 >> 16) + key[2] * (w1 & 0xFFFF) + key[3] * (w1 >> 16)
    h += key[4] * (w2 & 0xFFFF) + key[5] * (w2 >> 16) + key[6] * w3
    h = (h & _PRIME) + (h >> 31)
    h = (h & _PRIME) + (h >> 31)
    tag = h >> key[_SHIFT] & 0x7FFF
    if tag == 0:
        tag = 1
    return (h & key[_BUCKETS]) | tag << 32


@micropython.viper
def find(t, w0: int, w1: int, w2: int, w3: int) -> int:
    """index.Index.find()."""
    slots = ptr32(t[_SLOTS])
    records = ptr32(t[_RECORDS])
    key = ptr32(t[_KEY])
    bucket = int(place(t, w0, w1, w2, w3))
    tag = bucket >> 32
    bucket = bucket & 0xFFFFFFFF
    second = key[_SECOND]
    for _ in range(2):
        i = bucket << 4
        end = i + 16
        while i < end:
            slot = slots[i]
            if slot == 0:
                break
            if slot >> 17 == tag:
                at = (slot & 0x1FFFF) << 4
                if records[at] == w0 and records[at + second] == w1:
                    if records[at + 2] & key[_MASK] == w2 and records[at + 3] == w3:
                        return slot & 0x1FFFF
            i += 1
        bucket = bucket ^ ((tag << 1 | 1) & key[_BUCKETS])
    return 0 - 1


@micropython.viper
def _put(t, bucket: int, slot: int) -> int:
    slots = ptr32(t[_SLOTS])
    i = bucket << 4
    if slots[i + 15]:
        return 0
    while slots[i]:
        i += 1
    slots[i] = slot
    return 1


@micropython.viper
def add(t, half: int, w0: int, w1: int, w2: int, w3: int) -> int:
    """index.Index.add(): 1, or 0."""
    slots = ptr32(t[_SLOTS])
    key = ptr32(t[_KEY])
    bucket = int(place(t, w0, w1, w2, w3))
    tag = bucket >> 32
    bucket = bucket & 0xFFFFFFFF
    slot = tag << 17 | half
    mask = int(key[_BUCKETS])
    other = bucket ^ ((tag << 1 | 1) & mask)
    if int(_put(t, bucket, slot)) or int(_put(t, other, slot)):
        return 1
    for _ in range(2):
        i = bucket << 4
        end = i + 16
        while i < end:
            moved = int(slots[i])
            if int(_put(t, bucket ^ ((moved >> 17 << 1 | 1) & mask), moved)):
                slots[i] = slot
                return 1
            i += 1
        bucket = other
    return 0


@micropython.viper
def where(t, half: int, w0: int, w1: int, w2: int, w3: int) -> int:
    """index.Index.where()."""
    slots = ptr32(t[_SLOTS])
    key = ptr32(t[_KEY])
    bucket = int(place(t, w0, w1, w2, w3))
    tag = bucket >> 32
    bucket = bucket & 0xFFFFFFFF
    slot = tag << 17 | half
    for _ in range(2):
        i = bucket << 4
        end = i + 16
        while i < end:
            if int(slots[i]) == slot:
                return i
            i += 1
        bucket = bucket ^ ((tag << 1 | 1) & int(key[_BUCKETS]))
    return 0 - 1


@micropython.viper
def write(records: ptr32, at: int, there, back, now: int):
    """entering.write()."""
    i = 0
    while i <= _GENERATION:
        records[at + i] = int(there[i])
        records[at + _BACK + i] = int(back[i])
        i += 1
    while i < _BACK:
        records[at + i] = 0
        records[at + _BACK + i] = 0
        i += 1
    records[at + _SEEN] = now
    records[at + _BACK + _SEEN] = now


@micropython.viper
def ended(records: ptr32, lives: ptr32, timeouts: ptr32, first: int, end: int, now: int) -> int:
    """entering.ended()."""
    while first < end:
        at = first * _WORDS
        if records[at + _KIND]:
            back = at + _BACK
            if records[back + _GENERATION] != lives[records[back + _LIFE]]:
                return first
            state = records[at + _EGRESS] >> 16
            limit = timeouts[state]
            if now - records[at + _SEEN] & 0xFFFFFFFF > limit:
                if state <= _ICMP_ASSURED or now - records[back + _SEEN] & 0xFFFFFFFF > limit:
                    return first
        first += 1
    return end


@micropython.viper
def move(records: ptr32, ends: ptr32, number: int, old: int, new: int):
    """table.Flows.move() but for the state and the mapping: from its client's list of a rank to that of another."""
    at = number << 5
    client = records[at + _CLIENT] * _OF_CLIENT
    before = records[at + _PREV]
    after = records[at + _AFTER]
    if before:
        records[(before - 1 << 5) + _AFTER] = after
    else:
        ends[client + old] = after
    if after:
        records[(after - 1 << 5) + _PREV] = before
    else:
        ends[client + _LASTS + old] = before
    last = ends[client + _LASTS + new]
    records[at + _PREV] = last
    records[at + _AFTER] = 0
    if last:
        records[(last - 1 << 5) + _AFTER] = number + 1
    else:
        ends[client + new] = number + 1
    ends[client + _LASTS + new] = number + 1


def quick(index):
    """index.Index, made quick: the class whose steps are those above."""

    class Quick(index):
        def __init__(self, slots, records, key, second=1, mask=0xFFFFFFFF):
            self._numbers = array("I", bytes(44))  # the hash's, and from _BUCKETS on
            self.tables = (slots, records, self._numbers)
            super().__init__(slots, records, key, second, mask)
            self._numbers[_BUCKETS] = self.buckets
            self._numbers[_SHIFT] = self.shift
            self._numbers[_SECOND] = second
            self._numbers[_MASK] = mask

        def set_key(self, key):
            super().set_key(key)
            for i in range(_BUCKETS):
                self._numbers[i] = self.key[i]

        def find(self, w0, w1, w2, w3):
            return find(self.tables, w0, w1, w2, w3)

        def add(self, half, w0, w1, w2, w3):
            return add(self.tables, half, w0, w1, w2, w3) != 0

        def where(self, half, w0, w1, w2, w3):
            at = where(self.tables, half, w0, w1, w2, w3)
            assert at >= 0, "half %d is not in the index" % half
            return at

    return Quick
