// Where Python was, told from the C stack alone: for crashes that are no Python exceptions.
//
// Every running Python frame has its mp_code_state_t either on the pystack (functions) or in the heap (generators,
// hence all tasks), and the C frames that execute it hold a pointer to it. So we walk the C stack upwards and print
// each word that points to something that is, in every respect we can check, the state of a frame that is running.
// It may, rarely, name a frame that has just returned; it never follows a pointer that it has not judged, and it
// allocates nothing.
#include "py/bc.h"
#include "py/gc.h"
#include "py/mpstate.h"
#include "py/objfun.h"
#include "py/objgenerator.h"
#include "py/runtime.h"

#include "hal.h"

#define FRAMES_MAX 40
#define BYTECODE_MAX (1 << 20) // no function is longer; rules out an ip that belongs to something else

extern const char __executable_start[], _end[]; // the image or program, from the linker

// py/objgenerator.c keeps this to itself. pend_exc is MP_OBJ_NULL exactly while the generator runs.
typedef struct {
    mp_obj_base_t base;
    mp_obj_t pend_exc;
    mp_code_state_t code_state;
} generator_t;

static bool within(const void *p, const void *start, const void *end) {
    return (const char *)p >= (const char *)start && (const char *)p < (const char *)end;
}

static bool in_heap(const void *p) {
    return within(p, MP_STATE_MEM(area).gc_pool_start, MP_STATE_MEM(area).gc_pool_end);
}

static bool in_pystack(const void *p) {
    return within(p, MP_STATE_THREAD(pystack_start), MP_STATE_THREAD(pystack_cur));
}

static bool in_image(const void *p) {
    return within(p, __executable_start, _end);
}

static bool running_generator(const mp_code_state_t *state) {
    const generator_t *generator = (const void *)((const char *)state - offsetof(generator_t, code_state));
    return in_heap(generator) && generator->base.type == &mp_type_gen_instance && generator->pend_exc == MP_OBJ_NULL;
}

static bool is_frame(const mp_code_state_t *state) {
    if (((uintptr_t)state & 7) || !(in_pystack(state) || (in_heap(state) && running_generator(state)))) {
        return false;
    }
    const mp_obj_fun_bc_t *function = state->fun_bc;
    if (((uintptr_t)function & 7) || !in_heap(function)) {
        return false;
    }
    if (function->base.type != &mp_type_fun_bc && function->base.type != &mp_type_gen_wrap) {
        return false;
    }
    return (in_image(function->bytecode) || in_heap(function->bytecode)) && in_heap(function->context)
        && state->ip > function->bytecode && state->ip < function->bytecode + BYTECODE_MAX;
}

// The line as py/vm.c computes it for a traceback.
static void print_frame(const mp_code_state_t *state) {
    const byte *ip = state->fun_bc->bytecode;
    MP_BC_PRELUDE_SIG_DECODE(ip);
    MP_BC_PRELUDE_SIZE_DECODE(ip);
    const byte *lines_end = ip + n_info;
    size_t offset = state->ip - (ip + n_info + n_cell);
    qstr name = mp_decode_uint_value(ip);
    for (size_t i = 0; i < 1 + n_pos_args + n_kwonly_args; i++) {
        ip = mp_decode_uint_skip(ip);
    }
    const qstr_short_t *names = state->fun_bc->context->constants.qstr_table;
    crash_printf("  File \"%s\", line %u, in %s\n", qstr_str(names[0]),
        (unsigned)mp_bytecode_get_source_line(ip, lines_end, offset), qstr_str(names[name]));
}

// Callers and left-overs below them hold the same pointer; its first mention is the innermost.
static bool contains(const void *const *items, unsigned n, const void *item) {
    while (n > 0) {
        if (items[--n] == item) {
            return true;
        }
    }
    return false;
}

void traceback_print(const void *sp) {
    if (MP_STATE_MEM(area).gc_pool_start == NULL) {
        return; // Python has not started
    }
    const void **word = (const void **)((uintptr_t)sp & ~(uintptr_t)7);
    const void **top = (const void **)MP_STATE_THREAD(stack_top);
    const void *seen[FRAMES_MAX];
    unsigned frames = 0;
    crash_printf("Python, innermost frame first:\n");
    for (; word < top && frames < FRAMES_MAX; word++) {
        if (is_frame(*word) && !contains(seen, frames, *word)) {
            seen[frames++] = *word;
            print_frame(*word);
        }
    }
    if (frames == 0) {
        crash_printf("  (no frame)\n");
    }
}

void hal_crash(const char *why) {
    crash_printf("crash: %s\n", why);
    traceback_print(__builtin_frame_address(0));
    hal_shutdown(SHUTDOWN_CRASH);
}
