// What the files of the simulated ground share with each other; ../hal.h is what they offer upwards.
//
//   machine.h, hv_*.c   the hypervisor
//   start.c             command line, the machine file, how the process starts and ends
//   event.c             event channels, sleeping, time
//   memory.c            xen.mem and mappings: pages of the file between inaccessible ones
//   watch.c             turns given away at single accesses to rings
//   crash.c             signals: what a wild store says
#pragma once
#include "machine.h"

#include "../hal.h"

extern machine_t *machine;
extern domain_t *self; // our domain
extern unsigned self_domid;

// ---- start.c
void start_end(unsigned reason) __attribute__((noreturn)); // tell the test, end the process

// ---- event.c
void hypercall(void); // every hypercall passes here first: it is counted, and may give the turn away
void copying(unsigned operations); // lets the time of so many copy operations pass

// ---- memory.c
void memory_init(int file);
void memory_check(void); // crashes if somebody wrote beside a piece, where no page fault can tell
// What lies around an address: "1 octet behind the 4096 octets of a piece from xen.mem", or NULL.
const char *memory_describe(const void *address, char *text, size_t size);

// The addresses of a frame, wherever it is shown; the next behind `after`, which is NULL at first. NULL: no more.
void *memory_shown(uint32_t frame, const void *after);

// ---- watch.c
void watch_rings(void); // our turn begins: look at what the machine says
bool watch_fault(const void *address, void *context); // a page fault; true: it was a watched frame, go on

// ---- crash.c
void crash_init(void);
