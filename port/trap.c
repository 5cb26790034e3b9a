// CPU exceptions: say what happened, with registers and the Python traceback, and end the domain as crashed.
//
// Handlers run on a stack of their own, so that an overflow of the C stack is told too. None returns; the callback
// vector (boot.S) is the only one that does.
#include "hypercall.h"

#define VECTORS 33 // 0..31 exceptions, 32 callback

typedef struct { // as trap_common in boot.S builds it
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
} trap_frame_t;

typedef struct __attribute__((packed)) {
    uint16_t offset_0;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_16;
    uint32_t offset_32;
    uint32_t reserved;
} gate_t;

typedef struct __attribute__((packed)) {
    uint32_t reserved_0;
    uint64_t rsp[3];
    uint64_t reserved_1;
    uint64_t ist[7];
    uint64_t reserved_2;
    uint16_t reserved_3;
    uint16_t io_map;
} task_state_t;

typedef struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
} table_pointer_t;

enum { CODE = 8, TASK = 24, INTERRUPT_GATE = 0x8e, CRASH_IST = 1 };

extern const char trap_entries[], callback_entry[], stack_guard[], stack_bottom[], stack_top[], crash_stack_top[];

static gate_t idt[VECTORS];
static task_state_t task;
static uint64_t gdt[5] = { 0, 0x00209a0000000000, 0x0000920000000000 }; // null, code, data, task (two entries)

static const char *const names[32] = {
    [0] = "divide error", [1] = "debug", [2] = "non-maskable interrupt", [3] = "breakpoint", [4] = "overflow",
    [5] = "bound", [6] = "invalid opcode", [7] = "no coprocessor", [8] = "double fault", [10] = "invalid task state",
    [11] = "segment not present", [12] = "stack segment fault", [13] = "general protection fault",
    [14] = "page fault", [16] = "floating-point error", [17] = "alignment check", [18] = "machine check",
    [19] = "SIMD floating-point error",
};

static void set_gate(unsigned vector, const char *entry, uint8_t ist) {
    uint64_t at = (uintptr_t)entry;
    idt[vector] = (gate_t) {
        .offset_0 = at, .selector = CODE, .ist = ist, .type = INTERRUPT_GATE, .offset_16 = at >> 16, .offset_32 = at >> 32,
    };
}

void trap_init(void) {
    for (unsigned vector = 0; vector < 32; vector++) {
        set_gate(vector, trap_entries + 16 * vector, CRASH_IST);
    }
    set_gate(32, callback_entry, 0);
    task.ist[CRASH_IST - 1] = (uintptr_t)crash_stack_top;
    task.io_map = sizeof task;
    uint64_t base = (uintptr_t)&task;
    gdt[TASK / 8] = (sizeof task - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[TASK / 8 + 1] = base >> 32;
    table_pointer_t gdt_at = { sizeof gdt - 1, (uintptr_t)gdt }, idt_at = { sizeof idt - 1, (uintptr_t)idt };
    __asm__ volatile ("lgdt %0; lidt %1; ltr %w2" :: "m" (gdt_at), "m" (idt_at), "r" (TASK) : "memory");
}

static const char *page_fault_cause(uint64_t address, uint64_t error) {
    if (address < 0x100000) {
        return "null pointer";
    }
    if (address >= (uintptr_t)stack_guard && address < (uintptr_t)stack_bottom) {
        return "C stack overflow";
    }
    if (error & 16) {
        return "execution of data";
    }
    if ((error & 3) == 3) {
        return "write to read-only memory";
    }
    return "no such memory";
}

static void print_registers(const trap_frame_t *f) {
    crash_printf("rip %p rsp %p rflags %x error %x\n", (void *)f->rip, (void *)f->rsp, (unsigned)f->rflags, (unsigned)f->error);
    crash_printf("rax %p rbx %p rcx %p rdx %p\n", (void *)f->rax, (void *)f->rbx, (void *)f->rcx, (void *)f->rdx);
    crash_printf("rsi %p rdi %p rbp %p r8  %p\n", (void *)f->rsi, (void *)f->rdi, (void *)f->rbp, (void *)f->r8);
    crash_printf("r9  %p r10 %p r11 %p r12 %p\n", (void *)f->r9, (void *)f->r10, (void *)f->r11, (void *)f->r12);
    crash_printf("r13 %p r14 %p r15 %p\n", (void *)f->r13, (void *)f->r14, (void *)f->r15);
}

__attribute__((used, noreturn)) void trap(const trap_frame_t *f) {
    static bool crashing;
    if (crashing) { // the report itself failed: no more trust in anything
        debug_port('!');
        debug_port('\n');
        hypercall_shutdown(SHUTDOWN_CRASH);
        for (;;) {
        }
    }
    crashing = true;
    const char *name = f->vector < 32 && names[f->vector] ? names[f->vector] : "exception";
    crash_printf("crash: CPU exception %u, %s", (unsigned)f->vector, name);
    if (f->vector == 14) {
        uint64_t address;
        __asm__ volatile ("mov %%cr2, %0" : "=r" (address));
        crash_printf(": %s at %p", page_fault_cause(address, f->error), (void *)address);
    }
    crash_printf("\n");
    print_registers(f);
    const char *sp = (const char *)f->rsp;
    traceback_print(sp >= stack_bottom && sp < stack_top ? sp : stack_bottom);
    hal_shutdown(SHUTDOWN_CRASH);
}
