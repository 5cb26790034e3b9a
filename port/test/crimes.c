// The module `crime`, only in the image for tests: each function commits one act that must end the domain.
#include "py/runtime.h"

#include "hal.h"

static volatile char *volatile null_pointer; // volatile: the compiler must not know

static mp_obj_t crime_read_null(void) {
    return MP_OBJ_NEW_SMALL_INT(null_pointer[8]);
}
static MP_DEFINE_CONST_FUN_OBJ_0(crime_read_null_obj, crime_read_null);

static mp_obj_t crime_write_text(void) {
    *(volatile char *)(uintptr_t)crime_write_text = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(crime_write_text_obj, crime_write_text);

static mp_obj_t crime_write_rodata(void) {
    *(volatile mp_uint_t *)(uintptr_t)&mp_type_int = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(crime_write_rodata_obj, crime_write_rodata);

// run_data(buf): jump to the first octet of a buffer.
static mp_obj_t crime_run_data(mp_obj_t buf) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(buf, &buffer, MP_BUFFER_READ);
    ((void (*)(void))buffer.buf)();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(crime_run_data_obj, crime_run_data);

static volatile bool bottomless = true;

static int deeper(volatile int *from) {
    volatile int here[64] = { 0 };
    return bottomless ? deeper(here) + *from + here[1] : 0;
}

static mp_obj_t crime_overflow_stack(void) {
    volatile int zero = 0;
    return MP_OBJ_NEW_SMALL_INT(deeper(&zero));
}
static MP_DEFINE_CONST_FUN_OBJ_0(crime_overflow_stack_obj, crime_overflow_stack);

static const mp_rom_map_elem_t crime_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_crime) },
    { MP_ROM_QSTR(MP_QSTR_read_null), MP_ROM_PTR(&crime_read_null_obj) },
    { MP_ROM_QSTR(MP_QSTR_write_text), MP_ROM_PTR(&crime_write_text_obj) },
    { MP_ROM_QSTR(MP_QSTR_write_rodata), MP_ROM_PTR(&crime_write_rodata_obj) },
    { MP_ROM_QSTR(MP_QSTR_run_data), MP_ROM_PTR(&crime_run_data_obj) },
    { MP_ROM_QSTR(MP_QSTR_overflow_stack), MP_ROM_PTR(&crime_overflow_stack_obj) },
};
static MP_DEFINE_CONST_DICT(crime_globals, crime_globals_table);
const mp_obj_module_t mp_module_crime = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&crime_globals,
};
MP_REGISTER_MODULE(MP_QSTR_crime, mp_module_crime);
