"""MD5 (RFC 1321) of short texts, as digest authentication hashes three of for each request.

hashlib has it, and takes 0.5 us for a hash of one block and its digits, most of it for OpenSSL's objects, where this takes
0.17. Tests hold it to hashlib. What MD5 is worth is another matter: `auth.algorithms` decides whether it is offered.
"""

# cython: boundscheck=False, wraparound=False

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from siphon.sip._hex cimport put_digits

import sys

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint32_t md5_turned(uint32_t x, int by) { return x << by | x >> (32 - by); }

    #define MD5_F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
    #define MD5_G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
    #define MD5_H(x, y, z) ((x) ^ (y) ^ (z))
    #define MD5_I(x, y, z) ((y) ^ ((x) | ~(z)))
    #define MD5_STEP(f, a, b, c, d, k, t, s) a = b + md5_turned(a + f(b, c, d) + m[k] + t##u, s);
    #define MD5_FOUR(f, k0, k1, k2, k3, t0, t1, t2, t3, s0, s1, s2, s3) \
        MD5_STEP(f, a, b, c, d, k0, t0, s0) MD5_STEP(f, d, a, b, c, k1, t1, s1) \
        MD5_STEP(f, c, d, a, b, k2, t2, s2) MD5_STEP(f, b, c, d, a, k3, t3, s3)

    /* One block of 64 bytes. */
    static void md5_block(uint32_t *h, const unsigned char *block)
    {
        uint32_t m[16], a = h[0], b = h[1], c = h[2], d = h[3];
        memcpy(m, block, 64);
        MD5_FOUR(MD5_F, 0, 1, 2, 3, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 7, 12, 17, 22)
        MD5_FOUR(MD5_F, 4, 5, 6, 7, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 7, 12, 17, 22)
        MD5_FOUR(MD5_F, 8, 9, 10, 11, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 7, 12, 17, 22)
        MD5_FOUR(MD5_F, 12, 13, 14, 15, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 7, 12, 17, 22)
        MD5_FOUR(MD5_G, 1, 6, 11, 0, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 5, 9, 14, 20)
        MD5_FOUR(MD5_G, 5, 10, 15, 4, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 5, 9, 14, 20)
        MD5_FOUR(MD5_G, 9, 14, 3, 8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 5, 9, 14, 20)
        MD5_FOUR(MD5_G, 13, 2, 7, 12, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 5, 9, 14, 20)
        MD5_FOUR(MD5_H, 5, 8, 11, 14, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 4, 11, 16, 23)
        MD5_FOUR(MD5_H, 1, 4, 7, 10, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 4, 11, 16, 23)
        MD5_FOUR(MD5_H, 13, 0, 3, 6, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 4, 11, 16, 23)
        MD5_FOUR(MD5_H, 9, 12, 15, 2, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 4, 11, 16, 23)
        MD5_FOUR(MD5_I, 0, 7, 14, 5, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 6, 10, 15, 21)
        MD5_FOUR(MD5_I, 12, 3, 10, 1, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 6, 10, 15, 21)
        MD5_FOUR(MD5_I, 8, 15, 6, 13, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 6, 10, 15, 21)
        MD5_FOUR(MD5_I, 4, 11, 2, 9, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391, 6, 10, 15, 21)
        h[0] += a; h[1] += b; h[2] += c; h[3] += d;
    }
    """
    void md5_block(uint32_t *h, const unsigned char *block) noexcept nogil

cdef enum:
    BLOCK = 64
    HASH = 16
    LENGTH = 8              # bytes of the length at the end

if sys.byteorder != "little":
    raise ImportError("hashes are computed as on a little-endian machine")


cdef void md5_digits(const unsigned char *data, size_t length, char *out) noexcept nogil:
    """The hash as 32 lower-case hex digits."""
    cdef uint32_t h[4]
    cdef unsigned char block[BLOCK]
    cdef uint64_t bits = <uint64_t>length * 8
    cdef const unsigned char *hash = <const unsigned char *>h
    h[0], h[1], h[2], h[3] = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
    while length >= BLOCK:
        md5_block(h, data)
        data += BLOCK
        length -= BLOCK
    memset(block, 0, BLOCK)
    memcpy(block, data, length)
    block[length] = 0x80
    if length >= BLOCK - LENGTH:
        md5_block(h, block)
        memset(block, 0, BLOCK)
    memcpy(block + BLOCK - LENGTH, &bits, LENGTH)
    md5_block(h, block)
    put_digits(hash, HASH, out)


def hexdigest(bytes data not None):
    """As hashlib.md5(data).hexdigest().encode()."""
    cdef char out[2 * HASH]
    md5_digits(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
    return PyBytes_FromStringAndSize(out, 2 * HASH)
