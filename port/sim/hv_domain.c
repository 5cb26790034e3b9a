// The simulated hypervisor: domains, their memory, time.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "machine.h"

static uint64_t monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

uint64_t hv_now(const machine_t *m) {
    return m->real_start_ns ? monotonic() - m->real_start_ns : __atomic_load_n(&m->clock_ns, __ATOMIC_SEQ_CST);
}

void hv_init(machine_t *m, uint64_t seed, uint64_t wall_ns, bool real_time) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m->lock, &attributes);
    m->seed = seed;
    m->wall_ns = wall_ns;
    m->real_start_ns = real_time ? monotonic() : 0;
    for (unsigned i = 0; i < MACHINE_DOMAINS; i++) {
        m->domains[i].domid = NO_DOMAIN;
    }
    m->magic = MACHINE_MAGIC;
}

void hv_lock(machine_t *m) {
    // its owner was killed within a hypercall: what it was about to change may be half changed, but the domain it acted
    // for is dead, and nothing here keeps pointers that could dangle
    if (pthread_mutex_lock(&m->lock) == EOWNERDEAD) {
        pthread_mutex_consistent(&m->lock);
    }
}

void hv_unlock(machine_t *m) {
    pthread_mutex_unlock(&m->lock);
}

domain_t *hv_domain(machine_t *m, unsigned domid) {
    for (unsigned i = 0; i < MACHINE_DOMAINS && domid != NO_DOMAIN; i++) {
        if (m->domains[i].domid == domid) {
            return &m->domains[i];
        }
    }
    return NULL;
}

static uint32_t frame_of_slot(unsigned slot) {
    return HEADER_FRAMES + slot * DOMAIN_FRAMES;
}

uint32_t hv_first_frame(machine_t *m, unsigned domid) {
    domain_t *d = hv_domain(m, domid);
    return d == NULL ? 0 : frame_of_slot(d - m->domains);
}

uint8_t *hv_page(machine_t *m, uint32_t frame) {
    return (uint8_t *)m + (uint64_t)frame * PAGE_SIZE;
}

// A dead domain's memory stays as long as somebody maps a page of it.
static bool is_reusable(const domain_t *d) {
    if (d->domid != NO_DOMAIN) {
        return false;
    }
    for (unsigned ref = 0; ref < GRANT_ENTRIES; ref++) {
        if (d->pins[ref].readers || d->pins[ref].writers) {
            return false;
        }
    }
    return true;
}

int hv_create(machine_t *m, unsigned domid, unsigned frames) {
    if (domid >= DOMID_SELF || frames <= FIRST_FREE_PAGE || frames > DOMAIN_FRAMES) {
        return -EINVAL;
    }
    int result = -ENOSPC;
    hv_lock(m);
    if (hv_domain(m, domid) != NULL) {
        result = -EEXIST;
    } else {
        for (unsigned slot = 0; slot < MACHINE_DOMAINS; slot++) {
            domain_t *d = &m->domains[slot];
            if (is_reusable(d)) {
                memset(d, 0, sizeof *d);
                madvise(hv_page(m, frame_of_slot(slot)), DOMAIN_FRAMES * PAGE_SIZE, MADV_REMOVE); // reads as zero
                d->frames = frames;
                d->port_limit = PORTS - 1;
                d->deadline = UINT64_MAX;
                d->domid = domid;
                result = slot;
                break;
            }
        }
    }
    hv_unlock(m);
    return result;
}

int hv_destroy(machine_t *m, unsigned domid) {
    hv_lock(m);
    domain_t *d = hv_domain(m, domid);
    hv_unlock(m);
    if (d == NULL) {
        return -ESRCH;
    }
    for (unsigned port = 1; port < PORTS; port++) {
        hv_evtchn_close(m, domid, port); // the free ones refuse; no matter
    }
    hv_lock(m);
    hv_release_mappings(m, d);
    d->domid = NO_DOMAIN;
    hv_unlock(m);
    return 0;
}
