"""The hash index alone: against a dict, at every fill, and its hash against its definition."""
import random
from array import array

import pytest

from firewall.flows.index import KEY_OCTETS, Index

PRIME = 2**31 - 1
SECOND = 5  # a record's word that is compared in the place of word 1, in one of the tests


def made(slots, seed=1, records=None, **more):
    key = random.Random(seed).randbytes(KEY_OCTETS)
    return Index(array("I", bytes(4 * slots)), records or array("I", bytes(64 << 10)), key, **more)


def words(rng):
    return rng.getrandbits(32), rng.getrandbits(32), rng.getrandbits(32), rng.getrandbits(32)


def test_the_hash_is_a_sum_of_products_modulo_a_prime():
    """Carter and Wegman: six halves of words, and the last word, times the key's numbers of 31 bits."""
    rng = random.Random(2)
    for _ in range(300):
        key = rng.randbytes(KEY_OCTETS)
        index = made(64)
        index.set_key(key)
        factors = [int.from_bytes(key[i:i + 4], "little") & PRIME for i in range(0, 28, 4)]
        w = [rng.choice((0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF, rng.getrandbits(32))) for _ in range(3)] + [rng.getrandbits(26)]
        parts = [w[0] & 0xFFFF, w[0] >> 16, w[1] & 0xFFFF, w[1] >> 16, w[2] & 0xFFFF, w[2] >> 16, w[3]]
        expected = sum(factor * part for factor, part in zip(factors, parts)) % PRIME
        assert index._hash(*w) % PRIME == expected and 0 <= index._hash(*w) <= PRIME


def test_the_key_has_28_octets_and_all_count():
    assert KEY_OCTETS == 28
    key = bytes(28)
    index = made(64)
    seen = set()
    for i in range(28):
        index.set_key(key[:i] + b"\x01" + key[i + 1:])
        seen.add(index._hash(0x20003, 0x50007, 0xB000D, 0x11))
    assert len(seen) == 28


@pytest.mark.parametrize("slots", [32, 64, 1024, 1 << 18])
def test_places_of_an_entry(slots):
    """The bucket is the hash's low bits, the tag the 15 above them and never 0; other() leads to another bucket and back."""
    buckets = slots // 16
    index = made(slots)
    rng = random.Random(3)
    for h in [0, 1, buckets - 1, buckets, PRIME, PRIME - 1] + [rng.randrange(PRIME) for _ in range(100)]:
        index._hash = lambda *w: h
        assert index.add(5, 1, 2, 3, 4)
        place = h % buckets * 16
        tag = index.slots[place] >> 17
        assert tag == ((h // buckets) % 32768 or 1) and index.slots[place] & 0x1FFFF == 5
        other = index._other(h % buckets, tag)
        assert 0 <= other < buckets and other != h % buckets and index._other(other, tag) == h % buckets
        index.slots[place] = 0


def test_entries_move_before_there_is_no_room():
    """32 of one key's two buckets; then one moves to its own other bucket for each that comes, until none can."""
    index = made(64)  # 4 buckets
    hashes = {}
    index._hash = lambda w0, w1, w2, w3: hashes[w0]

    def add(half, bucket, tag):
        hashes[half] = tag << 2 | bucket
        return index.add(half, half, 0, 0, 0)
    for i in range(32):
        assert add(i, 0, 1)  # tag 1: other bucket 0 ^ 3
    assert [sum(1 for i in range(b * 16, b * 16 + 16) if index.slots[i]) for b in range(4)] == [16, 0, 0, 16]
    before = list(index.slots)
    assert not add(99, 0, 1) and list(index.slots) == before  # none of them has any other place
    index.remove(31, 31, 0, 0, 0)
    assert add(31, 3, 2)  # tag 2: from bucket 3 its other is 3 ^ 1 = 2
    assert add(32, 0, 1)  # so 31 moves there
    assert [sum(1 for i in range(b * 16, b * 16 + 16) if index.slots[i]) for b in range(4)] == [16, 0, 1, 16]
    assert index.slots[32] == 2 << 17 | 31
    assert sorted(slot & 0x1FFFF for slot in index.slots if slot) == list(range(33))
    assert add(33, 3, 2) and not add(34, 0, 1)


@pytest.mark.parametrize("second, mask", [(1, 0xFFFFFFFF), (1, 0xFFFF), (SECOND, 0xFFFFFFFF)])
def test_against_a_dict(second, mask):
    """Up to what is full: what was added is found, with every word, and nothing else; others stay where one is removed."""
    rng = random.Random(4)
    records = array("I", bytes(64 * 1024))
    index = made(1024, 4, records, second=second, mask=mask)
    there, free = {}, list(range(1024))

    def key(half):
        at = half * 16
        return records[at], records[at + second], records[at + 2] & mask, records[at + 3]
    for step in range(6000):
        if there and (rng.random() < (0.3 if step < 3000 else 0.6)):
            half = rng.choice(list(there))
            if rng.random() < 0.3 and free:
                new = free.pop()
                records[new * 16:new * 16 + 16] = records[half * 16:half * 16 + 16]
                index.replace(half, new, *there[half])
                there[new] = there.pop(half)
            else:
                index.remove(half, *there.pop(half))
            free.append(half)
        elif free:
            half = free.pop()
            for i in range(16):
                records[half * 16 + i] = rng.getrandbits(32)
            if index.add(half, *key(half)):
                there[half] = key(half)
            else:
                assert len(there) > 700
                free.append(half)
        if step % 50 == 0:
            assert sum(1 for slot in index.slots if slot) == len(there)
            for half, w in there.items():
                assert index.find(*w) == half
            for half in rng.sample(sorted(there), min(5, len(there))):
                for i in range(4):
                    bent = list(there[half])
                    bent[i] ^= 1 << rng.randrange(16)
                    assert index.find(*bent) == -1
    with pytest.raises(AssertionError, match="half 2000 is not in the index"):
        index.remove(2000, 1, 2, 3, 4)


def test_a_tag_alone_is_not_enough():
    """A stranger with the same bucket and tag, one word different: each of the four is compared."""
    for at, second in ((0, 1), (1, 1), (2, 1), (3, 1), (SECOND, SECOND)):
        records = array("I", bytes(64 * 16))
        index = made(32, records=records, second=second)
        index._hash = lambda *w: 77
        w = [11, 22, 33, 44]
        for half in (1, 2):
            records[half * 16], records[half * 16 + second], records[half * 16 + 2], records[half * 16 + 3] = w
        records[16 + at] += 1
        assert index.add(1, 0, 0, 0, 0) and index.find(*w) == -1
        assert index.add(2, 0, 0, 0, 0) and index.find(*w) == 2
