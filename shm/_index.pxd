# cython: language_level=3
"""From a key to a locked header: buckets, links, descriptors, quarantine.

A look-up holds the bucket's stripe only while it walks the chain; then the header's own mutex, and key and state are checked again under it.
Links are checked word by word. A chain that does not check out is strung anew from the headers themselves (`restring_locked`), which say by
their own link or key where they belong; what cannot say it is quarantined.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from shm._blocks cimport *
from shm._crc cimport checksum
from shm._layout cimport *
from shm._sync cimport *


cdef inline uint32_t bucket_of(Region *r, uint64_t tag) noexcept nogil:
    return <uint32_t>(mixed(tag) >> 7) & r.bucket_mask


cdef inline bint is_live(uint32_t state) noexcept nogil:
    return state == LIVE_A or state == LIVE_B


cdef inline bint is_building(uint32_t state) noexcept nogil:
    return (state & <uint32_t>0xFFFF0000) == BUILDING


cdef inline Descriptor *chosen(Header *h, uint32_t state) noexcept nogil:
    return &h.b if state == LIVE_B else &h.a


cdef inline uint32_t descriptor_check(const Descriptor *d, uint64_t tag, uint64_t high, uint32_t n) noexcept nogil:
    cdef uint64_t rest[3]
    rest[0] = tag
    rest[1] = high
    rest[2] = n
    return checksum(rest, 24, checksum(d, 52, 0xD35C))


cdef inline bint describe_key(Header *h, uint32_t n, uint32_t state, uint64_t tag, uint64_t high, Descriptor *d) noexcept nogil:
    """Copy the descriptor that the state selects; False when it is damaged, or another key's. Only checked copies are acted upon.
    The key is the caller's own: the one in the header may have become another since it was compared."""
    memcpy(d, chosen(h, state), sizeof(Descriptor))
    return d.check == descriptor_check(d, tag, high, n) and d.length <= VALUE_MAX


cdef inline bint describe_to(Header *h, uint32_t n, uint32_t state, Descriptor *d) noexcept nogil:
    """describe_key(), for who looks at headers and not for a key."""
    return describe_key(h, n, state, h.tag, h.key_high, d)


cdef inline uint32_t blocks_for(Region *r, size_t length) noexcept nogil:
    return <uint32_t>((length + (<size_t>1 << r.block_bits) - 1) >> r.block_bits)


cdef inline unsigned char *block(Region *r, uint32_t b) noexcept nogil:
    """Where block b begins."""
    return r.values + (<size_t>b << r.block_bits)


cdef inline double earliest(const Descriptor *d) noexcept nogil:
    if d.claim_deadline != 0.0 and (d.next_deadline == 0.0 or d.claim_deadline < d.next_deadline):
        return d.claim_deadline
    return d.next_deadline


# What is read next is fetched from memory while other things are waited for: most records are in no cache. A number that
# is not checked yet may be anything; a prefetch of a wrong address does nothing.

cdef inline void expect_header(Region *r, uint32_t n) noexcept nogil:
    cdef const char *at = <const char *>&r.headers[n]
    prefetch(at)
    prefetch(at + 64)
    prefetch(at + 128)


cdef inline void expect_block(Region *r, uint32_t b, size_t length) noexcept nogil:
    """The state of a block, and as much of the value as lies in it."""
    cdef const char *at = <const char *>block(r, b)
    cdef size_t there = 0, whole = <size_t>1 << r.block_bits
    prefetch(&r.states[b])
    if length > whole:
        length = whole
    while there < length:
        prefetch(at + there)
        there += 64


# Stripes

cdef inline int stripe_lock(Region *r, uint32_t bucket) noexcept nogil:
    cdef uint32_t s = bucket & r.stripe_mask
    cdef int got = acquire_mended(r, &r.stripes[s].mutex, &r.stripes[s].guard, <uint32_t>0x10000000 + s)
    if got == BUSY:
        return BUSY
    point(AT_STRIPE_LOCKED)
    return LOCKED


cdef inline void stripe_unlock(Region *r, uint32_t bucket) noexcept nogil:
    release(r, &r.stripes[bucket & r.stripe_mask].mutex)


cdef inline void restring_locked(Region *r, uint32_t bucket) noexcept nogil:
    """Build the chain of a bucket from the headers. Its readers wait meanwhile; only damage leads here."""
    cdef uint32_t n, state, following = 0
    cdef Header *h
    cdef Descriptor d
    add64(&r.control.corrupt, 1)
    add64(&r.control.mended, 1)
    for n in range(1, r.records + 1):
        h = &r.headers[n]
        state = load32(&h.state)
        if not link_valid(r, load64(&h.link), n, bucket):
            if not is_live(state) or bucket_of(r, h.tag) != bucket:
                continue
            if not describe_to(h, n, state, &d):
                continue
        elif not is_live(state) and not is_building(state):
            store64(&h.link, 0)
            continue
        store64(&h.link, sealed_link(following, n, bucket))
        following = n
    store64(&r.buckets[bucket], sealed_link(following, 0, bucket))


cdef inline int64_t walk_locked(Region *r, uint32_t bucket, uint64_t tag, uint64_t high, bint building) noexcept nogil:
    """The header of the key that is live (or, if asked, being built): its number, ABSENT or CORRUPT."""
    cdef uint64_t link = load64(&r.buckets[bucket])
    cdef uint32_t n = 0, steps = 0, state
    cdef Header *h
    while True:
        if not link_valid(r, link, n, bucket) or steps > r.records:
            return CORRUPT
        n = <uint32_t>link
        if n == 0:
            return ABSENT
        h = &r.headers[n]
        expect_header(r, n)
        if h.tag == tag and h.key_high == high:
            state = load32(&h.state)
            if is_live(state) or (building and is_building(state)):
                return n
        link = load64(&h.link)
        steps += 1


cdef inline int64_t search_locked(Region *r, uint32_t bucket, uint64_t tag, uint64_t high, bint building) noexcept nogil:
    cdef int64_t n = walk_locked(r, bucket, tag, high, building)
    if n == CORRUPT:
        restring_locked(r, bucket)
        n = walk_locked(r, bucket, tag, high, building)
        if n == CORRUPT:
            return ABSENT
    return n


cdef inline int64_t find(Region *r, uint64_t tag, uint64_t high, bint building) noexcept nogil:
    """A header's number, ABSENT or BUSY. Nothing is held afterwards."""
    cdef uint32_t bucket = bucket_of(r, tag)
    cdef int64_t n
    prefetch(&r.buckets[bucket])
    if stripe_lock(r, bucket) == BUSY:
        return BUSY
    n = search_locked(r, bucket, tag, high, building)
    stripe_unlock(r, bucket)
    return n


cdef inline void link_locked(Region *r, uint32_t bucket, uint32_t n) noexcept nogil:
    cdef uint64_t first = load64(&r.buckets[bucket])
    if not link_valid(r, first, 0, bucket):
        restring_locked(r, bucket)
        first = load64(&r.buckets[bucket])
    store64(&r.headers[n].link, sealed_link(<uint32_t>first, n, bucket))
    store64(&r.buckets[bucket], sealed_link(n, 0, bucket))
    point(AT_LINKED)


cdef inline bint unlink_locked(Region *r, uint32_t bucket, uint32_t wanted) noexcept nogil:
    """Take `wanted` out of the chain if it is in it: one store. False when the chain is damaged."""
    cdef uint64_t *at = &r.buckets[bucket]
    cdef uint64_t link
    cdef uint32_t n = 0, steps = 0
    while steps <= r.records:
        link = load64(at)
        if not link_valid(r, link, n, bucket):
            return False
        if <uint32_t>link == 0:
            return True
        if <uint32_t>link == wanted:
            link = load64(&r.headers[wanted].link)
            if not link_valid(r, link, wanted, bucket):
                return False
            store64(at, sealed_link(<uint32_t>link, n, bucket))
            point(AT_UNLINKED)
            store64(&r.headers[wanted].link, 0)
            return True
        n = <uint32_t>link
        at = &r.headers[n].link
        steps += 1
    return False


cdef inline void take_out_locked(Region *r, uint32_t bucket, uint32_t n) noexcept nogil:
    """unlink_locked, after stringing the chain anew if that is needed. The header's state is neither live nor being built."""
    if not unlink_locked(r, bucket, n):
        store64(&r.headers[n].link, 0)
        restring_locked(r, bucket)


# Marks: see _marks.pyx

cdef inline void mark(Region *r, uint32_t n) noexcept nogil:
    """Say that header n changes. Caller holds its mutex, and has not switched yet."""
    if r.marks != NULL:
        store8(&r.marks[n], MARK_CHANGED)
        store8(&r.mark_pages[n >> MARK_BITS], 1)    # after the byte: who clears it looks at the bytes then


# Times: see _expiry.pyx

cdef inline void note_time(Region *r, uint32_t n, const Facts *facts) noexcept nogil:
    """Header n is to be looked at when its record expires. Caller holds its mutex, and has not switched yet. In a table with marks deadlines
    are times of the same clock, and count as well."""
    cdef double when = facts.expiry
    if r.marks != NULL and facts.next_deadline > 0.0 and (when <= 0.0 or facts.next_deadline < when):
        when = facts.next_deadline
    if when > 0.0:
        lower64(&r.earliest[n >> GROUP_BITS], bits_of(when))


# Headers

cdef inline int header_lock(Region *r, uint32_t n) noexcept nogil:
    return acquire(r, &r.headers[n].mutex, &r.headers[n].guard, <uint32_t>0x20000000 + n)


cdef inline void header_unlock(Region *r, uint32_t n) noexcept nogil:
    release(r, &r.headers[n].mutex)


cdef inline void quarantine(Region *r, uint32_t n, uint32_t bucket) noexcept nogil:
    """Out of use until the next exclusive start. Caller holds the header's mutex, or found it damaged."""
    if load32(&r.headers[n].state) == QUARANTINED:
        return
    mark(r, n)
    store32(&r.headers[n].state, QUARANTINED)
    add64(&r.control.corrupt, 1)
    add64(&r.control.quarantined, 1)
    if stripe_lock(r, bucket) != BUSY:              # linked and quarantined is harmless too
        take_out_locked(r, bucket, n)
        stripe_unlock(r, bucket)


cdef inline int open_record(Region *r, uint64_t tag, uint64_t high, uint32_t *found, uint32_t *state,
                            Descriptor *d) noexcept nogil:
    """Find and lock: LOCKED (state is live, d a sound copy of its descriptor), ABSENT or BUSY. Damage reads as ABSENT."""
    cdef int64_t n
    cdef int got, attempt
    cdef Header *h
    for attempt in range(4):
        n = find(r, tag, high, False)
        if n < 0:
            return <int>n
        h = &r.headers[n]
        got = header_lock(r, <uint32_t>n)
        if got == BUSY:
            return BUSY
        if got == CORRUPT:
            quarantine(r, <uint32_t>n, bucket_of(r, tag))
            continue
        state[0] = load32(&h.state)
        if is_live(state[0]) and h.tag == tag and h.key_high == high:
            point(AT_KEY_COMPARED)
            if describe_key(h, <uint32_t>n, state[0], tag, high, d):
                found[0] = <uint32_t>n
                return LOCKED
            quarantine(r, <uint32_t>n, bucket_of(r, tag))
        header_unlock(r, <uint32_t>n)               # deleted or reused meanwhile: look again
    return ABSENT


cdef inline bint walk_value(Region *r, uint32_t n, const Descriptor *d, uint32_t *blocks) noexcept nogil:
    """The numbers of the blocks of a value, at most CHAIN. False when the chain is damaged."""
    cdef uint32_t count = blocks_for(r, d.length), i, b = d.first
    if count > CHAIN:
        return False
    for i in range(count):
        if b == 0 or b > r.blocks or r.states[b].state != state_of(b, n):
            return False
        blocks[i] = b
        b = r.states[b].next
    return b == 0


cdef inline int copy_value(Region *r, uint32_t n, const Descriptor *d, unsigned char *to) noexcept nogil:
    """Copy the value out: LOCKED or CORRUPT. The checksum is the caller's (it need not hold the mutex for it)."""
    cdef uint32_t b = d.first
    cdef size_t left = d.length, whole = <size_t>1 << r.block_bits, part
    while left:
        if b == 0 or b > r.blocks or r.states[b].state != state_of(b, n):
            return CORRUPT
        if left > whole:
            expect_block(r, r.states[b].next, left - whole)
        part = left if left < whole else whole
        memcpy(to, block(r, b), part)
        to += part
        left -= part
        b = r.states[b].next
    return LOCKED


cdef inline uint32_t value_check(const void *value, size_t length, uint64_t version) noexcept nogil:
    return checksum(value, length, <uint32_t>version)


cdef inline const unsigned char *key_of(object key) except NULL:
    if type(key) is not bytes or PyBytes_GET_SIZE(key) != KEY:
        raise ValueError("a key is exactly 16 bytes")
    return <const unsigned char *>PyBytes_AS_STRING(key)

