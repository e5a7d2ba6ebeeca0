# cython: language_level=3
"""Layout of the slots file, and the calls that cost next to nothing."""

from libc.stdint cimport int32_t, uint32_t, uint64_t


cdef struct SlotsHead:
    char magic[8]
    uint32_t layout
    uint32_t check              # of the fields up to `size`
    uint32_t slots
    uint32_t counters
    uint64_t size
    uint64_t flags              # of the whole instance
    uint64_t script_version
    double started_wall


cdef struct SlotRow:            # written by the process that has the slot; two cache lines of its own
    uint32_t guard
    uint32_t state              # ROW_FREE or ROW_TAKEN
    uint64_t generation
    uint64_t generation_check
    int32_t pid
    uint32_t pid_check
    uint64_t starts
    uint32_t busy
    uint32_t flags
    uint64_t pad[2]
    double heartbeat            # CLOCK_BOOTTIME
    double critical_since       # entry into a critical section of a table, 0 outside
    double in_handler_since     # entry into a script's handler, 0 outside
    uint64_t pad2[5]


cdef class Slots:
    cdef char *base
    cdef SlotsHead *head
    cdef SlotRow *rows
    cdef uint64_t *counts
    cdef size_t size
    cdef int slots, counters
    cdef object where

    cdef SlotRow *row_at(self, int index) except NULL
    cdef void beat_at(self, int index, double now, bint busy) noexcept nogil
    cdef void count_at(self, int index, int counter, uint64_t n) noexcept nogil
    cdef int map_file(self, int fd) except -1
