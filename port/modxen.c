// The module `xen`: all that Python sees of C. hal.h says what lies below each function.
//
// Above each function stands its Python signature with its errors, below it its object; the table at
// the end is the contents page. A wrong argument is our own mistake and raises ValueError or TypeError;
// what Xen refuses raises OSError with Xen's number.
#include <string.h>

#include "py/binary.h"
#include "py/mperrno.h"
#include "py/objarray.h"
#include "py/objlist.h"
#include "py/runtime.h"

#include "hal.h"

#define COPY_OCTETS 40 // struct gnttab_copy
#define MAP_MAX 64     // pages in one call of map(): a vchan has at most 33

static mp_obj_t fail(int negative_errno) {
    mp_raise_OSError(-negative_errno);
}

// Result of a hal function that returns a non-negative value or a negative errno.
static mp_obj_t value_or_raise(int result) {
    return result < 0 ? fail(result) : MP_OBJ_NEW_SMALL_INT(result);
}

static mp_obj_t none_or_raise(int result) {
    return result < 0 ? fail(result) : mp_const_none;
}

static void get_buffer(mp_obj_t from, mp_buffer_info_t *buffer, mp_uint_t flags) {
    mp_get_buffer_raise(from, buffer, flags);
}

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

// ---- time -------------------------------------------------------------------------------------

// ns() -> int: Xen system time in ns. Never goes back.
static mp_obj_t xen_ns(void) {
    return MP_OBJ_NEW_SMALL_INT(hal_ns());
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_ns_obj, xen_ns);

// wall() -> int: UNIX time in ns, as the host tells it.
static mp_obj_t xen_wall(void) {
    return MP_OBJ_NEW_SMALL_INT(hal_wall_ns());
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_wall_obj, xen_wall);

// own() -> int: ns() less the time in which Xen let others run although we had work; for how long we take over things.
static mp_obj_t xen_own(void) {
    return MP_OBJ_NEW_SMALL_INT(hal_own_ns());
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_own_obj, xen_own);

// collecting(since) -> int: ns that garbage collection has taken since then, both by own(). Of the last eight at most.
static mp_obj_t xen_collecting(mp_obj_t since) {
    return MP_OBJ_NEW_SMALL_INT(python_collecting_ns(mp_obj_get_int(since)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_collecting_obj, xen_collecting);

// watchdog(seconds): unless it is called again in this time Xen ends the domain as hung; 0: it does not. Xen counts while
// it lets us pause, too. OSError: Xen refuses.
static mp_obj_t xen_watchdog(mp_obj_t seconds) {
    return none_or_raise(hal_watchdog(mp_obj_get_int(seconds)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_watchdog_obj, xen_watchdog);

// ---- events -----------------------------------------------------------------------------------

// sleep(deadline_ns): until an event on any port, until ns() reaches the deadline, or at once if anything
// is pending. None: no deadline. May return early; the caller looks again.
static mp_obj_t xen_sleep(mp_obj_t deadline_in) {
    uint64_t deadline = NO_DEADLINE;
    if (deadline_in != mp_const_none) {
        mp_int_t ns = mp_obj_get_int(deadline_in);
        deadline = ns < 0 ? 0 : (uint64_t)ns;
    }
    hal_sleep(deadline);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_sleep_obj, xen_sleep);

// pending(ports) -> int: how many ports had events since last asked; their numbers are stored in ports, a
// writable view of 16-bit words (view(mem(n), 'H')). Ports that found no room stay pending. Allocates nothing.
static mp_obj_t xen_pending(mp_obj_t ports_in) {
    mp_buffer_info_t ports;
    get_buffer(ports_in, &ports, MP_BUFFER_RW);
    if ((uintptr_t)ports.buf & 1) {
        mp_raise_ValueError(MP_ERROR_TEXT("view not aligned"));
    }
    return MP_OBJ_NEW_SMALL_INT(hal_pending(ports.buf, ports.len / 2));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_pending_obj, xen_pending);

// evtchn_alloc(domid) -> port that domid may bind. OSError.
static mp_obj_t xen_evtchn_alloc(mp_obj_t domid) {
    return value_or_raise(hal_evtchn_alloc(mp_obj_get_int(domid)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_evtchn_alloc_obj, xen_evtchn_alloc);

// evtchn_bind(domid, port) -> our port, pending once from the start. OSError: not offered to us, or no such domain.
static mp_obj_t xen_evtchn_bind(mp_obj_t domid, mp_obj_t port) {
    return value_or_raise(hal_evtchn_bind(mp_obj_get_int(domid), mp_obj_get_int(port)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(xen_evtchn_bind_obj, xen_evtchn_bind);

// evtchn_send(port). OSError: no such port. A peer that is gone is no error.
static mp_obj_t xen_evtchn_send(mp_obj_t port) {
    return none_or_raise(hal_evtchn_send(mp_obj_get_int(port)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_evtchn_send_obj, xen_evtchn_send);

// evtchn_close(port). OSError: no such port. An event not yet taken is forgotten.
static mp_obj_t xen_evtchn_close(mp_obj_t port) {
    return none_or_raise(hal_evtchn_close(mp_obj_get_int(port)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_evtchn_close_obj, xen_evtchn_close);

// counts() -> (hypercalls, copy operations, events sent, events received) since the start.
hal_counts_t hal_counts;
static mp_obj_t xen_counts(void) {
    mp_obj_t items[] = {
        MP_OBJ_NEW_SMALL_INT(hal_counts.hypercalls), MP_OBJ_NEW_SMALL_INT(hal_counts.copies),
        MP_OBJ_NEW_SMALL_INT(hal_counts.sent), MP_OBJ_NEW_SMALL_INT(hal_counts.received),
    };
    return mp_obj_new_tuple(4, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_counts_obj, xen_counts);

// ---- memory outside the heap ------------------------------------------------------------------

// An empty bytearray becomes one over these octets.
static mp_obj_t lay_over(mp_obj_t buffer, void *start, size_t octets) {
    mp_obj_array_t *array = MP_OBJ_TO_PTR(buffer);
    array->items = start;
    array->len = octets;
    return buffer;
}

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
static MP_DEFINE_CONST_FUN_OBJ_1(xen_mem_obj, xen_mem);

// The bytearray that mem() or map() made. TypeError.
static mp_obj_array_t *bytearray_of(mp_obj_t from) {
    if (!mp_obj_is_type(from, &mp_type_bytearray)) {
        mp_raise_TypeError(MP_ERROR_TEXT("expected the bytearray of mem() or map()"));
    }
    return MP_OBJ_TO_PTR(from);
}

static void make_empty(mp_obj_array_t *array) {
    array->items = NULL;
    array->len = 0;
    array->free = 0;
}

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
static MP_DEFINE_CONST_FUN_OBJ_1(xen_free_obj, xen_free);

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
static MP_DEFINE_CONST_FUN_OBJ_2(xen_view_obj, xen_view);

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
static MP_DEFINE_CONST_FUN_OBJ_1(xen_addr_obj, xen_addr);

// gfn(buf) -> int: guest frame number of its first octet. ValueError: as addr(), or not at the start of a page.
static mp_obj_t xen_gfn(mp_obj_t buf) {
    uint64_t address = machine_address_of(buf);
    if (address % PAGE_SIZE) {
        mp_raise_ValueError(MP_ERROR_TEXT("not at the start of a page"));
    }
    return MP_OBJ_NEW_SMALL_INT(address / PAGE_SIZE);
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_gfn_obj, xen_gfn);

// memory() -> (total, free): octets that mem() owns, and those not given out.
static mp_obj_t xen_memory(void) {
    size_t total, free;
    hal_memory(&total, &free);
    mp_obj_t items[] = { MP_OBJ_NEW_SMALL_INT(total), MP_OBJ_NEW_SMALL_INT(free) };
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_memory_obj, xen_memory);

// heap() -> (total, free): octets of the object heap; what the next collection will free is not free yet.
static mp_obj_t xen_heap(void) {
    size_t total, free;
    python_heap(&total, &free);
    mp_obj_t items[] = { MP_OBJ_NEW_SMALL_INT(total), MP_OBJ_NEW_SMALL_INT(free) };
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_heap_obj, xen_heap);

// garbage() -> octets of the object heap allocated since the last collection, whether they are in use or not.
static mp_obj_t xen_garbage(void) {
    return MP_OBJ_NEW_SMALL_INT(MP_STATE_MEM(gc_alloc_amount) * MICROPY_BYTES_PER_GC_BLOCK);
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_garbage_obj, xen_garbage);

// ---- grants -----------------------------------------------------------------------------------

// grant(gfn, domid, readonly) -> reference, 8 or more. OSError ENOSPC: the table is full.
static mp_obj_t xen_grant(mp_obj_t gfn, mp_obj_t domid, mp_obj_t readonly) {
    mp_int_t number = mp_obj_get_int(gfn), domain = mp_obj_get_int(domid);
    if (number <= 0 || number > UINT32_MAX || domain < 0 || domain > 0x7fef) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such page or domain"));
    }
    return value_or_raise(grant_page(number, domain, mp_obj_is_true(readonly)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(xen_grant_obj, xen_grant);

// revoke(gref) -> bool: False while the peer holds the page. ValueError: never lent, our own mistake.
static mp_obj_t xen_revoke(mp_obj_t gref) {
    int result = grant_revoke(mp_obj_get_int(gref));
    if (result == -MP_EINVAL) {
        mp_raise_ValueError(MP_ERROR_TEXT("reference was not lent"));
    }
    return mp_obj_new_bool(result == 0);
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_revoke_obj, xen_revoke);

// The first n words of a buffer. ValueError: it has fewer.
static uint32_t *words_of(mp_obj_t from, mp_int_t n) {
    mp_buffer_info_t buffer;
    get_buffer(from, &buffer, MP_BUFFER_RW);
    if (n < 0 || (size_t)n > buffer.len / 4 || ((uintptr_t)buffer.buf & 3)) {
        mp_raise_ValueError(MP_ERROR_TEXT("fewer words than that"));
    }
    return buffer.buf;
}

// grants(gfns, refs, n, domid, readonly) -> how many of n pages were granted, the first ones; refs has their references.
// gfns, refs: buffers of 32-bit words. Fewer than n: the table is full. Allocates nothing.
static mp_obj_t xen_grants(size_t n_args, const mp_obj_t *args) {
    mp_int_t n = mp_obj_get_int(args[2]), domain = mp_obj_get_int(args[3]), i = 0;
    const uint32_t *gfns = words_of(args[0], n);
    uint32_t *refs = words_of(args[1], n);
    if (domain < 0 || domain > 0x7fef) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such page or domain"));
    }
    for (bool readonly = mp_obj_is_true(args[4]); i < n; i++) {
        int ref = grant_page(gfns[i], domain, readonly);
        if (ref < 0) {
            break;
        }
        refs[i] = ref;
    }
    return MP_OBJ_NEW_SMALL_INT(i);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_grants_obj, 5, 5, xen_grants);

// revokes(refs, n) -> how many of the first n references the peer still holds; in refs those that are revoked become 0.
// refs: a buffer of 32-bit words. ValueError: one was never lent; those before it are revoked. Allocates nothing.
static mp_obj_t xen_revokes(mp_obj_t refs_in, mp_obj_t n_in) {
    mp_int_t n = mp_obj_get_int(n_in), held = 0;
    uint32_t *refs = words_of(refs_in, n);
    for (mp_int_t i = 0; i < n; i++) {
        int result = grant_revoke(refs[i]);
        if (result == -MP_EINVAL) {
            mp_raise_ValueError(MP_ERROR_TEXT("reference was not lent"));
        }
        if (result == 0) {
            refs[i] = 0;
        } else {
            held++;
        }
    }
    return MP_OBJ_NEW_SMALL_INT(held);
}
static MP_DEFINE_CONST_FUN_OBJ_2(xen_revokes_obj, xen_revokes);

// map(domid, grefs) -> bytearray over the peer's pages, one after the other. OSError: Xen refused one of them,
// or the window is full. ValueError: none or more than 64.
static mp_obj_t xen_map(mp_obj_t domid, mp_obj_t grefs) {
    size_t n;
    mp_obj_t *items;
    mp_obj_get_array(grefs, &n, &items);
    if (n == 0 || n > MAP_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("1 to 64 references"));
    }
    uint32_t refs[MAP_MAX];
    for (size_t i = 0; i < n; i++) {
        refs[i] = mp_obj_get_int(items[i]);
    }
    int error = 0;
    mp_obj_t buffer = mp_obj_new_bytearray_by_ref(0, NULL); // first, as in mem()
    void *start = hal_map(mp_obj_get_int(domid), refs, n, &error);
    return start == NULL ? fail(error) : lay_over(buffer, start, n * PAGE_SIZE);
}
static MP_DEFINE_CONST_FUN_OBJ_2(xen_map_obj, xen_map);

// unmap(buf): end what map() began; buf becomes empty, views of it must not be used again.
// ValueError: not a whole mapping.
static mp_obj_t xen_unmap(mp_obj_t buf) {
    mp_obj_array_t *array = bytearray_of(buf);
    int result = hal_unmap(array->items, array->len / PAGE_SIZE);
    if (result == -MP_EINVAL) {
        mp_raise_ValueError(MP_ERROR_TEXT("not a whole mapping"));
    }
    if (result < 0) {
        return fail(result);
    }
    make_empty(array);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_unmap_obj, xen_unmap);

// copy(ops, n) -> int: how many of n packed struct gnttab_copy (40 octets each) ended with a status other than
// GNTST_okay. One hypercall; every status is written back. Allocates nothing. OSError: Xen refused the call.
static mp_obj_t xen_copy(mp_obj_t ops_in, mp_obj_t n_in) {
    mp_buffer_info_t ops;
    get_buffer(ops_in, &ops, MP_BUFFER_RW);
    mp_int_t n = mp_obj_get_int(n_in);
    if (n < 0 || (size_t)n > ops.len / COPY_OCTETS) {
        mp_raise_ValueError(MP_ERROR_TEXT("more operations than the buffer holds"));
    }
    return n == 0 ? MP_OBJ_NEW_SMALL_INT(0) : value_or_raise(hal_copy(ops.buf, n));
}
static MP_DEFINE_CONST_FUN_OBJ_2(xen_copy_obj, xen_copy);

// ---- memory order and atomics -----------------------------------------------------------------

// mb(): full memory fence. Between publishing an index and reading the peer's event index.
static mp_obj_t xen_mb(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_mb_obj, xen_mb);

// cmpxchg32(buf, index, old, new) -> the word seen; it was replaced if that equals old. ValueError: no such word.
static mp_obj_t xen_cmpxchg32(size_t n_args, const mp_obj_t *args) {
    uint32_t *word = word_at(args[0], args[1]);
    uint32_t seen = mp_obj_get_int_truncated(args[2]);
    uint32_t new = mp_obj_get_int_truncated(args[3]);
    __atomic_compare_exchange_n(word, &seen, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return MP_OBJ_NEW_SMALL_INT(seen);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_cmpxchg32_obj, 4, 4, xen_cmpxchg32);

// and8(buf, offset, mask) -> the octet before. ValueError: no such octet.
static mp_obj_t xen_and8(mp_obj_t buf, mp_obj_t offset, mp_obj_t mask) {
    uint8_t value = mp_obj_get_int_truncated(mask);
    return MP_OBJ_NEW_SMALL_INT(__atomic_fetch_and(octet_at(buf, offset), value, __ATOMIC_SEQ_CST));
}
static MP_DEFINE_CONST_FUN_OBJ_3(xen_and8_obj, xen_and8);

// or8(buf, offset, bits) -> the octet before. ValueError: no such octet.
static mp_obj_t xen_or8(mp_obj_t buf, mp_obj_t offset, mp_obj_t bits) {
    uint8_t value = mp_obj_get_int_truncated(bits);
    return MP_OBJ_NEW_SMALL_INT(__atomic_fetch_or(octet_at(buf, offset), value, __ATOMIC_SEQ_CST));
}
static MP_DEFINE_CONST_FUN_OBJ_3(xen_or8_obj, xen_or8);

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
static MP_DEFINE_CONST_FUN_OBJ_3(xen_zero_obj, xen_zero);

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
static MP_DEFINE_CONST_FUN_OBJ_3(xen_zeros_obj, xen_zeros);

// csum(buf, offset, octets, seed) -> folded ones'-complement sum of 16-bit big-endian words, not inverted; an odd
// last octet counts as followed by zero (RFC 1071). seed: an earlier result, or 0. ValueError: outside buf.
static mp_obj_t xen_csum(size_t n_args, const mp_obj_t *args) {
    mp_int_t octets = mp_obj_get_int(args[2]);
    const uint8_t *start = octets_at(args[0], args[1], octets, MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(csum_fold(start, octets, mp_obj_get_int_truncated(args[3])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_csum_obj, 4, 4, xen_csum);

// ---- random numbers ---------------------------------------------------------------------------

// random(octets) -> bytes, fit for keys once seed() was fed. ValueError: negative.
static mp_obj_t xen_random(mp_obj_t octets_in) {
    mp_int_t octets = mp_obj_get_int(octets_in);
    if (octets < 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("octets must not be negative"));
    }
    vstr_t out;
    vstr_init_len(&out, octets);
    random_bytes(out.buf, octets);
    return mp_obj_new_bytes_from_vstr(&out);
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_random_obj, xen_random);

// seed(octets): mix into the generator; never makes it weaker.
static mp_obj_t xen_seed(mp_obj_t octets_in) {
    mp_buffer_info_t octets;
    get_buffer(octets_in, &octets, MP_BUFFER_READ);
    random_seed(octets.buf, octets.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_seed_obj, xen_seed);

// ---- console, start, end ----------------------------------------------------------------------

// console(text) -> int: octets dropped so far because the console had no room. Never waits. LF becomes CR LF.
static mp_obj_t xen_console(mp_obj_t text_in) {
    mp_buffer_info_t text;
    get_buffer(text_in, &text, MP_BUFFER_READ);
    hal_console(text.buf, text.len);
    return MP_OBJ_NEW_SMALL_INT(hal_console_dropped());
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_console_obj, xen_console);

// cmdline() -> bytes: the kernel command line as it was passed.
static mp_obj_t xen_cmdline(void) {
    const char *text = hal_cmdline();
    return mp_obj_new_bytes((const byte *)text, strlen(text));
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_cmdline_obj, xen_cmdline);

// xenstore() -> (ring, port): the page shared with xenstored as a bytearray, and our event channel to it.
static mp_obj_t xen_xenstore(void) {
    int port;
    void *ring = hal_xenstore_ring(&port);
    mp_obj_t items[] = { mp_obj_new_bytearray_by_ref(PAGE_SIZE, ring), MP_OBJ_NEW_SMALL_INT(port) };
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(xen_xenstore_obj, xen_xenstore);

// shutdown(POWEROFF | REBOOT | CRASH): waits up to 1 s for the console to drain, then ends the domain.
static mp_obj_t xen_shutdown(mp_obj_t reason_in) {
    mp_int_t reason = mp_obj_get_int(reason_in);
    if (reason != SHUTDOWN_POWEROFF && reason != SHUTDOWN_REBOOT && reason != SHUTDOWN_CRASH) {
        mp_raise_ValueError(MP_ERROR_TEXT("POWEROFF, REBOOT or CRASH"));
    }
    hal_shutdown(reason);
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_shutdown_obj, xen_shutdown);

// crash(text): says why on the console, with the Python traceback, and ends the domain as crashed.
static mp_obj_t xen_crash(mp_obj_t text) {
    hal_crash(mp_obj_str_get_str(text));
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_crash_obj, xen_crash);

// where(exception) -> (file, line, function) that raised it, or None: it has no traceback, which needs memory.
static mp_obj_t xen_where(mp_obj_t exception) {
    if (!mp_obj_is_exception_instance(exception)) {
        mp_raise_TypeError(MP_ERROR_TEXT("expected an exception"));
    }
    size_t n, *entries; // in threes, the innermost frame first
    mp_obj_exception_get_traceback(exception, &n, &entries);
    if (n < 3) {
        return mp_const_none;
    }
    mp_obj_t items[] = { MP_OBJ_NEW_QSTR(entries[0]), MP_OBJ_NEW_SMALL_INT(entries[1]), MP_OBJ_NEW_QSTR(entries[2]) };
    return mp_obj_new_tuple(3, items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(xen_where_obj, xen_where);

// ---- contents ---------------------------------------------------------------------------------

#define FUNCTION(name) { MP_ROM_QSTR(MP_QSTR_##name), MP_ROM_PTR(&xen_##name##_obj) }
static const mp_rom_map_elem_t xen_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_xen) },
    FUNCTION(ns), FUNCTION(wall), FUNCTION(own), FUNCTION(collecting), FUNCTION(watchdog),
    FUNCTION(sleep), FUNCTION(pending),
    FUNCTION(evtchn_alloc), FUNCTION(evtchn_bind), FUNCTION(evtchn_send), FUNCTION(evtchn_close), FUNCTION(counts),
    FUNCTION(mem), FUNCTION(free), FUNCTION(view), FUNCTION(addr), FUNCTION(gfn), FUNCTION(memory), FUNCTION(heap), FUNCTION(garbage),
    FUNCTION(grant), FUNCTION(revoke), FUNCTION(grants), FUNCTION(revokes), FUNCTION(map), FUNCTION(unmap), FUNCTION(copy),
    FUNCTION(mb), FUNCTION(cmpxchg32), FUNCTION(and8), FUNCTION(or8),
    FUNCTION(zero), FUNCTION(zeros), FUNCTION(csum), FUNCTION(random), FUNCTION(seed),
    FUNCTION(console), FUNCTION(cmdline), FUNCTION(xenstore), FUNCTION(shutdown), FUNCTION(crash), FUNCTION(where),
    { MP_ROM_QSTR(MP_QSTR_POWEROFF), MP_ROM_INT(SHUTDOWN_POWEROFF) },
    { MP_ROM_QSTR(MP_QSTR_REBOOT), MP_ROM_INT(SHUTDOWN_REBOOT) },
    { MP_ROM_QSTR(MP_QSTR_CRASH), MP_ROM_INT(SHUTDOWN_CRASH) },
};
static MP_DEFINE_CONST_DICT(xen_globals, xen_globals_table);
const mp_obj_module_t mp_module_xen = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&xen_globals,
};
MP_REGISTER_MODULE(MP_QSTR_xen, mp_module_xen);
