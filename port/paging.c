// Page tables: virtual = physical, each page either writable or executable, never both.
//
//   0 .. 1 MiB       nothing: a null pointer faults
//   1 .. 4 MiB       4 KiB pages: text R-X, rodata R--, data RW-, a hole below each stack, then RAM RW-
//   4 MiB .. RAM end 2 MiB pages, RW-
//   window           1 GiB page, RW-: shared_info, grant table, peers' pages, hypercall arguments
//   3 .. 4 GiB       1 GiB page, RW-: the pages shared with xenstored and the console
//
// Tables map guest-physical addresses; where Xen has put no page, an access is emulated and reads all ones.
// A CPU without 1 GiB pages gets 2 MiB pages there.
#include "xenhost.h"

#define PRESENT 1ull
#define WRITABLE 2ull
#define LARGE 0x80ull
#define NO_EXECUTE (1ull << 63)
#define DATA (PRESENT | WRITABLE | NO_EXECUTE)

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define SMALL_END (4 * MIB)
#define SPECIAL (3 * GIB)

#define TABLE(name) static uint64_t name[512] __attribute__((aligned(4096), section(".bss.pages")))
TABLE(pml4);
TABLE(pdpt);
TABLE(ram_directory);
TABLE(window_directory);
TABLE(special_directory);
static uint64_t small_tables[2][512] __attribute__((aligned(4096), section(".bss.pages")));

extern const char __executable_start[], _text_end[], _rodata_end[], _end[];
extern const char stack_guard[], crash_stack_guard[];

static bool has_gib_pages(void) {
    uint32_t r[4];
    cpuid(0x80000001, r);
    return r[3] & 1u << 26;
}

static uint64_t small_page(uint64_t address) {
    if (address < (uintptr_t)__executable_start) {
        return 0;
    }
    if (address < (uintptr_t)_text_end) {
        return address | PRESENT;
    }
    if (address < (uintptr_t)_rodata_end) {
        return address | PRESENT | NO_EXECUTE;
    }
    if (address == (uintptr_t)stack_guard || address == (uintptr_t)crash_stack_guard) {
        return 0;
    }
    return address | DATA;
}

static void map_gib(uint64_t address, uint64_t *directory, bool as_one_page) {
    if (as_one_page) {
        pdpt[address / GIB] = address | DATA | LARGE;
        return;
    }
    for (uint64_t i = 0; i < 512; i++) {
        directory[i] = (address + i * 2 * MIB) | DATA | LARGE;
    }
    pdpt[address / GIB] = (uintptr_t)directory | PRESENT | WRITABLE;
}

void paging_init(uint64_t ram_end, uint64_t window) {
    pml4[0] = (uintptr_t)pdpt | PRESENT | WRITABLE;
    pdpt[0] = (uintptr_t)ram_directory | PRESENT | WRITABLE;
    for (uint64_t i = 0; i < 2; i++) {
        ram_directory[i] = (uintptr_t)small_tables[i] | PRESENT | WRITABLE;
    }
    for (uint64_t address = 0; address < SMALL_END; address += PAGE_SIZE) {
        small_tables[address / (2 * MIB)][address / PAGE_SIZE % 512] = small_page(address);
    }
    for (uint64_t address = SMALL_END; address < ram_end; address += 2 * MIB) {
        ram_directory[address / (2 * MIB)] = address | DATA | LARGE;
    }
    bool gib_pages = has_gib_pages();
    map_gib(window, window_directory, gib_pages);
    map_gib(SPECIAL, special_directory, gib_pages);
    __asm__ volatile ("mov %0, %%cr3" :: "r" (pml4) : "memory");
}
