// Turns given away at single accesses to a ring's counters, so that a test can do a neighbour's step before any of them.
//
// A watched frame is inaccessible to us. Whoever reads or writes it, Python or machine code, faults: the access is
// counted if it is to one of the four counters, and the turn given away if the test wants that; then the one
// instruction goes on with the frame accessible, under the processor's single step, behind which it is hidden again.
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "ground.h"

#define COUNTERS 16 // octets at the beginning of a ring
#define SINGLE_STEP 0x100
#define MOST 16

static void *hidden[MOST], *open_now[MOST];
static unsigned hidden_count, open_count;

static void protect(void *page, int how) {
    if (mprotect(page, PAGE_SIZE, how) != 0) {
        hal_crash("a watched frame cannot be protected");
    }
}

static void stepped(int signal, siginfo_t *info, void *context) {
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~SINGLE_STEP;
    while (open_count) {
        protect(open_now[--open_count], PROT_NONE);
    }
}

void watch_rings(void) {
    bool wanted = machine->watch_at != 0;
    if (wanted == (hidden_count != 0)) {
        return;
    }
    while (hidden_count) {
        protect(hidden[--hidden_count], PROT_READ | PROT_WRITE);
    }
    if (!wanted) {
        return;
    }
    struct sigaction action = { .sa_sigaction = stepped, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigaction(SIGTRAP, &action, NULL);
    for (unsigned i = 0; i < WATCHED && machine->watched[i]; i++) {
        void *page = NULL;
        while ((page = memory_shown(machine->watched[i], page)) && hidden_count < MOST) {
            protect(page, PROT_NONE);
            hidden[hidden_count++] = page;
        }
    }
}

bool watch_fault(const void *address, void *context) {
    void *page = (void *)((uintptr_t)address & ~(uintptr_t)(PAGE_SIZE - 1));
    unsigned i = 0;
    while (i < hidden_count && hidden[i] != page) {
        i++;
    }
    if (i == hidden_count) {
        return false;
    }
    if ((uintptr_t)address % PAGE_SIZE < COUNTERS && ++machine->accesses == machine->watch_at) {
        hv_pass_turn(machine, self, UINT64_MAX, true);
        watch_rings();
        if (!hidden_count) {
            return true;
        }
    }
    protect(page, PROT_READ | PROT_WRITE);
    open_now[open_count++] = page;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= SINGLE_STEP;
    return true;
}
