"""HMAC-SHA256 (RFC 2104, FIPS 180-4) for short texts under keys that stay: the tokens in our Record-Route and Path values.

hmac has it, and spends more than half of the time on objects. Here the key's blocks are hashed once.
Tests hold it to hmac.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from siphon.sip._hex cimport put_digits

from hashlib import sha256

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static const uint32_t sha_first[8] = {
        0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
        0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u,
    };

    static const uint32_t sha_round[64] = {
        0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u,
        0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
        0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u,
        0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
        0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu,
        0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
        0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
        0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
        0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u,
        0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
        0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u,
        0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
        0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u,
        0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
        0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u,
        0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
    };

    static inline uint32_t sha_turned(uint32_t x, int by) { return x >> by | x << (32 - by); }

    static inline uint32_t sha_big_endian(const unsigned char *p)
    {
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }

    /* One block of 64 bytes. */
    static void sha_block(uint32_t *h, const unsigned char *block)
    {
        uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
        for (int i = 0; i < 16; i++)
            w[i] = sha_big_endian(block + 4 * i);
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + (sha_turned(w[i - 15], 7) ^ sha_turned(w[i - 15], 18) ^ w[i - 15] >> 3)
                + w[i - 7] + (sha_turned(w[i - 2], 17) ^ sha_turned(w[i - 2], 19) ^ w[i - 2] >> 10);
        for (int i = 0; i < 64; i++) {
            uint32_t one = last + (sha_turned(e, 6) ^ sha_turned(e, 11) ^ sha_turned(e, 25))
                + ((e & f) ^ (~e & g)) + sha_round[i] + w[i];
            uint32_t two = (sha_turned(a, 2) ^ sha_turned(a, 13) ^ sha_turned(a, 22))
                + ((a & b) ^ (a & c) ^ (b & c));
            last = g; g = f; f = e; e = d + one; d = c; c = b; b = a; a = one + two;
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += last;
    }
    """
    const uint32_t sha_first[8]
    void sha_block(uint32_t *h, const unsigned char *block) noexcept nogil

cdef enum:
    BLOCK = 64
    HASH = 32
    LENGTH = 8              # bytes of the length at the end


cdef void begin(uint32_t *h, const unsigned char *key, unsigned char mask) noexcept nogil:
    """The state once the key's block is through."""
    cdef unsigned char block[BLOCK]
    cdef int i
    for i in range(BLOCK):
        block[i] = key[i] ^ mask
    memcpy(h, sha_first, HASH)
    sha_block(h, block)


cdef void finish(uint32_t *h, int before, const unsigned char *data, size_t length, unsigned char *out) noexcept nogil:
    """The hash of what is through, `before` bytes, and the data."""
    cdef unsigned char block[BLOCK]
    cdef uint64_t bits = (<uint64_t>length + before) * 8
    cdef int i
    while length >= BLOCK:
        sha_block(h, data)
        data += BLOCK
        length -= BLOCK
    memset(block, 0, BLOCK)
    memcpy(block, data, length)
    block[length] = 0x80
    if length >= BLOCK - LENGTH:
        sha_block(h, block)
        memset(block, 0, BLOCK)
    for i in range(LENGTH):
        block[BLOCK - 1 - i] = <unsigned char>(bits >> 8 * i)
    sha_block(h, block)
    for i in range(HASH):
        out[i] = <unsigned char>(h[i >> 2] >> (24 - 8 * (i & 3)))


cdef void sha256_digits(const unsigned char *data, size_t length, char *out) noexcept nogil:
    """The hash without a key, as 64 lower-case hex digits."""
    cdef uint32_t h[8]
    cdef unsigned char hash[HASH]
    memcpy(h, sha_first, HASH)
    finish(h, 0, data, length, hash)
    put_digits(hash, HASH, out)


def hexdigest(bytes data not None):
    """As hashlib.sha256(data).hexdigest().encode()."""
    cdef char out[2 * HASH]
    sha256_digits(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
    return PyBytes_FromStringAndSize(out, 2 * HASH)


@cython.final
cdef class KeyedSha256:
    """Hashes under one key, as hmac.digest(key, data, "sha256")."""

    def __init__(self, bytes key not None):
        cdef bytes padded = (sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
        begin(self.inner, <const unsigned char *>PyBytes_AS_STRING(padded), 0x36)
        begin(self.outer, <const unsigned char *>PyBytes_AS_STRING(padded), 0x5C)

    cdef void into(self, const unsigned char *data, size_t length, unsigned char *out) noexcept nogil:
        cdef uint32_t h[8]
        memcpy(h, self.inner, HASH)
        finish(h, BLOCK, data, length, out)
        memcpy(h, self.outer, HASH)
        finish(h, BLOCK, out, HASH, out)

    cpdef bytes digits(self, bytes data, int count):
        """The first `count` bytes of the hash, 32 at most, as hex digits."""
        cdef unsigned char hash[HASH]
        cdef bytes made
        if not 0 <= count <= HASH:
            raise ValueError("a hash has 32 bytes")
        self.into(<const unsigned char *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), hash)
        made = PyBytes_FromStringAndSize(NULL, 2 * count)
        put_digits(hash, count, PyBytes_AS_STRING(made))
        return made
