"""port/allocate.c as a shared library, in heaps of every size: objects never overlap, and what fits is always found.

The table and the rules are MicroPython's (py/gc.c): two bits a block, 0 free, 1 a head, 2 behind a head.
"""
import ctypes
import os
import random
import subprocess

import pytest

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "port", "allocate.c")
BLOCK = 64
NEVER = (1 << 64) - 1
GC = """
#pragma once
#include <stddef.h>
#include <stdint.h>
void *gc_alloc(size_t octets, unsigned int flags);
void gc_collect(void);
"""
STATE = """
#pragma once
#include <stddef.h>
#include <stdint.h>
#define MICROPY_ENABLE_FINALISER (0)
#define MICROPY_GC_SPLIT_HEAP (0)
#define MICROPY_GC_ALLOC_THRESHOLD (1)
#define MICROPY_PY_THREAD (0)
#define MICROPY_BYTES_PER_GC_BLOCK (64)
typedef struct {
    uint8_t *gc_alloc_table_start;
    size_t gc_alloc_table_byte_len;
    uint8_t *gc_pool_start;
    size_t gc_last_free_atb_index;
    size_t gc_last_used_block;
} mp_state_mem_area_t;
typedef struct {
    mp_state_mem_area_t area;
    size_t gc_auto_collect_enabled, gc_alloc_amount, gc_alloc_threshold, gc_lock_depth;
} state_t;
extern state_t state;
#define MP_STATE_MEM(x) (state.x)
#define MP_STATE_THREAD(x) (state.x)
"""
HAL = """
#pragma once
void allocate_from_beginning(void);
"""
REST = """
#include "py/gc.h"
#include "py/mpstate.h"
state_t state;
void (*collect)(void);
void gc_collect(void) { collect(); }
"""


class Area(ctypes.Structure):
    _fields_ = [
        ("table", ctypes.c_void_p), ("length", ctypes.c_size_t), ("pool", ctypes.c_void_p), ("free", ctypes.c_size_t),
        ("used", ctypes.c_size_t),
    ]  # fmt: skip


class State(ctypes.Structure):
    _fields_ = [("area", Area)] + [(name, ctypes.c_size_t) for name in ("auto", "amount", "threshold", "locked")]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("allocate")
    (folder / "py").mkdir()
    for name, text in (("py/gc.h", GC), ("py/mpstate.h", STATE), ("hal.h", HAL), ("rest.c", REST)):
        (folder / name).write_text(text)
    path, copy = str(folder / "allocate.so"), folder / "allocate.c"  # beside our hal.h
    with open(SOURCE, encoding="utf-8") as text:
        copy.write_text(text.read())
    flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-I", str(folder)]
    subprocess.run(["gcc", *flags, str(copy), str(folder / "rest.c"), "-o", path], check=True)
    found = ctypes.CDLL(path)
    found.gc_alloc.restype = ctypes.c_void_p
    found.gc_alloc.argtypes = [ctypes.c_size_t, ctypes.c_uint]
    return found


class Heap:
    """A heap of so many octets of table, four blocks each, and what is to be in it."""

    def __init__(self, library, length, rng):
        self.library, self.rng = library, rng
        self.blocks = 4 * length
        self.kinds = [0] * self.blocks
        self.objects = {}  # first block -> how many
        self.space = ctypes.create_string_buffer(length + 16 + self.blocks * BLOCK)
        self.table = ctypes.addressof(self.space)
        self.length = length
        self.pool = self.table + length + 16  # the gap, and what follows it, is nobody's to write
        self.state = State.in_dll(library, "state")
        self.state.area = Area(self.table, length, self.pool, 0, 0)
        self.state.auto, self.state.amount, self.state.threshold, self.state.locked = 1, 0, NEVER, 0
        self.collections = 0
        self.dies = 0.0  # which part of the objects a collection finds in use no longer
        self.callback = ctypes.CFUNCTYPE(None)(self.collect)
        ctypes.c_void_p.in_dll(library, "collect").value = ctypes.cast(self.callback, ctypes.c_void_p).value
        library.allocate_from_beginning()

    def collect(self):
        self.collections += 1
        for start in list(self.objects):
            if self.rng.random() < self.dies:
                self.free(start)
        self.state.amount = 0
        self.state.area.free = 0
        self.state.area.used = max([start + n - 1 for start, n in self.objects.items()], default=0)
        self.library.allocate_from_beginning()

    def free(self, start):
        """As gc_free()."""
        n = self.objects.pop(start)
        self.kinds[start : start + n] = [0] * n
        self.write()
        self.state.area.free = min(self.state.area.free, start // 4)

    def shrink(self, start, n):
        """As gc_realloc() does in place."""
        had, self.objects[start] = self.objects[start], n
        self.kinds[start + n : start + had] = [0] * (had - n)
        self.write()
        self.state.area.free = min(self.state.area.free, (start + n) // 4)

    def write(self):
        octets = bytes(sum(self.kinds[4 * i + j] << 2 * j for j in range(4)) for i in range(self.length))
        ctypes.memmove(self.table, octets, self.length)

    def read(self):
        return [octet >> 2 * j & 3 for octet in ctypes.string_at(self.table, self.length) for j in range(4)]

    def holes(self):
        """The longest run of free blocks."""
        return max(len(run) for run in "".join("x" if kind else "." for kind in self.kinds).split("x"))

    def allocate(self, octets):
        """Ask for them, and look at everything. True: there was a place."""
        ctypes.memset(self.pool, 0xEE, self.blocks * BLOCK)
        n = -(-octets // BLOCK)
        amount, collections = self.state.amount, self.collections
        got = self.library.gc_alloc(octets, 0)
        if self.collections > collections:
            assert self.collections == collections + 1
            amount = 0
        if not got:
            assert self.holes() < n and self.read() == self.kinds
            assert self.collections > collections or not self.state.auto
            return False
        assert (got - self.pool) % BLOCK == 0
        start = (got - self.pool) // BLOCK
        assert 0 <= start and start + n <= self.blocks and not any(self.kinds[start : start + n])
        if n == 1:
            assert start == self.kinds.index(0)
        self.kinds[start : start + n] = [1] + [2] * (n - 1)
        self.objects[start] = n
        assert self.read() == self.kinds and ctypes.string_at(self.table + self.length, 16) == bytes(16)
        assert 0 not in self.kinds[: 4 * self.state.area.free]
        assert self.state.amount == amount + n
        assert self.state.area.used >= max(first + blocks - 1 for first, blocks in self.objects.items())
        pool = ctypes.string_at(self.pool, self.blocks * BLOCK)
        assert pool == b"\xee" * (start * BLOCK) + bytes(n * BLOCK) + b"\xee" * ((self.blocks - start - n) * BLOCK)
        return True


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 17, 31, 37, 64])
def test_objects_by_dice(library, length):
    """Of one block, of some, of more than a word of the table has; freed, shrunk and collected in between."""
    rng = random.Random(length)
    found = refused = 0
    for _ in range(12):
        heap = Heap(library, length, rng)
        heap.dies = rng.choice((0, 0.1, 0.6))
        most = rng.choice((2, 5, 40, 100))
        for _ in range(120):
            kind = rng.random()
            if kind < 0.7:
                some, others = rng.randrange(1, most * BLOCK + 1), rng.randrange(1, most * BLOCK + 1)
                octets = rng.choice((1, 63, 64, 65, some, others))
                if heap.allocate(octets):
                    found += 1
                else:
                    refused += 1
            elif kind < 0.9 and heap.objects:
                heap.free(rng.choice(list(heap.objects)))
            elif heap.objects:
                start = rng.choice(list(heap.objects))
                if heap.objects[start] > 1:
                    heap.shrink(start, rng.randrange(1, heap.objects[start]))
    assert found > 100 and refused > 10


@pytest.mark.parametrize("length", [8, 9, 40])
def test_every_hole_is_found_by_all_that_fits_and_by_nothing_else(library, length):
    """One hole of each length at each place; all around is taken."""
    heap = Heap(library, length, random.Random(0))
    for hole in (1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 100):
        for at in list(range(0, min(70, heap.blocks - hole + 1))) + [heap.blocks - hole]:
            if at < 0:
                continue
            for n in {1, hole - 1, hole, hole + 1} - {0}:
                heap.objects = {start: 1 for start in [*range(at), *range(at + hole, heap.blocks)]}
                heap.kinds = [1] * at + [0] * hole + [1] * (heap.blocks - at - hole)
                heap.write()
                heap.state.area.free, heap.state.area.used = 0, heap.blocks - 1
                assert heap.allocate(n * BLOCK) == (n <= hole), (hole, at, n)


@pytest.mark.parametrize("seed", range(4))
def test_holes_over_many_words_of_the_table(library, seed):
    """Words that are free, taken, or begin or end so: a run goes on from one to the next only where both are free."""
    rng = random.Random(seed)
    for _ in range(150):
        heap = Heap(library, rng.randrange(24, 60), rng)
        kinds = []
        while len(kinds) < heap.blocks:
            free = rng.choice((0, 0, 32, 32, rng.randrange(33)))
            word = [0] * free + [1] * (32 - free)
            kinds += word if rng.random() < 0.5 else word[::-1]
        for n in rng.sample(range(1, 120), 6):
            heap.kinds = kinds[: heap.blocks]
            heap.objects = {start: 1 for start, kind in enumerate(heap.kinds) if kind}
            heap.write()
            heap.state.area.free, heap.state.area.used = 0, heap.blocks - 1
            fits = heap.holes() >= n
            assert heap.allocate(n * BLOCK) == fits, (heap.kinds, n)


def test_what_asks_for_nothing_or_too_much(library):
    heap = Heap(library, 16, random.Random(0))
    for octets in (0, NEVER, NEVER - 62, NEVER - 63, NEVER - 64, 1 << 63, heap.blocks * BLOCK + 1):
        assert library.gc_alloc(octets, 0) is None and not any(heap.read())
    assert heap.allocate(heap.blocks * BLOCK)


def test_a_locked_heap_gives_nothing_and_collects_nothing(library):
    heap = Heap(library, 16, random.Random(0))
    heap.state.threshold = 0
    for depth in (1, 2, 0x80):
        heap.state.locked = depth
        assert library.gc_alloc(64, 0) is None
    assert heap.collections == 0 and not any(heap.read())


def test_when_it_collects(library):
    """At the threshold, once; when nothing fits, once; not at all when that is switched off."""
    heap = Heap(library, 16, random.Random(0))
    heap.state.threshold = 10
    for i in range(25):
        assert heap.allocate(64) and heap.collections == i // 10
    heap.state.threshold = NEVER
    assert heap.allocate(39 * BLOCK) and not heap.allocate(64) and heap.collections == 3
    heap.dies = 1
    assert heap.allocate(64) and heap.collections == 4 and heap.objects == {0: 1}
    assert heap.allocate(63 * BLOCK)
    heap.state.auto, heap.state.threshold = 0, 0
    assert not heap.allocate(64) and heap.collections == 4
