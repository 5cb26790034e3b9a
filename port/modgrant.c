// Pages lent to others, and others' pages, for the module `xen`.
#include "py/mperrno.h"

#include "modxen.h"

#define COPY_OCTETS 40 // struct gnttab_copy
#define MAP_MAX 64     // pages in one call of map(): a vchan has at most 33

// grant(gfn, domid, readonly) -> reference, 8 or more. OSError ENOSPC: the table is full.
static mp_obj_t xen_grant(mp_obj_t gfn, mp_obj_t domid, mp_obj_t readonly) {
    mp_int_t number = mp_obj_get_int(gfn), domain = mp_obj_get_int(domid);
    if (number <= 0 || number > UINT32_MAX || domain < 0 || domain > 0x7fef) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such page or domain"));
    }
    return value_or_raise(grant_page(number, domain, mp_obj_is_true(readonly)));
}
MP_DEFINE_CONST_FUN_OBJ_3(xen_grant_obj, xen_grant);

// revoke(gref) -> bool: False while the peer holds the page. ValueError: never lent, our own mistake.
static mp_obj_t xen_revoke(mp_obj_t gref) {
    int result = grant_revoke(mp_obj_get_int(gref));
    if (result == -MP_EINVAL) {
        mp_raise_ValueError(MP_ERROR_TEXT("reference was not lent"));
    }
    return mp_obj_new_bool(result == 0);
}
MP_DEFINE_CONST_FUN_OBJ_1(xen_revoke_obj, xen_revoke);

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
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(xen_grants_obj, 5, 5, xen_grants);

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
MP_DEFINE_CONST_FUN_OBJ_2(xen_revokes_obj, xen_revokes);

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
MP_DEFINE_CONST_FUN_OBJ_2(xen_map_obj, xen_map);

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
MP_DEFINE_CONST_FUN_OBJ_1(xen_unmap_obj, xen_unmap);

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
MP_DEFINE_CONST_FUN_OBJ_2(xen_copy_obj, xen_copy);
