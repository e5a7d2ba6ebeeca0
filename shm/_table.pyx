# cython: language_level=3, cdivision=True
"""Table: a crash-safe hash table in one shared-memory file.

In: 16-byte keys (callers hash theirs with a keyed hash, so that nobody chooses the bucket), values of bytes, deadlines, an owner.
Out: private copies, versions, CONFLICT, FULL and BUSY (ints <= 0). Nothing here waits longer than 1 ms; BUSY means: park it, go on, try later.
Raises ValueError for wrong arguments, OSError for the file system, LayoutMismatch and NoSpace on opening.

A process writes through a slot (`table.slot = n`), which holds its redo note; one that never says so gets the highest free one at its first
write. A file lock tells whether a slot has a process. Over fork the mapping is inherited, the slot is not.
Damage - random bytes anywhere - is found by checksums, guard words and check bits, counted, quarantined, and reads as absent.
What a file is stands in _identity.pyx, how it comes into memory in _mapping.pyx, what is read without locks in _looking.pyx.
Known limit: a process that is stopped inside a critical section (microseconds long) holds its record until it goes on or is killed;
`critical_since` in its slot says since when.
"""

import os
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from shm._blocks cimport *
from shm._crc cimport crc32c, shm_checksum
from shm._identity cimport plan
from shm._index cimport *
from shm._layout cimport *
from shm._operations cimport *
from shm._looking cimport Looking, arm_looking
from shm._recovery cimport *
from shm._slotfile cimport *
from shm._sync cimport *

from shm.files import open_private, private_directory, remove
from shm.values import Head, RecoveryReport, SlotTaken, VerifyReport

pthread_atfork(NULL, NULL, shm_forked)

CONFLICT_, FULL_, BUSY_ = CONFLICT, FULL, BUSY
MAX_VALUE = VALUE_MAX
KEY_BYTES = KEY
BLOCK_BYTES = 1 << BLOCK_BITS_MOST
OPERATIONS = ("none", "insert", "replace", "delete")
POINTS = (
    "nowhere", "key compared", "record locked", "blocks taken", "blocks copied", "half marked", "before the switch",
    "after the switch, before the send", "sent", "old blocks half freed", "before unlock", "header taken", "stripe locked", "linked",
    "dead", "unlinked", "allocator pop", "allocator push", "recovery started", "recovery settled", "recovery swept",
)
HAS_POINTS = bool(shm_points_built)


def arm_point(name, int count, int signal_number):
    """In a test build: send ourselves the signal when the named point is passed for the count-th time."""
    if not shm_points_built:
        raise RuntimeError("this build has no test points")
    point_arm(POINTS.index(name), count, signal_number)
    arm_looking(POINTS.index(name), count, signal_number)


def checksum_of(bytes data, *, soft=False, plain=True):
    """CRC32C of data (plain), or the checksum that records carry; soft: by table. For tests."""
    if plain:
        return crc32c(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), soft)
    return shm_checksum(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 7, 1, soft)


cdef int is_past_in(void *region, const char *key, uint64_t version) noexcept nogil:
    """Table.is_past, of a table that is open for writing too."""
    cdef Descriptor d
    cdef int64_t got = look(<Region *>region, <const unsigned char *>key, &d)
    return d.version != version if got >= 0 else got != BUSY


cdef class Table(Looking):
    """See the module. Made by create(), attach() or view()."""

    def __cinit__(self):
        self.slot_file = -1

    def __dealloc__(self):
        if self.scratch != NULL and self.slot_file >= 0 and self.forks == shm_forks:  # NULL: nothing was set
            shm_let_go(self.slot_file)

    # Opening

    @staticmethod
    def create(path, *, int records, int blocks, int slots=64, bytes boot_id=bytes(16), bint fresh=False, int reserve_blocks=-1,
               int reserve_records=-1, bint wall_expiry=False, bint marked=False, int block_bytes=BLOCK_BYTES):
        """Exclusive start: make the file, or take over the one that is there, with all mutexes made anew. The caller sees to it (flock)
        that nobody else uses it. A reserve of -1 is a sixteenth. wall_expiry: expiry is epoch seconds, else CLOCK_BOOTTIME.
        marked: changes are marked for one process that follows them (shm.marks). block_bytes: 64, 128, 256 or 512; a value
        takes whole blocks, 1024 at most."""
        cdef Identity want
        cdef Table table = Table.__new__(Table)
        path = os.fspath(path)
        plan(&want, boot_id, records, blocks, slots, blocks // 16 if reserve_blocks < 0 else reserve_blocks,
             records // 16 if reserve_records < 0 else reserve_records, wall_expiry, marked, block_bytes)
        private_directory(path)
        if fresh:
            remove(path)
        try:
            table.open_wanted(path, &want, "; start with `siphond --fresh` to throw it away")
        except FileNotFoundError:
            table.make_file(path, &want)
            return table
        add64(&table.region.control.corrupt, table.made_anew())
        return table

    @staticmethod
    def join(path, *, int records, int blocks, int slots=64, bytes boot_id=bytes(16), int reserve_blocks=-1, int reserve_records=-1,
             bint wall_expiry=False, bint marked=False, int block_bytes=BLOCK_BYTES):
        """Join the processes that use the table, if it is as create() would make it; nothing in it changes. For a hand-over."""
        cdef Identity want
        cdef Table table = Table.__new__(Table)
        plan(&want, boot_id, records, blocks, slots, blocks // 16 if reserve_blocks < 0 else reserve_blocks,
             records // 16 if reserve_records < 0 else reserve_records, wall_expiry, marked, block_bytes)
        table.open_wanted(os.fspath(path), &want, "")
        return table

    @staticmethod
    def attach(path):
        """Join the processes that use the table."""
        cdef Table table = Table.__new__(Table)
        table.open_found(os.fspath(path), False)
        return table

    @staticmethod
    def view(path):
        """Look on, read only and without locks: stats(), head(), get(), keys(), owned(), due()."""
        cdef Table table = Table.__new__(Table)
        table.open_found(os.fspath(path), True)
        return table

    # The slot

    cdef int open_slot(self, int slot) except -2:
        """A locked file that says the slot is ours, or -1: a process has it."""
        cdef int fd = open_private(self.where, os.O_RDWR), got
        facts = os.fstat(fd)
        if facts.st_dev != self.device or facts.st_ino != self.inode:
            os.close(fd)
            raise OSError(f"{self.where}: the file has been replaced")
        got = shm_lock_byte(fd, slot)
        if got == 0:
            return fd
        os.close(fd)
        if got != -EAGAIN and got != -EACCES:
            raise OSError(-got, "cannot lock the slot", self.where)
        return -1

    cdef int leave_slot(self) except -1:
        cdef Region *r = &self.region
        if r.slot >= 0 and self.forks == shm_forks:
            critical_enter(r)
            headers_settle(r, 0)
            blocks_settle(r, True)
            critical_leave(r)
            if r.spares == 0 and r.spare_count == 0:
                store32(&r.note.clean, 1)
            shm_let_go(self.slot_file)
        r.slot = -1
        self.slot_file = -1
        r.note = NULL
        r.critical = &r.unnoted
        r.spare_head = r.spare_count = r.spares = 0
        self.watched = None
        return 0

    cdef int take_slot(self, int slot) except -1:
        """0: ours. 1: another process has it."""
        cdef Region *r = &self.region
        cdef Recovered out
        cdef int fd
        cdef uint32_t generation
        self.check_slot(slot)
        fd = self.open_slot(slot)
        if fd < 0:
            return 1
        recover_slot(r, slot, &out)
        if not out.complete:
            os.close(fd)
            raise SlotTaken(f"slot {slot}: a record of its last process cannot be locked yet")
        shm_hold(fd)
        self.slot_file = fd
        self.forks = shm_forks
        r.note = &r.notes[slot]
        generation = r.note.generation + 1
        r.note.generation = generation
        r.note.pid = os.getpid()
        store32(&r.note.clean, 0)
        r.slot = slot
        r.generation = generation
        r.spare_head = r.spare_count = r.spares = 0
        r.critical = &r.note.critical_since
        return 0

    cdef int be_writer(self) except -1:
        cdef int slot
        if self.region.slot >= 0 and self.forks == shm_forks:
            return 0
        self.leave_slot()
        for slot in range(<int>self.region.slots - 1, -1, -1):
            if self.take_slot(slot) == 0:
                return 0
        raise SlotTaken("no slot is free")

    cdef int require_slot(self) except -1:
        """be_writer(), for whoever has a slot most likely."""
        if self.region.slot < 0 or self.forks != shm_forks:
            self.be_writer()
        return 0

    @property
    def slot(self):
        """The slot through which this process writes; -1 before it has one."""
        return self.region.slot if self.forks == shm_forks else -1

    @slot.setter
    def slot(self, int slot):
        cdef int attempt
        self.leave_slot()
        for attempt in range(200):                  # somebody may be recovering it at this moment
            if self.take_slot(slot) == 0:
                return
            time.sleep(0.001)
        raise SlotTaken(f"slot {slot}: another process has it")

    @property
    def generation(self):
        return self.region.generation

    def watch(self, slots, int index):
        """Note the entry into critical sections in row `index` of `slots` (Slots), where the supervisor looks, instead of in the table."""
        self.be_writer()
        self.region.critical = <double *><uintptr_t>slots.critical_address(index)
        self.watched = slots

    def close(self):
        """Leave the slot in order. The table cannot be used afterwards."""
        if self.region.base != NULL:
            self.leave_slot()
            self.unmap()

    # C level

    cdef int64_t fetch_into(self, const unsigned char *key, unsigned char *to, size_t room, Descriptor *out) noexcept nogil:
        return fetch(&self.region, key, to, room, out)

    cdef int64_t look_at(self, const unsigned char *key, Descriptor *out) noexcept nogil:
        return look(&self.region, key, out)

    cdef int64_t store_from(self, const unsigned char *key, uint64_t expected, const unsigned char *value, size_t length,
                            const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
        if self.region.slot < 0 or self.forks != shm_forks:
            return BUSY
        return store(&self.region, key, expected, value, length, facts, use_reserve, action, argument)

    cdef int64_t erase_key(self, const unsigned char *key, uint64_t expected, action_t action, void *argument) noexcept nogil:
        if self.region.slot < 0 or self.forks != shm_forks:
            return BUSY
        return erase(&self.region, key, expected, 0.0, action, argument)

    # Records

    def get(self, key):
        """(version, private copy), None (absent, expired or damaged) or BUSY."""
        cdef Descriptor d
        cdef const unsigned char *k = key_of(key)
        cdef int64_t got
        if self.reading:
            got = self.read_unlocked(k, &d, True)
        else:
            got = fetch(&self.region, k, self.scratch, VALUE_MAX, &d)
        if got >= 0:
            return (d.version, PyBytes_FromStringAndSize(<char *>self.scratch, got))
        return BUSY_ if got == BUSY else None

    def head(self, key):
        """Head without the value, None or BUSY."""
        cdef Descriptor d
        cdef const unsigned char *k = key_of(key)
        cdef int64_t got
        got = self.read_unlocked(k, &d, False) if self.reading else look(&self.region, k, &d)
        if got >= 0:
            return Head(d.version, d.owner, d.next_deadline, d.claim_deadline, d.expiry)
        return BUSY_ if got == BUSY else None

    def is_past(self, key, uint64_t version):
        """Whether the key is absent or in another version; False as well when that cannot be told now (BUSY)."""
        cdef Descriptor d
        cdef const unsigned char *k = key_of(key)
        cdef int64_t got = self.read_unlocked(k, &d, False) if self.reading else look(&self.region, k, &d)
        return d.version != version if got >= 0 else got != BUSY

    @property
    def past_call(self):
        """(function, argument) of is_past() for callers in C: int (void *argument, const char *key, uint64_t version).
        Good as long as the table is open."""
        return <uintptr_t>&is_past_in, <uintptr_t>&self.region

    def commit(self, key, uint64_t expected, bytes value not None, *, int64_t owner, double next_deadline=0.0,
               double claim_deadline=0.0, double expiry=0.0, action=None, bint use_reserve=True):
        """Insert (expected 0: the key must be absent) or replace the version `expected`: the new version, CONFLICT, FULL or BUSY.
        `action` runs after the switch, under the record's mutex; without it nothing of ours may block there."""
        cdef Facts facts
        cdef uintptr_t function = 0, argument = 0
        cdef int64_t got
        cdef const unsigned char *k = key_of(key)
        if action is not None:
            function, argument = action
        self.require_slot()
        facts.owner = owner
        facts.next_deadline = next_deadline
        facts.claim_deadline = claim_deadline
        facts.expiry = expiry
        got = store(&self.region, k, expected, <const unsigned char *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), &facts,
                    use_reserve, <action_t><void *>function, <void *>argument)
        if got == TOO_LONG:
            raise ValueError(f"a value of {len(value)} bytes; at most {self.region.value_max} fit")
        return got

    def delete(self, key, uint64_t expected, *, action=None):
        """1, CONFLICT (absent, or another version) or BUSY. expected 0 deletes whatever is there."""
        cdef uintptr_t function = 0, argument = 0
        cdef const unsigned char *k = key_of(key)
        if action is not None:
            function, argument = action
        self.require_slot()
        return erase(&self.region, k, expected, 0.0, <action_t><void *>function, <void *>argument)

    # Sweeps over the headers, without locks: what a commit changes meanwhile may be seen as it was or as it is

    def expire(self, double now, uint32_t limit):
        """Delete up to `limit` records whose expiry is not after `now`, and quarantine damaged headers met on the way: how many went."""
        cdef Descriptor d
        cdef uint32_t n, gone = 0
        cdef unsigned char key[KEY]
        self.be_writer()
        for n in range(1, self.region.records + 1):
            if not is_live(self.region.headers[n].state):
                continue
            if self.raw_descriptor(n, &d, key):
                if 0.0 < d.expiry <= now and gone < limit:
                    gone += erase(&self.region, key, d.version, now, NULL, NULL) == 1
            else:
                self.inspect(n)
        return gone

    def inspect(self, uint32_t n):
        """Quarantine header n if it is live and damaged."""
        cdef Region *r = &self.region
        cdef Header *h = &r.headers[n]
        cdef Descriptor d
        cdef int got
        critical_enter(r)
        got = header_lock(r, n)
        if got == CORRUPT or (got >= 0 and is_live(h.state) and not describe_to(h, n, h.state, &d)):
            quarantine(r, n, bucket_of(r, h.tag))
        if got >= 0:
            header_unlock(r, n)
        critical_leave(r)

    # Putting right, looking on

    def recover(self, int slot):
        """Put right what the dead process of a slot left. Any process may; again and again if need be. Does nothing while a process has it."""
        cdef Recovered out
        cdef int fd
        self.check_slot(slot)
        fd = self.open_slot(slot)
        if fd < 0:
            return RecoveryReport(slot, True, False, "none", 0, 0)
        try:
            recover_slot(&self.region, slot, &out)
        finally:
            os.close(fd)
        return RecoveryReport(slot, False, bool(out.complete), OPERATIONS[out.operation & 3], out.headers, out.blocks)

    def verify(self):
        """Look at everything, beside working processes if need be."""
        cdef Verified v
        self.check_slot(0)
        critical_enter(&self.region)
        critical_leave(&self.region)
        if verify_region(&self.region, &v) < 0:
            raise MemoryError
        return VerifyReport(
            records=v.records, bad_records=v.bad_records, bad_buckets=v.bad_buckets, unreachable=v.unreachable,
            quarantined=v.quarantined, busy=v.busy, blocks_free=v.blocks_free, blocks_used=v.blocks_used,
            blocks_at_hand=v.blocks_at_hand, blocks_quarantined=v.blocks_quarantined, blocks_lost=v.blocks_lost,
            headers_free=v.headers_free, headers_at_hand=v.headers_at_hand, headers_lost=v.headers_lost, lists_wrong=v.lists_wrong,
        )
