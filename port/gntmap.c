// A peer's pages in our address space, and copies between its pages and ours, by grant reference.
//
// Owns a window of SLOTS frame numbers behind which Xen has no memory. A slot is free only after Xen has confirmed
// the unmapping: mapping over a slot in use would make Xen end the domain. One that Xen refuses to unmap is lost.
//
// Format: Xen public/grant_table.h.
#include <string.h>

#include "hypercall.h"

#define SLOTS 1024
#define BATCH 64 // pages in one mapping; also modgrant.c's limit

enum { ERROR_EPERM = 1, ERROR_ESRCH = 3, ERROR_EAGAIN = 11, ERROR_EINVAL = 22, ERROR_ENOSPC = 28 };

static uint64_t window;
static grant_handle_t handles[SLOTS];
static bool used[SLOTS];
static uint16_t piece[SLOTS]; // at the first slot of a mapping: its length; else 0

void gntmap_init(uint64_t at) {
    window = at;
}

bool gntmap_owns(uint64_t address) {
    return address >= window && address < window + SLOTS * PAGE_SIZE && used[(address - window) / PAGE_SIZE];
}

static int errno_of(int16_t status) {
    switch (status) {
        case GNTST_bad_domain: return -ERROR_ESRCH;
        case GNTST_permission_denied: return -ERROR_EPERM;
        case GNTST_eagain: return -ERROR_EAGAIN;
        case GNTST_no_space:
        case GNTST_no_device_space: return -ERROR_ENOSPC;
        default: return -ERROR_EINVAL;
    }
}

static unsigned find(unsigned n) {
    unsigned run = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        run = used[slot] ? 0 : run + 1;
        if (run == n) {
            return slot + 1 - n;
        }
    }
    return SLOTS;
}

// Unmap those of n slots from `first` on that are marked used; false if Xen kept any.
static bool unmap_slots(unsigned first, unsigned n) {
    struct gnttab_unmap_grant_ref *ops = hypercall_args;
    unsigned slots[BATCH], count = 0;
    for (unsigned slot = first; slot < first + n; slot++) {
        if (used[slot]) {
            ops[count] = (struct gnttab_unmap_grant_ref) {
                .host_addr = window + slot * PAGE_SIZE, .handle = handles[slot], .status = GNTST_general_error,
            };
            slots[count++] = slot;
        }
    }
    bool all = count == 0 || hypercall_grant_table_op(GNTTABOP_unmap_grant_ref, ops, count) == 0;
    for (unsigned i = 0; i < count; i++) {
        if (ops[i].status == GNTST_okay) {
            used[slots[i]] = false;
        } else {
            all = false;
        }
    }
    return all;
}

void *hal_map(unsigned domid, const uint32_t *refs, unsigned n, int *error) {
    unsigned first = n <= BATCH ? find(n) : SLOTS;
    if (first == SLOTS) {
        *error = -ERROR_ENOSPC;
        return NULL;
    }
    struct gnttab_map_grant_ref *ops = hypercall_args;
    for (unsigned i = 0; i < n; i++) {
        ops[i] = (struct gnttab_map_grant_ref) {
            .host_addr = window + (first + i) * PAGE_SIZE, .flags = GNTMAP_host_map, .ref = refs[i], .dom = domid,
            .status = GNTST_general_error,
        };
    }
    *error = hypercall_grant_table_op(GNTTABOP_map_grant_ref, ops, n);
    for (unsigned i = 0; i < n; i++) {
        if (ops[i].status == GNTST_okay) {
            used[first + i] = true;
            handles[first + i] = ops[i].handle;
        } else if (*error == 0) {
            *error = errno_of(ops[i].status);
        }
    }
    if (*error != 0) {
        unmap_slots(first, n); // all or nothing
        return NULL;
    }
    piece[first] = n;
    return (void *)(window + first * PAGE_SIZE);
}

int hal_unmap(void *start, unsigned n) {
    uint64_t address = (uintptr_t)start;
    unsigned slot = (address - window) / PAGE_SIZE;
    if (address < window || address % PAGE_SIZE || slot >= SLOTS || n == 0 || piece[slot] != n) {
        return -ERROR_EINVAL;
    }
    piece[slot] = 0;
    return unmap_slots(slot, n) ? 0 : -ERROR_EAGAIN;
}

// The operations are staged through hypercall_args: Xen walks our page tables twice for each, which under its large
// mapping is cheaper by more than the copying costs.
int hal_copy(void *from, unsigned n) {
    enum { STAGE = HYPERCALL_ARGS_PAGES * PAGE_SIZE / sizeof(struct gnttab_copy) };
    struct gnttab_copy *ops = from, *stage = hypercall_args;
    unsigned failed = 0;
    hal_counts.copies += n;
    while (n > 0) {
        unsigned part = n < STAGE ? n : STAGE;
        memcpy(stage, ops, part * sizeof *ops);
        for (unsigned i = 0; i < part; i++) {
            stage[i].status = GNTST_general_error; // whatever Xen does not reach has failed
        }
        long result = hypercall_grant_table_op(GNTTABOP_copy, stage, part);
        for (unsigned i = 0; i < part; i++) {
            ops[i].status = stage[i].status;
            failed += stage[i].status != GNTST_okay;
        }
        if (result != 0) {
            return result < 0 ? result : -ERROR_EINVAL;
        }
        ops += part;
        n -= part;
    }
    return failed;
}
