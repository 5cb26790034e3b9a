// What MicroPython's own files ask of the port beyond mpconfigport.h.
#pragma once
#include <stdint.h>
static inline void mp_hal_set_interrupt_char(char c) { (void)c; } // there is no keyboard
