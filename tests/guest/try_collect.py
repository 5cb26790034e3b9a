"""Garbage collection from inside: run=try_collect. Objects of all sizes, kept and let go by dice, stay as made.

Prints "done", or crashes with the assertion that failed.
"""
import gc
from array import array

import xen

_seed = 1


def dice(n):
    global _seed
    _seed = (_seed * 1103515245 + 12345) & 0x7FFFFFFF
    return (_seed >> 8) % n


class Node:
    def __init__(self, number, below):
        self.number = number
        self.below = below


def made(number, depth):
    """Something with `number` in it at several places; look() finds it there."""
    kind = dice(9)
    if kind == 0:
        return bytes([number & 0xFF]) * (1 + dice(5000))
    if kind == 1:
        return ("%d " % number) * (1 + dice(200))
    if kind == 2:
        return bytearray([number & 0xFF] * (1 + dice(300)))
    if kind == 3:
        return array("I", [number] * (1 + dice(300)))
    if kind == 4:
        return memoryview(bytearray([number & 0xFF] * (8 + dice(300))))[3:]
    if depth == 0:
        return 1 << 70 | number
    few = 1 + dice(4)
    if kind == 5:
        return [number] + [made(number, depth - 1) for _ in range(few)] + [None] * dice(400)
    if kind == 6:
        return {(number, i): made(number, depth - 1) for i in range(few)}
    if kind == 7:
        return Node(number, made(number, depth - 1))
    below = made(number, depth - 1)
    return (lambda: below) if dice(2) else (number, below)


def look(number, found):
    """Assert that all of it is as it was made."""
    if isinstance(found, (bytes, bytearray, memoryview)):
        assert all(octet == number & 0xFF for octet in found)
    elif isinstance(found, array):
        assert all(word == number for word in found)
    elif isinstance(found, str):
        assert found == ("%d " % number) * (len(found) // (len(str(number)) + 1))
    elif isinstance(found, int):
        assert found in (number, 1 << 70 | number)
    elif isinstance(found, dict):
        for (other, _), value in found.items():
            assert other == number
            look(number, value)
    elif isinstance(found, Node):
        assert found.number == number
        look(number, found.below)
    elif isinstance(found, (list, tuple)):
        assert found[0] == number
        for value in found:
            if value is not None:
                look(number, value)
    else:
        look(number, found())


def used():
    gc.collect()
    total, free = xen.heap()
    return total - free


def by_dice():
    kept = {}
    for turn in range(40):
        for _ in range(25):
            number = dice(1 << 30)
            kept[number] = made(number, 3)
            made(number, 2)  # garbage beside it
        for number in list(kept):
            if dice(3) == 0:
                del kept[number]
        gc.collect()
        held = [bytes([turn]) * (1 + dice(900)) for _ in range(50)]  # takes the place of what was freed
        for number, value in kept.items():
            look(number, value)
        assert all(octets == bytes([turn]) * len(octets) for octets in held)
        assert xen.garbage() < 1 << 20


def wide():
    """More objects in one list than may wait for their turn, each with one behind it."""
    many = [[(i, [i])] for i in range(12000)]
    gc.collect()
    held = [[-i] for i in range(3000)]
    assert all(one[0][0] == i and one[0][1][0] == i for i, one in enumerate(many))
    assert held[7] == [-7]


def deep():
    """A list of one in a list of one, many times."""
    inner = deepest = []
    for _ in range(30000):
        inner = [inner]
    gc.collect()
    depth = 0
    while inner:
        inner = inner[0]
        depth += 1
    assert depth == 30000 and inner is deepest


def long():
    """Runs of blocks of every length, side by side."""
    kept = [bytearray(bytes([i & 0xFF]) * (64 * i - 8)) for i in range(1, 200)]
    for i in range(0, len(kept), 3):
        kept[i] = None
    gc.collect()
    other = [bytearray(64 * i - 8) for i in range(1, 200, 3)]
    gc.collect()
    for i, octets in enumerate(kept):
        assert octets is None or octets == bytes([i + 1 & 0xFF]) * (64 * (i + 1) - 8)
    assert not any(any(octets) for octets in other)


def holes():
    """Holes of every length among objects that stay: what is put into them is nobody else's memory."""
    kept = {}
    for turn in range(6):
        for _ in range(600):
            number = dice(1 << 30)
            kept[number] = bytearray(bytes([number & 0xFF]) * (64 * (1 + dice(3 if dice(4) else 80)) - 8))
        for number in list(kept):
            if dice(2):
                del kept[number]
        if turn & 1:
            gc.collect()
        for number, octets in kept.items():
            assert all(octet == number & 0xFF for octet in octets)


def full():
    """Until nothing is left; then a hole that was made before all that was looked at last is found again."""
    kept = []
    try:
        while True:
            kept.append(bytearray(9000))
    except MemoryError:
        pass
    for at in (0, len(kept) // 2, len(kept) - 1):
        for octets in (9000, 4000, 2000, 100):
            kept[at] = None
            kept[at] = bytearray(octets)
            assert len(kept[at]) == octets and not any(kept[at])
    assert len(kept) > 300


def numbers():
    """Numbers that would be addresses within objects keep nothing, and hide nothing from what refers to it."""
    many = [[(i, [i])] for i in range(500)]
    for within in (1, 2, 31, 32, 33, 63):
        false = [id(one) + within >> 1 for one in many]  # an int of n is the word 2 * n + 1
        held = [false, many, list(false)]
        gc.collect()
        others = [[-i] for i in range(3000)]
        assert all(one[0][0] == i and one[0][1][0] == i for i, one in enumerate(held[1]))
        assert others[7] == [-7] and len(false) == 500
    before = used()
    false = [id(bytearray(2000)) >> 1 for _ in range(500)]
    assert used() - before < 20000 and len(false) == 500


async def main(store, words):
    for what in (by_dice, wide, deep, long, holes, full, numbers):
        what()
        before = used()
        what()
        after = used()
        assert after - before < 20000, (what.__name__, before, after)
        print("collected after", what.__name__)
    print("done")
