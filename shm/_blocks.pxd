# cython: language_level=3
"""Blocks and free headers: state words, the allocator's two lists, what a slot keeps at hand.

The truth about a block is its state word; lists are caches that can be rebuilt from the words (`relist_blocks`, `relist_headers`).
FREE changes only under the allocator's mutex. TRANSIT belongs to one slot, so a block whose slot has nobody in it is
nobody's and recovery returns it. A list's head and its count are one word, switched by one store; `moving` names what is being
moved, so a new holder of the mutex repairs a list in a few instructions after any kill (`allocator_lock`).
"""

from libc.stdint cimport uint32_t, uint64_t

from shm._layout cimport *
from shm._sync cimport *


cdef enum:
    MOVING_HEADER = 0x40000000


cdef inline uint64_t sealed_state(uint64_t low, uint32_t b) noexcept nogil:
    return low | (mixed(low ^ (<uint64_t>b << 17) ^ <uint64_t>0x5B10C) >> 48) << 48


cdef inline uint64_t state_free(uint32_t b) noexcept nogil:
    return sealed_state(<uint64_t>BLOCK_FREE << 40, b)


cdef inline uint64_t state_of(uint32_t b, uint32_t record) noexcept nogil:
    return sealed_state(<uint64_t>BLOCK_OF << 40 | record, b)


cdef inline uint64_t state_transit(uint32_t b, uint32_t slot, uint32_t generation) noexcept nogil:
    return sealed_state(<uint64_t>BLOCK_TRANSIT << 40 | <uint64_t>slot << 32 | generation, b)


cdef inline int state_kind(uint64_t word, uint32_t b) noexcept nogil:
    """BLOCK_FREE, BLOCK_TRANSIT, BLOCK_OF, or 0 when the word is damaged."""
    cdef uint64_t low = word & <uint64_t>0xFFFFFFFFFFFF
    if sealed_state(low, b) != word:
        return 0
    return <int>(low >> 40)


cdef inline uint32_t state_slot(uint64_t word) noexcept nogil:
    return <uint32_t>(word >> 32) & 0xFF


cdef inline uint64_t sealed_link(uint32_t following, uint32_t n, uint32_t bucket) noexcept nogil:
    """The link of header n (0: of the bucket itself): never 0, so 0 means unlinked."""
    cdef uint64_t seal = mixed((<uint64_t>following << 32 | n) ^ mixed(<uint64_t>bucket + <uint64_t>0xB0C7)) >> 32
    return (seal | 1) << 32 | following


cdef inline int link_valid(Region *r, uint64_t link, uint32_t n, uint32_t bucket) noexcept nogil:
    return <uint32_t>link <= r.records and link == sealed_link(<uint32_t>link, n, bucket)


cdef inline uint32_t list_head(uint64_t word) noexcept nogil:
    return <uint32_t>word


cdef inline uint32_t list_count(uint64_t word) noexcept nogil:
    return <uint32_t>(word >> 32)


# Caller holds the allocator's mutex.

cdef inline void push_block_locked(Region *r, uint32_t b) noexcept nogil:
    cdef uint64_t word = r.control.free_blocks
    store32(&r.control.moving, b)
    store64(&r.states[b].state, state_free(b))
    point(AT_ALLOCATOR_PUSH)
    store32(&r.states[b].next, list_head(word))
    store64(&r.control.free_blocks, <uint64_t>(list_count(word) + 1) << 32 | b)
    store32(&r.control.moving, 0)


cdef inline void push_header_locked(Region *r, uint32_t n) noexcept nogil:
    cdef uint64_t word = r.control.free_headers
    store32(&r.control.moving, n | MOVING_HEADER)
    store32(&r.headers[n].state, FREE)
    store64(&r.headers[n].link, sealed_link(list_head(word), n, LISTED))
    store64(&r.control.free_headers, <uint64_t>(list_count(word) + 1) << 32 | n)
    store32(&r.control.moving, 0)


cdef inline void relist_blocks(Region *r) noexcept nogil:
    cdef uint32_t b
    add64(&r.control.corrupt, 1)
    add64(&r.control.mended, 1)
    store32(&r.control.relisting, 1)
    store64(&r.control.free_blocks, 0)
    for b in range(r.blocks, 0, -1):
        if load64(&r.states[b].state) == state_free(b):
            push_block_locked(r, b)
    store32(&r.control.relisting, 0)


cdef inline void relist_headers(Region *r) noexcept nogil:
    cdef uint32_t n
    add64(&r.control.corrupt, 1)
    add64(&r.control.mended, 1)
    store32(&r.control.relisting, 1)
    store64(&r.control.free_headers, 0)
    for n in range(r.records, 0, -1):
        if load32(&r.headers[n].state) == FREE:
            push_header_locked(r, n)
    store32(&r.control.relisting, 0)


cdef inline int allocator_lock(Region *r) noexcept nogil:
    """LOCKED or BUSY. After a dead holder: puts back what it was moving and had left free but on no list."""
    cdef uint32_t moving, b
    cdef int got = acquire_mended(r, &r.control.allocator, &r.control.guard, 2)
    if got == BUSY:
        return BUSY
    if got == INHERITED or r.control.moving != 0:
        moving = r.control.moving
        b = moving & (MOVING_HEADER - 1)
        if moving & MOVING_HEADER:
            if 1 <= b <= r.records and r.headers[b].state == FREE and list_head(r.control.free_headers) != b:
                push_header_locked(r, b)
        elif 1 <= b <= r.blocks and r.states[b].state == state_free(b) and list_head(r.control.free_blocks) != b:
            push_block_locked(r, b)
        store32(&r.control.moving, 0)
        if r.control.relisting:
            relist_blocks(r)
            relist_headers(r)
    return LOCKED


cdef inline void allocator_unlock(Region *r) noexcept nogil:
    release(r, &r.control.allocator)


cdef inline uint32_t pop_block_locked(Region *r) noexcept nogil:
    """A block, now in transit in our slot, or 0. A damaged list is rebuilt once."""
    cdef uint64_t word
    cdef uint32_t b, following
    cdef int attempt
    for attempt in range(2):
        word = r.control.free_blocks
        b = list_head(word)
        if b == 0 and list_count(word) == 0:
            return 0
        if 1 <= b <= r.blocks and list_count(word) > 0 and r.states[b].state == state_free(b):
            following = load32(&r.states[b].next)
            if following > r.blocks or (following == 0 and list_count(word) > 1):
                relist_blocks(r)
                continue
            store32(&r.control.moving, b)
            store64(&r.control.free_blocks, <uint64_t>(list_count(word) - 1) << 32 | following)
            point(AT_ALLOCATOR_POP)
            store64(&r.states[b].state, state_transit(b, r.slot, r.generation))
            store32(&r.control.moving, 0)
            return b
        relist_blocks(r)
    return 0


cdef inline void keep_header(Region *r, uint32_t n) noexcept nogil:
    """Note n among the spares. Its state becomes BUILDING | slot right before or after."""
    r.spare[r.spares] = n
    r.note.spare[r.spares] = n
    r.spares += 1
    store32(&r.note.spares, r.spares)


cdef inline void drop_header(Region *r) noexcept nogil:
    """The last spare is one no more."""
    r.spares -= 1
    store32(&r.note.spares, r.spares)


cdef inline uint32_t pop_header_locked(Region *r) noexcept nogil:
    """A header, noted among the spares of our slot and BUILDING, or 0."""
    cdef uint64_t word, link
    cdef uint32_t n
    cdef int attempt
    for attempt in range(2):
        word = r.control.free_headers
        n = list_head(word)
        if n == 0 and list_count(word) == 0:
            return 0
        if 1 <= n <= r.records and list_count(word) > 0 and r.headers[n].state == FREE:
            link = r.headers[n].link
            if link_valid(r, link, n, LISTED) and (<uint32_t>link != 0 or list_count(word) == 1):
                keep_header(r, n)
                store32(&r.control.moving, n | MOVING_HEADER)
                store64(&r.control.free_headers, <uint64_t>(list_count(word) - 1) << 32 | <uint32_t>link)
                point(AT_ALLOCATOR_POP)
                store32(&r.headers[n].state, BUILDING | r.slot)
                store64(&r.headers[n].link, 0)
                store32(&r.control.moving, 0)
                return n
        relist_headers(r)
    return 0


# What a slot keeps at hand: no lock, nobody else touches it.

cdef inline void keep_block(Region *r, uint32_t b) noexcept nogil:
    """b is in transit in our slot already."""
    r.states[b].next = r.spare_head
    r.spare_head = b
    r.spare_count += 1
    r.note.spare_blocks = r.spare_count


cdef inline uint32_t block_at_hand(Region *r) noexcept nogil:
    cdef uint32_t b = r.spare_head, following
    if b == 0:
        return 0
    following = load32(&r.states[b].next)
    if r.states[b].state != state_transit(b, r.slot, r.generation) or following > r.blocks:
        add64(&r.control.corrupt, 1)            # the rest of the list comes back at the slot's next recovery
        r.spare_head = 0
        r.spare_count = 0
        return 0
    r.spare_head = following
    r.spare_count -= 1
    r.note.spare_blocks = r.spare_count
    return b


cdef inline int blocks_fetch(Region *r, uint32_t want, uint32_t leave) noexcept nogil:
    """Have `want` blocks at hand while `leave` stay free for others: LOCKED, FULL or BUSY."""
    cdef uint32_t count = list_count(load64(&r.control.free_blocks)), pull, b
    if r.spare_count >= want and <uint64_t>count + r.spare_count >= <uint64_t>want + leave:
        return LOCKED
    if allocator_lock(r) == BUSY:
        return BUSY
    count = list_count(r.control.free_blocks)
    if <uint64_t>count + r.spare_count < <uint64_t>want + leave:
        allocator_unlock(r)
        return FULL
    pull = want - r.spare_count if want > r.spare_count else 0
    if pull and count > pull + r.identity.reserve_blocks + 2 * r.spare_limit:
        pull += r.spare_limit // 2
    while pull:
        b = pop_block_locked(r)
        if b == 0:
            break
        keep_block(r, b)
        pull -= 1
    allocator_unlock(r)
    return LOCKED if r.spare_count >= want else FULL


cdef inline void blocks_settle(Region *r, bint everything) noexcept nogil:
    """Give back what is above the limit; all while the table is nearly full. Not urgent: a busy allocator is left alone."""
    cdef uint32_t b, keep
    if not everything and r.spare_count <= r.spare_limit \
            and list_count(load64(&r.control.free_blocks)) > r.identity.reserve_blocks:
        return
    keep = 0 if everything or list_count(load64(&r.control.free_blocks)) <= r.identity.reserve_blocks else r.spare_limit // 2
    if r.spare_count <= keep or allocator_lock(r) == BUSY:
        return
    while r.spare_count > keep:
        b = block_at_hand(r)
        if b == 0:
            break
        push_block_locked(r, b)
    allocator_unlock(r)


cdef inline int headers_fetch(Region *r, uint32_t leave) noexcept nogil:
    """Have a header at hand while `leave` stay free for others: LOCKED, FULL or BUSY."""
    cdef uint32_t count = list_count(load64(&r.control.free_headers)), pull
    if r.spares and count + r.spares > leave:
        return LOCKED
    if allocator_lock(r) == BUSY:
        return BUSY
    count = list_count(r.control.free_headers)
    if count + r.spares <= leave:
        allocator_unlock(r)
        return FULL
    pull = 0 if r.spares else 1
    if pull and count > r.identity.reserve_records + 2 * r.spares_limit:
        pull += r.spares_limit // 2
    while pull and pop_header_locked(r):
        pull -= 1
    allocator_unlock(r)
    return LOCKED if r.spares else FULL


cdef inline int headers_settle(Region *r, uint32_t keep) noexcept nogil:
    """Give back spare headers until `keep` are left: LOCKED or BUSY."""
    cdef uint32_t n
    if r.spares <= keep:
        return LOCKED
    if allocator_lock(r) == BUSY:
        return BUSY
    while r.spares > keep:
        n = r.spare[r.spares - 1]
        if r.headers[n].state == (BUILDING | <uint32_t>r.slot):
            push_header_locked(r, n)
        drop_header(r)
    allocator_unlock(r)
    return LOCKED
