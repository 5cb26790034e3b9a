// Allocations that fail: for tests that everything is given back whatever is refused.
//
// The linker puts the functions below in front of the collector's own (--wrap, see the Makefile). What a list or
// buffer gives back of its size cannot fail there, and does not here.
#include "py/gc.h"
#include "py/runtime.h"

static bool on;
static mp_int_t left = -1; // allocations until the one that fails; negative: none will

void *__real_gc_alloc(size_t octets, unsigned flags);
void *__real_gc_realloc(void *memory, size_t octets, bool move);

static bool refused(void) {
    return on && left >= 0 && left-- == 0;
}

void *__wrap_gc_alloc(size_t octets, unsigned flags) {
    return refused() ? NULL : __real_gc_alloc(octets, flags);
}

void *__wrap_gc_realloc(void *memory, size_t octets, bool move) {
    bool grows = memory == NULL || octets > gc_nbytes(memory);
    return grows && refused() ? NULL : __real_gc_realloc(memory, octets, move);
}

// after(n): the allocation that comes after n more, while it is on, fails; negative: none
static mp_obj_t starve_after(mp_obj_t n) {
    left = mp_obj_get_int(n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(starve_after_obj, starve_after);

// on(): count from now on
static mp_obj_t starve_on(void) {
    on = true;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(starve_on_obj, starve_on);

// off() -> whether the allocation has failed
static mp_obj_t starve_off(void) {
    on = false;
    return mp_obj_new_bool(left < 0);
}
static MP_DEFINE_CONST_FUN_OBJ_0(starve_off_obj, starve_off);

#define FUNCTION(name) { MP_ROM_QSTR(MP_QSTR_##name), MP_ROM_PTR(&starve_##name##_obj) }
static const mp_rom_map_elem_t starve_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_starve) },
    FUNCTION(after), FUNCTION(on), FUNCTION(off),
};
static MP_DEFINE_CONST_DICT(starve_globals, starve_globals_table);
const mp_obj_module_t mp_module_starve = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&starve_globals,
};
MP_REGISTER_MODULE(MP_QSTR_starve, mp_module_starve);
