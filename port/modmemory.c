// Memory, for the module `xen`: outside the object heap, figures of both, words that others write too, many octets at once.
#include <string.h>

#include "py/binary.h"
#include "py/mperrno.h"

#include "modxen.h"

// ---- memory outside the heap ------------------------------------------------------------------

// mem(octets) -> bytearray: page-aligned, zeroed, neither owned nor scanned by the collector. MemoryError.
static mp_obj_t xen_mem(mp_obj_t octets_in) {
    mp_int_t octets = mp_obj_get_int(octets_in);
    if (octets <= 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("octets must be positive"));
    }
    mp_obj_t buffer = mp_obj_new_bytearray_by_ref(0, NULL); // first: it may fail, and what hal_mem gives would be lost
    void *start = hal_mem(octets);
    if (start == NULL) {
        mp_raise_msg_varg(&mp_type_MemoryError, MP_ERROR_TEXT("no %d octets outside the heap"), (int)octets);
    }
    return lay_over(buffer, start, octets);
}
MP_DEFINE_CONST_FUN_OBJ_1(xen_mem_obj, xen_mem);

// free(buf): give back what mem() returned; buf becomes empty, views of it must not be used again.
// ValueError: not a whole piece from mem(). OSError EBUSY: one of its pages is still granted.
static mp_obj_t xen_free(mp_obj_t buf) {
    mp_obj_array_t *array = bytearray_of(buf);
    int result = hal_mem_free(array->items, array->len);
    if (result == -MP_EINVAL) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a whole piece from mem()"));
    }
    if (result < 0) {
        return fail(result);
    }
    make_empty(array);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(xen_free_obj, xen_free);

// view(buf, 'B' | 'H' | 'I' | 'Q') -> memoryview of the same memory in that element size. ValueError: not aligned.
static mp_obj_t xen_view(mp_obj_t buf, mp_obj_t code_in) {
    mp_buffer_info_t buffer;
    get_buffer(buf, &buffer, MP_BUFFER_RW);
    const char *code = mp_obj_str_get_str(code_in);
    if (code[0] == 0 || code[1] != 0 || strchr("BHIQ", code[0]) == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("element must be B, H, I or Q"));
    }
    size_t octets = mp_binary_get_size('@', code[0], NULL);
    if ((uintptr_t)buffer.buf & (octets - 1)) {
        mp_raise_ValueError(MP_ERROR_TEXT("buffer not aligned"));
    }
    return mp_obj_new_memoryview(code[0] | MP_OBJ_ARRAY_TYPECODE_FLAG_RW, buffer.len / octets, buffer.buf);
}
MP_DEFINE_CONST_FUN_OBJ_2(xen_view_obj, xen_view);

static uint64_t machine_address_of(mp_obj_t buf) {
    mp_buffer_info_t buffer;
    get_buffer(buf, &buffer, MP_BUFFER_READ);
    uint64_t address = hal_machine_address(buffer.buf);
    if (address == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("not memory that can be shared"));
    }
    return address;
}

// addr(buf) -> int: guest-physical address of its first octet. ValueError: not from mem() or map().
static mp_obj_t xen_addr(mp_obj_t buf) {
    return MP_OBJ_NEW_SMALL_INT(machine_address_of(buf));
}
MP_DEFINE_CONST_FUN_OBJ_1(xen_addr_obj, xen_addr);

// gfn(buf) -> int: guest frame number of its first octet. ValueError: as addr(), or not at the start of a page.
static mp_obj_t xen_gfn(mp_obj_t buf) {
    uint64_t address = machine_address_of(buf);
    if (address % PAGE_SIZE) {
        mp_raise_ValueError(MP_ERROR_TEXT("not at the start of a page"));
    }
    return MP_OBJ_NEW_SMALL_INT(address / PAGE_SIZE);
}
MP_DEFINE_CONST_FUN_OBJ_1(xen_gfn_obj, xen_gfn);

// memory() -> (total, free): octets that mem() owns, and those not given out.
static mp_obj_t xen_memory(void) {
    size_t total, free;
    hal_memory(&total, &free);
    mp_obj_t items[] = { MP_OBJ_NEW_SMALL_INT(total), MP_OBJ_NEW_SMALL_INT(free) };
    return mp_obj_new_tuple(2, items);
}
MP_DEFINE_CONST_FUN_OBJ_0(xen_memory_obj, xen_memory);

// heap() -> (total, free): octets of the object heap; what the next collection will free is not free yet.
static mp_obj_t xen_heap(void) {
    size_t total, free;
    python_heap(&total, &free);
    mp_obj_t items[] = { MP_OBJ_NEW_SMALL_INT(total), MP_OBJ_NEW_SMALL_INT(free) };
    return mp_obj_new_tuple(2, items);
}
MP_DEFINE_CONST_FUN_OBJ_0(xen_heap_obj, xen_heap);

// garbage() -> octets of the object heap allocated since the last collection, whether they are in use or not.
static mp_obj_t xen_garbage(void) {
    return MP_OBJ_NEW_SMALL_INT(MP_STATE_MEM(gc_alloc_amount) * MICROPY_BYTES_PER_GC_BLOCK);
}
MP_DEFINE_CONST_FUN_OBJ_0(xen_garbage_obj, xen_garbage);

// ---- memory order and atomics -----------------------------------------------------------------

// The 32-bit word `index` of a writable buffer. ValueError when it lies outside.
static uint32_t *word_at(mp_obj_t from, mp_obj_t index_in) {
    mp_buffer_info_t buffer;
    get_buffer(from, &buffer, MP_BUFFER_RW);
    mp_int_t index = mp_obj_get_int(index_in);
    if (index < 0 || (size_t)index >= buffer.len / 4 || ((uintptr_t)buffer.buf & 3)) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such word"));
    }
    return (uint32_t *)buffer.buf + index;
}

static uint8_t *octet_at(mp_obj_t from, mp_obj_t offset_in) {
    mp_buffer_info_t buffer;
    get_buffer(from, &buffer, MP_BUFFER_RW);
    mp_int_t offset = mp_obj_get_int(offset_in);
    if (offset < 0 || (size_t)offset >= buffer.len) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such octet"));
    }
    return (uint8_t *)buffer.buf + offset;
}

// mb(): full memory fence. Between publishing an index and reading the peer's event index.
static mp_obj_t xen_mb(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(xen_mb_obj, xen_mb);

// cmpxchg32(buf, index, old, new) -> the word seen; it was replaced if that equals old. ValueError: no such word.
static mp_obj_t xen_cmpxchg32(size_t n_args, const mp_obj_t *args) {
    uint32_t *word = word_at(args[0], args[1]);
    uint32_t seen = mp_obj_get_int_truncated(args[2]);
    uint32_t new = mp_obj_get_int_truncated(args[3]);
    __atomic_compare_exchange_n(word, &seen, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return MP_OBJ_NEW_SMALL_INT(seen);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_cmpxchg32_obj, 4, 4, xen_cmpxchg32);

// and8(buf, offset, mask) -> the octet before. ValueError: no such octet.
static mp_obj_t xen_and8(mp_obj_t buf, mp_obj_t offset, mp_obj_t mask) {
    uint8_t value = mp_obj_get_int_truncated(mask);
    return MP_OBJ_NEW_SMALL_INT(__atomic_fetch_and(octet_at(buf, offset), value, __ATOMIC_SEQ_CST));
}
MP_DEFINE_CONST_FUN_OBJ_3(xen_and8_obj, xen_and8);

// or8(buf, offset, bits) -> the octet before. ValueError: no such octet.
static mp_obj_t xen_or8(mp_obj_t buf, mp_obj_t offset, mp_obj_t bits) {
    uint8_t value = mp_obj_get_int_truncated(bits);
    return MP_OBJ_NEW_SMALL_INT(__atomic_fetch_or(octet_at(buf, offset), value, __ATOMIC_SEQ_CST));
}
MP_DEFINE_CONST_FUN_OBJ_3(xen_or8_obj, xen_or8);

// ---- many octets at once ----------------------------------------------------------------------

static uint8_t *octets_at(mp_obj_t buf, mp_obj_t offset_in, mp_int_t octets, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    get_buffer(buf, &buffer, flags);
    mp_int_t offset = mp_obj_get_int(offset_in);
    if (offset < 0 || octets < 0 || (size_t)offset > buffer.len || (size_t)octets > buffer.len - offset) {
        mp_raise_ValueError(MP_ERROR_TEXT("range outside the buffer"));
    }
    return (uint8_t *)buffer.buf + offset;
}

// zero(buf, offset, octets): make them zero. Allocates nothing. ValueError: outside buf.
static mp_obj_t xen_zero(mp_obj_t buf, mp_obj_t offset, mp_obj_t octets_in) {
    mp_int_t octets = mp_obj_get_int(octets_in);
    memset(octets_at(buf, offset, octets, MP_BUFFER_RW), 0, octets);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_3(xen_zero_obj, xen_zero);

// zeros(buf, places, n): make n places zero, each two words of `places`: offset in buf, octets. Allocates nothing.
// ValueError: one lies outside buf; those before it are zero.
static mp_obj_t xen_zeros(mp_obj_t buf, mp_obj_t places_in, mp_obj_t n_in) {
    mp_int_t n = mp_obj_get_int(n_in);
    const uint32_t *places = words_of(places_in, n < 0 ? n : 2 * n);
    mp_buffer_info_t buffer;
    get_buffer(buf, &buffer, MP_BUFFER_RW);
    for (mp_int_t i = 0; i < n; i++, places += 2) {
        if (places[0] > buffer.len || places[1] > buffer.len - places[0]) {
            mp_raise_ValueError(MP_ERROR_TEXT("range outside the buffer"));
        }
        memset((uint8_t *)buffer.buf + places[0], 0, places[1]);
    }
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_3(xen_zeros_obj, xen_zeros);

// moves(to, from, places, n): n pieces go from one buffer to another, each three words of `places`: offset in to,
// offset in from, octets. Allocates nothing. ValueError: one lies outside; those before it have gone.
static mp_obj_t xen_moves(size_t n_args, const mp_obj_t *args) {
    mp_int_t n = mp_obj_get_int(args[3]);
    const uint32_t *places = words_of(args[2], n < 0 ? n : 3 * n);
    mp_buffer_info_t to, from;
    get_buffer(args[0], &to, MP_BUFFER_RW);
    get_buffer(args[1], &from, MP_BUFFER_READ);
    for (mp_int_t i = 0; i < n; i++, places += 3) {
        uint32_t octets = places[2];
        if (octets > to.len || places[0] > to.len - octets || octets > from.len || places[1] > from.len - octets) {
            mp_raise_ValueError(MP_ERROR_TEXT("range outside the buffer"));
        }
        memmove((uint8_t *)to.buf + places[0], (const uint8_t *)from.buf + places[1], octets);
    }
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_moves_obj, 4, 4, xen_moves);

// csum(buf, offset, octets, seed) -> folded ones'-complement sum of 16-bit big-endian words, not inverted; an odd
// last octet counts as followed by zero (RFC 1071). seed: an earlier result, or 0. ValueError: outside buf.
static mp_obj_t xen_csum(size_t n_args, const mp_obj_t *args) {
    mp_int_t octets = mp_obj_get_int(args[2]);
    const uint8_t *start = octets_at(args[0], args[1], octets, MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(csum_fold(start, octets, mp_obj_get_int_truncated(args[3])));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_csum_obj, 4, 4, xen_csum);
