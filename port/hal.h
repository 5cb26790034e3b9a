// What the C module `xen` needs from the ground it stands on: the index of the port.
//
// Two grounds implement it: the files of this folder (a Xen PVH domain) and sim/ (a Linux process
// in a simulated Xen). modxen.c, modmemory.c, modgrant.c, console.c, grant.c, random.c and csum.c are common to both.
//
// Errors: a function that can fail returns a negative errno as Xen spells it (-EINVAL = -22 ...);
// memory functions return NULL. Nothing here raises, allocates from the object heap or blocks,
// but for hal_sleep() and hal_shutdown().
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u
#define NO_DEADLINE UINT64_MAX

// ---- time (clock.c)
uint64_t hal_ns(void);       // Xen system time in ns; never goes back
uint64_t hal_wall_ns(void);  // UNIX time in ns, as the host tells it
uint64_t hal_own_ns(void);   // hal_ns() less the time in which Xen let others run although we had work

int hal_watchdog(unsigned seconds); // unless called again in this time the domain ends as hung; 0: it does not. 0 or -errno

// ---- events (event.c)
// Sleep until any bound port has an event, until hal_ns() >= deadline_ns, or not at all if an
// event is pending already. May return early for no reason; the caller looks again.
void hal_sleep(uint64_t deadline_ns);
// Take the ports with events, clearing each bit before it is reported; at most max, the rest stays
// pending. The cost depends on the number of ports that have events, not on how many are bound.
unsigned hal_pending(uint16_t *ports, unsigned max);
int hal_evtchn_alloc(unsigned domid);                 // unbound port that domid may bind; port or -errno
int hal_evtchn_bind(unsigned domid, unsigned remote); // local port (marked pending once by Xen) or -errno
int hal_evtchn_send(unsigned port);                   // 0 or -errno; a peer that has gone is no error
int hal_evtchn_close(unsigned port);                  // 0 or -errno

// ---- what was asked of Xen since the start (modxen.c), and the events that came
typedef struct {
    uint64_t hypercalls, copies, sent, received; // copies: operations of GNTTABOP_copy; sent, received: events
} hal_counts_t;
extern hal_counts_t hal_counts;

// ---- memory outside the object heap (pages.c)
void *hal_mem(size_t octets);                   // page-aligned, zeroed, rounded up to pages; NULL when full
int hal_mem_free(void *start, size_t octets);   // 0; -EINVAL if this is not a whole allocation; -EBUSY if a page is still granted
uint64_t hal_machine_address(const void *p);    // guest-physical address, 0 if p is not memory of ours or a mapping
void hal_memory(size_t *total, size_t *free);   // octets that hal_mem() owns, and those not given out

// ---- grants (grant.c over the table that the ground supplies)
typedef struct _grant_entry_t {
    uint16_t flags; // written last; while it is 0 Xen ignores the entry
    uint16_t domid;
    uint32_t frame;
} grant_entry_t; // Xen public/grant_table.h, struct grant_entry_v1

void grant_init(grant_entry_t *table, unsigned entries);
int grant_page(unsigned gfn, unsigned domid, bool readonly); // reference >= 8, or -ENOSPC (28)
int grant_revoke(unsigned ref);          // 0, -EBUSY (16) while the peer holds the page, -EINVAL if never lent
bool grant_holds(uint64_t first_gfn, uint64_t pages); // is any of these pages lent at the moment?

// ---- a peer's pages (gntmap.c)
void *hal_map(unsigned domid, const uint32_t *refs, unsigned n, int *error); // contiguous, read-write; or NULL and -errno
int hal_unmap(void *start, unsigned n);  // 0; -EINVAL if this is not a whole mapping
// One GNTTABOP_copy over n operations of 40 octets (Xen public/grant_table.h, struct gnttab_copy), which lie in
// memory from hal_mem(). Statuses are written back; returns how many are not GNTST_okay, or -errno.
int hal_copy(void *ops, unsigned n);

// ---- random.c, csum.c
void random_seed(const void *octets, size_t n);  // mixes in; never makes the generator weaker
void random_bytes(void *out, size_t n);
uint64_t hal_entropy(void);                      // what the ground has: RDRAND, TSC; in the simulation the seed of the run
uint32_t csum_fold(const uint8_t *p, size_t n, uint32_t seed); // folded ones'-complement sum, big-endian words, not inverted

// ---- console (console.c over the page that the ground supplies)
void console_init(void *page, unsigned port);    // NULL: there is none; hal_plain_text() takes everything
void console_drain(uint64_t deadline_ns);        // wait until the daemon has read all, or until then
void hal_console(const char *text, size_t n);    // LF becomes CR LF; what finds no room is dropped and counted
uint64_t hal_console_dropped(void);              // octets dropped so far
// For crash reports: to the console, waiting for room (500 ms in all), and to hal_plain_text().
void hal_crash_text(const char *text, size_t n);

// ---- start, end (start.c)
void hal_plain_text(const char *text, size_t n); // beside any console: to Xen's own log; in the simulation to standard output
const char *hal_cmdline(void);
void *hal_xenstore_ring(int *port);              // the page shared with xenstored, and our port to it
enum { SHUTDOWN_POWEROFF = 0, SHUTDOWN_REBOOT = 1, SHUTDOWN_CRASH = 3 };
// Lets the console drain (1 s at most; 500 ms for a crash), then ends the domain.
void hal_shutdown(unsigned reason) __attribute__((noreturn));
// Our own mistake, found by C: says why with the Python traceback, ends as crashed.
void hal_crash(const char *why) __attribute__((noreturn));

// ---- Python on this ground (mpy.c)
void python_heap(size_t *total, size_t *free); // octets of the object heap; what can be collected counts as used
void allocate_from_beginning(void);                       // after a collection: there are holes
size_t collect_init(void *memory, size_t octets);          // for a heap of so many; returns how many octets of it it keeps
uint64_t python_collecting_ns(uint64_t since); // spent in garbage collection since then, by hal_own_ns()
void python_start(void *heap, size_t heap_octets, void *pystack, size_t pystack_octets, void *stack_top, size_t stack_octets);
// Import a frozen module as the main program; never returns: whatever ends it ends the domain as crashed.
void python_run(const char *module) __attribute__((noreturn));
void python_report(void *exception); // what an uncaught exception says at the end: the cause, then its traceback

// ---- what is said in a crash (crash_print.c, traceback.c)
extern const struct _mp_print_t crash_print; // for MicroPython's functions that print: to hal_crash_text()
void crash_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Name and line of each Python frame found between sp and the top of the stack, innermost first.
void traceback_print(const void *sp);
