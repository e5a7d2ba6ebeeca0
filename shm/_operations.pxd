# cython: language_level=3
"""fetch, look, store, erase: what a process does to a record.

Order of locks: the record's mutex, then a stripe, then the allocator; never two records, never two stripes. One store of the state word is the
switch in each operation: LIVE_A <-> LIVE_B (replace), BUILDING -> LIVE_A (insert, linked before), LIVE -> DEAD (delete, unlinked after).
The slot's note names the record and both chains before anything becomes the record's, and is cleared last; what a kill leaves is put right by
`recover` from the note. Two workers, the first killed:

    worker 1                                   worker 2
    locks record 7, notes old and new chain
    new blocks marked "of record 7"
    -- killed: the kernel hands the mutex on
                                               locks record 7 (INHERITED): the state word still selects the old descriptor
                                               reads or replaces the old version
    recover(1): locks 7; of the chains in the note, whatever is marked "of record 7" but is not in its present chain goes back
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from shm._blocks cimport *
from shm._index cimport *
from shm._layout cimport *
from shm._sync cimport *


cdef inline bint expired(Region *r, const Descriptor *d) noexcept nogil:
    if d.expiry == 0.0:
        return False
    return d.expiry <= (clock_read(CLOCK_REALTIME) if r.wall_expiry else r.now)


cdef inline void key_words(const unsigned char *key, uint64_t *tag, uint64_t *high) noexcept nogil:
    memcpy(tag, key, 8)
    memcpy(high, key + 8, 8)


cdef inline int64_t look(Region *r, const unsigned char *key, Descriptor *out) noexcept nogil:
    """The descriptor: LOCKED, ABSENT or BUSY."""
    cdef uint64_t tag, high
    cdef uint32_t n = 0, state = 0
    cdef int got
    key_words(key, &tag, &high)
    critical_enter(r)
    got = open_record(r, tag, high, &n, &state, out)
    if got == LOCKED:
        header_unlock(r, n)
        if expired(r, out):
            got = ABSENT
    critical_leave(r)
    return got


cdef inline void value_damaged(Region *r, uint64_t tag, uint64_t high, uint64_t version) noexcept nogil:
    """Quarantine the record if it still has this version."""
    cdef uint32_t n = 0, state = 0
    cdef Descriptor d
    if open_record(r, tag, high, &n, &state, &d) == LOCKED:
        if d.version == version:
            quarantine(r, n, bucket_of(r, tag))
        header_unlock(r, n)


cdef inline int64_t fetch(Region *r, const unsigned char *key, unsigned char *to, size_t room, Descriptor *out) noexcept nogil:
    """Copy the value: its length, ABSENT, BUSY, or TOO_LONG (out.length says how much room it needs)."""
    cdef uint64_t tag, high
    cdef uint32_t n = 0, state = 0
    cdef int64_t got
    key_words(key, &tag, &high)
    critical_enter(r)
    got = open_record(r, tag, high, &n, &state, out)
    if got == LOCKED:
        expect_block(r, out.first, out.length)
        if expired(r, out):
            got = ABSENT
        elif out.length > room:
            got = TOO_LONG
        else:
            got = copy_value(r, n, out, to)
            if got == CORRUPT:
                quarantine(r, n, bucket_of(r, tag))
        header_unlock(r, n)
        if got == LOCKED:
            got = out.length
            if value_check(to, out.length, out.version) != out.value_check:
                value_damaged(r, tag, high, out.version)
                got = ABSENT
        elif got == CORRUPT:
            got = ABSENT
    critical_leave(r)
    return got


# The parts of a commit. The caller holds the record's mutex.

cdef inline int take_fresh(Region *r, size_t length, uint32_t leave) noexcept nogil:
    """note.fresh names as many blocks as the value needs, in transit in our slot: LOCKED, FULL or BUSY."""
    cdef uint32_t need = blocks_for(r, length), i, b
    cdef int got
    if need:
        got = blocks_fetch(r, need, leave)
        if got != LOCKED:
            return got
    for i in range(need):
        b = block_at_hand(r)
        if b == 0:                                  # damaged list: those taken come back at recovery
            return BUSY
        r.fresh[i] = b
    memcpy(r.note.fresh, r.fresh, need * sizeof(uint32_t))
    r.new_count = need
    store32(&r.note.new_count, need)
    point(AT_BLOCKS_TAKEN)
    return LOCKED


cdef inline void fill_fresh(Region *r, const unsigned char *value, size_t length) noexcept nogil:
    cdef uint32_t i
    cdef size_t whole = <size_t>1 << r.block_bits, part
    for i in range(r.new_count):
        part = length if length < whole else whole
        memcpy(block(r, r.fresh[i]), value, part)
        value += part
        length -= part
    point(AT_BLOCKS_COPIED)


cdef inline void mark_fresh(Region *r, uint32_t n) noexcept nogil:
    cdef uint32_t i, b, count = r.new_count
    for i in range(count):
        b = r.fresh[i]
        r.states[b].next = r.fresh[i + 1] if i + 1 < count else 0
        store64(&r.states[b].state, state_of(b, n))
        if i == 0:
            point(AT_HALF_MARKED)
    point(AT_BEFORE_SWITCH)


cdef inline void describe(Region *r, Descriptor *d, uint32_t n, uint64_t tag, uint64_t high, uint64_t version, size_t length,
                          const unsigned char *value, const Facts *facts) noexcept nogil:
    """The key is the caller's own: a header that noise has let another process into as well may bear another one by now."""
    d.version = version
    d.owner = facts.owner
    d.next_deadline = facts.next_deadline
    d.claim_deadline = facts.claim_deadline
    d.expiry = facts.expiry
    d.first = r.fresh[0] if r.new_count else 0
    d.length = <uint32_t>length
    d.value_check = value_check(value, length, version)
    d.check = descriptor_check(d, tag, high, n)


cdef inline void free_old(Region *r, uint32_t n) noexcept nogil:
    """Take back what is still marked as the record's."""
    cdef uint32_t i, b
    for i in range(r.old_count):
        b = r.old[i]
        if r.states[b].state == state_of(b, n):
            store64(&r.states[b].state, state_transit(b, r.slot, r.generation))
            keep_block(r, b)
        if i == 0:
            point(AT_OLD_HALF_FREED)


cdef inline void keep_fresh(Region *r) noexcept nogil:
    """The commit is not to be: what was taken for it lies at hand again."""
    cdef uint32_t i
    for i in range(r.new_count):
        keep_block(r, r.fresh[i])
    r.new_count = 0
    store32(&r.note.new_count, 0)


cdef inline void note_open(Region *r, uint32_t n, uint32_t operation) noexcept nogil:
    r.new_count = 0
    r.note.old_count = r.old_count
    memcpy(r.note.old, r.old, r.old_count * sizeof(uint32_t))
    store32(&r.note.new_count, 0)
    store32(&r.note.record, n)
    store32(&r.note.operation, operation)
    point(AT_RECORD_LOCKED)


cdef inline void note_close(Region *r) noexcept nogil:
    point(AT_BEFORE_UNLOCK)
    store32(&r.note.operation, IDLE)


cdef inline void note_old(Region *r, uint32_t n, const Descriptor *d) noexcept nogil:
    """The old chain, as far as it is sound: what is damaged stays behind until the next exclusive start."""
    r.old_count = blocks_for(r, d.length)
    if not walk_value(r, n, d, r.old):
        add64(&r.control.corrupt, 1)
        r.old_count = 0


cdef inline int act(action_t action, void *argument) noexcept nogil:
    point(AT_AFTER_SWITCH)
    if action != NULL:
        action(argument)
    point(AT_SENT)
    return 0


cdef inline int64_t replace_locked(Region *r, uint32_t n, uint32_t state, uint64_t tag, uint64_t high, const Descriptor *old,
                                   const unsigned char *value, size_t length, const Facts *facts, bint use_reserve,
                                   action_t action, void *argument) noexcept nogil:
    cdef Header *h = &r.headers[n]
    cdef uint64_t version = 0
    cdef uint32_t leave = 0, i
    cdef int got
    note_old(r, n, old)
    note_open(r, n, REPLACE)
    if not use_reserve:
        leave = r.identity.reserve_blocks
    elif blocks_for(r, length) > r.old_count:
        leave = r.identity.reserve_blocks // 2
    got = take_fresh(r, length, leave)
    if got == LOCKED:
        version = add64(&r.control.version, 1)
        fill_fresh(r, value, length)
        describe(r, &h.a if state == LIVE_B else &h.b, n, tag, high, version, length, value, facts)
        mark_fresh(r, n)
        mark(r, n)
        note_time(r, n, facts)
        store32(&h.state, LIVE_A if state == LIVE_B else LIVE_B)
        act(action, argument)
        free_old(r, n)
    note_close(r)
    return <int64_t>version if got == LOCKED else got


cdef inline int64_t replace(Region *r, uint64_t tag, uint64_t high, uint64_t expected, const unsigned char *value, size_t length,
                            const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
    cdef uint32_t n = 0, state = 0
    cdef Descriptor old
    cdef int64_t got = open_record(r, tag, high, &n, &state, &old)
    if got != LOCKED:
        return BUSY if got == BUSY else CONFLICT
    if old.version != expected:
        got = CONFLICT
    else:
        got = replace_locked(r, n, state, tag, high, &old, value, length, facts, use_reserve, action, argument)
    header_unlock(r, n)
    return got


cdef inline int64_t insert_over(Region *r, uint32_t n, uint64_t tag, uint64_t high, const unsigned char *value, size_t length,
                                    const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
    """An insert found header n with its key. ABSENT: it is not there after all (a dead inserter's remains were unlinked), try again."""
    cdef Header *h = &r.headers[n]
    cdef uint32_t state
    cdef Descriptor old
    cdef int64_t result = ABSENT
    cdef int got = header_lock(r, n)
    if got == BUSY:
        return BUSY
    if got == CORRUPT:
        quarantine(r, n, bucket_of(r, tag))
        return ABSENT
    state = load32(&h.state)
    if h.tag == tag and h.key_high == high:
        if is_live(state):
            if not describe_key(h, n, state, tag, high, &old):
                quarantine(r, n, bucket_of(r, tag))
            elif expired(r, &old):
                result = replace_locked(r, n, state, tag, high, &old, value, length, facts, use_reserve, action, argument)
            else:
                result = CONFLICT
        elif is_building(state):                    # its builder held this mutex until its death
            if stripe_lock(r, bucket_of(r, tag)) == BUSY:
                result = BUSY
            else:
                if not unlink_locked(r, bucket_of(r, tag), n):
                    restring_locked(r, bucket_of(r, tag))
                stripe_unlock(r, bucket_of(r, tag))
    header_unlock(r, n)
    return result


cdef inline int64_t insert_fresh(Region *r, uint64_t tag, uint64_t high, const unsigned char *value, size_t length,
                                 const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
    """Insert into a header at hand. ABSENT: another process was faster, or died while it was: look again."""
    cdef uint32_t bucket = bucket_of(r, tag), n
    cdef Header *h
    cdef int64_t got, found
    cdef uint64_t version = 0
    got = headers_fetch(r, 0 if use_reserve else r.identity.reserve_records)
    if got != LOCKED:
        return got
    n = r.spare[r.spares - 1]
    if r.headers[n].state != (BUILDING | <uint32_t>r.slot):
        drop_header(r)
        add64(&r.control.corrupt, 1)
        return ABSENT
    h = &r.headers[n]
    got = header_lock(r, n)                         # only one who looked the header's last record up may hold it, for a moment
    if got == BUSY:
        return BUSY
    if got == CORRUPT:
        drop_header(r)
        quarantine(r, n, bucket)
        return ABSENT
    r.old_count = 0
    note_open(r, n, INSERT)
    drop_header(r)
    h.tag = tag
    h.key_high = high
    point(AT_HEADER_TAKEN)
    got = take_fresh(r, length, r.identity.reserve_blocks // 2 if use_reserve else r.identity.reserve_blocks)
    if got == LOCKED:
        version = add64(&r.control.version, 1)
        fill_fresh(r, value, length)
        describe(r, &h.a, n, tag, high, version, length, value, facts)
        got = stripe_lock(r, bucket)
        if got == LOCKED:
            found = search_locked(r, bucket, tag, high, True)
            if found == ABSENT:
                mark_fresh(r, n)
                link_locked(r, bucket, n)
            else:
                got = ABSENT
            stripe_unlock(r, bucket)
    if got == LOCKED:
        mark(r, n)
        note_time(r, n, facts)
        store32(&h.state, LIVE_A)
        act(action, argument)
    else:
        keep_fresh(r)
        keep_header(r, n)
    note_close(r)
    header_unlock(r, n)
    return <int64_t>version if got == LOCKED else got


cdef inline int64_t insert(Region *r, uint64_t tag, uint64_t high, const unsigned char *value, size_t length,
                           const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
    cdef int64_t n, got
    cdef int attempt
    for attempt in range(4):
        n = find(r, tag, high, True)
        if n == BUSY:
            return BUSY
        if n == ABSENT:
            got = insert_fresh(r, tag, high, value, length, facts, use_reserve, action, argument)
        else:
            got = insert_over(r, <uint32_t>n, tag, high, value, length, facts, use_reserve, action, argument)
        if got != ABSENT:
            return got
    return BUSY


cdef inline int64_t store(Region *r, const unsigned char *key, uint64_t expected, const unsigned char *value, size_t length,
                          const Facts *facts, bint use_reserve, action_t action, void *argument) noexcept nogil:
    """A new version, CONFLICT, FULL, BUSY or TOO_LONG. expected 0 inserts; the caller has a slot."""
    cdef uint64_t tag, high
    cdef int64_t got
    if length > r.value_max:
        return TOO_LONG
    key_words(key, &tag, &high)
    critical_enter(r)
    if expected == 0:
        got = insert(r, tag, high, value, length, facts, use_reserve, action, argument)
    else:
        got = replace(r, tag, high, expected, value, length, facts, use_reserve, action, argument)
    blocks_settle(r, False)
    critical_leave(r)
    if got == CONFLICT:
        add64(&r.control.conflicts, 1)
    elif got == FULL:
        add64(&r.control.full, 1)
    return got


cdef inline int64_t erase_locked(Region *r, uint32_t n, const Descriptor *old, uint32_t bucket, action_t action, void *argument) noexcept nogil:
    """1 or BUSY. Room for the header among the spares was made before."""
    cdef Header *h = &r.headers[n]
    note_old(r, n, old)
    note_open(r, n, DELETE)
    if stripe_lock(r, bucket) == BUSY:
        note_close(r)
        return BUSY
    mark(r, n)
    store32(&h.state, DEAD)
    point(AT_DEAD)
    take_out_locked(r, bucket, n)
    stripe_unlock(r, bucket)
    act(action, argument)
    free_old(r, n)
    keep_header(r, n)
    store32(&h.state, BUILDING | <uint32_t>r.slot)
    note_close(r)
    return 1


cdef inline int64_t erase(Region *r, const unsigned char *key, uint64_t expected, double expiring, action_t action,
                          void *argument) noexcept nogil:
    """1, CONFLICT or BUSY. expected 0 takes any version; `expiring` > 0 only a record whose expiry lies before it."""
    cdef uint64_t tag, high
    cdef uint32_t n = 0, state = 0
    cdef Descriptor d
    cdef int64_t got = BUSY
    key_words(key, &tag, &high)
    critical_enter(r)
    if headers_settle(r, SPARES - 1) == LOCKED:
        got = open_record(r, tag, high, &n, &state, &d)
        if got == ABSENT:
            got = CONFLICT
        elif got == LOCKED:
            if (expected and d.version != expected) or (expiring > 0.0 and not 0.0 < d.expiry <= expiring):
                got = CONFLICT
            else:
                got = erase_locked(r, n, &d, bucket_of(r, tag), action, argument)
            header_unlock(r, n)
        headers_settle(r, r.spares_limit)
        blocks_settle(r, False)
    critical_leave(r)
    return got
