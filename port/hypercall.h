// Hypercalls, in two floors: the instruction, and below each name of Xen's a function with typed arguments.
//
// Xen reads arguments through our page tables, in software; that is dearer the smaller the pages are (a copy
// operation: 10.6 us under 4 KiB pages, 8.4 under a 1 GiB page). So all argument structures live in
// hypercall_args, which start.c places in the window that one large mapping covers. One vCPU and no interrupts:
// nobody else can be using it.
#pragma once
#include "xenhost.h"

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

#define HYPERCALL_ARGS_PAGES 7

extern void *hypercall_args;       // HYPERCALL_ARGS_PAGES pages, start.c
extern bool hypercall_is_vmmcall;  // AMD's instruction, else Intel's: the wrong one is an invalid opcode

static inline long hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c) {
    long result;
    hal_counts.hypercalls++;
    if (hypercall_is_vmmcall) {
        __asm__ volatile ("vmmcall" : "=a" (result), "+D" (a), "+S" (b), "+d" (c) : "0" (number) : "r10", "r8", "memory");
    } else {
        __asm__ volatile ("vmcall" : "=a" (result), "+D" (a), "+S" (b), "+d" (c) : "0" (number) : "r10", "r8", "memory");
    }
    return result;
}

static inline long hypercall_event_channel_op(unsigned command, void *arg) {
    return hypercall(__HYPERVISOR_event_channel_op, command, (uintptr_t)arg, 0);
}

static inline long hypercall_grant_table_op(unsigned command, void *array, unsigned count) {
    return hypercall(__HYPERVISOR_grant_table_op, command, (uintptr_t)array, count);
}

static inline long hypercall_set_timer_op(uint64_t deadline_ns) {
    return hypercall(__HYPERVISOR_set_timer_op, deadline_ns, 0, 0);
}

static inline long hypercall_vcpu_op(unsigned command, unsigned vcpu, void *arg) {
    return hypercall(__HYPERVISOR_vcpu_op, command, vcpu, (uintptr_t)arg);
}

static inline void hypercall_shutdown(unsigned reason) {
    struct sched_shutdown *arg = hypercall_args;
    arg->reason = reason;
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)arg, 0);
}

// id 0: one more, whose id is the result; else 0. timeout in seconds, 0: that one ends.
static inline long hypercall_watchdog(unsigned id, unsigned timeout) {
    struct sched_watchdog *arg = hypercall_args;
    *arg = (struct sched_watchdog) { .id = id, .timeout = timeout };
    return hypercall(__HYPERVISOR_sched_op, SCHEDOP_watchdog, (uintptr_t)arg, 0);
}

// HVM parameter of our own domain; 0 on failure, which no parameter that we ask for has as its value.
static inline uint64_t hypercall_get_param(unsigned index) {
    struct xen_hvm_param *arg = hypercall_args;
    *arg = (struct xen_hvm_param) { .domid = DOMID_SELF, .index = index };
    return hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)arg, 0) == 0 ? arg->value : 0;
}

static inline long hypercall_set_param(unsigned index, uint64_t value) {
    struct xen_hvm_param *arg = hypercall_args;
    *arg = (struct xen_hvm_param) { .domid = DOMID_SELF, .index = index, .value = value };
    return hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (uintptr_t)arg, 0);
}

static inline long hypercall_add_to_physmap(unsigned space, uint64_t index, uint64_t frame) {
    struct xen_add_to_physmap *arg = hypercall_args;
    *arg = (struct xen_add_to_physmap) { .domid = DOMID_SELF, .space = space, .idx = index, .gpfn = frame };
    return hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)arg, 0);
}
