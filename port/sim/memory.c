// xen.mem and xen.map on the simulated ground: pages of the machine file between inaccessible ones.
//
// Addresses come from one arena that is inaccessible but for what has been given out, and between any two pieces lies
// a page that nobody gets: a store by viper outside of its piece ends the domain at that very store. A piece of whole
// pages is guarded to the octet on both sides. Of another, one end cannot lie at a page's edge:
//
//   mode "before"  |-----|piece....pattern|-----|     begins at a page, as on Xen
//   mode "after"   |-----|pattern....piece|-----|     ends at an inaccessible page (but for up to 15 octets)
//
// The pattern is looked at when the piece is given back and at the end. Tests run in both modes; in "after" the frame
// number of a piece that is not whole pages cannot be asked for, and nobody should: a page is lent whole.
// The arena is given out round and round, so that what was freed stays inaccessible for long.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ground.h"

#define ARENA_AT 0x100000000000ull // the same in every run
#define ARENA_PAGES (1u << 20)     // 4 GiB of addresses
#define PATTERN 0xa5

typedef struct { // one page of the arena
    uint32_t frame;  // what it shows; 0: nothing
    uint32_t pages;  // at the first page of a piece: how many it has
    uint32_t start;  // at the first page of a piece: offset of its first octet
    uint32_t octets; // at the first page of a piece: its length
} address_t;

static int file;
static uint8_t *const arena = (uint8_t *)ARENA_AT;
static address_t map[ARENA_PAGES];
static size_t next_address = 1, highest_address;

static uint32_t first_frame; // of our memory; index 0 of these:
static bool in_use[DOMAIN_FRAMES], written[DOMAIN_FRAMES];
static size_t frames, frames_free;

void memory_init(int machine_file) {
    file = machine_file;
    first_frame = hv_first_frame(machine, self_domid);
    frames = self->frames;
    frames_free = frames - FIRST_FREE_PAGE;
    void *at = mmap(arena, (uint64_t)ARENA_PAGES * PAGE_SIZE, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != arena) {
        perror("firewall-sim: reserving addresses");
        exit(2);
    }
    grant_init((grant_entry_t *)hv_page(machine, first_frame), GRANT_ENTRIES);
}

// ---- addresses

// First of n arena pages in a row with a free one before and after; 0: there is no room.
static size_t find_addresses(size_t n) {
    for (int round = 0; round < 2; round++) {
        size_t run = 0;
        for (size_t page = next_address; page < ARENA_PAGES; page++) {
            run = map[page].frame ? 0 : run + 1;
            if (run == n + 2) {
                next_address = page; // free, and good as the one before the next piece
                highest_address = page > highest_address ? page : highest_address;
                return page - n;
            }
        }
        next_address = 1;
    }
    return 0;
}

static size_t page_of(const void *p) {
    uint64_t page = ((uint64_t)p - ARENA_AT) / PAGE_SIZE;
    return (uint64_t)p < ARENA_AT || page >= ARENA_PAGES ? 0 : page;
}

// Let n pages of the arena show frames; what to write into map[] is the caller's.
static bool show(size_t page, uint32_t frame, size_t n) {
    return mmap(arena + page * PAGE_SIZE, n * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
        (off_t)frame * PAGE_SIZE) != MAP_FAILED;
}

static void hide(size_t page, size_t n) {
    mmap(arena + page * PAGE_SIZE, n * PAGE_SIZE, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    memset(&map[page], 0, n * sizeof map[0]);
}

// The first page of the piece of n pages that starts at p with that many octets; 0: there is none.
static size_t piece_at(const void *p, size_t octets) {
    size_t page = page_of(p);
    return map[page].pages && map[page].octets == octets && arena + page * PAGE_SIZE + map[page].start == p ? page : 0;
}

// ---- our memory

static size_t find_frames(size_t n) {
    size_t run = 0;
    for (size_t i = FIRST_FREE_PAGE; i < frames; i++) {
        run = in_use[i] ? 0 : run + 1;
        if (run == n) {
            return i + 1 - n;
        }
    }
    return 0;
}

void *hal_mem(size_t octets) {
    size_t n = octets / PAGE_SIZE + (octets % PAGE_SIZE != 0);
    size_t i = n && n <= frames_free ? find_frames(n) : 0;
    size_t page = i ? find_addresses(n) : 0;
    if (page == 0 || !show(page, first_frame + i, n)) {
        return NULL;
    }
    frames_free -= n;
    self->pages_used += n;
    uint8_t *base = arena + page * PAGE_SIZE;
    for (size_t k = 0; k < n; k++) {
        if (written[i + k]) { // pages that were never ours yet are zero
            memset(base + k * PAGE_SIZE, 0, PAGE_SIZE);
        }
        in_use[i + k] = written[i + k] = true;
        map[page + k].frame = first_frame + i + k;
    }
    map[page].pages = n;
    map[page].octets = octets;
    map[page].start = machine->guard_before ? 0 : (n * PAGE_SIZE - octets) & ~15u;
    uint8_t *start = base + map[page].start, *end = start + octets;
    memset(base, PATTERN, start - base);
    memset(end, PATTERN, base + n * PAGE_SIZE - end);
    return start;
}

static bool is_pattern(const uint8_t *from, const uint8_t *to) {
    while (from < to && *from == PATTERN) {
        from++;
    }
    return from >= to;
}

static void check_pattern(size_t page) {
    const uint8_t *base = arena + page * PAGE_SIZE, *start = base + map[page].start, *end = start + map[page].octets;
    if (!is_pattern(base, start) || !is_pattern(end, base + map[page].pages * PAGE_SIZE)) {
        crash_printf("piece of %u octets from xen.mem:\n", map[page].octets);
        hal_crash("somebody wrote beside it");
    }
}

void memory_check(void) {
    for (size_t page = 0; page < highest_address; page++) {
        if (map[page].pages && map[page].frame - first_frame < frames) {
            check_pattern(page);
        }
    }
}

int hal_mem_free(void *p, size_t octets) {
    size_t page = piece_at(p, octets);
    uint32_t i = map[page].frame - first_frame;
    if (page == 0 || i >= frames) {
        return -EINVAL;
    }
    size_t n = map[page].pages;
    if (grant_holds(map[page].frame, n)) {
        return -EBUSY;
    }
    check_pattern(page);
    memset(&in_use[i], 0, n);
    frames_free += n;
    self->pages_used -= n;
    hide(page, n);
    return 0;
}

void hal_memory(size_t *total, size_t *free) {
    *total = (frames - FIRST_FREE_PAGE) * PAGE_SIZE;
    *free = frames_free * PAGE_SIZE;
}

uint64_t hal_machine_address(const void *p) {
    uint64_t frame = map[page_of(p)].frame;
    return frame ? frame * PAGE_SIZE + (uint64_t)p % PAGE_SIZE : 0;
}

// ---- peers' pages. Their frame numbers here are those of a window where Xen has no memory of ours, as on Xen.

#define WINDOW_FRAME 0x40000000u
#define SLOTS 1024
#define BATCH 64 // pages in one mapping; also ../modgrant.c's limit

static uint16_t handles[SLOTS];
static bool slot_used[SLOTS];

static int errno_of(int status) {
    switch (status) {
        case GNTST_bad_domain: return -ESRCH;
        case GNTST_permission_denied: return -EPERM;
        case GNTST_eagain: return -EAGAIN;
        case GNTST_no_device_space: return -ENOSPC;
        default: return -EINVAL;
    }
}

static unsigned find_slots(unsigned n) {
    unsigned run = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        run = slot_used[slot] ? 0 : run + 1;
        if (run == n) {
            return slot + 1 - n;
        }
    }
    return SLOTS;
}

static void unmap_slots(unsigned first, unsigned n) {
    for (unsigned slot = first; slot < first + n; slot++) {
        hv_unmap(machine, self_domid, handles[slot]);
        slot_used[slot] = false;
    }
}

void *hal_map(unsigned domid, const uint32_t *refs, unsigned n, int *error) {
    hypercall();
    unsigned first = n <= BATCH ? find_slots(n) : SLOTS;
    size_t page = find_addresses(n);
    *error = first == SLOTS || page == 0 ? -ENOSPC : 0;
    for (unsigned i = 0; i < n && *error == 0; i++) {
        int handle = hv_map(machine, self_domid, domid, refs[i], false);
        if (handle < 0) {
            *error = errno_of(handle);
            unmap_slots(first, i); // all or nothing
            break;
        }
        handles[first + i] = handle;
        slot_used[first + i] = true;
        show(page + i, hv_mapped_frame(machine, self_domid, handle), 1);
    }
    if (*error) {
        hide(page, n);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        map[page + i].frame = WINDOW_FRAME + first + i;
    }
    map[page].pages = n;
    map[page].octets = n * PAGE_SIZE;
    return arena + page * PAGE_SIZE;
}

int hal_unmap(void *p, unsigned n) {
    size_t page = piece_at(p, n * PAGE_SIZE);
    uint32_t slot = map[page].frame - WINDOW_FRAME;
    if (page == 0 || slot >= SLOTS) {
        return -EINVAL;
    }
    hypercall();
    unmap_slots(slot, n);
    hide(page, n);
    return 0;
}

int hal_copy(void *from, unsigned n) {
    copy_t *ops = from;
    unsigned failed = 0;
    hypercall();
    hal_counts.copies += n;
    copying(n);
    hv_copy(machine, self_domid, ops, n);
    for (unsigned i = 0; i < n; i++) {
        failed += ops[i].status != GNTST_okay;
    }
    return failed;
}

static uint32_t frame_shown(size_t page) {
    uint32_t frame = map[page].frame;
    return frame < WINDOW_FRAME ? frame : hv_mapped_frame(machine, self_domid, handles[frame - WINDOW_FRAME]);
}

void *memory_shown(uint32_t frame, const void *after) {
    for (size_t page = after ? page_of(after) + 1 : 1; page <= highest_address + BATCH; page++) {
        if (map[page].frame && frame_shown(page) == frame) {
            return arena + page * PAGE_SIZE;
        }
    }
    return NULL;
}

// ---- for the crash report

const char *memory_describe(const void *address, char *text, size_t size) {
    size_t page = page_of(address);
    for (size_t near = page; near > 0 && page - near < 64; near--) { // the piece that begins last before it
        if (map[near].pages) {
            const uint8_t *end = arena + near * PAGE_SIZE + map[near].start + map[near].octets;
            if ((const uint8_t *)address >= end && near + map[near].pages == page) {
                snprintf(text, size, "%u octets behind the end of a piece of %u", (unsigned)((const uint8_t *)address - end),
                    map[near].octets);
                return text;
            }
            break;
        }
    }
    if (page && map[page + 1].pages) {
        const uint8_t *start = arena + (page + 1) * PAGE_SIZE + map[page + 1].start;
        snprintf(text, size, "%u octets before a piece of %u", (unsigned)(start - (const uint8_t *)address), map[page + 1].octets);
        return text;
    }
    return page ? "memory that was freed, or never given out" : NULL;
}
