// The console: a ring of 2048 octets shared with xenconsoled; without it, and for crashes beside it, what else the
// ground can say something on (hal_plain_text).
//
// In normal running nothing here waits: what finds no room is dropped and counted. Only a crash and the end of the
// domain wait for the daemon, for a bounded time. Common to both grounds; in the simulation the daemon is the test.
//
// Format: Xen public/io/console.h.
#include "hal.h"

#include <xen/io/console.h>

#define OUT_OCTETS sizeof(((struct xencons_interface *)0)->out)
#define CRASH_WAIT_NS 500000000ull
#define POLL_NS 1000000ull // the daemon's event may be among those we do not look at

static volatile struct xencons_interface *ring; // NULL: there is none
static unsigned port;
static uint64_t dropped;

void console_init(void *page, unsigned evtchn) {
    ring = page;
    port = evtchn;
}

static size_t room(void) {
    uint32_t waiting = ring->out_prod - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE);
    return waiting > OUT_OCTETS ? 0 : OUT_OCTETS - waiting;
}

static void put(char c) {
    uint32_t at = ring->out_prod;
    ring->out[at & (OUT_OCTETS - 1)] = c;
    __atomic_store_n(&ring->out_prod, at + 1, __ATOMIC_RELEASE);
}

void hal_console(const char *text, size_t n) {
    if (ring == NULL) {
        hal_plain_text(text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t needed = text[i] == '\n' ? 2 : 1;
        if (room() < needed) {
            dropped += n - i;
            break;
        }
        if (text[i] == '\n') {
            put('\r');
        }
        put(text[i]);
    }
    hal_evtchn_send(port);
}

uint64_t hal_console_dropped(void) {
    return dropped;
}

// Sleep a little while the daemon reads. Events of others are taken and forgotten: this domain is about to end.
static void wait_for_daemon(void) {
    uint16_t ports[16];
    while (hal_pending(ports, 16) == 16) {
    }
    hal_sleep(hal_ns() + POLL_NS);
}

void console_drain(uint64_t deadline_ns) {
    while (ring != NULL && __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) != ring->out_prod && hal_ns() < deadline_ns) {
        wait_for_daemon();
    }
}

void hal_crash_text(const char *text, size_t n) {
    static uint64_t deadline; // of all waiting in this crash together
    hal_plain_text(text, n);
    if (ring == NULL) {
        return;
    }
    if (deadline == 0) {
        deadline = hal_ns() + CRASH_WAIT_NS;
    }
    for (size_t i = 0; i < n; i++) {
        while (room() < 2 && hal_ns() < deadline) {
            wait_for_daemon();
        }
        hal_console(text + i, 1);
    }
}
