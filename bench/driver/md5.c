#include "md5.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const int SHIFTS[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
static uint32_t sines[64];

static void block(uint32_t state[4], const unsigned char *bytes) {
    uint32_t words[16], a = state[0], b = state[1], c = state[2], d = state[3];
    memcpy(words, bytes, 64); /* little-endian machines only, as all that run this */
    for (int i = 0; i < 64; i++) {
        uint32_t mixed;
        int word;
        switch (i / 16) {
        case 0: mixed = (b & c) | (~b & d), word = i; break;
        case 1: mixed = (d & b) | (~d & c), word = (5 * i + 1) % 16; break;
        case 2: mixed = b ^ c ^ d, word = (3 * i + 5) % 16; break;
        default: mixed = c ^ (b | ~d), word = 7 * i % 16;
        }
        uint32_t sum = a + mixed + sines[i] + words[word];
        int shift = SHIFTS[i / 16][i % 4];
        a = d, d = c, c = b;
        b += sum << shift | sum >> (32 - shift);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

void md5_hex(const char *text, size_t length, char hex[33]) {
    unsigned char padded[2112] = {0};
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    uint64_t bits = (uint64_t)length * 8;
    size_t whole = (length + 8) / 64 * 64 + 64;
    if (!sines[0])
        for (int i = 0; i < 64; i++)
            sines[i] = (uint32_t)floor(fabs(sin(i + 1)) * 4294967296.0);
    memcpy(padded, text, length);
    padded[length] = 0x80;
    memcpy(padded + whole - 8, &bits, 8);
    for (size_t at = 0; at < whole; at += 64)
        block(state, padded + at);
    for (int i = 0; i < 16; i++)
        sprintf(hex + 2 * i, "%02x", ((unsigned char *)state)[i]);
}
