// What the files of the Xen ground share with each other; hal.h is what they offer upwards.
#pragma once
#include "hal.h"

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>

// ---- hypercall.h is included by those who make hypercalls

// ---- trap.c
void trap_init(void);

// ---- paging.c: virtual = physical everywhere
// Final page tables for RAM up to ram_end; window: the GiB of holes that shared_info, grant frames and mappings use.
void paging_init(uint64_t ram_end, uint64_t window);

// ---- pages.c
void pages_init(uint64_t start, uint64_t end); // hal_mem() gives out what lies between
bool pages_own(uint64_t address);

// ---- gntmap.c
void gntmap_init(uint64_t window);
bool gntmap_owns(uint64_t address);

// ---- event.c, clock.c
void event_init(volatile shared_info_t *shared);
void clock_init(const volatile shared_info_t *shared);
void clock_account(void *area); // let Xen tell there how much time it gave to others; see hal_own_ns()

// ---- start.c
extern uint64_t entry_tsc; // time-stamp counter at the first instruction

static inline uint64_t read_tsc(void) {
    uint32_t low, high;
    __asm__ volatile ("lfence; rdtsc" : "=a" (low), "=d" (high) :: "memory");
    return (uint64_t)high << 32 | low;
}

static inline void cpuid(uint32_t leaf, uint32_t out[4]) {
    __asm__ volatile ("cpuid" : "=a" (out[0]), "=b" (out[1]), "=c" (out[2]), "=d" (out[3]) : "a" (leaf), "c" (0));
}

static inline void write_msr(uint32_t msr, uint64_t value) {
    __asm__ volatile ("wrmsr" :: "c" (msr), "a" ((uint32_t)value), "d" ((uint32_t)(value >> 32)) : "memory");
}

// One character into Xen's log; works from the first instruction to the last.
static inline void debug_port(char c) {
    __asm__ volatile ("outb %0, $0xe9" :: "a" (c));
}
