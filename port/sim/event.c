// Event channels, sleeping and time on the simulated ground.
#include <time.h>

#include "ground.h"

// The domain alone runs, so nobody else touches the clock.
static void pass(uint64_t steps) {
    machine->clock_ns += steps * machine->step_ns;
}

void sim_step(void) {
    if (machine && machine->step_ns) {
        pass(1);
    }
}

void hypercall(void) {
    pass(STEPS_OF_HYPERCALL);
    uint64_t n = ++self->hypercalls;
    hal_counts.hypercalls++;
    if (machine->preempt_every && !machine->real_start_ns && n % machine->preempt_every == 0) {
        hv_pass_turn(machine, self, UINT64_MAX, true);
        watch_rings();
    }
}

void copying(unsigned operations) {
    pass((uint64_t)operations * STEPS_OF_COPY);
}

uint64_t hal_ns(void) {
    return hv_now(machine);
}

uint64_t hal_wall_ns(void) {
    return machine->wall_ns + hv_now(machine);
}

uint64_t hal_own_ns(void) {
    return hv_now(machine) - self->stolen_ns;
}

void hal_sleep(uint64_t deadline_ns) {
    while (!hv_evtchn_any(self)) {
        uint64_t now = hal_ns();
        if (now >= deadline_ns) {
            break;
        }
        if (machine->real_start_ns) {
            hv_sleep_real(self, deadline_ns == NO_DEADLINE ? UINT64_MAX : deadline_ns - now);
        } else {
            hv_pass_turn(machine, self, deadline_ns, false);
            watch_rings();
        }
    }
    self->deadline = UINT64_MAX;
}

unsigned hal_pending(uint16_t *ports, unsigned max) {
    unsigned n = hv_evtchn_take(machine, self_domid, ports, max);
    hal_counts.received += n;
    return n;
}

int hal_evtchn_alloc(unsigned domid) {
    hypercall();
    return hv_evtchn_alloc(machine, self_domid, domid);
}

int hal_evtchn_bind(unsigned domid, unsigned remote) {
    hypercall();
    return hv_evtchn_bind(machine, self_domid, domid, remote);
}

int hal_evtchn_send(unsigned port) {
    hypercall();
    hal_counts.sent++;
    return hv_evtchn_send(machine, self_domid, port);
}

int hal_evtchn_close(unsigned port) {
    hypercall();
    return hv_evtchn_close(machine, self_domid, port);
}

// The same numbers in every run with the same seed (splitmix64). In real time the clock goes in too.
uint64_t hal_entropy(void) {
    static uint64_t state;
    state += 0x9e3779b97f4a7c15ull;
    uint64_t z = state + machine->seed + (machine->real_start_ns ? hal_ns() : 0);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int hal_watchdog(unsigned seconds) {
    hypercall();
    self->watchdog_ns = seconds == 0 ? 0 : hal_ns() + seconds * 1000000000ull;
    return 0;
}
