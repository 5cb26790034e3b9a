// Event channels and sleeping.
//
// Nothing ever runs beside the interpreter: events only set bits in shared_info, which hal_pending() takes, and the
// one interrupt we allow, the callback vector during sleep, does nothing but end the sleep. No port is ever masked.
//
// Why no wake-up is lost: Xen, on an event, sets the port's bit, then its word's bit in pending_sel, then
// upcall_pending, then injects. hal_sleep()
//   1. clears upcall_pending (an xchg: nothing below may be read before it is cleared),
//   2. looks at pending_sel and returns if anything is there,
//   3. sleeps by STI; HLT.
// An event before 2 is seen by 2. An event after 2 sets upcall_pending after 1 cleared it, so that Xen injects as
// soon as interrupts are on, which is when the CPU halts: HLT ends at once.
#include "hypercall.h"

#define WORDS 64 // of pending bits: 4096 ports, two levels
#define NO_PORT UINT32_MAX

void sleep_until_interrupt(void); // boot.S

static volatile shared_info_t *shared;
static uint32_t timer_port = NO_PORT; // VIRQ_TIMER; ends a sleep and is never reported
static uint64_t timer_deadline = NO_DEADLINE; // what the one-shot timer is set to

enum { CALLBACK_VECTOR = 32, CALLBACK_TYPE_VECTOR = 2 };

int hal_evtchn_alloc(unsigned domid) {
    struct evtchn_alloc_unbound *arg = hypercall_args;
    *arg = (struct evtchn_alloc_unbound) { .dom = DOMID_SELF, .remote_dom = domid };
    long result = hypercall_event_channel_op(EVTCHNOP_alloc_unbound, arg);
    return result < 0 ? result : (int)arg->port;
}

int hal_evtchn_bind(unsigned domid, unsigned remote) {
    struct evtchn_bind_interdomain *arg = hypercall_args;
    *arg = (struct evtchn_bind_interdomain) { .remote_dom = domid, .remote_port = remote };
    long result = hypercall_event_channel_op(EVTCHNOP_bind_interdomain, arg);
    return result < 0 ? result : (int)arg->local_port;
}

int hal_evtchn_send(unsigned port) {
    struct evtchn_send *arg = hypercall_args;
    arg->port = port;
    hal_counts.sent++;
    return hypercall_event_channel_op(EVTCHNOP_send, arg);
}

static bool take(unsigned port) {
    bool was_set;
    volatile xen_ulong_t *word = &shared->evtchn_pending[port / 64];
    __asm__ volatile ("lock btrq %2, %1" : "=@ccc" (was_set), "+m" (*word) : "r" ((uint64_t)port % 64) : "memory");
    return was_set;
}

int hal_evtchn_close(unsigned port) {
    struct evtchn_close *arg = hypercall_args;
    arg->port = port;
    long result = hypercall_event_channel_op(EVTCHNOP_close, arg);
    if (result == 0 && port < WORDS * 64) {
        take(port); // Xen leaves the bit; the next owner of this number must not see it
    }
    return result;
}

unsigned hal_pending(uint16_t *ports, unsigned max) {
    unsigned n = 0;
    uint64_t words = __atomic_exchange_n(&shared->vcpu_info[0].evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    for (; words; words &= words - 1) {
        unsigned w = __builtin_ctzll(words);
        for (uint64_t bits = shared->evtchn_pending[w]; bits; bits &= bits - 1) {
            unsigned port = w * 64 + __builtin_ctzll(bits);
            if (n == max && port != timer_port) { // no room: leave this word and the rest for the next call
                __atomic_fetch_or(&shared->vcpu_info[0].evtchn_pending_sel, words, __ATOMIC_SEQ_CST);
                return n;
            }
            take(port); // before whoever is told looks at its ring: an event from now on sets the bit again
            if (port == timer_port) {
                timer_deadline = NO_DEADLINE;
            } else {
                ports[n++] = port;
                hal_counts.received++;
            }
        }
    }
    return n;
}

void hal_sleep(uint64_t deadline_ns) {
    __atomic_exchange_n(&shared->vcpu_info[0].evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    if (shared->vcpu_info[0].evtchn_pending_sel) {
        return;
    }
    if (deadline_ns != NO_DEADLINE) {
        if (hal_ns() >= deadline_ns) {
            return;
        }
        if (timer_deadline != deadline_ns) {
            // an earlier deadline still set wakes us once for nothing; it is cheaper than taking it back
            timer_deadline = deadline_ns;
            hypercall_set_timer_op(deadline_ns);
        }
    }
    sleep_until_interrupt();
}

void event_init(volatile shared_info_t *at) {
    shared = at;
    struct evtchn_bind_virq *arg = hypercall_args;
    *arg = (struct evtchn_bind_virq) { .virq = VIRQ_TIMER, .vcpu = 0 };
    if (hypercall_event_channel_op(EVTCHNOP_bind_virq, arg) != 0) {
        hal_crash("Xen gives no timer");
    }
    timer_port = arg->port;
    uint64_t callback = (uint64_t)CALLBACK_TYPE_VECTOR << 56 | CALLBACK_VECTOR;
    if (hypercall_set_param(HVM_PARAM_CALLBACK_IRQ, callback) != 0) {
        hal_crash("Xen refuses the callback vector");
    }
}
