// Random numbers: a hash generator with SHA-256, keyed by what the CPU and QubesDB gave.
//
// State is one 32-octet key. Seeding:  key = H(0 | key | entropy | octets)
// Output:                              block i = H(1 | key | i), and at last key = H(2 | key),
// so that a key seen later tells nothing about what was given out before (NIST SP 800-90A, backtracking).
// Entropy of the ground goes in before every output as well; it can only help.
#include <string.h>

#include "hal.h"
#include "lib/crypto-algorithms/sha256.h"
#include "lib/crypto-algorithms/sha256.c"

enum { SEED, OUTPUT, NEXT };
static uint8_t key[SHA256_BLOCK_SIZE];

static void hash(uint8_t use, const void *octets, size_t n, uint8_t out[SHA256_BLOCK_SIZE]) {
    CRYAL_SHA256_CTX context;
    sha256_init(&context);
    sha256_update(&context, &use, 1);
    sha256_update(&context, key, sizeof key);
    sha256_update(&context, octets, n);
    sha256_final(&context, out);
}

static void mix_entropy(void) {
    uint64_t words[4];
    for (int i = 0; i < 4; i++) {
        words[i] = hal_entropy();
    }
    hash(SEED, words, sizeof words, key);
}

void random_seed(const void *octets, size_t n) {
    mix_entropy();
    hash(SEED, octets, n, key);
}

void random_bytes(void *out, size_t n) {
    mix_entropy();
    uint8_t *to = out, block[SHA256_BLOCK_SIZE];
    for (uint64_t i = 0; n > 0; i++) {
        hash(OUTPUT, &i, sizeof i, block);
        size_t part = n < sizeof block ? n : sizeof block;
        memcpy(to, block, part);
        to += part;
        n -= part;
    }
    hash(NEXT, NULL, 0, key);
    memset(block, 0, sizeof block);
}
