// Names found by their hash: of strings, and of frozen modules. MicroPython searches tables of both, some thousands of times
// until all modules are imported, and a string that is made while we run is looked for among all names as well.
//
// Both tables are made when they are first needed, of what was frozen into the image, and never change. Open addressing:
// a place that is taken sends the search on to the next one.
#include <string.h>

#include "py/emitglue.h"
#include "py/frozenmod.h"
#include "py/mpstate.h"
#include "py/qstr.h"
#include "py/runtime.h"

#include "hal.h"

#if !MICROPY_QSTR_BYTES_IN_HASH || MICROPY_MODULE_FROZEN_STR
#error "names.c wants hashes of names, and knows modules of bytecode only"
#endif

// ---- strings ----------------------------------------------------------------------------------

#define NAMES 8192 // places, a power of two: more than twice as many as there are names

extern const qstr_pool_t MICROPY_QSTR_EXTRA_POOL; // frozen modules' names; behind it MicroPython's own

static uint16_t names[NAMES]; // 0: none has this place
static bool known;

static void enter_names(void) {
    size_t count = MICROPY_QSTR_EXTRA_POOL.total_prev_len + MICROPY_QSTR_EXTRA_POOL.len;
    if (count > NAMES / 2 || count > UINT16_MAX) {
        hal_crash("names.c has not places enough for all names");
    }
    for (const qstr_pool_t *pool = &MICROPY_QSTR_EXTRA_POOL; pool != NULL; pool = pool->prev) {
        for (size_t i = 0; i < pool->len; i++) {
            size_t place = pool->hashes[i] % NAMES;
            while (names[place]) {
                place = (place + 1) % NAMES;
            }
            names[place] = pool->total_prev_len + i; // MP_QSTRnull is 0, and no string's name
        }
    }
}

static bool is(const qstr_pool_t *pool, size_t i, size_t hash, const char *text, size_t octets) {
    return pool->hashes[i] == hash && pool->lengths[i] == octets && memcmp(pool->qstrs[i], text, octets) == 0;
}

// In the place of MicroPython's: the name that is this string, MP_QSTRnull if none is.
qstr qstr_find_strn(const char *text, size_t octets) {
    if (octets == 0) {
        return MP_QSTR_;
    }
    if (!known) {
        enter_names();
        known = true;
    }
    size_t hash = qstr_compute_hash((const byte *)text, octets);
    for (size_t place = hash % NAMES; names[place]; place = (place + 1) % NAMES) {
        const qstr_pool_t *pool = &MICROPY_QSTR_EXTRA_POOL;
        while (names[place] < pool->total_prev_len) {
            pool = pool->prev;
        }
        if (is(pool, names[place] - pool->total_prev_len, hash, text, octets)) {
            return names[place];
        }
    }
    for (const qstr_pool_t *pool = MP_STATE_VM(last_pool); pool != &MICROPY_QSTR_EXTRA_POOL; pool = pool->prev) {
        for (size_t i = 0; i < pool->len; i++) { // entered since the start: few
            if (is(pool, i, hash, text, octets)) {
                return pool->total_prev_len + i;
            }
        }
    }
    return MP_QSTRnull;
}

// ---- frozen modules ---------------------------------------------------------------------------

#define PATHS 1024 // places, a power of two: more than twice as many as there are files and folders

extern const char mp_frozen_names[]; // each ended by NUL, the last one by two
extern const mp_frozen_module_t *const mp_frozen_mpy_content[];

static struct {
    uint32_t name; // where in mp_frozen_names it begins
    uint16_t octets; // of it: all of them are the file, the first ones that a slash follows a folder; 0: none has this place
    uint16_t number; // of the file
} paths[PATHS];

static size_t count_of_paths;

// The place of a path, or a free one.
static size_t place_of(const char *path, size_t octets) {
    size_t place = qstr_compute_hash((const byte *)path, octets) % PATHS;
    while (paths[place].octets
           && (paths[place].octets != octets || memcmp(mp_frozen_names + paths[place].name, path, octets) != 0)) {
        place = (place + 1) % PATHS;
    }
    return place;
}

static void enter_path(const char *name, size_t octets, size_t number) {
    size_t place = place_of(name, octets);
    if (paths[place].octets) {
        return; // a folder that a file before has named
    }
    if (++count_of_paths > PATHS / 2) {
        hal_crash("names.c has not places enough for all modules");
    }
    paths[place].name = name - mp_frozen_names;
    paths[place].octets = octets;
    paths[place].number = number;
}

static void enter_paths(void) {
    size_t number = 0;
    for (const char *name = mp_frozen_names; *name; number++) {
        size_t octets = 0;
        for (; name[octets]; octets++) {
            if (name[octets] == '/') {
                enter_path(name, octets, number);
            }
        }
        enter_path(name, octets, number);
        name += octets + 1;
    }
}

// In the place of MicroPython's: whether a path is a frozen file, or a folder of some; of a file, if kind is not NULL, its code.
mp_import_stat_t mp_find_frozen_module(const char *path, int *kind, void **code) {
    if (count_of_paths == 0) {
        enter_paths();
    }
    if (kind != NULL) {
        *kind = MP_FROZEN_NONE;
    }
    size_t octets = strlen(path), place = place_of(path, octets);
    if (octets == 0 || paths[place].octets == 0) {
        return MP_IMPORT_STAT_NO_EXIST;
    }
    if (mp_frozen_names[paths[place].name + octets] == '/') {
        return MP_IMPORT_STAT_DIR;
    }
    if (kind != NULL) {
        *kind = MP_FROZEN_MPY;
        *code = (void *)mp_frozen_mpy_content[paths[place].number];
    }
    return MP_IMPORT_STAT_FILE;
}
