// What MicroPython asks of any host: start, clock, output, and what happens when nothing catches an exception.
#include <stdio.h>
#include <string.h>

#include "py/builtin.h"
#include "py/compile.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/pystack.h"
#include "py/runtime.h"

#include "hal.h"

// ---- output -----------------------------------------------------------------------------------

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t n) {
    hal_console(text, n);
    return n;
}

int mp_hal_stdin_rx_chr(void) {
    return 4; // end of input: there is none
}

// ---- clock ------------------------------------------------------------------------------------

mp_uint_t mp_hal_ticks_ms(void) { return hal_ns() / 1000000; }
mp_uint_t mp_hal_ticks_us(void) { return hal_ns() / 1000; }
mp_uint_t mp_hal_ticks_cpu(void) { return hal_ns(); }
uint64_t mp_hal_time_ns(void) { return hal_wall_ns(); }

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = hal_ns() + us * 1000ull;
    while (hal_ns() < end) {
        hal_sleep(end);
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    mp_hal_delay_us(ms * 1000);
}

// ---- files: none, everything is frozen --------------------------------------------------------

#if !SIMULATION
mp_lexer_t *mp_lexer_new_from_file(qstr filename) {
    mp_raise_OSError(MP_ENOENT);
}

mp_import_stat_t mp_import_stat(const char *path) {
    return MP_IMPORT_STAT_NO_EXIST;
}
#endif

// asyncio's stream module refers to it
static mp_obj_t builtin_open(size_t n_args, const mp_obj_t *args, mp_map_t *named) {
    mp_raise_OSError(MP_ENOENT);
}
MP_DEFINE_CONST_FUN_OBJ_KW(mp_builtin_open_obj, 1, builtin_open);

// ---- heap -------------------------------------------------------------------------------------

// Two bits a block in the allocation table, 0: free. MicroPython's own function looks at the blocks one by one, which
// takes milliseconds.
void python_heap(size_t *total, size_t *free) {
    const uint8_t *table = MP_STATE_MEM(area).gc_alloc_table_start;
    size_t octets = MP_STATE_MEM(area).gc_alloc_table_byte_len, used = 0;
    for (size_t i = 0; i < octets; i += 8) {
        uint64_t pairs = 0;
        memcpy(&pairs, table + i, octets - i < 8 ? octets - i : 8);
        pairs = (pairs | pairs >> 1) & 0x5555555555555555;
        pairs = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333);
        pairs = (pairs + (pairs >> 4)) & 0x0f0f0f0f0f0f0f0f;
        used += pairs * 0x0101010101010101 >> 56;
    }
    *total = octets * 4 * MICROPY_BYTES_PER_GC_BLOCK;
    *free = *total - used * MICROPY_BYTES_PER_GC_BLOCK;
}

// ---- start and end ----------------------------------------------------------------------------

void python_start(void *heap, size_t heap_octets, void *pystack, size_t pystack_octets, void *stack_top, size_t stack_octets) {
    mp_cstack_init_with_top(stack_top, stack_octets);
    mp_pystack_init(pystack, (char *)pystack + pystack_octets);
    gc_init((char *)heap + collect_init(heap, heap_octets), (char *)heap + heap_octets);
    mp_init();
}

// As Python prints it, but of a recursion without end only both ends: the console takes 2048 octets at once.
static void print_traceback(mp_obj_t exception) {
    enum { ENDS = 12 }; // frames told at either end
    size_t n, *entries; // in threes, the innermost frame first
    mp_obj_exception_get_traceback(exception, &n, &entries);
    size_t frames = n / 3;
    crash_printf("Traceback (most recent call last):\n");
    for (size_t i = frames; i-- > 0;) {
        if (frames > 2 * ENDS && i == frames - ENDS - 1) {
            crash_printf("  ... %u more ...\n", (unsigned)(frames - 2 * ENDS));
            i = ENDS;
            continue;
        }
        const size_t *frame = entries + 3 * i;
        crash_printf("  File \"%s\", line %u, in %s\n", qstr_str(frame[0]), (unsigned)frame[1], qstr_str(frame[2]));
    }
}

static void print_cause(mp_obj_t exception) {
    mp_obj_print_helper(&crash_print, exception, PRINT_EXC);
    crash_printf("\n");
}

void python_report(void *exception) {
    crash_printf("crash: uncaught ");
    print_cause(MP_OBJ_FROM_PTR(exception)); // first: a long traceback may not find room
    if (mp_obj_is_exception_instance(MP_OBJ_FROM_PTR(exception))) {
        print_traceback(MP_OBJ_FROM_PTR(exception));
        print_cause(MP_OBJ_FROM_PTR(exception));
    }
}

void python_run(const char *module) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        mp_import_name(qstr_from_str(module), mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
        nlr_pop();
        crash_printf("crash: the main program ended\n");
    } else {
        python_report(nlr.ret_val);
    }
    hal_shutdown(SHUTDOWN_CRASH);
}

void nlr_jump_fail(void *value) {
    hal_crash("exception outside of any handler");
}

#if !SIMULATION
void abort(void) {
    hal_crash("abort()");
}
#endif
