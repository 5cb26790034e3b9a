// What the files of the module `xen` share: arguments that are buffers, results that are errors, and the functions that
// stand in modmemory.c and modgrant.c, for the table in modxen.c.
#pragma once
#include "py/objarray.h"
#include "py/runtime.h"

#include "hal.h"

static inline mp_obj_t fail(int negative_errno) {
    mp_raise_OSError(-negative_errno);
}

// Result of a hal function that returns a non-negative value or a negative errno.
static inline mp_obj_t value_or_raise(int result) {
    return result < 0 ? fail(result) : MP_OBJ_NEW_SMALL_INT(result);
}

static inline mp_obj_t none_or_raise(int result) {
    return result < 0 ? fail(result) : mp_const_none;
}

static inline void get_buffer(mp_obj_t from, mp_buffer_info_t *buffer, mp_uint_t flags) {
    mp_get_buffer_raise(from, buffer, flags);
}

// The first n words of a buffer. ValueError: it has fewer.
static inline uint32_t *words_of(mp_obj_t from, mp_int_t n) {
    mp_buffer_info_t buffer;
    get_buffer(from, &buffer, MP_BUFFER_RW);
    if (n < 0 || (size_t)n > buffer.len / 4 || ((uintptr_t)buffer.buf & 3)) {
        mp_raise_ValueError(MP_ERROR_TEXT("fewer words than that"));
    }
    return buffer.buf;
}

// An empty bytearray becomes one over these octets.
static inline mp_obj_t lay_over(mp_obj_t buffer, void *start, size_t octets) {
    mp_obj_array_t *array = MP_OBJ_TO_PTR(buffer);
    array->items = start;
    array->len = octets;
    return buffer;
}

// The bytearray that mem() or map() made. TypeError.
static inline mp_obj_array_t *bytearray_of(mp_obj_t from) {
    if (!mp_obj_is_type(from, &mp_type_bytearray)) {
        mp_raise_TypeError(MP_ERROR_TEXT("expected the bytearray of mem() or map()"));
    }
    return MP_OBJ_TO_PTR(from);
}

static inline void make_empty(mp_obj_array_t *array) {
    array->items = NULL;
    array->len = 0;
    array->free = 0;
}

// ---- modmemory.c
MP_DECLARE_CONST_FUN_OBJ_1(xen_mem_obj);
MP_DECLARE_CONST_FUN_OBJ_1(xen_free_obj);
MP_DECLARE_CONST_FUN_OBJ_2(xen_view_obj);
MP_DECLARE_CONST_FUN_OBJ_1(xen_addr_obj);
MP_DECLARE_CONST_FUN_OBJ_1(xen_gfn_obj);
MP_DECLARE_CONST_FUN_OBJ_0(xen_memory_obj);
MP_DECLARE_CONST_FUN_OBJ_0(xen_heap_obj);
MP_DECLARE_CONST_FUN_OBJ_0(xen_garbage_obj);
MP_DECLARE_CONST_FUN_OBJ_0(xen_mb_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(xen_cmpxchg32_obj);
MP_DECLARE_CONST_FUN_OBJ_3(xen_and8_obj);
MP_DECLARE_CONST_FUN_OBJ_3(xen_or8_obj);
MP_DECLARE_CONST_FUN_OBJ_3(xen_zero_obj);
MP_DECLARE_CONST_FUN_OBJ_3(xen_zeros_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(xen_moves_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(xen_csum_obj);

// ---- modgrant.c
MP_DECLARE_CONST_FUN_OBJ_3(xen_grant_obj);
MP_DECLARE_CONST_FUN_OBJ_1(xen_revoke_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(xen_grants_obj);
MP_DECLARE_CONST_FUN_OBJ_2(xen_revokes_obj);
MP_DECLARE_CONST_FUN_OBJ_2(xen_map_obj);
MP_DECLARE_CONST_FUN_OBJ_1(xen_unmap_obj);
MP_DECLARE_CONST_FUN_OBJ_2(xen_copy_obj);
