// MicroPython's formatted output for crashes: what goes to hal_crash_text().
#include <stdarg.h>

#include "py/mpprint.h"

#include "hal.h"

static void print(void *env, const char *text, size_t n) {
    hal_crash_text(text, n);
}

const mp_print_t crash_print = { NULL, print };

void crash_printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    mp_vprintf(&crash_print, format, args);
    va_end(args);
}
