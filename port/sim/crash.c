// What a wild store, a division by zero or an abort says before the domain ends.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <ucontext.h>

#include "ground.h"

static const char *cause_of(int signal) {
    switch (signal) {
        case SIGSEGV: return "page fault";
        case SIGBUS: return "bus error";
        case SIGFPE: return "division by zero";
        case SIGILL: return "invalid instruction";
        default: return "abort()";
    }
}

static void report(int signal, siginfo_t *info, void *context) {
    static bool again;
    char where[80];
    if (signal == SIGSEGV && watch_fault(info->si_addr, context)) {
        return;
    }
    if (again) { // a fault within the report: say nothing more
        _exit(SHUTDOWN_CRASH);
    }
    again = true;
    const mcontext_t *at = &((ucontext_t *)context)->uc_mcontext;
    if (signal == SIGSEGV || signal == SIGBUS) {
        const char *piece = memory_describe(info->si_addr, where, sizeof where);
        crash_printf("crash: %s: %s at %p%s%s\n", cause_of(signal), at->gregs[REG_ERR] & 2 ? "write" : "read", info->si_addr,
            piece ? ", " : "", piece ? piece : "");
    } else {
        crash_printf("crash: %s\n", cause_of(signal));
    }
    crash_printf("rip %p rsp %p\n", (void *)at->gregs[REG_RIP], (void *)at->gregs[REG_RSP]);
    traceback_print((void *)at->gregs[REG_RSP]);
    hal_shutdown(SHUTDOWN_CRASH);
}

void crash_init(void) {
    static char stack[256 * 1024]; // the interpreter's own may have overflown
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&alternate, NULL);
    struct sigaction action = { .sa_sigaction = report, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
    }
}
