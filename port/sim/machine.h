// The simulated machine: one file, mapped by the firewall's process and by the test. Everything that the
// hypervisor knows, and all memory of all domains, lies in it.
//
//   page 0 ..           machine_t: clock, whose turn it is, and domain_t[MACHINE_DOMAINS]
//   HEADER_FRAMES ..    memory of the domain in slot 0, DOMAIN_FRAMES pages
//   + DOMAIN_FRAMES ..  memory of the domain in slot 1, and so on
//
//   a domain's memory:  0..3  its grant table (version 1, 2048 entries)
//                       4     the page shared with xenstored
//                       5     the page shared with xenconsoled
//                       6 ..  memory
//
// A frame number is the number of a page of this file, for every domain; a frame belongs to the domain in whose
// part of the file it lies. The file is sparse: what nobody has written costs nothing.
//
// Below the layout stand Xen's operations on it (hv_*.c), each taking the domain that makes the hypercall. They are
// linked into the firewall's process and, as a shared library, into the test, so that Xen's rules are written once.
// Results are those of Xen 4.17 to 4.20: -errno for event channels, GNTST_* for grants.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u
#define MACHINE_MAGIC 0x78656e2d73696d35ull // changes with this layout
#define MACHINE_DOMAINS 64
#define HEADER_FRAMES 4096u  // 16 MiB
#define DOMAIN_FRAMES 16384u // 64 MiB
#define MACHINE_OCTETS ((uint64_t)(HEADER_FRAMES + MACHINE_DOMAINS * DOMAIN_FRAMES) * PAGE_SIZE)

#define GRANT_FRAMES 4
#define GRANT_ENTRIES (GRANT_FRAMES * PAGE_SIZE / 8)
#define XENSTORE_PAGE 4
#define CONSOLE_PAGE 5
#define FIRST_FREE_PAGE 6

#define PORTS 1024 // 0 is never given out, so 1023: what libxl allows a domain
#define MAPPINGS 4096
#define WATCHED 8 // frames

#define DOMID_SELF 0x7ff0
#define NO_DOMAIN 0xffff

enum { PORT_FREE, PORT_UNBOUND, PORT_INTERDOMAIN };

typedef struct {
    uint16_t state;
    uint16_t remote_domid; // UNBOUND: who may bind it
    uint16_t remote_port;
} port_t;

typedef struct { // one page of another domain that this domain has mapped
    uint32_t ref;
    uint32_t frame;
    uint16_t granter_slot;
    uint8_t used;
    uint8_t readonly;
} mapping_t;

typedef struct { // what Xen itself remembers of a grant in use, whatever the granter writes into the entry
    uint16_t readers;
    uint16_t writers;
} pins_t;

enum { STEPS_OF_HYPERCALL = 20, STEPS_OF_COPY = 20 }; // the second for each operation of a copying hypercall
enum { TURN_TEST, TURN_DOMAIN };
enum { RUNS, SHUT_DOWN, KILLED }; // `ended`

typedef struct {
    uint16_t domid; // NO_DOMAIN: the slot is free, or its domain has died (memory stays while others map it)
    uint16_t ended;
    uint32_t reason;     // of SHUT_DOWN
    uint32_t frames;     // pages of memory, those before FIRST_FREE_PAGE included
    uint32_t port_limit; // the highest port number that is given out
    uint32_t xenstore_port, console_port; // ours, bound to domain 0; 0: none

    // Whose turn it is, when the test owns the clock: exactly one of the test and this domain runs. A futex word.
    uint32_t turn;
    uint32_t preempted;  // it gave its turn away within a hypercall, not by going to sleep
    uint64_t deadline;   // while it sleeps: when to wake it, in ns; UINT64_MAX: only by an event
    uint64_t hypercalls; // made so far

    uint32_t wakes; // counts events that became pending. A futex word, for domains that sleep in real time
    uint64_t pending[PORTS / 64];
    port_t ports[PORTS];
    mapping_t mappings[MAPPINGS];
    pins_t pins[GRANT_ENTRIES];
    uint64_t stolen_ns;  // of the time so far: others ran although it had work. Set by tests
    uint32_t pages_used; // of xen.mem; told by the domain, for tests that look for leaks
    uint64_t watchdog_ns; // when it ends as hung; 0: never
} domain_t;

typedef struct {
    uint64_t magic;
    pthread_mutex_t lock; // held by every operation below; robust: its owner may be killed
    uint64_t clock_ns;    // time since the machine started, when the test owns the clock
    uint64_t real_start_ns; // 0: the test owns the clock; else CLOCK_MONOTONIC when the machine started
    uint64_t wall_ns;     // UNIX time at clock 0
    uint64_t seed;        // what the ground gives out as entropy follows from it
    uint32_t attention;   // counts all events; a futex word, for tests in real time
    uint32_t guard_before; // pieces of xen.mem begin after an inaccessible page, instead of ending at one
    uint32_t preempt_every; // a domain gives its turn away at every so many hypercalls; 0: never
    uint32_t step_ns;     // by how much the clock moves at each step of the interpreter, and STEPS_OF_HYPERCALL at each hypercall
    // Faults to inject into GNTTABOP_copy and map: after `skip` more operations the next `count` get `status`.
    struct {
        int32_t status;
        uint32_t skip, count;
    } copy_fault, map_fault;
    // The turn is given away also before the access that makes `accesses` be `watch_at`, of those by the domain to the
    // counters of rings in these frames (0: no frame); see watch.c. 0: to none, and nobody counts.
    uint32_t watch_at, accesses;
    uint32_t watched[WATCHED];
    domain_t domains[MACHINE_DOMAINS];
} machine_t;
_Static_assert(sizeof(machine_t) <= HEADER_FRAMES * PAGE_SIZE, "the header does not fit");

// ---- hv_domain.c
void hv_init(machine_t *m, uint64_t seed, uint64_t wall_ns, bool real_time); // the file must be all zero
int hv_create(machine_t *m, unsigned domid, unsigned frames); // its slot, or -EEXIST, -ENOSPC, -EINVAL
int hv_destroy(machine_t *m, unsigned domid);                 // as Xen does to a domain that died; or -ESRCH
domain_t *hv_domain(machine_t *m, unsigned domid);            // NULL: none such
uint32_t hv_first_frame(machine_t *m, unsigned domid);
uint8_t *hv_page(machine_t *m, uint32_t frame);
uint64_t hv_now(const machine_t *m);
void hv_lock(machine_t *m);
void hv_unlock(machine_t *m);

// ---- hv_turn.c
void hv_give_turn(machine_t *m, unsigned domid);                   // to a domain; from then on the test waits
int hv_wait_turn(machine_t *m, unsigned domid, uint64_t ns);       // 1: it is the test's turn again; 0: time is up
bool hv_runnable(machine_t *m, unsigned domid);                    // it sleeps, but has an event or its time has come
uint32_t hv_wait_attention(machine_t *m, uint32_t seen, uint64_t ns); // until an event anywhere; the new count
void hv_pass_turn(machine_t *m, domain_t *d, uint64_t deadline, bool preempted); // called by the domain
void hv_end_turn(machine_t *m, domain_t *d);                       // called by the domain, which then ends
void hv_sleep_real(domain_t *d, uint64_t ns);                      // called by the domain
void hv_notify(machine_t *m, domain_t *d);                           // an event has become pending

// ---- hv_event.c: ports or -errno
int hv_evtchn_alloc(machine_t *m, unsigned domid, unsigned remote);
int hv_evtchn_bind(machine_t *m, unsigned domid, unsigned remote, unsigned remote_port);
int hv_evtchn_send(machine_t *m, unsigned domid, unsigned port);
int hv_evtchn_close(machine_t *m, unsigned domid, unsigned port);
unsigned hv_evtchn_take(machine_t *m, unsigned domid, uint16_t *ports, unsigned max); // clears what it reports
bool hv_evtchn_any(const domain_t *d);

// ---- hv_grant.c
enum {
    GNTST_okay = 0, GNTST_general_error = -1, GNTST_bad_domain = -2, GNTST_bad_gntref = -3, GNTST_bad_handle = -4,
    GNTST_no_device_space = -7, GNTST_permission_denied = -8, GNTST_bad_page = -9, GNTST_bad_copy_arg = -10,
    GNTST_eagain = -12,
};
enum { GTF_permit_access = 1, GTF_type_mask = 3, GTF_readonly = 4, GTF_reading = 8, GTF_writing = 16 };
enum { GNTCOPY_source_gref = 1, GNTCOPY_dest_gref = 2 };

typedef struct { // Xen public/grant_table.h, struct grant_entry_v1
    uint16_t flags, domid;
    uint32_t frame;
} entry_t;

typedef struct { // Xen public/grant_table.h, struct gnttab_copy
    struct {
        union {
            uint32_t ref;
            uint64_t frame;
        };
        uint16_t domid, offset;
    } source, dest;
    uint16_t len, flags;
    int16_t status;
} copy_t;
_Static_assert(sizeof(copy_t) == 40, "layout of struct gnttab_copy");

int hv_map(machine_t *m, unsigned domid, unsigned granter, uint32_t ref, bool readonly); // a handle, or GNTST_*
int hv_unmap(machine_t *m, unsigned domid, unsigned handle);                             // GNTST_*
uint32_t hv_mapped_frame(machine_t *m, unsigned domid, unsigned handle);
void hv_copy(machine_t *m, unsigned domid, copy_t *ops, unsigned n); // statuses are written back
void hv_release_mappings(machine_t *m, domain_t *d);                 // of a domain that dies
