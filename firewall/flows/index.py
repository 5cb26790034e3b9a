"""A hash index from the key words of a flow to its half: u32 slots in buckets of one cache line.

A slot is 0 when free, else tag << 17 | half: 17 bits of half number, 15 bits of the key's hash, so that a stranger's
record is hardly ever touched. A bucket has 16 slots, those in use first. A key lives in its own bucket, or, when that is
full, in the one other bucket that its tag names; when both are full, one entry of the two moves to its own other bucket.
At half load that never fails; if it does, add() says so, after at most 33 bucket looks. Nothing is ever rehashed.

The hash is a sum of products modulo a prime, with secret coefficients (Carter and Wegman): whoever does not know them
cannot choose keys that share a bucket (docs/behaviours.md 80). All steps fit MicroPython's small ints of 62 bits.
Nothing here allocates: a flow that enters or leaves must not stop half-way for want of memory.
"""
from micropython import const

from firewall.flows.entering import MACHINE_CODE
from firewall.flows.record import BACK

_BUCKET = const(16)  # slots: 64 octets
_PRIME = const(0x7FFFFFFF)  # 2**31 - 1
_HALF = const(0x1FFFF)
_TAG_SHIFT = const(17)
_TAG_MASK = const(0x7FFF)
KEY_OCTETS = const(28)


class Index:
    """second: the record word that is compared with w1; mask: which bits of the PORTS word count."""

    def __init__(self, slots, records, key, second=1, mask=0xFFFFFFFF):
        """slots: zeroed u32 view, a power of two of at least 32 words. key: KEY_OCTETS random octets."""
        self.slots = slots
        self._records = records
        self.set_key(key)
        self._second = second
        self._mask = mask
        self.buckets = len(slots) // _BUCKET - 1  # as a mask
        self.shift = 0  # the tag's bits come from above the bucket's
        while self.buckets >> self.shift:
            self.shift += 1

    def set_key(self, key):
        """Another key. Only while nothing is in the index."""
        self.key = tuple([int.from_bytes(key[i : i + 4], "little") & _PRIME for i in range(0, KEY_OCTETS, 4)])

    def _hash(self, w0, w1, w2, w3):
        a, b, c, d, e, f, g = self.key
        h = a * (w0 & 0xFFFF) + b * (w0 >> 16) + c * (w1 & 0xFFFF) + d * (w1 >> 16)
        h += e * (w2 & 0xFFFF) + f * (w2 >> 16) + g * w3
        h = (h & _PRIME) + (h >> 31)
        return (h & _PRIME) + (h >> 31)

    def _other(self, bucket, tag):
        """The other bucket of an entry; its other is this one again."""
        return bucket ^ ((tag << 1 | 1) & self.buckets)

    def find(self, w0, w1, w2, w3):
        """The half whose record has these words, or -1."""
        slots = self.slots
        records = self._records
        second = self._second
        h = self._hash(w0, w1, w2, w3)
        bucket = h & self.buckets
        tag = (h >> self.shift & _TAG_MASK) or 1
        for _ in range(2):
            i = bucket << 4
            end = i + _BUCKET
            while i < end:
                slot = slots[i]
                if not slot:
                    break
                if slot >> _TAG_SHIFT == tag:
                    at = (slot & _HALF) * BACK
                    if records[at] == w0 and records[at + second] == w1 and records[at + 3] == w3:
                        if records[at + 2] & self._mask == w2:
                            return slot & _HALF
                i += 1
            bucket = self._other(bucket, tag)
        return -1

    def add(self, half, w0, w1, w2, w3):
        """Enter half under a key that is not there yet. False, nothing changed: no room."""
        h = self._hash(w0, w1, w2, w3)
        bucket = h & self.buckets
        tag = (h >> self.shift & _TAG_MASK) or 1
        slot = tag << _TAG_SHIFT | half
        other = self._other(bucket, tag)
        if self._put(bucket, slot) or self._put(other, slot):
            return True
        for _ in range(2):
            for i in range(bucket << 4, (bucket << 4) + _BUCKET):
                moved = self.slots[i]
                if self._put(self._other(bucket, moved >> _TAG_SHIFT), moved):
                    self.slots[i] = slot
                    return True
            bucket = other
        return False

    def remove(self, half, w0, w1, w2, w3):
        """Forget half, which is there under this key."""
        at = self.where(half, w0, w1, w2, w3)
        last = at | _BUCKET - 1
        while not self.slots[last]:
            last -= 1
        self.slots[at] = self.slots[last]
        self.slots[last] = 0

    def replace(self, half, new, w0, w1, w2, w3):
        """Another half stands for the key from now on."""
        self.slots[self.where(half, w0, w1, w2, w3)] += new - half

    def where(self, half, w0, w1, w2, w3):
        """Which slot holds half, which is there under this key."""
        h = self._hash(w0, w1, w2, w3)
        bucket = h & self.buckets
        tag = (h >> self.shift & _TAG_MASK) or 1
        for _ in range(2):
            for i in range(bucket << 4, (bucket << 4) + _BUCKET):
                if self.slots[i] == tag << _TAG_SHIFT | half:
                    return i
            bucket = self._other(bucket, tag)
        raise AssertionError("half %d is not in the index" % half)

    def _put(self, bucket, slot):
        i = bucket << 4
        if self.slots[i | _BUCKET - 1]:
            return False
        while self.slots[i]:
            i += 1
        self.slots[i] = slot
        return True


Fastest = Index
if MACHINE_CODE:
    from firewall.fast import entries

    Fastest = entries.quick(Index)
