// The simulated hypervisor: event channels.
//
//   FREE -> alloc -> UNBOUND -> the other side binds -> INTERDOMAIN -> either side closes -> UNBOUND (the other's),
//                                                                                           FREE (its own)
//
// A port whose peer has closed or died is unbound again and stays so until its owner closes it. Nobody is told.
// Source: Xen common/event_channel.c, event_2l.c.
#include <errno.h>
#include <string.h>

#include "machine.h"

static bool is_port(unsigned port) {
    return port > 0 && port < PORTS;
}

// Xen stops if the bit was set already: the receiver has been woken for it.
static void set_pending(machine_t *m, domain_t *d, unsigned port) {
    uint64_t bit = 1ull << port % 64;
    if (!(__atomic_fetch_or(&d->pending[port / 64], bit, __ATOMIC_SEQ_CST) & bit)) {
        hv_notify(m, d);
    }
}

static void clear_pending(domain_t *d, unsigned port) {
    __atomic_fetch_and(&d->pending[port / 64], ~(1ull << port % 64), __ATOMIC_SEQ_CST);
}

static int free_port(const domain_t *d) {
    for (unsigned port = 1; port <= d->port_limit; port++) {
        if (d->ports[port].state == PORT_FREE) {
            return port;
        }
    }
    return -ENOSPC;
}

static int alloc(machine_t *m, domain_t *d, unsigned remote) {
    int port = free_port(d);
    if (port > 0) {
        d->ports[port] = (port_t) { PORT_UNBOUND, remote == DOMID_SELF ? d->domid : remote, 0 };
    }
    return port;
}

static int bind(machine_t *m, domain_t *d, unsigned remote, unsigned remote_port) {
    domain_t *other = hv_domain(m, remote == DOMID_SELF ? d->domid : remote);
    if (other == NULL) {
        return -ESRCH;
    }
    int port = free_port(d);
    if (port < 0) {
        return port;
    }
    port_t *theirs = &other->ports[is_port(remote_port) ? remote_port : 0];
    if (theirs->state != PORT_UNBOUND || theirs->remote_domid != d->domid) {
        return -EINVAL;
    }
    *theirs = (port_t) { PORT_INTERDOMAIN, d->domid, port };
    d->ports[port] = (port_t) { PORT_INTERDOMAIN, other->domid, remote_port };
    set_pending(m, d, port); // an event of theirs may have been dropped before: Xen makes us look once
    return port;
}

static int send(machine_t *m, domain_t *d, unsigned port) {
    if (!is_port(port) || d->ports[port].state == PORT_FREE) {
        return -EINVAL;
    }
    if (d->ports[port].state == PORT_INTERDOMAIN) {
        set_pending(m, hv_domain(m, d->ports[port].remote_domid), d->ports[port].remote_port);
    }
    return 0; // unbound: silently dropped
}

static int close(machine_t *m, domain_t *d, unsigned port) {
    if (!is_port(port) || d->ports[port].state == PORT_FREE) {
        return -EINVAL;
    }
    port_t was = d->ports[port];
    memset(&d->ports[port], 0, sizeof was);
    clear_pending(d, port);
    if (was.state == PORT_INTERDOMAIN) {
        hv_domain(m, was.remote_domid)->ports[was.remote_port] = (port_t) { PORT_UNBOUND, d->domid, 0 };
    }
    return 0;
}

// Each operation under the lock, for a caller that exists.
#define OPERATION(CALL) \
    int result = -ESRCH; \
    hv_lock(m); \
    domain_t *d = hv_domain(m, domid); \
    if (d != NULL) { \
        result = CALL; \
    } \
    hv_unlock(m); \
    return result

int hv_evtchn_alloc(machine_t *m, unsigned domid, unsigned remote) {
    OPERATION(alloc(m, d, remote));
}

int hv_evtchn_bind(machine_t *m, unsigned domid, unsigned remote, unsigned remote_port) {
    OPERATION(bind(m, d, remote, remote_port));
}

int hv_evtchn_send(machine_t *m, unsigned domid, unsigned port) {
    OPERATION(send(m, d, port));
}

int hv_evtchn_close(machine_t *m, unsigned domid, unsigned port) {
    OPERATION(close(m, d, port));
}

bool hv_evtchn_any(const domain_t *d) {
    for (unsigned word = 0; word < PORTS / 64; word++) {
        if (__atomic_load_n(&d->pending[word], __ATOMIC_SEQ_CST)) {
            return true;
        }
    }
    return false;
}

unsigned hv_evtchn_take(machine_t *m, unsigned domid, uint16_t *ports, unsigned max) {
    domain_t *d = hv_domain(m, domid);
    unsigned n = 0;
    for (unsigned word = 0; d != NULL && word < PORTS / 64; word++) {
        uint64_t bits = __atomic_load_n(&d->pending[word], __ATOMIC_SEQ_CST);
        for (; bits && n < max; bits &= bits - 1) {
            ports[n] = word * 64 + __builtin_ctzll(bits);
            clear_pending(d, ports[n++]); // before its owner looks at the ring
        }
    }
    return n;
}
