// The few functions of a C library that MicroPython uses and string0.c has not, or not fast enough.
#include <math.h>
#include <string.h>

// Quadwords, then the odd octets: as fast as octets on a CPU with fast strings, seven times faster in an emulator.
void *memcpy(void *to, const void *from, size_t octets) {
    void *d = to;
    size_t words = octets / 8, rest = octets % 8;
    __asm__ volatile ("rep movsq" : "+D" (d), "+S" (from), "+c" (words) :: "memory");
    __asm__ volatile ("rep movsb" : "+D" (d), "+S" (from), "+c" (rest) :: "memory");
    return to;
}

// A move onto itself must cost nothing: MicroPython's slice assignment of equal length "moves" all that follows.
void *memmove(void *to, const void *from, size_t octets) {
    if (to == from || octets == 0) {
        return to;
    }
    if ((size_t)((char *)to - (const char *)from) >= octets) {
        return memcpy(to, from, octets); // not overlapping in the direction that hurts
    }
    for (size_t i = octets; i-- > 0;) {
        ((char *)to)[i] = ((const char *)from)[i];
    }
    return to;
}

void *memset(void *to, int value, size_t octets) {
    void *d = to;
    unsigned long word = 0x0101010101010101ul * (unsigned char)value;
    size_t words = octets / 8, rest = octets % 8;
    __asm__ volatile ("rep stosq" : "+D" (d), "+c" (words) : "a" (word) : "memory");
    __asm__ volatile ("rep stosb" : "+D" (d), "+c" (rest) : "a" (word) : "memory");
    return to;
}

// lib/libm_dbl leaves these to the compiler, which calls them all the same.
typedef union {
    double value;
    unsigned long bits;
} double_bits_t;
#define SIGN (1ul << 63)

double fabs(double x) {
    double_bits_t v = { x };
    v.bits &= ~SIGN;
    return v.value;
}

double copysign(double x, double sign) {
    double_bits_t v = { x }, s = { sign };
    v.bits = (v.bits & ~SIGN) | (s.bits & SIGN);
    return v.value;
}
