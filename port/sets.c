// A set that cannot grow, for want of memory, stays as it is. MicroPython's py/map.c (1.25) writes down how large its new
// table is before it has one, so after a MemoryError whoever looks into the set reads and writes behind the old table.
// The linker puts this in front of mp_set_lookup() (--wrap, see the Makefile).
#include "py/nlr.h"
#include "py/obj.h"

mp_obj_t __real_mp_set_lookup(mp_set_t *set, mp_obj_t element, mp_map_lookup_kind_t kind);

mp_obj_t __wrap_mp_set_lookup(mp_set_t *set, mp_obj_t element, mp_map_lookup_kind_t kind) {
    if (!(kind & MP_MAP_LOOKUP_ADD_IF_NOT_FOUND) || set->used < set->alloc) {
        return __real_mp_set_lookup(set, element, kind); // no growth
    }
    const mp_set_t before = *set;
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        mp_obj_t found = __real_mp_set_lookup(set, element, kind);
        nlr_pop();
        return found;
    }
    if (set->table == before.table) {
        *set = before;
    }
    nlr_jump(nlr.ret_val);
}
