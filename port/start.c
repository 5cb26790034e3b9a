// From the first line of C to Python: what Xen tells us, memory, shared pages, then the frozen module `boot`.
//
// Where things lie (virtual = physical; paging.c has the rights):
//   1 MiB .. _end                image, stacks
//   _end .. RAM end              Python's frame stack, object heap, then hal_mem()'s pages
//   window + 0                   shared_info
//   window + 1 .. 4 pages        grant table
//   window + 8 .. 14 pages       hypercall arguments
//   window + 15 pages            what Xen says of our CPU time; with the former the last pages of RAM, moved here
//   window + 2 MiB               pages of peers (gntmap.c)
// window is the first GiB that holds neither RAM nor the special pages just below 4 GiB.
#include <string.h>

#include "hypercall.h"

#include <xen/arch-x86/cpuid.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define GRANT_FRAMES 4 // 2048 references
#define MOVED_PAGES (HYPERCALL_ARGS_PAGES + 1)
#define MAPPINGS_AT (2 * MIB)
#define PYSTACK_OCTETS (64 * 1024)
#define SMALL_RAM (30 * MIB) // below: the heap of a 24 MB domain
#define COMMAND_LINE_MAX 4096

extern char _end[], stack_bottom[], stack_top[];

void *hypercall_args;
bool hypercall_is_vmmcall;

static char command_line[COMMAND_LINE_MAX];
static void *xenstore_ring;
static int xenstore_port;

void hal_plain_text(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        debug_port(text[i]);
    }
}

// Nothing can be said yet but on port 0xE9, and nobody can be asked to end the domain.
static void __attribute__((noreturn)) die_early(const char *why) {
    hal_plain_text(why, strlen(why));
    hal_plain_text("\n", 1);
    for (;;) {
        __asm__ volatile ("cli; hlt"); // with interrupts off this ends the domain
    }
}

static uint32_t find_xen(void) {
    uint32_t r[4];
    for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) { // another interface may come first
        cpuid(leaf, r);
        if (r[1] == XEN_CPUID_SIGNATURE_EBX && r[2] == XEN_CPUID_SIGNATURE_ECX && r[3] == XEN_CPUID_SIGNATURE_EDX) {
            return leaf;
        }
    }
    die_early("not started by Xen");
}

// Xen writes the right instruction for this CPU into a page that we name, in one stub of 32 octets for each hypercall;
// that also fixes the layout of shared_info to 64 bits. We keep the instruction, not the page.
static void learn_hypercall_instruction(uint32_t leaf, uint8_t *page) {
    uint32_t r[4];
    cpuid(leaf + 2, r);
    write_msr(r[1], (uintptr_t)page);
    const uint8_t *stub = page + 32 * __HYPERVISOR_xen_version;
    for (int i = 0; i < 30; i++) {
        if (stub[i] == 0x0f && stub[i + 1] == 0x01 && (stub[i + 2] == 0xc1 || stub[i + 2] == 0xd9)) {
            hypercall_is_vmmcall = stub[i + 2] == 0xd9;
            memset(page, 0, PAGE_SIZE);
            return;
        }
    }
    die_early("no hypercall instruction in Xen's page");
}

// End of the RAM that holds the image, and the first whole GiB above all RAM.
static void read_memory_map(const struct hvm_start_info *info, uint64_t *ram_end, uint64_t *window) {
    const struct hvm_memmap_table_entry *map = (const void *)info->memmap_paddr;
    *ram_end = *window = 0;
    if (info->version < 1) {
        die_early("start info without a memory map");
    }
    for (uint32_t i = 0; i < info->memmap_entries; i++) {
        uint64_t end = map[i].addr + map[i].size;
        if (map[i].type != XEN_HVM_MEMMAP_TYPE_RAM) {
            continue;
        }
        if (map[i].addr <= (uintptr_t)_end && end > (uintptr_t)_end) {
            *ram_end = (end < GIB ? end : GIB) & ~(uint64_t)(PAGE_SIZE - 1); // more than 1 GiB is not used
        }
        uint64_t above = (end + GIB - 1) / GIB * GIB;
        *window = above > *window ? above : *window;
    }
    if (*ram_end < 16 * MIB) {
        die_early("less than 16 MiB of memory");
    }
    if (*window > 2 * GIB && *window < 4 * GIB) {
        *window = 4 * GIB; // the fourth GiB has the special pages
    }
}

static void read_command_line(const struct hvm_start_info *info) {
    const char *text = (const char *)info->cmdline_paddr;
    for (size_t i = 0; text != NULL && text[i] != 0 && i < COMMAND_LINE_MAX - 1; i++) {
        command_line[i] = text[i];
    }
}

static void *add_page(uint64_t window, unsigned page, unsigned space, uint64_t index) {
    uint64_t at = window + page * PAGE_SIZE;
    if (hypercall_add_to_physmap(space, index, at / PAGE_SIZE) != 0) {
        die_early("Xen refuses a page in the window");
    }
    return (void *)at;
}

// Returns where RAM ends for others: the last pages move to the window, where one large mapping covers them.
static uint64_t place_shared_pages(uint64_t window, uint64_t ram_end) {
    static uint8_t first_args[64] __attribute__((aligned(64)));
    hypercall_args = first_args;
    shared_info_t *shared = add_page(window, 0, XENMAPSPACE_shared_info, 0);
    clock_init(shared);
    uint64_t moved_from = ram_end - MOVED_PAGES * PAGE_SIZE;
    for (unsigned i = 0; i < MOVED_PAGES; i++) {
        add_page(window, 8 + i, XENMAPSPACE_gmfn, moved_from / PAGE_SIZE + i);
    }
    hypercall_args = (void *)(window + 8 * PAGE_SIZE);
    clock_account((char *)hypercall_args + HYPERCALL_ARGS_PAGES * PAGE_SIZE);
    event_init(shared);
    console_init((void *)(hypercall_get_param(HVM_PARAM_CONSOLE_PFN) * PAGE_SIZE), hypercall_get_param(HVM_PARAM_CONSOLE_EVTCHN));
    xenstore_ring = (void *)(hypercall_get_param(HVM_PARAM_STORE_PFN) * PAGE_SIZE);
    xenstore_port = hypercall_get_param(HVM_PARAM_STORE_EVTCHN);
    unsigned frames = 0;
    while (frames < GRANT_FRAMES
           && hypercall_add_to_physmap(XENMAPSPACE_grant_table, frames, window / PAGE_SIZE + 1 + frames) == 0) {
        frames++;
    }
    grant_init((grant_entry_t *)(window + PAGE_SIZE), frames * PAGE_SIZE / sizeof(grant_entry_t));
    gntmap_init(window + MAPPINGS_AT);
    return moved_from;
}

__attribute__((used, noreturn)) void start(const struct hvm_start_info *info) {
    uint64_t ram_end, window;
    trap_init();
    uint32_t leaf = find_xen();
    read_memory_map(info, &ram_end, &window);
    read_command_line(info);
    // start info is copied: from here on all RAM behind the image is ours
    uint64_t free_from = ((uintptr_t)_end + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
    learn_hypercall_instruction(leaf, (uint8_t *)free_from);
    paging_init(ram_end, window);
    ram_end = place_shared_pages(window, ram_end);

    uint64_t pystack = free_from, heap = pystack + PYSTACK_OCTETS;
    size_t heap_octets = (ram_end < SMALL_RAM ? 5 : 6) * MIB;
    pages_init(heap + heap_octets, ram_end);
    python_start((void *)heap, heap_octets, (void *)pystack, PYSTACK_OCTETS, stack_top, stack_top - stack_bottom);
    python_run("boot");
}

const char *hal_cmdline(void) {
    return command_line;
}

void *hal_xenstore_ring(int *port) {
    *port = xenstore_port;
    return xenstore_ring;
}

static bool has_rdrand(void) {
    static int known = -1; // CPUID ends in Xen: 5 us
    if (known < 0) {
        uint32_t r[4];
        cpuid(1, r);
        known = r[2] >> 30 & 1;
    }
    return known;
}

uint64_t hal_entropy(void) {
    uint64_t word = 0;
    unsigned char ok = 0;
    for (int tries = 0; has_rdrand() && !ok && tries < 10; tries++) { // it may be dry for a moment
        __asm__ volatile ("rdrand %0; setc %1" : "=r" (word), "=q" (ok) :: "cc");
    }
    return word ^ read_tsc();
}

void hal_shutdown(unsigned reason) {
    console_drain(hal_ns() + (reason == SHUTDOWN_CRASH ? 500000000ull : 1000000000ull));
    hypercall_shutdown(reason);
    for (;;) { // Xen does not come back
        __asm__ volatile ("cli; hlt");
    }
}
