// Allocation of objects: MicroPython's rules, with a search of our own. MicroPython's looks at blocks one by one, and begins
// behind the first free one: in a heap full of small objects a large one took 2 ms to be placed, in which no ring is served.
// This takes 32 blocks in a step; collect.c says what the table of the heap has.
#include <stdbool.h>
#include <string.h>

#include "py/gc.h"
#include "py/mpstate.h"

#include "hal.h"

#if MICROPY_ENABLE_FINALISER || MICROPY_GC_SPLIT_HEAP || !MICROPY_GC_ALLOC_THRESHOLD || MICROPY_PY_THREAD
#error "allocate.c knows one area, without finalisers and threads, and counts what is allocated"
#endif

#define BLOCK MICROPY_BYTES_PER_GC_BLOCK
#define HEADS 0x5555555555555555ull // the lower bit of each pair
#define NONE SIZE_MAX
#define MANY 32 // blocks

typedef uint64_t __attribute__((aligned(1), may_alias)) table_t; // 32 blocks

// The lowest block from `from` on, below `end`, with which n free ones begin; NONE without.
static size_t find(const table_t *table, size_t from, size_t end, size_t n) {
    size_t run = 0;                                  // free blocks right before the word
    uint64_t there = ~0ull << 2 * (from & 31);       // what of the word is asked for
    for (size_t word = from >> 5; word * 32 < end; word++, there = ~0ull) {
        if (end - word * 32 < 32) {
            there &= (1ull << 2 * (end & 31)) - 1;
        }
        uint64_t pairs = table[word], ones = ~(pairs | pairs >> 1) & HEADS & there; // a bit for each free block
        if (!ones) {
            run = 0;
            continue;
        }
        uint64_t others = ones ^ HEADS;
        if (!others) {
            run += 32;
            if (run >= n) {
                return word * 32 + 32 - run;
            }
            continue;
        }
        if (run + (__builtin_ctzll(others) >> 1) >= n) {
            return word * 32 - run;
        }
        run = __builtin_clzll(others) >> 1;
        for (size_t have = 1, more; have < n && ones; have += more) {
            more = n < 2 * have ? n - have : have;
            ones = more < 32 ? ones & ones >> 2 * more : 0; // with which have + more free ones begin, in this word
        }
        if (ones) {
            return word * 32 + (__builtin_ctzll(ones) >> 1);
        }
    }
    return NONE;
}

// Where the search for an object of so many blocks goes on: in a heap full of small holes all that begin at its beginning
// would look at the same ones again. Holes that have been made before it since then are for the next search from there.
static size_t next[MANY + 1]; // the last is for all of as many or more

void allocate_from_beginning(void) {
    for (size_t i = 0; i <= MANY; i++) {
        next[i] = 0;
    }
}

// The first of n free blocks; NONE without. No block below gc_last_free_atb_index, four blocks each, is free.
static size_t search(const mp_state_mem_area_t *area, const table_t *table, size_t n) {
    size_t lowest = area->gc_last_free_atb_index * 4, end = area->gc_alloc_table_byte_len * 4;
    size_t *at = &next[n < MANY ? n : MANY];
    size_t start = n > 1 && *at > lowest ? find(table, *at, end, n) : NONE;
    if (start == NONE) {
        start = find(table, lowest, end, n);
    }
    if (start != NONE) {
        *at = start + n;
    }
    return start;
}

// These blocks, which are free, become one object.
static void take(table_t *table, size_t start, size_t n) {
    for (size_t block = start, left = n; left;) {
        size_t here = 32 - (block & 31);
        here = here < left ? here : left;
        table[block >> 5] |= (~0ull >> (64 - 2 * here) & 2 * HEADS) << 2 * (block & 31);
        block += here;
        left -= here;
    }
    table[start >> 5] ^= 3ull << 2 * (start & 31); // the first: a head
}

// In the place of MicroPython's, which mpconfigport.h makes weak. flags: of finalisers only.
void *gc_alloc(size_t octets, unsigned int flags) {
    size_t n = (octets + BLOCK - 1) / BLOCK;
    if (n == 0 || MP_STATE_THREAD(gc_lock_depth) > 0) {
        return NULL;
    }
    mp_state_mem_area_t *area = &MP_STATE_MEM(area);
    table_t *table = (table_t *)area->gc_alloc_table_start;
    bool collected = !MP_STATE_MEM(gc_auto_collect_enabled);
    if (!collected && MP_STATE_MEM(gc_alloc_amount) >= MP_STATE_MEM(gc_alloc_threshold)) {
        gc_collect();
        collected = true;
    }
    size_t start;
    while ((start = search(area, table, n)) == NONE) {
        if (collected) {
            return NULL;
        }
        gc_collect();
        collected = true;
    }
    if (n == 1) {
        area->gc_last_free_atb_index = (start + 1) / 4;
    }
    if (area->gc_last_used_block < start + n - 1) {
        area->gc_last_used_block = start + n - 1;
    }
    take(table, start, n);
    MP_STATE_MEM(gc_alloc_amount) += n;
    return memset(area->gc_pool_start + start * BLOCK, 0, n * BLOCK); // all: what is left of others' could keep objects alive
}
