# cython: language_level=3, cdivision=True
"""Slots: who works here, is its heart beating, what has it counted. One file, no locks.

A slot has one writer, the process that entered it; any process reads. Each field is one aligned word, so a reader sees old or new, never a mixture.
What others decide by - pid and generation - carries a check; a row that does not check out reads as DAMAGED and is made anew by the
next enter(). A generation is never given twice, not even when the file is made anew: it starts at the seconds since 2020.
Raises IndexError for a slot or counter that is not there, LayoutMismatch and NoSpace on opening.
"""

import math
import os
import time

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

from shm._crc cimport checksum
from shm._sync cimport add64, and64, guard_of, load32, load64, mixed, or64, store32, store64

from shm.files import allocate, open_draft, open_private, private_directory, remove
from shm.values import LayoutMismatch, SlotCondition, SlotState


cdef extern from * nogil:
    """
    #include <sys/mman.h>
    """
    void *mmap(void *, size_t, int, int, int, long)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

cdef enum:
    SLOTS_LAYOUT = 1
    ROWS_AT = 4096
    ROW_FREE = 0x46524545
    ROW_TAKEN = 0x54414b45

cdef const char *MAGIC = b"siphslt\n"
cdef object FREE = SlotCondition.FREE, TAKEN = SlotCondition.TAKEN, DAMAGED = SlotCondition.DAMAGED
EPOCH_2020 = 1577836800
LAYOUT = SLOTS_LAYOUT
ROW_BYTES = sizeof(SlotRow)


cdef uint64_t generation_seal(uint64_t generation, int index) noexcept nogil:
    return mixed(generation ^ (<uint64_t>index << 48) ^ <uint64_t>0x6E6E)


cdef uint32_t pid_seal(int32_t pid, int index) noexcept nogil:
    return <uint32_t>mixed(<uint64_t>pid ^ (<uint64_t>index << 40))


cdef size_t size_for(int slots, int counters):
    return (ROWS_AT + slots * (sizeof(SlotRow) + counters * 8) + 4095) // 4096 * 4096


cdef double sane(double t):
    return t if math.isfinite(t) and t >= 0.0 else 0.0


cdef class Slots:
    """See the module. Made by create() or attach()."""

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.size)

    @staticmethod
    def create(path, int slots=64, int counters=128, *, bint fresh=False):
        """Exclusive start: make the file, or take over the one that is there: all slots free, generations and counters go on."""
        cdef Slots self = Slots.__new__(Slots)
        cdef int index
        if not 1 <= slots <= 255 or not 0 <= counters <= 4096:
            raise ValueError("slots must be 1..255, counters 0..4096")
        path = os.fspath(path)
        private_directory(path)
        if fresh:
            remove(path)
        try:
            fd = open_private(path, os.O_RDWR)
        except FileNotFoundError:
            make_file(path, slots, counters)
            fd = open_private(path, os.O_RDWR)
        try:
            self.map_file(fd)
        finally:
            os.close(fd)
        self.where = path
        if self.slots != slots or self.counters != counters:
            raise LayoutMismatch(f"{path}: slots are {self.slots}, counters {self.counters}, wanted are {slots} and {counters}; "
                                 "start with `siphond --fresh` to throw it away")
        for index in range(slots):
            free_row(&self.rows[index], index)
        return self

    @staticmethod
    def attach(path):
        """Join, to write a slot or to look on."""
        cdef Slots self = Slots.__new__(Slots)
        fd = open_private(os.fspath(path), os.O_RDWR)
        try:
            self.map_file(fd)
        finally:
            os.close(fd)
        self.where = os.fspath(path)
        return self

    cdef int map_file(self, int fd) except -1:
        cdef SlotsHead head
        cdef bytes raw = os.pread(fd, sizeof(SlotsHead), 0)
        cdef void *base
        memset(&head, 0, sizeof(head))
        memcpy(&head, <char *>raw, min(<size_t>len(raw), sizeof(SlotsHead)))
        if memcmp(head.magic, MAGIC, 8) != 0 or head.layout != SLOTS_LAYOUT or head.check != head_check(&head) \
                or os.fstat(fd).st_size != <int64_t>head.size:
            raise LayoutMismatch("the slots file is damaged or of another version; start with `siphond --fresh` to throw it away")
        base = mmap(NULL, head.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if base == MAP_FAILED:
            raise OSError(f"cannot map {head.size} bytes of shared memory")
        self.base = <char *>base
        self.size = head.size
        self.head = <SlotsHead *>base
        self.rows = <SlotRow *>(self.base + ROWS_AT)
        self.counts = <uint64_t *>(self.base + ROWS_AT + head.slots * sizeof(SlotRow))
        self.slots = head.slots
        self.counters = head.counters
        return 0

    cdef SlotRow *row_at(self, int index) except NULL:
        if not 0 <= index < self.slots:
            raise IndexError(f"slot {index} of {self.slots}")
        return &self.rows[index]

    # The process in the slot

    def enter(self, int index, int pid):
        """Take the slot: its new generation."""
        cdef SlotRow *row = self.row_at(index)
        cdef uint64_t generation
        if not row_sound(row, index):
            make_row(row, index, index)
        generation = row.generation + 1
        row.heartbeat = row.critical_since = row.in_handler_since = 0.0
        row.busy = row.flags = 0
        row.pid = pid
        row.pid_check = pid_seal(pid, index)
        row.starts += 1
        set_generation(row, index, generation)
        store32(&row.state, ROW_TAKEN)
        return generation

    def leave(self, int index):
        """The process goes in order."""
        free_row(self.row_at(index), index)

    def beat(self, int index, double now, bint busy):
        """One turn of the loop; busy says that it will not sleep now."""
        self.row_at(index)
        self.beat_at(index, now, busy)

    cdef void beat_at(self, int index, double now, bint busy) noexcept nogil:
        """The time first: who sees `busy` sees the beat that said so, not the one before a long sleep."""
        self.rows[index].heartbeat = now
        store32(&self.rows[index].busy, busy)

    def set_handler(self, int index, double since):
        """A handler of the script was entered at `since`; 0.0: left."""
        self.row_at(index).in_handler_since = since

    def set_row_flags(self, int index, uint32_t flags):
        store32(&self.row_at(index).flags, flags)

    def critical_address(self, int index):
        """Where a table notes its critical sections (Table.watch)."""
        return <uintptr_t>&self.row_at(index).critical_since

    def heart_address(self, int index):
        """Where the heartbeat lies, a double: for a loop in compiled code."""
        return <uintptr_t>&self.row_at(index).heartbeat

    # Looking on

    def read(self, int index):
        """SlotState; a damaged row says so and shows nothing else."""
        cdef SlotRow *row = self.row_at(index)
        cdef uint32_t state = load32(&row.state)
        cdef bint busy = load32(&row.busy) != 0  # before the heartbeat, see beat_at()
        if not row_sound(row, index):
            return SlotState(index, 0, 0, 0.0, False, 0.0, 0.0, DAMAGED, 0, 0)
        return SlotState(index, row.pid, row.generation, sane(row.heartbeat), busy, sane(row.critical_since),
                         sane(row.in_handler_since), TAKEN if state == ROW_TAKEN else FREE, row.starts, row.flags)

    def any_busy(self):
        """Whether a process in any slot says that it is busy: one look at all rows, for who asks often."""
        cdef int index
        for index in range(self.slots):
            if load32(&self.rows[index].busy) != 0 and load32(&self.rows[index].state) == ROW_TAKEN:
                return True
        return False

    def all_live(self, indexes, double now, double limit):
        """Whether each of these slots has a process that is idle or has beaten within `limit` seconds."""
        cdef int index
        cdef bint busy
        cdef SlotRow *row
        for index in indexes:
            row = self.row_at(index)
            busy = load32(&row.busy) != 0
            if not row_sound(row, index) or row.pid == 0 or (busy and not now - row.heartbeat <= limit):
                return False
        return True

    def generation_of(self, int index):
        """The slot's present generation if a process is in it (alive or not), else 0."""
        cdef SlotRow *row = self.row_at(index)
        return row.generation if load32(&row.state) == ROW_TAKEN and row_sound(row, index) else 0

    def __len__(self):
        return self.slots

    @property
    def counter_count(self):
        return self.counters

    @property
    def path(self):
        return self.where

    # Counters

    def add(self, int index, int counter, uint64_t n=1):
        self.row_at(index)
        if not 0 <= counter < self.counters:
            raise IndexError(f"counter {counter} of {self.counters}")
        self.count_at(index, counter, n)

    cdef void count_at(self, int index, int counter, uint64_t n) noexcept nogil:
        add64(&self.counts[index * self.counters + counter], n)

    def adder(self, int index):
        """add() of one slot, for who counts often."""
        return Adder(self, index).add

    def total(self, int counter):
        """The sum over all slots, modulo 2^64."""
        cdef uint64_t result = 0
        cdef int index
        if not 0 <= counter < self.counters:
            raise IndexError(f"counter {counter} of {self.counters}")
        for index in range(self.slots):
            result += load64(&self.counts[index * self.counters + counter])
        return result

    def row(self, int index):
        """All counters of one slot."""
        cdef int counter
        self.row_at(index)
        return [load64(&self.counts[index * self.counters + counter]) for counter in range(self.counters)]

    # The instance

    @property
    def flags(self):
        return load64(&self.head.flags)

    def raise_flags(self, uint64_t flags):
        """Set these bits. Several processes may set and clear bits of their own at the same time."""
        or64(&self.head.flags, flags)

    def lower_flags(self, uint64_t flags):
        """Clear these bits."""
        and64(&self.head.flags, ~flags)

    @property
    def script_version(self):
        return load64(&self.head.script_version)

    @script_version.setter
    def script_version(self, uint64_t version):
        store64(&self.head.script_version, version)

    @property
    def started_wall(self):
        return sane(self.head.started_wall)

    @started_wall.setter
    def started_wall(self, double wall):
        self.head.started_wall = wall

    @property
    def c_address(self):
        """Where the mapping starts: tests damage it."""
        return <uintptr_t>self.base


cdef class Adder:
    """The counters of one slot."""

    cdef Slots slots
    cdef uint64_t *counts

    def __cinit__(self, Slots slots not None, int index):
        slots.row_at(index)
        self.slots = slots
        self.counts = &slots.counts[index * slots.counters]

    def add(self, int counter, uint64_t number=1):
        if not 0 <= counter < self.slots.counters:
            raise IndexError(f"counter {counter} of {self.slots.counters}")
        add64(&self.counts[counter], number)


cdef bint row_sound(const SlotRow *row, int index) noexcept:
    return row.guard == guard_of(<uint32_t>0x40000000 + index) and row.generation_check == generation_seal(row.generation, index) \
        and row.pid_check == pid_seal(row.pid, index) and (row.state == ROW_FREE or row.state == ROW_TAKEN)


cdef void set_generation(SlotRow *row, int index, uint64_t generation) noexcept:
    row.generation_check = generation_seal(generation, index)
    store64(&row.generation, generation)


cdef make_row(SlotRow *row, int index, uint64_t least):
    memset(row, 0, sizeof(SlotRow))
    row.guard = guard_of(<uint32_t>0x40000000 + index)
    row.state = ROW_FREE
    row.pid_check = pid_seal(0, index)
    set_generation(row, index, max(least, <uint64_t>max(0, int(time.time()) - EPOCH_2020)))


cdef free_row(SlotRow *row, int index):
    if not row_sound(row, index):
        make_row(row, index, 0)
    row.heartbeat = row.critical_since = row.in_handler_since = 0.0
    row.busy = 0
    row.pid_check = pid_seal(0, index)
    row.pid = 0
    store32(&row.state, ROW_FREE)


cdef uint32_t head_check(const SlotsHead *head) noexcept:
    return checksum(<const char *>head + 16, 16, head.layout)


cdef make_file(path, int slots, int counters):
    cdef SlotsHead head
    cdef size_t size = size_for(slots, counters)
    cdef SlotRow row
    cdef int index
    memset(&head, 0, sizeof(head))
    memcpy(head.magic, MAGIC, 8)
    head.layout = SLOTS_LAYOUT
    head.slots = slots
    head.counters = counters
    head.size = size
    head.check = head_check(&head)
    fd, draft = open_draft(path)
    try:
        allocate(fd, path, size)
        os.pwrite(fd, (<char *>&head)[:sizeof(SlotsHead)], 0)
        for index in range(slots):
            make_row(&row, index, 0)
            os.pwrite(fd, (<char *>&row)[:sizeof(SlotRow)], ROWS_AT + index * sizeof(SlotRow))
        os.rename(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(fd)
