// The simulated hypervisor: grants used by others than their granter. Mapping and copying.
//
// Flags of an entry belong to the granter but for reading and writing, which are set here while a page is in use; the
// granter may revoke at any moment with a compare and exchange (../grant.c), so they are changed atomically.
// Source: Xen common/grant_table.c, also for what each refusal is called and in which order it is noticed.
#include <string.h>

#include "machine.h"

static entry_t *entry_of(machine_t *m, const domain_t *granter, uint32_t ref) {
    uint32_t table = HEADER_FRAMES + (granter - m->domains) * DOMAIN_FRAMES;
    return (entry_t *)hv_page(m, table) + ref;
}

static bool owns(machine_t *m, const domain_t *d, uint64_t frame) {
    uint64_t first = HEADER_FRAMES + (d - m->domains) * DOMAIN_FRAMES;
    return frame >= first && frame < first + d->frames;
}

// Mark an entry as in use by d; its frame, or GNTST_*.
static int64_t acquire(machine_t *m, domain_t *d, domain_t *granter, uint32_t ref, bool writing) {
    if (ref >= GRANT_ENTRIES) {
        return GNTST_bad_gntref;
    }
    entry_t *entry = entry_of(m, granter, ref);
    uint16_t use = GTF_reading | (writing ? GTF_writing : 0);
    uint16_t flags = __atomic_load_n(&entry->flags, __ATOMIC_SEQ_CST);
    do {
        if ((flags & GTF_type_mask) != GTF_permit_access || entry->domid != d->domid
            || (writing && (flags & GTF_readonly))) {
            return GNTST_general_error;
        }
    } while (!__atomic_compare_exchange_n(&entry->flags, &flags, flags | use, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    granter->pins[ref].readers++;
    granter->pins[ref].writers += writing;
    return entry->frame;
}

static void release(machine_t *m, domain_t *granter, uint32_t ref, bool writing) {
    pins_t *pins = &granter->pins[ref];
    pins->readers--;
    pins->writers -= writing;
    uint16_t keep = ~0;
    keep &= pins->writers ? ~0 : ~GTF_writing;
    keep &= pins->readers ? ~0 : ~GTF_reading;
    __atomic_fetch_and(&entry_of(m, granter, ref)->flags, keep, __ATOMIC_SEQ_CST);
}

// ---- mapping

static int fault(int32_t status, uint32_t *skip, uint32_t *count) {
    if (*count == 0) {
        return GNTST_okay;
    }
    if (*skip > 0) {
        --*skip;
        return GNTST_okay;
    }
    --*count;
    return status;
}

static int map(machine_t *m, domain_t *d, unsigned granter_domid, uint32_t ref, bool readonly) {
    int status = fault(m->map_fault.status, &m->map_fault.skip, &m->map_fault.count);
    if (status != GNTST_okay) {
        return status;
    }
    domain_t *granter = hv_domain(m, granter_domid == DOMID_SELF ? d->domid : granter_domid);
    if (granter == NULL) {
        return GNTST_bad_domain;
    }
    unsigned handle = 0;
    while (handle < MAPPINGS && d->mappings[handle].used) {
        handle++;
    }
    if (handle == MAPPINGS) {
        return GNTST_no_device_space;
    }
    int64_t frame = acquire(m, d, granter, ref, !readonly);
    if (frame < 0) {
        return frame;
    }
    if (!owns(m, granter, frame)) { // a page mapped from elsewhere cannot be granted on
        release(m, granter, ref, !readonly);
        return GNTST_bad_page;
    }
    d->mappings[handle] = (mapping_t) {
        .ref = ref, .frame = frame, .granter_slot = granter - m->domains, .used = true, .readonly = readonly,
    };
    return handle;
}

static int unmap(machine_t *m, domain_t *d, unsigned handle) {
    if (handle >= MAPPINGS || !d->mappings[handle].used) {
        return GNTST_bad_handle;
    }
    mapping_t *mapping = &d->mappings[handle];
    mapping->used = false;
    release(m, &m->domains[mapping->granter_slot], mapping->ref, !mapping->readonly);
    return GNTST_okay;
}

int hv_map(machine_t *m, unsigned domid, unsigned granter, uint32_t ref, bool readonly) {
    hv_lock(m);
    domain_t *d = hv_domain(m, domid);
    int result = d == NULL ? GNTST_bad_domain : map(m, d, granter, ref, readonly);
    hv_unlock(m);
    return result;
}

int hv_unmap(machine_t *m, unsigned domid, unsigned handle) {
    hv_lock(m);
    domain_t *d = hv_domain(m, domid);
    int result = d == NULL ? GNTST_bad_domain : unmap(m, d, handle);
    hv_unlock(m);
    return result;
}

uint32_t hv_mapped_frame(machine_t *m, unsigned domid, unsigned handle) {
    domain_t *d = hv_domain(m, domid);
    return d == NULL || handle >= MAPPINGS || !d->mappings[handle].used ? 0 : d->mappings[handle].frame;
}

void hv_release_mappings(machine_t *m, domain_t *d) {
    for (unsigned handle = 0; handle < MAPPINGS; handle++) {
        unmap(m, d, handle); // the unused ones refuse
    }
}

// ---- copying

typedef struct {
    domain_t *domain;
    bool by_ref;
    uint32_t ref;
    uint64_t frame;
} side_t;

static int find_domain(machine_t *m, domain_t *d, unsigned domid, bool by_ref, side_t *side) {
    if (domid != DOMID_SELF && !by_ref) {
        return GNTST_permission_denied;
    }
    side->by_ref = by_ref;
    side->domain = domid == DOMID_SELF ? d : hv_domain(m, domid);
    return side->domain == NULL ? GNTST_bad_domain : GNTST_okay;
}

static int claim(machine_t *m, domain_t *d, uint32_t ref, uint64_t frame, bool writing, side_t *side) {
    side->ref = ref;
    if (side->by_ref) {
        int64_t found = acquire(m, d, side->domain, ref, writing);
        if (found < 0) {
            return found;
        }
        frame = found;
    }
    side->frame = frame;
    if (owns(m, side->domain, frame)) {
        return GNTST_okay;
    }
    if (side->by_ref) {
        release(m, side->domain, ref, writing);
    }
    return GNTST_bad_page;
}

static void unclaim(machine_t *m, const side_t *side, bool writing) {
    if (side->by_ref) {
        release(m, side->domain, side->ref, writing);
    }
}

static int copy_one(machine_t *m, domain_t *d, const copy_t *op) {
    int status = fault(m->copy_fault.status, &m->copy_fault.skip, &m->copy_fault.count);
    if (status != GNTST_okay || op->len == 0) { // no octets: Xen checks nothing
        return status;
    }
    side_t from, to;
    if ((status = find_domain(m, d, op->source.domid, op->flags & GNTCOPY_source_gref, &from)) != GNTST_okay
        || (status = find_domain(m, d, op->dest.domid, op->flags & GNTCOPY_dest_gref, &to)) != GNTST_okay
        || (status = claim(m, d, op->source.ref, op->source.frame, false, &from)) != GNTST_okay) {
        return status;
    }
    if ((status = claim(m, d, op->dest.ref, op->dest.frame, true, &to)) == GNTST_okay) {
        if (op->source.offset + op->len > PAGE_SIZE || op->dest.offset + op->len > PAGE_SIZE) {
            status = GNTST_bad_copy_arg;
        } else {
            memmove(hv_page(m, to.frame) + op->dest.offset, hv_page(m, from.frame) + op->source.offset, op->len);
        }
        unclaim(m, &to, true);
    }
    unclaim(m, &from, false);
    return status;
}

void hv_copy(machine_t *m, unsigned domid, copy_t *ops, unsigned n) {
    hv_lock(m);
    domain_t *d = hv_domain(m, domid);
    for (unsigned i = 0; i < n; i++) {
        copy_t op = ops[i]; // read once
        ops[i].status = d == NULL ? GNTST_bad_domain : copy_one(m, d, &op);
    }
    hv_unlock(m);
}
