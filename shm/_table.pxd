# cython: language_level=3
"""The table's C-level interface: no Python object, no allocation, callable without the GIL.

`fetch_into`, `look_at`, `store_from` and `erase_key` answer a length or a version, or CONFLICT, FULL, BUSY, ABSENT, TOO_LONG of _layout.
"""

from libc.stdint cimport int64_t, uint64_t

from shm._layout cimport Descriptor, Facts, action_t
from shm._looking cimport Looking


cdef class Table(Looking):
    cdef int forks
    cdef int slot_file
    cdef object watched

    cdef int64_t fetch_into(self, const unsigned char *key, unsigned char *to, size_t room, Descriptor *out) noexcept nogil
    cdef int64_t look_at(self, const unsigned char *key, Descriptor *out) noexcept nogil
    cdef int64_t store_from(self, const unsigned char *key, uint64_t expected, const unsigned char *value, size_t length,
                            const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil
    cdef int64_t erase_key(self, const unsigned char *key, uint64_t expected, action_t action, void *argument) noexcept nogil
    cdef int be_writer(self) except -1
    cdef int require_slot(self) except -1
    cdef int leave_slot(self) except -1
    cdef int take_slot(self, int slot) except -1
    cdef int open_slot(self, int slot) except -2
