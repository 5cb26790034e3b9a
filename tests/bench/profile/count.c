/* QEMU plugin: where the image's instructions go, counted, not sampled. For the counting computer: one CPU.
 *
 *   -plugin file=count.so,out=FILE,low=A,high=B,code=C,end=D,switch=E
 *
 * A..B: mp_execute_bytecode; C..D: the image's read-only data, where the frozen bytecode lies; E: Xen's context_switch(). The
 * counters lie in FILE, mapped: whoever copies it twice knows what ran in between. Its layout is struct counters, which
 * counters.py reads.
 *
 * No other guest runs code between 1 and 2 MiB; Xen is known by its addresses as well. Xen's instructions that follow on the
 * image's, until Xen switches to somebody else, count as done for it, by the block of the image that ran last. When
 * the interpreter loads an octet of bytecode, that tells which Python is running.
 *
 * What is used of QEMU's plugin interface (version 4) is declared here: Debian has no header of it. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, uint32_t, uint64_t, void *), int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(uint32_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

#define IMAGE 0x100000ull
#define IMAGE_SIZE 0x100000ull
#define XEN 0xffff82d040000000ull
#define XEN_SIZE 0x800000ull
enum { SLEEP = 2, STRING = 4 };

struct counters {
    uint64_t xen_for_others, entries; /* entries: how often the image ran again after somebody else */
    uint64_t unused[6];
    uint64_t insns[IMAGE_SIZE];   /* by a block's first address: the image's instructions, */
    uint64_t runs[IMAGE_SIZE];    /* how often it ran, */
    uint64_t xen[IMAGE_SIZE];     /* Xen's instructions after it */
    uint64_t python[IMAGE_SIZE];  /* by address of bytecode: the image's instructions while it was the last one loaded, */
    uint64_t python_xen[IMAGE_SIZE];
    uint64_t loads[IMAGE_SIZE];
    uint64_t hypervisor[XEN_SIZE]; /* by a block's first address: Xen's instructions done for the image */
    uint8_t kind[IMAGE_SIZE];      /* of an image's block: SLEEP, it ends with HLT */
    uint8_t xen_kind[XEN_SIZE];    /* of a block of Xen's: STRING, it begins with a repeated string instruction */
};

struct block {
    uint32_t at, n;
};

static struct counters *c;
static uint64_t low, high, code, end, context_switch;
static bool ours;
static uint32_t last, ip;

static void run_image(unsigned cpu, void *data)
{
    const struct block *b = data;
    if (!ours) {
        ours = true;
        c->entries++;
    }
    last = b->at;
    c->insns[b->at] += b->n;
    c->runs[b->at]++;
    c->python[ip] += b->n;
}

static void run_xen(unsigned cpu, void *data)
{
    const struct block *b = data;
    if (!ours) {
        c->xen_for_others += b->n;
        return;
    }
    c->xen[last] += b->n;
    c->python_xen[ip] += b->n;
    c->hypervisor[b->at] += b->n;
}

static void run_switch(unsigned cpu, void *data)
{
    run_xen(cpu, data);
    ours = false;
}

static void load(unsigned cpu, uint32_t info, uint64_t at, void *data)
{
    if (at >= code && at < end && qemu_plugin_mem_size_shift(info) == 0) {
        ip = at - IMAGE;
        c->loads[ip]++;
    }
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    uint64_t at = qemu_plugin_tb_vaddr(tb);
    size_t n = qemu_plugin_tb_n_insns(tb);
    bool image = at - IMAGE < IMAGE_SIZE, xen = at - XEN < XEN_SIZE;
    if (!image && !xen) return;
    struct block *b = malloc(sizeof *b);
    *b = (struct block){at - (image ? IMAGE : XEN), n};
    qemu_plugin_register_vcpu_tb_exec_cb(tb, image ? run_image : at == context_switch ? run_switch : run_xen, 0, b);
    uint8_t d[16] = {0};
    if (xen) {
        qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, 0), d, sizeof d);
        if ((d[0] == 0xf3 || d[0] == 0xf2) && ((d[1 + ((d[1] & 0xf0) == 0x40)] & 0xf4) == 0xa4)) c->xen_kind[b->at] = STRING;
        return;
    }
    qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, n - 1), d, sizeof d);
    c->kind[b->at] = d[0] == 0xf4 ? SLEEP : 0;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t v = qemu_plugin_insn_vaddr(insn);
        if (v >= low && v < high) qemu_plugin_register_vcpu_mem_cb(insn, load, 0, 1, NULL);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int n, char **words)
{
    const char *out = NULL;
    for (int i = 0; i < n; i++) {
        char *value = strchr(words[i], '=');
        if (!value) return -1;
        *value++ = 0;
        if (!strcmp(words[i], "out")) out = value;
        else if (!strcmp(words[i], "low")) low = strtoull(value, NULL, 0);
        else if (!strcmp(words[i], "high")) high = strtoull(value, NULL, 0);
        else if (!strcmp(words[i], "code")) code = strtoull(value, NULL, 0);
        else if (!strcmp(words[i], "end")) end = strtoull(value, NULL, 0);
        else if (!strcmp(words[i], "switch")) context_switch = strtoull(value, NULL, 0);
        else return -1;
    }
    int f = out ? open(out, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    if (f < 0 || ftruncate(f, sizeof *c)) return -1;
    c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
    close(f);
    if (c == MAP_FAILED) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
