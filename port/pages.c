// Memory outside the object heap: whole pages, first fit, in pieces of any length.
//
// Two bits a page, kept in the first pages of the memory itself: used, and last of its piece; the second lets
// hal_mem_free() refuse anything that is not exactly one piece. Every page given out is zero.
#include <string.h>

#include "xenhost.h"

enum { EINVAL = 22, EBUSY = 16 };

static uint64_t base;      // address of page 0
static size_t pages;       // that can be given out
static size_t pages_free;
static size_t lowest_free; // no page below it is free
static uint64_t *used, *last;

static bool bit(const uint64_t *map, size_t i) { return map[i / 64] >> (i % 64) & 1; }
static void set(uint64_t *map, size_t i) { map[i / 64] |= 1ull << (i % 64); }
static void clear(uint64_t *map, size_t i) { map[i / 64] &= ~(1ull << (i % 64)); }

void pages_init(uint64_t start, uint64_t end) {
    size_t words = ((end - start) / PAGE_SIZE + 63) / 64;
    used = (uint64_t *)start;
    last = used + words;
    memset(used, 0, 2 * words * sizeof *used);
    base = (start + 2 * words * sizeof *used + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
    pages = pages_free = (end - base) / PAGE_SIZE;
}

bool pages_own(uint64_t address) {
    return address >= base && address < base + pages * PAGE_SIZE && bit(used, (address - base) / PAGE_SIZE);
}

// First page of n free ones in a row, or `pages`.
static size_t find(size_t n) {
    size_t run = 0;
    for (size_t i = lowest_free; i < pages; i++) {
        run = bit(used, i) ? 0 : run + 1;
        if (run == n) {
            return i + 1 - n;
        }
    }
    return pages;
}

void *hal_mem(size_t octets) {
    size_t n = octets / PAGE_SIZE + (octets % PAGE_SIZE != 0);
    if (n == 0 || n > pages_free) {
        return NULL;
    }
    size_t first = find(n);
    if (first == pages) {
        return NULL;
    }
    for (size_t i = first; i < first + n; i++) {
        set(used, i);
    }
    set(last, first + n - 1);
    pages_free -= n;
    if (first == lowest_free) {
        lowest_free = first + n;
    }
    return memset((void *)(base + first * PAGE_SIZE), 0, n * PAGE_SIZE);
}

int hal_mem_free(void *start, size_t octets) {
    uint64_t address = (uintptr_t)start;
    size_t n = octets / PAGE_SIZE + (octets % PAGE_SIZE != 0);
    size_t first = (address - base) / PAGE_SIZE;
    if (n == 0 || address < base || address % PAGE_SIZE || first >= pages || n > pages - first) {
        return -EINVAL;
    }
    if (!bit(used, first) || (first > 0 && bit(used, first - 1) && !bit(last, first - 1))) {
        return -EINVAL; // not the start of a piece
    }
    for (size_t i = first; i < first + n; i++) {
        if (!bit(used, i) || bit(last, i) != (i == first + n - 1)) {
            return -EINVAL;
        }
    }
    if (grant_holds(address / PAGE_SIZE, n)) {
        return -EBUSY;
    }
    for (size_t i = first; i < first + n; i++) {
        clear(used, i);
    }
    clear(last, first + n - 1);
    pages_free += n;
    if (first < lowest_free) {
        lowest_free = first;
    }
    return 0;
}

void hal_memory(size_t *total, size_t *free) {
    *total = pages * PAGE_SIZE;
    *free = pages_free * PAGE_SIZE;
}

uint64_t hal_machine_address(const void *p) {
    uint64_t address = (uintptr_t)p;
    return pages_own(address) || gntmap_owns(address) ? address : 0;
}
