// The Internet checksum's sum over a run of octets (RFC 1071).
#include <string.h>

#include "hal.h"

// Words are added as the CPU loads them, low octet first, 64 bits at a time with the carry put back: the
// ones'-complement sum does not depend on octet order but for a final swap (RFC 1071, 2 B).
static inline uint64_t add(uint64_t sum, const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    sum += word;
    return sum + (sum < word);
}

uint32_t csum_fold(const uint8_t *p, size_t n, uint32_t seed) {
    uint64_t sum = 0, other = 0, word; // two sums, so that one addition need not wait for the other's carry
    for (; n >= 32; p += 32, n -= 32) {
        sum = add(add(sum, p), p + 16);
        other = add(add(other, p + 8), p + 24);
    }
    for (; n >= 8; p += 8, n -= 8) {
        sum = add(sum, p);
    }
    sum += other;
    sum += sum < other;
    word = 0;
    for (size_t i = 0; i < n; i++) {
        word |= (uint64_t)p[i] << (8 * i);
    }
    sum += word;
    sum += sum < word;
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    uint32_t big_endian = (uint32_t)__builtin_bswap16((uint16_t)sum) + (seed >> 16) + (seed & 0xffff);
    big_endian = (big_endian >> 16) + (big_endian & 0xffff);
    return (big_endian >> 16) + (big_endian & 0xffff);
}
