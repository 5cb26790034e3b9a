// The simulated hypervisor: who runs, and who waits for what.
//
// When the test owns the clock the machine has one processor: the test and the firewall take turns, and the turn
// changes only where one of them says so. So a run is the same every time, and nothing runs beside a peer's lie.
// In real time all run at once, and a sleeping domain waits for its events as on Xen.
#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

static void futex_wait(uint32_t *word, uint32_t while_it_is, uint64_t ns) {
    struct timespec t = { ns / 1000000000, ns % 1000000000 };
    syscall(SYS_futex, word, FUTEX_WAIT, while_it_is, ns == UINT64_MAX ? NULL : &t, NULL, 0);
}

static void futex_wake(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void set_turn(domain_t *d, uint32_t whose) {
    __atomic_store_n(&d->turn, whose, __ATOMIC_SEQ_CST);
    futex_wake(&d->turn);
}

static bool turn_is(domain_t *d, uint32_t whose) {
    return __atomic_load_n(&d->turn, __ATOMIC_SEQ_CST) == whose;
}

void hv_give_turn(machine_t *m, unsigned domid) {
    domain_t *d = hv_domain(m, domid);
    d->preempted = false;
    set_turn(d, TURN_DOMAIN);
}

int hv_wait_turn(machine_t *m, unsigned domid, uint64_t ns) {
    domain_t *d = hv_domain(m, domid);
    if (!turn_is(d, TURN_TEST)) {
        futex_wait(&d->turn, TURN_DOMAIN, ns);
    }
    return turn_is(d, TURN_TEST);
}

bool hv_runnable(machine_t *m, unsigned domid) {
    const domain_t *d = hv_domain(m, domid);
    return d->preempted || hv_evtchn_any(d) || hv_now(m) >= d->deadline;
}

void hv_pass_turn(machine_t *m, domain_t *d, uint64_t deadline, bool preempted) {
    d->deadline = deadline;
    d->preempted = preempted;
    set_turn(d, TURN_TEST);
    while (!turn_is(d, TURN_DOMAIN)) {
        futex_wait(&d->turn, TURN_TEST, UINT64_MAX);
    }
}

void hv_end_turn(machine_t *m, domain_t *d) {
    set_turn(d, TURN_TEST);
    __atomic_fetch_add(&m->attention, 1, __ATOMIC_SEQ_CST);
    futex_wake(&m->attention);
}

// No wake-up is lost: an event sets its bit before it counts in `wakes`, and we read `wakes` before the bits.
void hv_sleep_real(domain_t *d, uint64_t ns) {
    uint32_t seen = __atomic_load_n(&d->wakes, __ATOMIC_SEQ_CST);
    if (!hv_evtchn_any(d)) {
        futex_wait(&d->wakes, seen, ns);
    }
}

uint32_t hv_wait_attention(machine_t *m, uint32_t seen, uint64_t ns) {
    futex_wait(&m->attention, seen, ns);
    return __atomic_load_n(&m->attention, __ATOMIC_SEQ_CST);
}

// Called with the bit already set.
void hv_notify(machine_t *m, domain_t *d) {
    __atomic_fetch_add(&d->wakes, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&m->attention, 1, __ATOMIC_SEQ_CST);
    if (m->real_start_ns) {
        futex_wake(&d->wakes);
        futex_wake(&m->attention);
    }
}
