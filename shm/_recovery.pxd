# cython: language_level=3
"""What puts a table right: recovery of one slot, verification, the rebuild of an exclusive start.

Recovery of a slot whose process is dead (the caller holds the slot's file lock): under the mutex of the record in the note, whatever the note lists
and is marked as the record's, but is not in its present chain, goes into transit; then a sweep over the state words returns all that
is in transit in the slot. Each step looks at the state word before it changes it, so a recovery that is killed is simply done again.

Verification may run beside working processes: a block that looks lost is looked at again under its record's mutex.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from shm._blocks cimport *
from shm._index cimport *
from shm._layout cimport *
from shm._sync cimport *


cdef struct Recovered:
    int complete
    uint32_t operation
    uint32_t record
    uint32_t headers
    uint32_t blocks


cdef struct Verified:
    uint32_t records
    uint32_t bad_records        # live, but descriptor, chain or checksum are wrong
    uint32_t bad_buckets        # damaged chain, or a header in a foreign bucket
    uint32_t unreachable        # live records that their bucket does not lead to
    uint32_t quarantined
    uint32_t busy               # locks not had within 1 ms: not looked at
    uint32_t blocks_free
    uint32_t blocks_used
    uint32_t blocks_at_hand     # in transit, of slots with a process (or not yet recovered)
    uint32_t blocks_quarantined
    uint32_t blocks_lost
    uint32_t headers_free
    uint32_t headers_at_hand
    uint32_t headers_lost
    uint32_t lists_wrong        # a free list that does not hold exactly what is free


cdef inline int patiently(Region *r, uint32_t n) noexcept nogil:
    """header_lock, for up to 50 ms."""
    cdef int i, got = BUSY
    for i in range(50):
        r.waiting = 0
        got = header_lock(r, n)
        if got != BUSY:
            break
    return got


cdef inline bint stripe_patiently(Region *r, uint32_t bucket) noexcept nogil:
    cdef int i
    for i in range(50):
        r.waiting = 0
        if stripe_lock(r, bucket) == LOCKED:
            return True
    return False


cdef inline bint allocator_patiently(Region *r) noexcept nogil:
    cdef int i
    for i in range(50):
        r.waiting = 0
        if allocator_lock(r) == LOCKED:
            return True
    return False


cdef inline bint among(uint32_t b, uint32_t *blocks, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if blocks[i] == b:
            return True
    return False


cdef inline uint32_t recall(Region *r, uint32_t *noted, uint32_t count, uint32_t n, uint32_t *present, uint32_t held,
                            uint32_t slot) noexcept nogil:
    """Noted blocks that are marked as the record's but not in its present chain go into transit of the dead slot."""
    cdef uint32_t i, b, moved = 0
    for i in range(count if count <= CHAIN else 0):
        b = load32(&noted[i])
        if 1 <= b <= r.blocks and r.states[b].state == state_of(b, n) and not among(b, present, held):
            store64(&r.states[b].state, state_transit(b, slot, r.notes[slot].generation))
            moved += 1
    return moved


cdef inline bint return_header(Region *r, uint32_t n) noexcept nogil:
    if not allocator_patiently(r):
        return False
    push_header_locked(r, n)
    allocator_unlock(r)
    return True


cdef inline bint settle_record(Region *r, uint32_t slot, uint32_t n, Recovered *out, uint32_t *present) noexcept nogil:
    """The record of the note, its mutex held. False: a lock was not to be had."""
    cdef Note *note = &r.notes[slot]
    cdef Descriptor d
    cdef Header *h = &r.headers[n]
    cdef uint32_t state = load32(&h.state), held = 0
    cdef uint32_t bucket = bucket_of(r, h.tag)
    if is_live(state):
        if not describe_to(h, n, state, &d) or not walk_value(r, n, &d, present):
            quarantine(r, n, bucket)
            return True
        held = blocks_for(r, d.length)
    elif state == QUARANTINED:
        return True
    elif state == DEAD or state == (BUILDING | slot):
        if not stripe_patiently(r, bucket):
            return False
        store32(&h.state, DEAD)
        take_out_locked(r, bucket, n)
        stripe_unlock(r, bucket)
    recall(r, note.old, load32(&note.old_count), n, present, held, slot)
    recall(r, note.fresh, load32(&note.new_count), n, present, held, slot)
    if load32(&h.state) == DEAD:
        if not return_header(r, n):
            return False
        out.headers += 1
    return True


cdef inline bint recover_note(Region *r, uint32_t slot, Recovered *out, uint32_t *present) noexcept nogil:
    cdef Note *note = &r.notes[slot]
    cdef uint32_t i, n, count
    cdef int got
    cdef bint done
    n = load32(&note.record)
    out.operation = load32(&note.operation)
    out.record = n
    if out.operation != IDLE and 1 <= n <= r.records:
        got = patiently(r, n)
        if got == BUSY:
            return False
        if got == CORRUPT:
            quarantine(r, n, bucket_of(r, r.headers[n].tag))
        else:
            done = settle_record(r, slot, n, out, present)
            header_unlock(r, n)
            if not done:
                return False
    store32(&note.operation, IDLE)
    point(AT_RECOVERY_SETTLED)
    count = load32(&note.spares)
    for i in range(count if count <= SPARES else SPARES):
        n = load32(&note.spare[i])
        if 1 <= n <= r.records and load32(&r.headers[n].state) == (BUILDING | slot):
            if not return_header(r, n):
                return False
            out.headers += 1
    store32(&note.spares, 0)
    return True


cdef inline bint sweep_transit(Region *r, uint32_t slot, Recovered *out) noexcept nogil:
    """Return what is in transit in the slot. Only the slot's process or its recovery changes such words, so reading needs no lock."""
    cdef uint32_t b = 1, i, found
    cdef uint32_t batch[64]
    cdef uint64_t word
    while b <= r.blocks:
        found = 0
        while b <= r.blocks and found < 64:
            word = load64(&r.states[b].state)
            if (word >> 32 & 0xFFFF) == (BLOCK_TRANSIT << 8 | slot) and state_kind(word, b) == BLOCK_TRANSIT:
                batch[found] = b
                found += 1
            b += 1
        if found == 0:
            break
        if not allocator_patiently(r):
            return False
        for i in range(found):
            push_block_locked(r, batch[i])
        allocator_unlock(r)
        out.blocks += found
        point(AT_RECOVERY_SWEPT)
    return True


cdef inline void recover_slot(Region *r, uint32_t slot, Recovered *out) noexcept nogil:
    """Caller holds the slot's file lock, so no process has the slot."""
    cdef Note *note = &r.notes[slot]
    cdef uint32_t *present
    memset(out, 0, sizeof(Recovered))
    if load32(&note.guard) != guard_of(<uint32_t>0x30000000 + slot):
        add64(&r.control.corrupt, 1)
        note.operation = IDLE                       # what it listed is unknown: left to the next exclusive start
        note.spares = 0
        note.clean = 0
        store32(&note.guard, guard_of(<uint32_t>0x30000000 + slot))
    if note.clean == 1 and note.operation == IDLE:
        out.complete = 1
        return
    present = <uint32_t *>malloc(CHAIN * sizeof(uint32_t))
    if present == NULL:
        return
    point(AT_RECOVERY_STARTED)
    critical_enter(r)
    if recover_note(r, slot, out, present) and sweep_transit(r, slot, out):
        note.critical_since = 0.0
        note.old_count = note.new_count = note.spare_blocks = 0
        store32(&note.clean, 1)
        out.complete = 1
        add64(&r.control.recovered, 1)
    critical_leave(r)
    free(present)


# Verification

cdef inline bint value_sound(Region *r, uint32_t n, const Descriptor *d, unsigned char *scratch) noexcept nogil:
    return copy_value(r, n, d, scratch) == LOCKED and value_check(scratch, d.length, d.version) == d.value_check


cdef inline void verify_record(Region *r, uint32_t n, unsigned char *seen, uint32_t *chain, unsigned char *scratch,
                               Verified *out) noexcept nogil:
    """One header under its mutex; marks its blocks in `seen`."""
    cdef Header *h = &r.headers[n]
    cdef uint32_t state = load32(&h.state), i
    cdef Descriptor d
    cdef int got
    cdef int64_t found
    if state == FREE:
        out.headers_free += 1
        return
    if is_building(state):
        out.headers_at_hand += 1
        return
    if state == QUARANTINED:
        out.quarantined += 1
        return
    got = patiently(r, n)
    if got == BUSY:
        out.busy += 1
        return
    if got == CORRUPT:
        out.bad_records += 1
        return
    state = load32(&h.state)
    if is_live(state):
        if not describe_to(h, n, state, &d) or not walk_value(r, n, &d, chain) or not value_sound(r, n, &d, scratch):
            out.bad_records += 1
        else:
            out.records += 1
            for i in range(blocks_for(r, d.length)):
                seen[chain[i]] = 1
            out.blocks_used += blocks_for(r, d.length)
            if not stripe_patiently(r, bucket_of(r, h.tag)):
                out.busy += 1
            else:
                found = walk_locked(r, bucket_of(r, h.tag), h.tag, h.key_high, False)
                stripe_unlock(r, bucket_of(r, h.tag))
                if found != n:
                    out.unreachable += 1
    elif state == DEAD:
        out.headers_lost += 1
    header_unlock(r, n)


cdef inline void verify_bucket(Region *r, uint32_t bucket, Verified *out) noexcept nogil:
    cdef uint64_t link
    cdef uint32_t n = 0, steps = 0
    if not stripe_patiently(r, bucket):
        out.busy += 1
        return
    link = load64(&r.buckets[bucket])
    while True:
        if not link_valid(r, link, n, bucket) or steps > r.records:
            out.bad_buckets += 1
            break
        n = <uint32_t>link
        if n == 0:
            break
        link = load64(&r.headers[n].link)
        steps += 1
    stripe_unlock(r, bucket)


cdef inline bint lost(Region *r, uint32_t b, uint32_t n, uint32_t *chain) noexcept nogil:
    """A block of record n that no walk came by: looked at again, under the record's mutex."""
    cdef uint32_t state
    cdef Descriptor d
    cdef bint result = False
    if n < 1 or n > r.records or patiently(r, n) < 0:
        return True
    if load64(&r.states[b].state) == state_of(b, n):
        state = load32(&r.headers[n].state)
        result = True
        if is_live(state) and describe_to(&r.headers[n], n, state, &d) and walk_value(r, n, &d, chain):
            result = not among(b, chain, blocks_for(r, d.length))
    header_unlock(r, n)
    return result


cdef inline void verify_blocks(Region *r, const unsigned char *seen, uint32_t *chain, Verified *out) noexcept nogil:
    cdef uint32_t b, n
    cdef uint64_t word
    cdef int kind
    for b in range(1, r.blocks + 1):
        word = load64(&r.states[b].state)
        kind = state_kind(word, b)
        if kind == BLOCK_FREE:
            out.blocks_free += 1
        elif kind == BLOCK_TRANSIT:
            if state_slot(word) < r.slots:
                out.blocks_at_hand += 1
            else:
                out.blocks_lost += 1
        elif kind == BLOCK_OF:
            n = <uint32_t>word
            if 1 <= n <= r.records and load32(&r.headers[n].state) == QUARANTINED:
                out.blocks_quarantined += 1
            elif not seen[b] and lost(r, b, n, chain):
                out.blocks_lost += 1
        else:
            out.blocks_lost += 1


cdef inline void verify_lists(Region *r, Verified *out) noexcept nogil:
    """Both free lists hold exactly what is free. The allocator waits meanwhile."""
    cdef uint32_t i, count, free_now
    cdef uint64_t link
    if not allocator_patiently(r):
        out.busy += 1
        return
    count = 0
    i = list_head(r.control.free_blocks)
    while 1 <= i <= r.blocks and r.states[i].state == state_free(i) and count <= r.blocks:
        count += 1
        i = r.states[i].next
    free_now = 0
    for b in range(1, r.blocks + 1):
        free_now += r.states[b].state == state_free(b)
    if i != 0 or count != list_count(r.control.free_blocks) or count != free_now:
        out.lists_wrong += 1
    count = 0
    i = list_head(r.control.free_headers)
    while 1 <= i <= r.records and r.headers[i].state == FREE and count <= r.records:
        link = r.headers[i].link
        count += 1
        if not link_valid(r, link, i, LISTED):
            break
        i = <uint32_t>link
    free_now = 0
    for b in range(1, r.records + 1):
        free_now += r.headers[b].state == FREE
    if i != 0 or count != list_count(r.control.free_headers) or count != free_now:
        out.lists_wrong += 1
    allocator_unlock(r)


cdef inline int verify_region(Region *r, Verified *out) noexcept nogil:
    """0, or -1 without memory."""
    cdef uint32_t n
    cdef unsigned char *seen = <unsigned char *>calloc(r.blocks + 1, 1)
    cdef unsigned char *scratch = <unsigned char *>malloc(VALUE_MAX)
    cdef uint32_t *chain = <uint32_t *>malloc(CHAIN * sizeof(uint32_t))
    memset(out, 0, sizeof(Verified))
    if seen != NULL and scratch != NULL and chain != NULL:
        for n in range(1, r.records + 1):
            verify_record(r, n, seen, chain, scratch, out)
        for n in range(r.bucket_mask + 1):
            verify_bucket(r, n, out)
        verify_blocks(r, seen, chain, out)
        verify_lists(r, out)
    free(seen)
    free(scratch)
    free(chain)
    return 0 if seen != NULL and scratch != NULL and chain != NULL else -1


# Exclusive start

cdef inline void make_mutexes(Region *r) noexcept nogil:
    cdef uint32_t i
    mutex_make(&r.control.allocator)
    r.control.guard = guard_of(2)
    r.control.moving = 0
    r.control.relisting = 0
    mutex_make(&r.control.mender)
    r.control.mender_guard = guard_of(1)
    for i in range(r.stripe_mask + 1):
        mutex_make(&r.stripes[i].mutex)
        r.stripes[i].guard = guard_of(<uint32_t>0x10000000 + i)
    for i in range(1, r.records + 1):
        mutex_make(&r.headers[i].mutex)
        r.headers[i].guard = guard_of(<uint32_t>0x20000000 + i)


cdef inline bint keepable(Region *r, uint32_t n, Descriptor *d, unsigned char *seen, uint32_t *chain,
                          unsigned char *scratch) noexcept nogil:
    cdef Header *h = &r.headers[n]
    cdef uint32_t i
    if not describe_to(h, n, h.state, d) or not walk_value(r, n, d, chain) or not value_sound(r, n, d, scratch):
        return False
    for i in range(blocks_for(r, d.length)):
        if seen[chain[i]]:
            return False
    return True


cdef inline int rebuild(Region *r, uint32_t *dropped) noexcept nogil:
    """Everything anew from what the headers say; no other process is there. 0, or -1 without memory."""
    cdef uint32_t n, i, b, bucket
    cdef int64_t twin
    cdef Header *h
    cdef Descriptor d
    cdef uint64_t version = r.control.version
    cdef unsigned char *seen = <unsigned char *>calloc(r.blocks + 1, 1)
    cdef unsigned char *scratch = <unsigned char *>malloc(VALUE_MAX)
    cdef uint32_t *chain = <uint32_t *>malloc(CHAIN * sizeof(uint32_t))
    if seen == NULL or scratch == NULL or chain == NULL:
        free(seen)
        free(scratch)
        free(chain)
        return -1
    make_mutexes(r)
    dropped[0] = 0
    r.control.free_blocks = r.control.free_headers = 0
    for i in range(r.bucket_mask + 1):
        r.buckets[i] = sealed_link(0, 0, i)
    for n in range(r.records, 0, -1):
        h = &r.headers[n]
        h.link = 0
        if is_live(h.state):
            if keepable(r, n, &d, seen, chain, scratch):
                bucket = bucket_of(r, h.tag)
                twin = walk_locked(r, bucket, h.tag, h.key_high, False)
                if twin == ABSENT:
                    for i in range(blocks_for(r, d.length)):
                        seen[chain[i]] = 1
                    if d.version > version:
                        version = d.version
                    link_locked(r, bucket, n)
                    continue
            dropped[0] += 1
        elif h.state == QUARANTINED:
            dropped[0] += 1
        push_header_locked(r, n)
    for b in range(r.blocks, 0, -1):
        if not seen[b]:
            push_block_locked(r, b)
    r.control.version = version
    for i in range(r.slots):
        r.notes[i].guard = guard_of(<uint32_t>0x30000000 + i)
        r.notes[i].operation = r.notes[i].spares = r.notes[i].spare_blocks = 0
        r.notes[i].critical_since = 0.0
        r.notes[i].clean = 1
    r.control.quarantined = 0
    free(seen)
    free(scratch)
    free(chain)
    return 0
