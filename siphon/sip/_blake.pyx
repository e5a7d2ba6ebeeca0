"""BLAKE2b with a key (RFC 7693), for names that are hashed for every message: ids of transactions, keys of records.

hashlib has it, and costs a microsecond a hash, most of it for objects. Here the key's own block, half the work of a
short text, is hashed once; what is left is a fifth of a microsecond and takes no object. Tests hold it to hashlib.

`Cipher` is a Feistel network of four rounds over 16 bytes, whose rounds are such hashes.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

import sys

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static const uint64_t blake_iv[8] = {
        0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
        0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
    };

    static inline uint64_t blake_turned(uint64_t x, int by) { return x >> by | x << (64 - by); }

    #define BLAKE_G(a, b, c, d, x, y) \
        a += b + (x); d = blake_turned(d ^ a, 32); c += d; b = blake_turned(b ^ c, 24); \
        a += b + (y); d = blake_turned(d ^ a, 16); c += d; b = blake_turned(b ^ c, 63);

    static const unsigned char blake_order[12][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    };

    /* One block of 128 bytes; `counted` bytes have come with it, `last` is all ones for the last one. */
    static void blake_block(uint64_t *h, const unsigned char *block, uint64_t counted, uint64_t last)
    {
        uint64_t m[16], v[16];
        memcpy(m, block, 128);
        memcpy(v, h, 64);
        memcpy(v + 8, blake_iv, 64);
        v[12] ^= counted;
        v[14] ^= last;
        for (int round = 0; round < 12; round++) {  /* a loop: unrolled it is a hundred cache lines of code */
            const unsigned char *at = blake_order[round];
            BLAKE_G(v[0], v[4], v[8], v[12], m[at[0]], m[at[1]])
            BLAKE_G(v[1], v[5], v[9], v[13], m[at[2]], m[at[3]])
            BLAKE_G(v[2], v[6], v[10], v[14], m[at[4]], m[at[5]])
            BLAKE_G(v[3], v[7], v[11], v[15], m[at[6]], m[at[7]])
            BLAKE_G(v[0], v[5], v[10], v[15], m[at[8]], m[at[9]])
            BLAKE_G(v[1], v[6], v[11], v[12], m[at[10]], m[at[11]])
            BLAKE_G(v[2], v[7], v[8], v[13], m[at[12]], m[at[13]])
            BLAKE_G(v[3], v[4], v[9], v[14], m[at[14]], m[at[15]])
        }
        for (int i = 0; i < 8; i++)
            h[i] ^= v[i] ^ v[i + 8];
    }
    """
    const uint64_t blake_iv[8]
    void blake_block(uint64_t *h, const unsigned char *block, uint64_t counted, uint64_t last) noexcept nogil

cdef enum:
    BLOCK = 128
    LONGEST_KEY = 64
    LONGEST_HASH = 64
    PERSON = 16

if sys.byteorder != "little":
    raise ImportError("hashes are computed as on a little-endian machine")


cdef int begin(uint64_t *begun, bytes key, int size, bytes person) except -1:
    """The state once the key's block is through. Of no data that block would be the last one: there must be some."""
    cdef unsigned char block[BLOCK]
    cdef uint64_t about[2]
    cdef int i
    if not 1 <= PyBytes_GET_SIZE(key) <= LONGEST_KEY or not 1 <= size <= LONGEST_HASH:
        raise ValueError("a key has 1 to 64 bytes, a hash as many")
    if PyBytes_GET_SIZE(person) > PERSON:
        raise ValueError("a person has at most 16 bytes")
    memset(about, 0, sizeof(about))
    memcpy(about, PyBytes_AS_STRING(person), PyBytes_GET_SIZE(person))
    for i in range(8):
        begun[i] = blake_iv[i]
    begun[0] ^= <uint64_t>0x01010000 ^ <uint64_t>PyBytes_GET_SIZE(key) << 8 ^ <uint64_t>size
    begun[6] ^= about[0]
    begun[7] ^= about[1]
    memset(block, 0, BLOCK)
    memcpy(block, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    blake_block(begun, block, BLOCK, 0)
    return 0


cdef void finish(const uint64_t *begun, uint64_t counted, const unsigned char *data, size_t length, unsigned char *out,
                 int size) noexcept nogil:
    """The hash of data behind `counted` bytes that are through; of a key no data would be another hash."""
    cdef uint64_t h[8]
    cdef unsigned char block[BLOCK]
    memcpy(h, begun, sizeof(h))
    while length > BLOCK:
        counted += BLOCK
        blake_block(h, data, counted, 0)
        data += BLOCK
        length -= BLOCK
    memset(block, 0, BLOCK)
    memcpy(block, data, length)
    blake_block(h, block, counted + length, ~<uint64_t>0)
    memcpy(out, h, size)


cdef void hash_into(const unsigned char *data, size_t length, unsigned char *out, int size) noexcept nogil:
    """The hash without a key, as hashlib.blake2b(data, digest_size=size); of 1 to 64 bytes."""
    cdef uint64_t begun[8]
    cdef int i
    for i in range(8):
        begun[i] = blake_iv[i]
    begun[0] ^= <uint64_t>0x01010000 ^ <uint64_t>size
    finish(begun, 0, data, length, out, size)


def hash_of(bytes data not None, int size):
    """hash_into() for Python; ValueError for a hash that is not of 1 to 64 bytes."""
    cdef unsigned char out[LONGEST_HASH]
    if not 1 <= size <= LONGEST_HASH:
        raise ValueError("a hash has 1 to 64 bytes")
    hash_into(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out, size)
    return PyBytes_FromStringAndSize(<char *>out, size)


@cython.final
cdef class Keyed:
    """Hashes of `size` bytes under one key, as hashlib.blake2b(data, digest_size=size, key=key, person=person)."""

    def __init__(self, bytes key not None, int size, bytes person not None=b""):
        self.size = size
        begin(self.begun, key, size, person)

    cdef int into(self, const unsigned char *data, size_t length, unsigned char *out) noexcept nogil:
        """The hash of what is not empty."""
        finish(self.begun, BLOCK, data, length, out, self.size)
        return 0

    cdef bytes of(self, const unsigned char *data, size_t length):
        cdef unsigned char out[LONGEST_HASH]
        if not length:
            raise ValueError("nothing to hash")
        finish(self.begun, BLOCK, data, length, out, self.size)
        return PyBytes_FromStringAndSize(<char *>out, self.size)

    cpdef bytes digest(self, bytes data):
        """The hash of data that is not empty; ValueError for what is."""
        return self.of(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


@cython.final
cdef class Cipher:
    """A permutation of 16 bytes: each of four rounds xors a half with a keyed hash of the other."""

    def __init__(self, bytes key not None):
        cdef int i
        for i in range(4):
            begin(self.begun[i], key, 8, b"%d" % (i + 1))

    cdef int encipher_into(self, const unsigned char *plain, unsigned char *out) noexcept nogil:
        cdef uint64_t left, right, mask
        cdef int i
        memcpy(&left, plain, 8)
        memcpy(&right, plain + 8, 8)
        for i in range(4):
            finish(self.begun[i], BLOCK, <unsigned char *>&right, 8, <unsigned char *>&mask, 8)
            mask ^= left
            left = right
            right = mask
        memcpy(out, &left, 8)
        memcpy(out + 8, &right, 8)
        return 0

    def encipher(self, bytes plain not None):
        """16 bytes of 16; ValueError for any other length."""
        cdef unsigned char out[16]
        if PyBytes_GET_SIZE(plain) != 16:
            raise ValueError("16 bytes are enciphered, no more and no less")
        self.encipher_into(<const unsigned char *>PyBytes_AS_STRING(plain), out)
        return PyBytes_FromStringAndSize(<char *>out, 16)

    def decipher(self, bytes enciphered not None):
        """What encipher() was given."""
        cdef uint64_t left, right, mask
        cdef unsigned char out[16]
        cdef int i
        if PyBytes_GET_SIZE(enciphered) != 16:
            raise ValueError("16 bytes are deciphered, no more and no less")
        memcpy(&left, PyBytes_AS_STRING(enciphered), 8)
        memcpy(&right, PyBytes_AS_STRING(enciphered) + 8, 8)
        for i in range(3, -1, -1):
            finish(self.begun[i], BLOCK, <unsigned char *>&left, 8, <unsigned char *>&mask, 8)
            mask ^= right
            right = left
            left = mask
        memcpy(out, &left, 8)
        memcpy(out + 8, &right, 8)
        return PyBytes_FromStringAndSize(<char *>out, 16)
