# cython: language_level=3, cdivision=True
"""Mapping: a table's file in the memory of this process.

In: a path, and what the file shall be (_identity.pyx) or that whatever is there will do. Out: a Region (_layout.pxd), the
pointers to what lies in the file, and what the first page says of it. Raises LayoutMismatch for another file, OSError of
the file system. The mapping is the object's own and goes with it.
"""

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from shm._identity cimport differs, found_in, identity_check, ours, rounded
from shm._layout cimport *
from shm._recovery cimport rebuild
from shm._sync cimport *

from shm.files import allocate, open_draft, open_private
from shm.values import LayoutMismatch


cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, long)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED


cdef class Mapping:
    """See the module. What is made of it (_looking.pyx, _table.pyx) says what is done there."""

    def __cinit__(self):
        memset(&self.region, 0, sizeof(Region))
        self.region.slot = -1
        self.region.critical = &self.region.unnoted

    def __dealloc__(self):
        self.unmap()

    cdef int map_file(self, int fd, size_t size, bint reading) except -1:
        cdef void *base = mmap(NULL, size, PROT_READ if reading else PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        facts = os.fstat(fd)
        if base == MAP_FAILED:
            raise OSError(f"cannot map {size} bytes of shared memory")
        self.region.base = <char *>base
        self.region.size = size
        self.device, self.inode = facts.st_dev, facts.st_ino
        self.reading = reading
        return self.lay_out()

    cdef int lay_out(self) except -1:
        cdef Region *r = &self.region
        cdef Identity *p = <Identity *>r.base
        cdef pthread_mutex_t sample
        r.identity = p
        r.control = <Control *>(r.base + 512)
        r.notes = <Note *>(r.base + p.notes_at)
        r.stripes = <Stripe *>(r.base + p.stripes_at)
        r.buckets = <uint64_t *>(r.base + p.buckets_at)
        r.headers = <Header *>(r.base + p.headers_at)
        r.states = <BlockState *>(r.base + p.states_at)
        r.values = <unsigned char *>(r.base + p.blocks_at)
        r.marks = <unsigned char *>(r.base + p.marks_at) if p.marks_at else NULL
        r.mark_pages = r.marks + rounded(p.records + 1, PAGE) if p.marks_at else NULL
        r.earliest = <uint64_t *>(r.base + p.earliest_at)
        r.records, r.blocks, r.slots = p.records, p.blocks, p.slots
        r.bucket_mask, r.stripe_mask = p.buckets - 1, p.stripes - 1
        r.block_bits = p.block_bits
        r.value_max = min(<uint32_t>VALUE_MAX, <uint32_t>CHAIN << p.block_bits)
        r.wall_expiry = p.wall_expiry
        r.spare_limit = min(<uint32_t>SPARE_BLOCKS, r.blocks // (r.slots * 8))
        r.spares_limit = min(<uint32_t>SPARES // 2, r.records // (r.slots * 8))
        mutex_make(&sample)
        if kind_of(&sample) != SOUND_KIND:
            raise OSError("this C library makes robust mutexes in another way than siphond knows")
        return 0

    cdef void unmap(self) noexcept:
        if self.region.base != NULL:
            munmap(self.region.base, self.region.size)
            self.region.base = NULL

    cdef int64_t made_anew(self) except -1:
        """Rebuild everything but the records; nobody else uses the file. How many damaged ones were dropped."""
        cdef uint32_t dropped = 0
        if rebuild(&self.region, &dropped) < 0:
            raise MemoryError
        return dropped

    cdef int make_file(self, path, const Identity *want) except -1:
        """Written under another name first: a file of the right name is always whole."""
        cdef Identity born
        fd, draft = open_draft(path)
        try:
            allocate(fd, path, want.size)
            memcpy(&born, want, sizeof(Identity))
            born.birth = int.from_bytes(os.urandom(8), "little")
            born.check = identity_check(&born)
            os.pwrite(fd, PyBytes_FromStringAndSize(<const char *>&born, sizeof(Identity)), 0)
            self.map_file(fd, want.size, False)
            self.where = path
            self.made_anew()
            os.rename(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
        finally:
            os.close(fd)
        return 0

    cdef int open_wanted(self, path, const Identity *want, advice) except -1:
        """The file, if it is as wanted."""
        fd = open_private(path, os.O_RDWR)
        try:
            text = differs(fd, path, want)
            if text:
                raise LayoutMismatch(f"{path}: {text}{advice}")
            self.map_file(fd, want.size, False)
        finally:
            os.close(fd)
        self.where = path
        return 0

    cdef int open_found(self, path, bint reading) except -1:
        """The file, whatever its sizes."""
        cdef Identity have, want
        fd = open_private(path, os.O_RDONLY if reading else os.O_RDWR)
        try:
            have = found_in(fd)
            want = ours(&have)
            text = differs(fd, path, &want)
            if text:
                raise LayoutMismatch(f"{path}: {text}; start with `siphond --fresh` to throw it away")
            self.map_file(fd, have.size, reading)
        finally:
            os.close(fd)
        self.where = path
        return 0

    cdef int check_slot(self, int slot) except -1:
        """ValueError: nothing may be written, or there is no such slot."""
        if self.reading:
            raise ValueError("this table is open for reading only")
        if not 0 <= slot < <int>self.region.slots:
            raise ValueError(f"slot {slot} of {self.region.slots}")
        return 0

    @property
    def path(self):
        return self.where

    @property
    def birth(self):
        """8 bytes, drawn when the file was made: another table of the same name has others."""
        return PyBytes_FromStringAndSize(<char *>&self.region.identity.birth, 8)

    @property
    def filled(self):
        """Whether what was kept elsewhere of a former table has been put in: said once, by whoever does that."""
        return self.region.control.filled == 1

    def set_filled(self):
        self.check_slot(0)
        store32(&self.region.control.filled, 1)

    @property
    def boot_id(self):
        return PyBytes_FromStringAndSize(<char *>self.region.identity.boot_id, 16)

    @property
    def c_address(self):
        """Where the mapping starts: tests damage it."""
        return <uintptr_t>self.region.base

    def sections(self):
        """Where each kind of structure lies in the file: {name: (offset, size of one, how many)}."""
        cdef Identity *p = self.region.identity
        return {
            "notes": (p.notes_at, sizeof(Note), p.slots),
            "stripes": (p.stripes_at, sizeof(Stripe), p.stripes),
            "buckets": (p.buckets_at, 8, p.buckets),
            "headers": (p.headers_at + sizeof(Header), sizeof(Header), p.records),
            "states": (p.states_at + sizeof(BlockState), sizeof(BlockState), p.blocks),
            "blocks": (p.blocks_at + (1 << p.block_bits), 1 << p.block_bits, p.blocks),
            **({"marks": (p.marks_at + 1, 1, p.records)} if p.marks_at else {}),
            "earliest": (p.earliest_at, 8, (p.records >> GROUP_BITS) + 1),
        }
