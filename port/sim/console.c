// The console ring, as on Xen: 2048 octets on their way to the daemon, which is the test. Without a machine of
// its own: standard output.
//
// In normal running nothing here waits: what finds no room is dropped and counted.
// Format: Xen public/io/console.h.
#include <unistd.h>

#include "ground.h"

#define CRASH_WAIT_NS 500000000ull
#define POLL_NS 1000000ull

typedef struct {
    char in[1024], out[2048];
    uint32_t in_cons, in_prod, out_cons, out_prod;
} ring_t;

static volatile ring_t *ring; // NULL: standard output
static uint64_t dropped;

void console_init(bool to_stdout) {
    ring = to_stdout ? NULL : (void *)hv_page(machine, hv_first_frame(machine, self_domid) + CONSOLE_PAGE);
}

static size_t room(void) {
    uint32_t waiting = __atomic_load_n(&ring->out_prod, __ATOMIC_SEQ_CST) - __atomic_load_n(&ring->out_cons, __ATOMIC_SEQ_CST);
    return waiting > sizeof ring->out ? 0 : sizeof ring->out - waiting;
}

static void put(char c) {
    uint32_t at = ring->out_prod;
    ring->out[at % sizeof ring->out] = c;
    __atomic_store_n(&ring->out_prod, at + 1, __ATOMIC_SEQ_CST);
}

void hal_console(const char *text, size_t n) {
    if (ring == NULL) {
        dropped += write(STDOUT_FILENO, text, n) < 0 ? n : 0;
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
    hv_evtchn_send(machine, self_domid, self->console_port);
}

uint64_t hal_console_dropped(void) {
    return dropped;
}

// Let the daemon read. Events of others are taken and forgotten: this domain is about to end.
static void wait_for_daemon(void) {
    uint16_t ports[16];
    while (hal_pending(ports, 16) == 16) {
    }
    hal_sleep(hal_ns() + POLL_NS);
}

void console_drain(uint64_t deadline_ns) {
    while (ring != NULL && ring->out_cons != ring->out_prod && hal_ns() < deadline_ns) {
        wait_for_daemon();
    }
}

void hal_crash_text(const char *text, size_t n) {
    static uint64_t deadline; // of all waiting in this crash together
    if (deadline == 0) {
        deadline = hal_ns() + CRASH_WAIT_NS;
    }
    for (size_t i = 0; i < n; i++) {
        while (ring != NULL && room() < 2 && hal_ns() < deadline) {
            wait_for_daemon();
        }
        hal_console(text + i, 1);
    }
}
