// Grant table, version 1: lend our pages to another domain and take them back.
//
// Owns the free list of references; the table itself is mapped once at the start and never moved.
// References 0..7 belong to the toolstack and are never handed out.
//
// Invariant: a reference returns to the free list only through grant_revoke() == 0.
// Until then the page is the peer's too, and whoever lent it must not reuse it.
//
// Format: Xen public/grant_table.h, struct grant_entry_v1.
#include "hal.h"

#define RESERVED 8
#define ENTRIES_MAX 2048 // four frames of the table

enum { // flags of an entry, set by us but for the two that Xen sets while the page is in use
    GTF_PERMIT_ACCESS = 1,
    GTF_READONLY = 1 << 2,
    GTF_READING = 1 << 3,
    GTF_WRITING = 1 << 4,
};

enum { EINVAL = 22, EBUSY = 16, ENOSPC = 28 };

static volatile grant_entry_t *table;
static unsigned entries;
static uint16_t next_free[ENTRIES_MAX]; // a free reference points to the next; 0 ends the list
static bool lent[ENTRIES_MAX];
static uint16_t first_free;

void grant_init(grant_entry_t *at, unsigned n) {
    table = at;
    entries = n < ENTRIES_MAX ? n : ENTRIES_MAX;
    first_free = 0;
    for (unsigned ref = entries; ref-- > RESERVED;) {
        next_free[ref] = first_free;
        lent[ref] = false;
        first_free = ref;
    }
}

int grant_page(unsigned gfn, unsigned domid, bool readonly) {
    unsigned ref = first_free;
    if (ref == 0) {
        return -ENOSPC;
    }
    first_free = next_free[ref];
    lent[ref] = true;
    table[ref].domid = domid;
    table[ref].frame = gfn;
    // the entry becomes valid by this store alone, and only after the other two
    __atomic_store_n(&table[ref].flags, GTF_PERMIT_ACCESS | (readonly ? GTF_READONLY : 0), __ATOMIC_RELEASE);
    return ref;
}

int grant_revoke(unsigned ref) {
    if (ref < RESERVED || ref >= entries || !lent[ref]) {
        return -EINVAL;
    }
    volatile uint16_t *flags = &table[ref].flags;
    uint16_t seen = __atomic_load_n(flags, __ATOMIC_RELAXED);
    do {
        if (seen & (GTF_READING | GTF_WRITING)) {
            return -EBUSY;
        }
        // 16 bits only: Xen may set a bit of flags at any moment, and nobody touches domid but us
    } while (!__atomic_compare_exchange_n(flags, &seen, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    lent[ref] = false;
    next_free[ref] = first_free;
    first_free = ref;
    return 0;
}

bool grant_holds(uint64_t first_gfn, uint64_t pages) {
    for (unsigned ref = RESERVED; ref < entries; ref++) {
        if (lent[ref] && table[ref].frame - first_gfn < pages) {
            return true;
        }
    }
    return false;
}
