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

// A page that is cleared takes 16 octets an instruction, as an emulator counts each step of a string instruction.
#define WIDE 256
static inline void *set_wide(char *d, unsigned long word, size_t blocks) {
    __asm__ volatile (
        "movq %[word], %%xmm0; punpcklqdq %%xmm0, %%xmm0\n"
        "1: movdqa %%xmm0, (%[d]); movdqa %%xmm0, 16(%[d]); movdqa %%xmm0, 32(%[d]); movdqa %%xmm0, 48(%[d])\n"
        "movdqa %%xmm0, 64(%[d]); movdqa %%xmm0, 80(%[d]); movdqa %%xmm0, 96(%[d]); movdqa %%xmm0, 112(%[d])\n"
        "movdqa %%xmm0, 128(%[d]); movdqa %%xmm0, 144(%[d]); movdqa %%xmm0, 160(%[d]); movdqa %%xmm0, 176(%[d])\n"
        "movdqa %%xmm0, 192(%[d]); movdqa %%xmm0, 208(%[d]); movdqa %%xmm0, 224(%[d]); movdqa %%xmm0, 240(%[d])\n"
        "add $256, %[d]; dec %[blocks]; jnz 1b"
        : [d] "+r" (d), [blocks] "+r" (blocks) : [word] "r" (word) : "memory", "cc", "xmm0");
    return d;
}

void *memset(void *to, int value, size_t octets) {
    void *d = to;
    unsigned long word = 0x0101010101010101ul * (unsigned char)value;
    if (octets >= WIDE && (unsigned long)to % 16 == 0) {
        d = set_wide(d, word, octets / WIDE);
        octets %= WIDE;
    }
    size_t words = octets / 8, rest = octets % 8;
    __asm__ volatile ("rep stosq" : "+D" (d), "+c" (words) : "a" (word) : "memory");
    __asm__ volatile ("rep stosb" : "+D" (d), "+c" (rest) : "a" (word) : "memory");
    return to;
}

// An import looks through the names of all frozen modules, some of them several times, and each string that becomes a name
// is looked for among all names: octet by octet that was a sixth of the time until the first packet.
typedef unsigned long __attribute__((may_alias)) word_t;
typedef unsigned long __attribute__((may_alias, aligned(1))) any_word_t;
#define ONES 0x0101010101010101ul

int memcmp(const void *one, const void *other, size_t octets) {
    const unsigned char *a = one, *b = other;
    while (octets >= 8 && *(const any_word_t *)a == *(const any_word_t *)b) {
        a += 8;
        b += 8;
        octets -= 8;
    }
    for (; octets; a++, b++, octets--) {
        if (*a != *b) {
            return *a < *b ? -1 : 1;
        }
    }
    return 0;
}

// Whole words where they are aligned: none of them reaches into a page that the string does not.
size_t strlen(const char *text) {
    const char *at = text;
    for (; (unsigned long)at % 8; at++) {
        if (!*at) {
            return at - text;
        }
    }
    for (;;) {
        unsigned long word = *(const word_t *)at, zeros = (word - ONES) & ~word & ONES << 7;
        if (zeros) {
            return at - text + __builtin_ctzl(zeros) / 8;
        }
        at += 8;
    }
}

int strncmp(const char *one, const char *other, size_t octets) {
    const unsigned char *a = (const unsigned char *)one, *b = (const unsigned char *)other, *end = a + octets;
    if (end < a) {
        end = (const unsigned char *)~0ul;
    }
    for (; a != end; a++, b++) {
        if (*a != *b) {
            return *a < *b ? -1 : 1;
        }
        if (!*a) {
            return 0;
        }
    }
    return 0;
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
