// Garbage collection: MicroPython's heap and its rules, with a mark and a sweep of our own, since while it runs no ring
// is served. MicroPython's looks at words and blocks one by one, which took 1.3 to 1.7 ms with two clients.
//
// The table of the heap has two bits a block: 0 free, 1 the head of an object, 2 one of the blocks behind a head. Which
// heads are marked stands in bits of our own, so that one instruction asks and marks. Nothing here has a finaliser:
// mpconfigport.h leaves them out.
#include <stdbool.h>

#include "py/gc.h"
#include "py/mpstate.h"
#include "py/obj.h"

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

static struct {
    uintptr_t pool;
    size_t octets;
    const table_t *table; // is not changed until all is marked
    uint64_t *unmarked;   // of 32 blocks: the lower bit of a pair is set for a head that is not marked
    uint64_t plain;       // see plain()
} heap;

size_t collect_init(void *memory, size_t octets) {
    heap.unmarked = memory;
    return (octets / (32 * BLOCK) + 1) * sizeof *heap.unmarked;
}

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

// One instruction each: half of all words are looked at in as many as this takes. bit: of any word behind `bits`.
static inline __attribute__((always_inline)) bool has(const table_t *bits, size_t bit) {
    bool set;
    __asm__("btq %2, %1" : "=@ccc"(set) : "m"(*(const table_t (*)[])bits), "r"(bit));
    return set;
}

static inline __attribute__((always_inline)) bool clear(uint64_t *bits, size_t bit) {
    bool set;
    __asm__ volatile("btrq %2, %1" : "=@ccc"(set), "+m"(*(uint64_t (*)[])bits) : "r"(bit));
    return set;
}

// Whether the block at `at` octets is an unmarked head, which is marked then.
static inline __attribute__((always_inline)) bool marked_now(size_t at, uint64_t *unmarked) {
    if (!clear(unmarked, at >> (BLOCK_BITS - 1))) { // two bits a block; no upper one is set
        return false;
    }
    if (at % (BLOCK / 2)) { // a number, or an address within an object
        unmarked[at >> (BLOCK_BITS + 5)] |= 1ull << 2 * (at >> BLOCK_BITS & 31);
        return false;
    }
    return true;
}

// A word that is the address of an unmarked head: mark it, and look at its words later. Returns how many wait. What is in
// `heap` is handed over, to be kept in registers.
static inline __attribute__((always_inline)) size_t mark(uintptr_t word, uintptr_t pool, size_t octets, uint64_t *unmarked, size_t n) {
    size_t at = word - pool;
    if (at < octets && marked_now(at, unmarked)) {
        if (n < MICROPY_ALLOC_GC_STACK_SIZE) {
            MP_STATE_MEM(gc_block_stack)[n++] = at;
        } else {
            MP_STATE_MEM(gc_stack_overflow) = 1;
        }
    }
    return n;
}

// A type's bit in heap.plain, which all have that plain() knows, and a few others.
static inline uint64_t type_bit(uintptr_t type) {
    return 1ull << (type >> 4 & 63);
}

// True for an object whose data are octets or numbers and no references: str, bytes, bytearray, array, memoryview. All
// have the address of the data as their fourth word, and nothing else to be looked at. Rules alone are a megabyte of such.
// The first word of any object is its type. A table of references begins with what the program puts there: one with the
// type `str` itself, an object, and a small number would be taken for a string. No list and no dict here has that:
// tests/host/test_collect_tables.py.
static inline bool plain(const uintptr_t *words, size_t octets) {
    uintptr_t type = words[0];
    if (type == (uintptr_t)&mp_type_str || type == (uintptr_t)&mp_type_bytes) {
        return words[2] < octets;
    }
    if (type == (uintptr_t)&mp_type_bytearray || type == (uintptr_t)&mp_type_array || type == (uintptr_t)&mp_type_memoryview) {
        unsigned code = words[1] & 0x7f; // the highest bit of a memoryview's: it may be written to
        return code != 'O' && code != 'P' && code != 'S';
    }
    return false;
}

// The first `waiting` of MP_STATE_MEM(gc_block_stack), octets from the pool's beginning, are marked, and their words are
// to be looked at.
static void mark_waiting(size_t waiting) {
    uintptr_t pool = heap.pool;
    size_t octets = heap.octets;
    const table_t *table = heap.table;
    uint64_t *unmarked = heap.unmarked, plain_types = heap.plain;
    while (waiting) {
        size_t at = MP_STATE_MEM(gc_block_stack)[--waiting];
        const uintptr_t *words = (const uintptr_t *)(pool + at);
        size_t n = 1;
        if (has(table, (at >> (BLOCK_BITS - 1)) + 3)) { // the next block is behind a head
            n = length(table, at >> BLOCK_BITS);
        } else if (plain_types & type_bit(words[0]) && plain(words, octets)) {
            at = words[3] - pool;
            if (at < octets) {
                marked_now(at, unmarked);
            }
            continue;
        } else if (!(words[4] | words[5] | words[6] | words[7])) { // most are that small: list, dict, tuple of two, instance
#pragma GCC unroll 4
            for (unsigned i = 0; i < WORDS / 2; i++) {
                waiting = mark(words[i], pool, octets, unmarked, waiting);
            }
            continue;
        }
        for (; n > 0; n--, words += WORDS) {
#pragma GCC unroll 8
            for (unsigned i = 0; i < WORDS; i++) {
                waiting = mark(words[i], pool, octets, unmarked, waiting);
            }
        }
    }
}

static void mark_words(const void *from, const void *to) {
    for (const uintptr_t *word = from; word < (const uintptr_t *)to; word++) {
        mark_waiting(mark(*word, heap.pool, heap.octets, heap.unmarked, 0));
    }
}

// What callers keep in registers, and the stack.
static __attribute__((noinline)) void mark_registers_and_stack(void) {
    uintptr_t kept[6];
    __asm__ volatile("movq %%rbx, 0(%0)\n movq %%rbp, 8(%0)\n movq %%r12, 16(%0)\n movq %%r13, 24(%0)\n"
        "movq %%r14, 32(%0)\n movq %%r15, 40(%0)" : : "r"(kept) : "memory");
    mark_words(kept, MP_STATE_THREAD(stack_top));
}

// Some marked objects found no room among those that wait: look at all marked ones once more.
static void mark_overflown(size_t used) {
    while (MP_STATE_MEM(gc_stack_overflow)) {
        MP_STATE_MEM(gc_stack_overflow) = 0;
        for (size_t block = 0; block <= used; block++) {
            if (kind(heap.table, block) == 1 && !has((const table_t *)heap.unmarked, 2 * block)) {
                MP_STATE_MEM(gc_block_stack)[0] = block << BLOCK_BITS;
                mark_waiting(1);
            }
        }
    }
}

// Of 32 blocks: unmarked heads and what is behind them become free, marked ones heads. *kept: the object that the last
// of the blocks before belongs to is kept; is told anew.
static inline uint64_t swept(uint64_t pairs, uint64_t unmarked, unsigned *kept) {
    uint64_t marks = pairs & HEADS & ~unmarked, tails = pairs >> 1 & HEADS;
    // each run of tails is a run of ones, through which the one added to its beginning is carried: it becomes zeros
    uint64_t runs = tails | tails << 1, sum;
    bool carried = __builtin_add_overflow(runs, (marks << 2 | *kept) & runs, &sum);
    *kept = carried | marks >> 62;
    return marks | (runs & ~sum & 2 * HEADS);
}

// Returns the last block in use, 0 if there is none.
static size_t sweep(table_t *table, size_t blocks, size_t used) {
    size_t last = 0;
    unsigned kept = 0;
    for (size_t word = 0; word <= used >> 5; word++) {
        uint64_t pairs = table[word];
        if (pairs) {
            // what is behind the table is not its: blocks that do not exist
            uint64_t there = blocks - word * 32 < 32 ? (1ull << 2 * (blocks - word * 32)) - 1 : UINT64_MAX;
            uint64_t left = swept(pairs & there, heap.unmarked[word], &kept);
            table[word] = left | (pairs & ~there);
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
    size_t blocks = area->gc_alloc_table_byte_len * 4, used = area->gc_last_used_block;
    table_t *table = (table_t *)area->gc_alloc_table_start;
    heap.octets = (used + 1) * BLOCK;
    heap.table = table;
    heap.plain = type_bit((uintptr_t)&mp_type_str) | type_bit((uintptr_t)&mp_type_bytes) | type_bit((uintptr_t)&mp_type_bytearray)
        | type_bit((uintptr_t)&mp_type_array) | type_bit((uintptr_t)&mp_type_memoryview);
    for (size_t word = 0; word <= used >> 5; word++) {
        heap.unmarked[word] = table[word] & ~(table[word] >> 1) & HEADS;
    }
    MP_STATE_THREAD(gc_lock_depth) |= GC_COLLECT_FLAG;
    MP_STATE_MEM(gc_stack_overflow) = 0;
    MP_STATE_MEM(gc_alloc_amount) = 0;
    // the same roots as gc_collect_start() has
    mark_words(&mp_state_ctx.thread.dict_locals, &mp_state_ctx.vm.qstr_last_chunk);
    mark_words(MP_STATE_THREAD(pystack_start), MP_STATE_THREAD(pystack_cur));
    mark_registers_and_stack();
    mark_overflown(used);
    area->gc_last_used_block = sweep(table, blocks, used);
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
