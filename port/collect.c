// Garbage collection: MicroPython's heap and its rules, with a mark and a sweep of our own, since while it runs no ring
// is served. MicroPython's looks at words and blocks one by one, which took 1.3 to 1.7 ms.
//
// The table of the heap has two bits a block: 0 free, 1 the head of an object, 2 one of the blocks behind a head,
// 3 a head that is marked. Nothing here has a finaliser: mpconfigport.h leaves them out.
#include <stdbool.h>

#include "py/gc.h"
#include "py/mpstate.h"
#include "py/obj.h"
#include "shared/runtime/gchelper.h"

#include "hal.h"

#if MICROPY_ENABLE_FINALISER || MICROPY_GC_SPLIT_HEAP || MICROPY_PY_GC_COLLECT_RETVAL
#error "collect.c knows one area, without finalisers, and counts nothing"
#endif

#define BLOCK MICROPY_BYTES_PER_GC_BLOCK
#define BLOCK_BITS 6
#define WORDS (BLOCK / sizeof(uintptr_t))
#define HEADS 0x5555555555555555ull // the lower bit of each pair; the upper one is set in a mark and behind a head
_Static_assert(BLOCK == 1 << BLOCK_BITS, "octets of a block");

typedef uint64_t __attribute__((aligned(1), may_alias)) table_t; // 32 blocks

static struct { uintptr_t pool; size_t blocks; table_t *table; } heap;

static inline unsigned kind(const table_t *table, size_t block) {
    return table[block >> 5] >> 2 * (block & 31) & 3;
}

// How many blocks the object has whose head this is. A run of tails goes on where a word of the table ends.
static inline size_t length(const table_t *table, size_t block) {
    size_t n = 1;
    for (;;) {
        unsigned skipped = 2 * (block + n & 31);
        uint64_t others = (table[block + n >> 5] ^ 2 * HEADS) >> skipped;
        if (others) {
            return n + (__builtin_ctzll(others) >> 1);
        }
        n += (64 - skipped) / 2;
    }
}

// The block at this address; far outside if none begins there.
static inline size_t block_at(uintptr_t address, uintptr_t pool) {
    uintptr_t at = address - pool;
    return at >> BLOCK_BITS | at << (64 - BLOCK_BITS);
}

// A word that is the address of an unmarked head: mark it, and look at its words later. Returns how many wait. What is in
// `heap` is handed over, to be kept in registers.
static inline __attribute__((always_inline)) size_t mark(uintptr_t word, uintptr_t pool, size_t blocks, table_t *table, size_t n) {
    size_t block = block_at(word, pool);
    if (block < blocks && kind(table, block) == 1) {
        table[block >> 5] |= 2ull << 2 * (block & 31);
        if (n < MICROPY_ALLOC_GC_STACK_SIZE) {
            MP_STATE_MEM(gc_block_stack)[n++] = block;
        } else {
            MP_STATE_MEM(gc_stack_overflow) = 1;
        }
    }
    return n;
}

// True for an object whose data are octets or numbers and no references: str, bytes, bytearray, array, memoryview. All
// have the address of the data as their fourth word, and nothing else to be looked at. Rules alone are a megabyte of such.
// The first word of any object is its type. A table of references begins with what the program puts there: one with the
// type `str` itself, an object, and a small number would be taken for a string. No list and no dict here has that:
// tests/host/test_collect_tables.py.
static inline bool plain(const uintptr_t *words) {
    uintptr_t type = words[0];
    if (type == (uintptr_t)&mp_type_str || type == (uintptr_t)&mp_type_bytes) {
        return words[2] < heap.blocks * BLOCK;
    }
    if (type == (uintptr_t)&mp_type_bytearray || type == (uintptr_t)&mp_type_array || type == (uintptr_t)&mp_type_memoryview) {
        unsigned code = words[1] & 0x7f; // the highest bit of a memoryview's: it may be written to
        return code != 'O' && code != 'P' && code != 'S';
    }
    return false;
}

// The first `waiting` of MP_STATE_MEM(gc_block_stack) are marked, and their words are to be looked at.
static void mark_waiting(size_t waiting) {
    uintptr_t pool = heap.pool;
    size_t blocks = heap.blocks;
    table_t *table = heap.table;
    while (waiting) {
        size_t block = MP_STATE_MEM(gc_block_stack)[--waiting];
        const uintptr_t *words = (const uintptr_t *)(pool + block * BLOCK);
        size_t n = 1;
        if (kind(table, block + 1) == 2) {
            n = length(table, block);
        } else if (plain(words)) {
            block = block_at(words[3], pool);
            if (block < blocks && kind(table, block) == 1) {
                table[block >> 5] |= 2ull << 2 * (block & 31);
            }
            continue;
        } else if (!(words[4] | words[5] | words[6] | words[7])) { // most are that small: list, dict, tuple of two, instance
#pragma GCC unroll 4
            for (unsigned i = 0; i < WORDS / 2; i++) {
                waiting = mark(words[i], pool, blocks, table, waiting);
            }
            continue;
        }
        for (; n > 0; n--, words += WORDS) {
#pragma GCC unroll 8
            for (unsigned i = 0; i < WORDS; i++) {
                waiting = mark(words[i], pool, blocks, table, waiting);
            }
        }
    }
}

static void mark_words(const void *from, const void *to) {
    for (const uintptr_t *word = from; word < (const uintptr_t *)to; word++) {
        mark_waiting(mark(*word, heap.pool, heap.blocks, heap.table, 0));
    }
}

// Some marked objects found no room among those that wait: look at all marked ones once more.
static void mark_overflown(size_t used) {
    while (MP_STATE_MEM(gc_stack_overflow)) {
        MP_STATE_MEM(gc_stack_overflow) = 0;
        for (size_t block = 0; block <= used; block++) {
            if (kind(heap.table, block) == 3) {
                MP_STATE_MEM(gc_block_stack)[0] = block;
                mark_waiting(1);
            }
        }
    }
}

// Of 32 blocks: unmarked heads and what is behind them become free, marked ones heads. *kept: the object that the last
// of the blocks before belongs to is kept; is told anew.
static inline uint64_t swept(uint64_t pairs, unsigned *kept) {
    uint64_t low = pairs & HEADS, high = pairs >> 1 & HEADS, marks = low & high, tails = high & ~low;
    // each run of tails is a run of ones, through which the one added to its beginning is carried: it becomes zeros
    uint64_t runs = tails | tails << 1, sum;
    bool carried = __builtin_add_overflow(runs, (marks << 2 | *kept) & runs, &sum);
    *kept = carried | marks >> 62;
    return marks | (runs & ~sum & 2 * HEADS);
}

// Returns the last block in use, 0 if there is none.
static size_t sweep(size_t used) {
    size_t last = 0;
    unsigned kept = 0;
    for (size_t word = 0; word <= used >> 5; word++) {
        uint64_t pairs = heap.table[word];
        if (pairs) {
            // what is behind the table is not its: blocks that do not exist
            uint64_t there = heap.blocks - word * 32 < 32 ? (1ull << 2 * (heap.blocks - word * 32)) - 1 : UINT64_MAX;
            uint64_t left = swept(pairs & there, &kept);
            heap.table[word] = left | (pairs & ~there);
            if (left) {
                last = word * 32 + (63 - __builtin_clzll(left)) / 2;
            }
        } else {
            kept = 0;
        }
    }
    return last;
}

#define COLLECTIONS 8 // that are remembered: who asks wants to know of the last few ms

static struct { uint64_t began, ended; } collections[COLLECTIONS];
static unsigned collection;

void gc_collect(void) {
    uint64_t began = hal_own_ns();
    mp_state_mem_area_t *area = &MP_STATE_MEM(area);
    heap.pool = (uintptr_t)area->gc_pool_start;
    heap.blocks = area->gc_alloc_table_byte_len * 4;
    heap.table = (table_t *)area->gc_alloc_table_start;
    MP_STATE_THREAD(gc_lock_depth) |= GC_COLLECT_FLAG;
    MP_STATE_MEM(gc_stack_overflow) = 0;
    MP_STATE_MEM(gc_alloc_amount) = 0;
    // the same roots as gc_collect_start() has
    mark_words(&mp_state_ctx.thread.dict_locals, &mp_state_ctx.vm.qstr_last_chunk);
    mark_words(MP_STATE_THREAD(pystack_start), MP_STATE_THREAD(pystack_cur));
    gc_helper_collect_regs_and_stack(); // MicroPython marks what these alone refer to
    mark_overflown(area->gc_last_used_block);
    area->gc_last_used_block = sweep(area->gc_last_used_block);
    area->gc_last_free_atb_index = 0;
    allocate_from_beginning();
    MP_STATE_THREAD(gc_lock_depth) &= ~GC_COLLECT_FLAG;
    collection = (collection + 1) % COLLECTIONS;
    collections[collection].began = began;
    collections[collection].ended = hal_own_ns();
}

uint64_t python_collecting_ns(uint64_t since) {
    uint64_t ns = 0;
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        if (collections[i].began >= since) {
            ns += collections[i].ended - collections[i].began;
        }
    }
    return ns;
}
