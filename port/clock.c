// Time from the pages that Xen keeps up to date; no hypercall but one at the start.
//
// system time = stamp + ((TSC - TSC at the stamp) shifted) * mul / 2^32     (Xen public/xen.h, vcpu_time_info)
// The difference is taken modulo 2^64: right after the start the stamp is older than our TSC's zero.
#include "hypercall.h"

#include <xen/vcpu.h>

static const volatile shared_info_t *shared;
static const volatile struct vcpu_runstate_info *runstate; // NULL: Xen does not tell
static uint64_t latest; // hal_ns() never goes back, whatever Xen does to the stamp

void clock_init(const volatile shared_info_t *at) {
    shared = at;
}

// By its physical address, where Xen can (4.19): else it walks our page tables whenever it takes or gives the CPU.
void clock_account(void *area) {
    struct vcpu_register_runstate_memory_area *arg = hypercall_args;
    arg->addr.p = (uintptr_t)area;
    if (hypercall_vcpu_op(VCPUOP_register_runstate_phys_area, 0, arg) == 0
        || hypercall_vcpu_op(VCPUOP_register_runstate_memory_area, 0, arg) == 0) {
        runstate = area;
    }
}

static void compiler_barrier(void) { // loads are not reordered by the CPU, only by the compiler
    __asm__ volatile ("" ::: "memory");
}

uint64_t hal_ns(void) {
    if (shared == NULL) {
        return 0;
    }
    const volatile struct vcpu_time_info *time = &shared->vcpu_info[0].time;
    uint32_t version;
    uint64_t ns;
    do { // odd, or changed meanwhile: Xen is writing
        version = time->version;
        compiler_barrier();
        uint64_t delta = read_tsc() - time->tsc_timestamp;
        int8_t shift = time->tsc_shift;
        delta = shift < 0 ? delta >> -shift : delta << shift;
        ns = time->system_time + (uint64_t)(((unsigned __int128)delta * time->tsc_to_system_mul) >> 32);
        compiler_barrier();
    } while ((version & 1) || version != time->version);
    if (ns > latest) {
        latest = ns;
    }
    return latest;
}

// Xen writes the area only when it takes the CPU from us or gives it back: never while we read it, with one vCPU.
uint64_t hal_own_ns(void) {
    uint64_t stolen = runstate == NULL ? 0 : runstate->time[RUNSTATE_runnable] + runstate->time[RUNSTATE_offline];
    return hal_ns() - stolen;
}

uint64_t hal_wall_ns(void) {
    uint32_t version;
    uint64_t boot_ns;
    do {
        version = shared->wc_version;
        compiler_barrier();
        boot_ns = ((uint64_t)shared->wc_sec_hi << 32 | shared->wc_sec) * 1000000000ull + shared->wc_nsec;
        compiler_barrier();
    } while ((version & 1) || version != shared->wc_version);
    return boot_ns + hal_ns();
}

int hal_watchdog(unsigned seconds) {
    static unsigned id; // 0: Xen has none of ours
    if (id == 0 && seconds == 0) {
        return 0;
    }
    long result = hypercall_watchdog(id, seconds);
    if (result >= 0) {
        id = seconds == 0 ? 0 : id + result; // of a new one the result is its id, else it is 0
    }
    return result < 0 ? result : 0;
}
