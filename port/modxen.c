// The module `xen`: all that Python sees of C. hal.h says what lies below each function. Here are time, events, console,
// start and end; modmemory.c and modgrant.c have what is memory.
//
// Above each function stands its Python signature with its errors, below it its object; the table at
// the end is the contents page. A wrong argument is our own mistake and raises ValueError or TypeError;
// what Xen refuses raises OSError with Xen's number.
#include <string.h>

#include "modxen.h"

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
// is pending. None: no deadline. May return early; the caller looks again. -> int: own(), or -1 - own() if the deadline
// has passed.
static mp_obj_t xen_sleep(mp_obj_t deadline_in) {
    uint64_t deadline = NO_DEADLINE;
    if (deadline_in != mp_const_none) {
        mp_int_t ns = mp_obj_get_int(deadline_in);
        deadline = ns < 0 ? 0 : (uint64_t)ns;
    }
    hal_sleep(deadline);
    mp_int_t own = hal_own_ns();
    return MP_OBJ_NEW_SMALL_INT(deadline != NO_DEADLINE && hal_ns() >= deadline ? -1 - own : own);
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
    FUNCTION(zero), FUNCTION(zeros), FUNCTION(moves), FUNCTION(csum), FUNCTION(random), FUNCTION(seed),
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
