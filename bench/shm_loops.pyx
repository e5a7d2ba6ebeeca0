# cython: language_level=3
"""The loops of shm_bench.py: the table called as compiled code calls it, without a Python object."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from shm._layout cimport VALUE_MAX, Descriptor, Facts
from shm._table cimport Table


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int, timespec *)


cdef double clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec * 1e9 + t.tv_nsec


def gets(Table table, bytes keys, int rounds):
    """ns a get, over all keys (16 bytes each, one after the other) `rounds` times."""
    cdef Descriptor d
    cdef const unsigned char *k = keys
    cdef unsigned char *to = <unsigned char *>malloc(VALUE_MAX)
    cdef Py_ssize_t count = len(keys) // 16, i, wrong = 0
    cdef int r
    cdef double began = clock()
    with nogil:
        for r in range(rounds):
            for i in range(count):
                wrong += table.fetch_into(k + 16 * i, to, VALUE_MAX, &d) < 0
    began = clock() - began
    free(to)
    assert wrong == 0
    return began / (rounds * count)


def looks(Table table, bytes keys, int rounds):
    cdef Descriptor d
    cdef const unsigned char *k = keys
    cdef Py_ssize_t count = len(keys) // 16, i, wrong = 0
    cdef int r
    cdef double began = clock()
    with nogil:
        for r in range(rounds):
            for i in range(count):
                wrong += table.look_at(k + 16 * i, &d) < 0
    assert wrong == 0
    return (clock() - began) / (rounds * count)


def commits(Table table, bytes keys, list versions, bytes value, int rounds):
    """ns a commit that replaces; `versions` is brought up to date."""
    cdef Facts facts
    cdef const unsigned char *k = keys
    cdef const unsigned char *v = value
    cdef Py_ssize_t count = len(keys) // 16, size = len(value), i
    cdef uint64_t *held = <uint64_t *>malloc(count * sizeof(uint64_t))
    cdef int64_t got
    cdef int r, wrong = 0
    cdef double began
    memset(&facts, 0, sizeof(Facts))
    for i in range(count):
        held[i] = versions[i]
    began = clock()
    with nogil:
        for r in range(rounds):
            for i in range(count):
                got = table.store_from(k + 16 * i, held[i], v, size, &facts, True, NULL, NULL)
                if got > 0:
                    held[i] = got
                else:
                    wrong += 1
    began = clock() - began
    for i in range(count):
        versions[i] = held[i]
    free(held)
    assert wrong == 0
    return began / (rounds * count)


def inserts_and_deletes(Table table, bytes keys, bytes value, int rounds):
    """ns a pair."""
    cdef Facts facts
    cdef const unsigned char *k = keys
    cdef const unsigned char *v = value
    cdef Py_ssize_t count = len(keys) // 16, size = len(value), i
    cdef int64_t got
    cdef int r, wrong = 0
    cdef double began = clock()
    memset(&facts, 0, sizeof(Facts))
    with nogil:
        for r in range(rounds):
            for i in range(count):
                got = table.store_from(k + 16 * i, 0, v, size, &facts, True, NULL, NULL)
                wrong += got <= 0 or table.erase_key(k + 16 * i, got, NULL, NULL) != 1
    assert wrong == 0
    return (clock() - began) / (rounds * count)
