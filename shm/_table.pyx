# cython: language_level=3, cdivision=True
"""Table: a crash-safe hash table in one shared-memory file.

In: 16-byte keys (callers hash theirs with a keyed hash, so that nobody chooses the bucket), values of bytes, deadlines, an owner.
Out: private copies, versions, CONFLICT, FULL and BUSY (ints <= 0). Nothing here waits longer than 1 ms; BUSY means: park it, go on, try later.
Raises ValueError for wrong arguments, OSError for the file system, LayoutMismatch and NoSpace on opening.

A process writes through a slot (`table.slot = n`), which holds its redo note; one that never says so gets the highest free one at its first
write. A file lock tells whether a slot has a process. Over fork the mapping is inherited, the slot is not.
Damage - random bytes anywhere - is found by checksums, guard words and check bits, counted, quarantined, and reads as absent.
Known limit: a process that is stopped inside a critical section (microseconds long) holds its record until it goes on or is killed;
`critical_since` in its slot says since when.
"""

import os
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from shm._blocks cimport *
from shm._crc cimport checksum, crc32c, shm_checksum
from shm._index cimport *
from shm._layout cimport *
from shm._operations cimport *
from shm._recovery cimport *
from shm._sync cimport *

from shm.files import allocate, open_draft, open_private, private_directory, remove
from shm.values import (
    Head,
    LayoutMismatch,
    NoSpace,
    RecoveryReport,
    SlotTaken,
    TableStats,
    VerifyReport,
)


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <sys/mman.h>
    #include <unistd.h>

    static int shm_forks, shm_held[256];        /* slot files of this process, to be closed in its children */

    static void shm_forked(void)
    {
        shm_forks++;
        for (int i = 0; i < 256; i++)
            if (shm_held[i]) {
                close(shm_held[i] - 1);
                shm_held[i] = 0;
            }
    }

    static void shm_hold(int fd)
    {
        for (int i = 0; i < 256; i++)
            if (!shm_held[i]) {
                shm_held[i] = fd + 1;
                return;
            }
    }

    static void shm_let_go(int fd)
    {
        for (int i = 0; i < 256; i++)
            if (shm_held[i] == fd + 1)
                shm_held[i] = 0;
        close(fd);
    }

    static int shm_lock_byte(int fd, int at)
    {
        struct flock l;
        memset(&l, 0, sizeof l);
        l.l_type = F_WRLCK;
        l.l_whence = SEEK_SET;
        l.l_start = at;
        l.l_len = 1;
        return fcntl(fd, F_OFD_SETLK, &l) == 0 ? 0 : -errno;
    }
    """
    int shm_forks
    void shm_forked()
    void shm_hold(int)
    void shm_let_go(int)
    int shm_lock_byte(int, int)
    int pthread_atfork(void (*)(), void (*)(), void (*)())
    void *mmap(void *, size_t, int, int, int, long)
    int munmap(void *, size_t)
    int PROT_READ, PROT_WRITE, MAP_SHARED, EAGAIN, EACCES
    void *MAP_FAILED

pthread_atfork(NULL, NULL, shm_forked)

CONFLICT_, FULL_, BUSY_ = CONFLICT, FULL, BUSY
MAX_VALUE = VALUE_MAX
KEY_BYTES = KEY
BLOCK_BYTES = BLOCK
MAGIC = b"siphshm\n"
OPERATIONS = ("none", "insert", "replace", "delete")
POINTS = (
    "nowhere", "record locked", "blocks taken", "blocks copied", "half marked", "before the switch", "after the switch, before the send", "sent",
    "old blocks half freed", "before unlock", "header taken", "stripe locked", "linked", "dead", "unlinked", "allocator pop",
    "allocator push", "recovery started", "recovery settled", "recovery swept",
)
HAS_POINTS = bool(shm_points_built)


def arm_point(name, int count, int signal_number):
    """In a test build: send ourselves the signal when the named point is passed for the count-th time."""
    if not shm_points_built:
        raise RuntimeError("this build has no test points")
    point_arm(POINTS.index(name), count, signal_number)


def checksum_of(bytes data, *, soft=False, plain=True):
    """CRC32C of data (plain), or the checksum that records carry; soft: by table. For tests."""
    if plain:
        return crc32c(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), soft)
    return shm_checksum(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 7, 1, soft)


cdef uint64_t rounded(uint64_t n, uint64_t unit):
    return (n + unit - 1) // unit * unit


cdef int plan(Identity *p, bytes boot_id, records, blocks, slots, reserve_blocks, reserve_records, wall_expiry,
              bint marked=False) except -1:
    """Fill in an identity: sizes and where everything lies."""
    cdef uint32_t buckets = 64
    if not 1 <= records < 1 << 29 or not 1 <= blocks < 1 << 29 or not 1 <= slots <= 255:
        raise ValueError("records and blocks must be 1..2^29-1, slots 1..255")
    if not 0 <= reserve_blocks < blocks or not 0 <= reserve_records < records:
        raise ValueError("a reserve must be smaller than what it is a part of")
    if len(boot_id) != 16:
        raise ValueError("boot_id must be 16 bytes")
    while buckets < records:
        buckets *= 2
    memset(p, 0, sizeof(Identity))
    memcpy(p.magic, PyBytes_AS_STRING(MAGIC), 8)
    memcpy(p.boot_id, PyBytes_AS_STRING(boot_id), 16)
    p.layout = LAYOUT_VERSION
    p.records = records
    p.blocks = blocks
    p.slots = slots
    p.buckets = buckets
    p.stripes = buckets if buckets < 1024 else 1024
    p.reserve_blocks = reserve_blocks
    p.reserve_records = reserve_records
    p.wall_expiry = 1 if wall_expiry else 0
    p.notes_at = PAGE
    p.stripes_at = p.notes_at + p.slots * sizeof(Note)
    p.buckets_at = p.stripes_at + p.stripes * sizeof(Stripe)
    p.headers_at = rounded(p.buckets_at + <uint64_t>p.buckets * 8, PAGE)
    p.states_at = rounded(p.headers_at + <uint64_t>(p.records + 1) * sizeof(Header), PAGE)
    p.blocks_at = rounded(p.states_at + <uint64_t>(p.blocks + 1) * sizeof(BlockState), PAGE)
    p.size = rounded(p.blocks_at + <uint64_t>(p.blocks + 1) * BLOCK, PAGE)
    if marked:
        p.marks_at = p.size
        p.size = rounded(p.marks_at + rounded(p.records + 1, PAGE) + (p.records >> MARK_BITS) + 1, PAGE)
    p.earliest_at = p.size
    p.size = rounded(p.earliest_at + (<uint64_t>(p.records >> GROUP_BITS) + 1) * 8, PAGE)
    p.check = identity_check(p)
    return 0


cdef uint32_t identity_check(const Identity *p) noexcept:
    cdef Identity q
    memcpy(&q, p, sizeof(Identity))
    q.check = 0
    return checksum(&q, sizeof(Identity), LAYOUT_VERSION)


def file_size(*, int records, int blocks, int slots=64, bint marked=False):
    """How many bytes a table of this size takes."""
    cdef Identity p
    plan(&p, bytes(16), records, blocks, slots, 0, 0, False, marked)
    return p.size


cdef str differences(const Identity *have, const Identity *want):
    """What keeps a file from being used, or an empty text."""
    cdef list found = []
    if memcmp(have.magic, want.magic, 8) != 0:
        return "it is no table of siphond"
    if have.layout != want.layout:
        return f"its layout is version {have.layout}, this program writes version {want.layout}"
    if have.check != identity_check(have):
        return "its first page is damaged"
    if memcmp(have.boot_id, want.boot_id, 16) != 0:
        return "it is of an earlier start of the machine (the boot id differs)"
    for name, had, wanted in (
        ("records", have.records, want.records), ("blocks", have.blocks, want.blocks), ("slots", have.slots, want.slots),
        ("reserve_blocks", have.reserve_blocks, want.reserve_blocks), ("wall_expiry", have.wall_expiry, want.wall_expiry),
        ("reserve_records", have.reserve_records, want.reserve_records), ("marks", have.marks_at, want.marks_at),
        ("bytes", have.size, want.size),
    ):
        if had != wanted:
            found.append(f"{name} is {had}, wanted is {wanted}")
    return "; ".join(found)


cdef const unsigned char *key_of(object key) except NULL:
    if type(key) is not bytes or PyBytes_GET_SIZE(key) != KEY:
        raise ValueError("a key is exactly 16 bytes")
    return <const unsigned char *>PyBytes_AS_STRING(key)


cdef bytes key_bytes(const Header *h):
    cdef unsigned char key[KEY]
    memcpy(key, &h.tag, 8)
    memcpy(key + 8, &h.key_high, 8)
    return PyBytes_FromStringAndSize(<char *>key, KEY)


cdef int is_past_in(void *region, const char *key, uint64_t version) noexcept nogil:
    """Table.is_past, of a table that is open for writing too."""
    cdef Descriptor d
    cdef int64_t got = look(<Region *>region, <const unsigned char *>key, &d)
    return d.version != version if got >= 0 else got != BUSY


cdef class Table:
    """See the module. Made by create(), attach() or view()."""

    def __cinit__(self):
        memset(&self.region, 0, sizeof(Region))
        self.region.slot = -1
        self.slot_file = -1
        self.region.critical = &self.region.unnoted
        self.scratch = <unsigned char *>malloc(VALUE_MAX)
        if self.scratch == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.slot_file >= 0 and self.forks == shm_forks:
            shm_let_go(self.slot_file)
        if self.region.base != NULL:
            munmap(self.region.base, self.region.size)
        free(self.scratch)

    # Opening

    @staticmethod
    def create(path, *, int records, int blocks, int slots=64, bytes boot_id=bytes(16), bint fresh=False, int reserve_blocks=-1,
               int reserve_records=-1, bint wall_expiry=False, bint marked=False):
        """Exclusive start: make the file, or take over the one that is there, with all mutexes made anew. The caller sees to it (flock)
        that nobody else uses it. A reserve of -1 is a sixteenth. wall_expiry: expiry is epoch seconds, else CLOCK_BOOTTIME.
        marked: changes are marked for one process that follows them (shm.marks)."""
        cdef Identity want
        cdef uint32_t dropped = 0
        cdef Table table
        path = os.fspath(path)
        plan(&want, boot_id, records, blocks, slots, blocks // 16 if reserve_blocks < 0 else reserve_blocks,
             records // 16 if reserve_records < 0 else reserve_records, wall_expiry, marked)
        private_directory(path)
        if fresh:
            remove(path)
        try:
            table = mapped(path, &want, "; start with `siphond --fresh` to throw it away")
        except FileNotFoundError:
            return make_file(path, &want)
        if rebuild(&table.region, &dropped) < 0:
            raise MemoryError
        add64(&table.region.control.corrupt, dropped)
        return table

    @staticmethod
    def join(path, *, int records, int blocks, int slots=64, bytes boot_id=bytes(16), int reserve_blocks=-1, int reserve_records=-1,
             bint wall_expiry=False, bint marked=False):
        """Join the processes that use the table, if it is as create() would make it; nothing in it changes. For a hand-over."""
        cdef Identity want
        plan(&want, boot_id, records, blocks, slots, blocks // 16 if reserve_blocks < 0 else reserve_blocks,
             records // 16 if reserve_records < 0 else reserve_records, wall_expiry, marked)
        return mapped(os.fspath(path), &want, "")

    @staticmethod
    def attach(path):
        """Join the processes that use the table."""
        return joined(os.fspath(path), False)

    @staticmethod
    def view(path):
        """Look on, read only and without locks: stats(), head(), get(), keys(), owned(), due()."""
        return joined(os.fspath(path), True)

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
        r.wall_expiry = p.wall_expiry
        r.spare_limit = min(<uint32_t>SPARE_BLOCKS, r.blocks // (r.slots * 8))
        r.spares_limit = min(<uint32_t>SPARES // 2, r.records // (r.slots * 8))
        mutex_make(&sample)
        if kind_of(&sample) != SOUND_KIND:
            raise OSError("this C library makes robust mutexes in another way than siphond knows")
        return 0

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

    cdef int check_slot(self, int slot) except -1:
        if self.reading:
            raise ValueError("this table is open for reading only")
        if not 0 <= slot < <int>self.region.slots:
            raise ValueError(f"slot {slot} of {self.region.slots}")
        return 0

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
            munmap(self.region.base, self.region.size)
            self.region.base = NULL

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
            raise ValueError(f"a value of {len(value)} bytes; at most {VALUE_MAX} fit")
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

    cdef bint raw_descriptor(self, uint32_t n, Descriptor *d) noexcept nogil:
        """A sound copy of a live header's descriptor. False: not live, or damaged."""
        cdef Header *h = &self.region.headers[n]
        cdef uint32_t state
        cdef int attempt
        for attempt in range(8):
            state = load32(&h.state)
            if not is_live(state):
                return False
            if describe_to(h, n, state, d) and load32(&h.state) == state:
                return True
        return False

    cdef int64_t read_unlocked(self, const unsigned char *key, Descriptor *d, bint whole) noexcept nogil:
        cdef Region *r = &self.region
        cdef uint64_t tag, high
        cdef int64_t n
        cdef int attempt
        key_words(key, &tag, &high)
        r.now = clock_read(CLOCK_BOOTTIME)
        for attempt in range(20):
            n = walk_locked(r, bucket_of(r, tag), tag, high, False)
            if n == ABSENT:
                return ABSENT
            if n < 0 or not self.raw_descriptor(<uint32_t>n, d):
                continue
            if expired(r, d):
                return ABSENT
            if not whole:
                return 0
            if copy_value(r, <uint32_t>n, d, self.scratch) == LOCKED \
                    and value_check(self.scratch, d.length, d.version) == d.value_check:
                return d.length
        return ABSENT

    def owned(self, int64_t owner):
        """[(key, version, deadline)] of an owner's records; the deadline is the earlier of next and claim, 0 when it has none."""
        cdef Descriptor d
        cdef uint32_t n
        cdef list found = []
        for n in range(1, self.region.records + 1):
            if is_live(self.region.headers[n].state) and self.raw_descriptor(n, &d) and d.owner == owner:
                found.append((key_bytes(&self.region.headers[n]), d.version, earliest(&d)))
        return found

    def due(self, int64_t owner, double until, int limit):
        """[(key, version, deadline)] of the owner's records whose earlier deadline (next or claim) is not after `until`."""
        cdef Descriptor d
        cdef uint32_t n
        cdef list found = []
        for n in range(1, self.region.records + 1):
            if len(found) >= limit:
                break
            if is_live(self.region.headers[n].state) and self.raw_descriptor(n, &d) and d.owner == owner \
                    and 0.0 < earliest(&d) <= until:
                found.append((key_bytes(&self.region.headers[n]), d.version, earliest(&d)))
        found.sort(key=deadline_of)
        return found

    def keys(self, uint32_t limit=1000, uint32_t cursor=0, uint32_t within=0):
        """Up to `limit` keys (expired ones too) among the next `within` headers (0: all that are left), and the cursor for the next
        call: 0 at the end."""
        cdef Descriptor d
        cdef uint32_t n = cursor + 1
        cdef uint32_t last = self.region.records
        cdef list found = []
        if within and cursor < last and within < last - cursor:
            last = cursor + within
        while n <= last:
            if self.raw_descriptor(n, &d):
                found.append(key_bytes(&self.region.headers[n]))
                if <uint32_t>len(found) >= limit:
                    return found, (n if n < self.region.records else 0)
            n += 1
        return found, (last if last < self.region.records else 0)

    def expire(self, double now, uint32_t limit):
        """Delete up to `limit` records whose expiry is not after `now`, and quarantine damaged headers met on the way: how many went."""
        cdef Descriptor d
        cdef uint32_t n, gone = 0
        cdef Header *h
        self.be_writer()
        for n in range(1, self.region.records + 1):
            h = &self.region.headers[n]
            if not is_live(h.state):
                continue
            if self.raw_descriptor(n, &d):
                if 0.0 < d.expiry <= now and gone < limit:
                    key = key_bytes(h)
                    gone += erase(&self.region, key_of(key), d.version, now, NULL, NULL) == 1
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

    def stats(self):
        """Sizes, what is free, counters. No lock; free counts include what slots keep at hand."""
        cdef Region *r = &self.region
        cdef Control *c = r.control
        cdef uint32_t i
        cdef uint64_t free_headers = list_count(c.free_headers), free_blocks = list_count(c.free_blocks)
        for i in range(r.slots):
            free_headers += min(r.notes[i].spares, <uint32_t>SPARES)
            free_blocks += min(r.notes[i].spare_blocks, r.blocks)
        free_headers = min(free_headers, <uint64_t>r.records)
        free_blocks = min(free_blocks, <uint64_t>r.blocks)
        return TableStats(
            records=max(0, <int64_t>(r.records - free_headers) - <int64_t>c.quarantined), records_max=r.records,
            blocks_free=free_blocks, blocks_max=r.blocks, reserve_blocks=r.identity.reserve_blocks,
            corrupt=c.corrupt, quarantined=c.quarantined, full=c.full, busy=c.busy, conflicts=c.conflicts, inherited=c.inherited,
            mended=c.mended, recovered=c.recovered, version=c.version, bytes=r.size,
        )

    def critical_since(self, int slot):
        """When the process of a slot entered the critical section it is in (CLOCK_BOOTTIME), 0 outside, if it does not watch() a Slots."""
        if not 0 <= slot < <int>self.region.slots:
            raise ValueError(f"slot {slot} of {self.region.slots}")
        return self.region.notes[slot].critical_since

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
            "blocks": (p.blocks_at + BLOCK, BLOCK, p.blocks),
            **({"marks": (p.marks_at + 1, 1, p.records)} if p.marks_at else {}),
            "earliest": (p.earliest_at, 8, (p.records >> GROUP_BITS) + 1),
        }


def deadline_of(entry):
    return entry[2]


cdef str differs(fd, path, const Identity *want):
    cdef Identity have
    cdef bytes raw = os.pread(fd, sizeof(Identity), 0)
    cdef str text
    if <size_t>len(raw) < sizeof(Identity):
        return "it is too short"
    memcpy(&have, PyBytes_AS_STRING(raw), sizeof(Identity))
    text = differences(&have, want)
    if not text and os.fstat(fd).st_size != <int64_t>want.size:
        text = f"it is {os.fstat(fd).st_size} bytes long, not {want.size}"
    return text


cdef make_file(path, const Identity *want):
    """Written under another name first: a file of the right name is always whole."""
    cdef Table table = Table.__new__(Table)
    cdef Identity born
    cdef uint32_t dropped = 0
    fd, draft = open_draft(path)
    try:
        allocate(fd, path, want.size)
        memcpy(&born, want, sizeof(Identity))
        born.birth = int.from_bytes(os.urandom(8), "little")
        born.check = identity_check(&born)
        os.pwrite(fd, PyBytes_FromStringAndSize(<const char *>&born, sizeof(Identity)), 0)
        table.map_file(fd, want.size, False)
        table.where = path
        if rebuild(&table.region, &dropped) < 0:
            raise MemoryError
        os.rename(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    finally:
        os.close(fd)
    return table


cdef Table mapped(path, const Identity *want, advice):
    """The file, if it is as wanted."""
    cdef Table table = Table.__new__(Table)
    fd = open_private(path, os.O_RDWR)
    try:
        text = differs(fd, path, want)
        if text:
            raise LayoutMismatch(f"{path}: {text}{advice}")
        table.map_file(fd, want.size, False)
    finally:
        os.close(fd)
    table.where = path
    return table


cdef joined(path, bint reading):
    cdef Identity have
    cdef Identity want
    cdef Table table = Table.__new__(Table)
    fd = open_private(path, os.O_RDONLY if reading else os.O_RDWR)
    try:
        raw = os.pread(fd, sizeof(Identity), 0)
        if len(raw) == sizeof(Identity):
            memcpy(&have, PyBytes_AS_STRING(raw), sizeof(Identity))
        else:
            memset(&have, 0, sizeof(Identity))
        memcpy(&want, &have, sizeof(Identity))
        memcpy(want.magic, PyBytes_AS_STRING(MAGIC), 8)
        want.layout = LAYOUT_VERSION
        text = differs(fd, path, &want)
        if text:
            raise LayoutMismatch(f"{path}: {text}; start with `siphond --fresh` to throw it away")
        table.map_file(fd, have.size, reading)
    finally:
        os.close(fd)
    table.where = path
    return table
