# cython: language_level=3
"""Layout of everything that lies in shared memory, and of the process-local view of it. The only place.

One file holds one table, whole and fixed from the start:

    Identity   what the file is: sizes, offsets, boot id; written once, carries its own checksum
    Control    what changes: version counter, allocator, counters
    Note       one a slot: the redo log of the process that has the slot
    Stripe     mutexes that guard the buckets
    bucket     one 64-bit word: the first header of a chain, and a check of it
    Header     one a record: mutex, state word, link, key, and two Descriptors of which the state word selects one
    BlockState one a block: whose it is, and which block follows
    blocks     the values; a table has blocks of 64, 128, 256 or 512 bytes
    marks      where asked for: a byte a header, a byte for every 4096 of them (see _marks.pyx)
    earliest   a word for every 64 headers: when the first of them must be looked at (see _expiry.pyx)

Headers and blocks are numbered from 1; 0 means none. Nothing holds an address, so every process may map the file elsewhere.
Every word that others follow (state, link, bucket) carries a check of its own content and position, so random bytes are
recognised before they are used. A change of any structure is a new LAYOUT_VERSION; tests/shm/test_layout.py holds sizes and offsets.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass


cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec


cdef extern from * nogil:
    """
    #define SHM_FREE 0x46524545u          /* on the free list */
    #define SHM_BUILDING 0x42550000u      /* low 16 bits: the slot that has it; not a record yet */
    #define SHM_LIVE_A 0x4c495641u        /* a record, descriptor a holds */
    #define SHM_LIVE_B 0x4c495642u        /* a record, descriptor b holds */
    #define SHM_DEAD 0x44454144u          /* deleted, on its way to the free list */
    #define SHM_QUARANTINED 0x51554152u   /* found damaged; out of use until the next exclusive start */
    #define SHM_GUARD 0x6775a4d1u
    #define SHM_LISTED 0xffffffffu        /* stands for the bucket in the links of the free list */
    """
    const uint32_t FREE "SHM_FREE"
    const uint32_t BUILDING "SHM_BUILDING"
    const uint32_t LIVE_A "SHM_LIVE_A"
    const uint32_t LIVE_B "SHM_LIVE_B"
    const uint32_t DEAD "SHM_DEAD"
    const uint32_t QUARANTINED "SHM_QUARANTINED"
    const uint32_t GUARD "SHM_GUARD"
    const uint32_t LISTED "SHM_LISTED"


cdef enum:
    LAYOUT_VERSION = 4          # 2: marks, birth, filled; 3: earliest; 4: block_bits, longer chains
    PAGE = 4096
    BLOCK_BITS_LEAST = 6        # blocks of 64 bytes, a cache line
    BLOCK_BITS_MOST = 9         # blocks of 512 bytes
    KEY = 16
    CHAIN = 1024                # blocks of the longest value: 65536 bytes in the smallest ones
    VALUE_MAX = 245760          # and its bytes, in blocks of 256 and more
    SPARES = 8                  # free headers that a slot keeps at hand
    SPARE_BLOCKS = 64           # free blocks that a slot keeps at hand

cdef enum:                      # a byte of the marks
    MARK_NONE = 0
    MARK_CHANGED = 1            # by whoever changes the record
    MARK_TAKEN = 2              # by the one who follows the changes
    MARK_BITS = 12              # headers a byte of mark_pages: 2^12

cdef enum:
    GROUP_BITS = 6              # headers a word of `earliest`: 2^6

cdef enum:                      # kinds of BlockState.state
    BLOCK_FREE = 1
    BLOCK_TRANSIT = 2           # of a slot and its generation
    BLOCK_OF = 3                # of a record

cdef enum:                      # Note.operation
    IDLE = 0
    INSERT = 1
    REPLACE = 2
    DELETE = 3

cdef enum:                      # what operations answer; a new version is > 0, a length >= 0
    CONFLICT = 0
    FULL = -1
    BUSY = -2
    ABSENT = -3
    CORRUPT = -4
    TOO_LONG = -5

cdef enum:                      # answers of a lock, besides BUSY and CORRUPT
    LOCKED = 0
    INHERITED = 1               # locked; the holder before had died


cdef struct Identity:
    char magic[8]
    uint32_t layout
    uint32_t check
    unsigned char boot_id[16]
    uint32_t records
    uint32_t blocks
    uint32_t slots
    uint32_t stripes
    uint32_t buckets
    uint32_t reserve_blocks
    uint32_t reserve_records
    uint32_t wall_expiry        # expiry is compared with the wall clock, else with CLOCK_BOOTTIME
    uint64_t notes_at
    uint64_t stripes_at
    uint64_t buckets_at
    uint64_t headers_at
    uint64_t states_at
    uint64_t blocks_at
    uint64_t size
    uint64_t marks_at           # 0: no marks
    uint64_t birth              # drawn when the file was made; not compared
    uint64_t earliest_at
    uint32_t block_bits         # a block has 2^block_bits bytes
    uint32_t pad


cdef struct Control:
    uint64_t version            # last version given out, by any process (atomic)
    uint64_t pad[7]
    pthread_mutex_t allocator   # guards the two free lists
    uint32_t guard
    uint32_t moving             # the block (or header, with the top bit) that the allocator's holder moves
    uint64_t free_blocks        # count << 32 | first
    uint64_t free_headers       # count << 32 | first
    pthread_mutex_t mender      # held while a damaged mutex is made anew
    uint32_t mender_guard
    uint32_t relisting          # a free list is being rebuilt; found set after a death: again
    uint32_t filled             # 1: what was kept elsewhere of a former table has been put in
    uint32_t pad2
    uint64_t pad3
    uint64_t corrupt            # counters, atomic
    uint64_t quarantined
    uint64_t full
    uint64_t busy
    uint64_t conflicts
    uint64_t inherited
    uint64_t mended
    uint64_t recovered


cdef struct Note:
    uint32_t guard
    uint32_t generation         # of the process that has the slot, in this table
    uint32_t clean              # 1: left in order
    uint32_t operation          # IDLE, or what is under way; written last, cleared last
    uint32_t record
    uint32_t old_count
    uint32_t new_count
    int32_t pid
    double critical_since       # CLOCK_BOOTTIME of entry into a critical section, 0 outside
    uint32_t spare_blocks       # how many blocks lie at hand (statistics only)
    uint32_t spares             # how many of `spare` count
    uint32_t spare[SPARES]      # headers at hand, state BUILDING | slot
    uint32_t pad[44]
    uint32_t old[CHAIN]         # blocks that the record had
    uint32_t fresh[CHAIN]       # blocks that it is to have


cdef struct Stripe:
    pthread_mutex_t mutex
    uint32_t guard
    uint32_t pad[5]


cdef struct Descriptor:
    uint64_t version
    int64_t owner
    double next_deadline
    double claim_deadline
    double expiry
    uint32_t first              # block, 0 for an empty value
    uint32_t length
    uint32_t value_check
    uint32_t check              # of the fields above, the key and the header's number


cdef struct Header:
    pthread_mutex_t mutex       # guards state and descriptors; made once, never destroyed
    uint32_t guard
    uint32_t state              # FREE, BUILDING | slot, LIVE_A, LIVE_B, DEAD, QUARANTINED: the one store that switches
    uint64_t link               # check << 32 | next header of the chain; 0 while unlinked. Guarded by the stripe
    uint64_t tag                # first half of the key
    Descriptor a
    uint64_t key_high           # second half
    Descriptor b
    uint64_t pad


cdef struct BlockState:
    uint64_t state              # check << 48 | kind << 40 | slot << 32 | generation or record
    uint32_t next
    uint32_t pad


ctypedef int (*action_t)(void *) noexcept nogil


cdef struct Facts:              # what a commit writes beside the value
    int64_t owner
    double next_deadline
    double claim_deadline
    double expiry


cdef struct Held:               # a mutex that we hold, as it was right after locking
    void *next
    void *previous
    uint32_t tid


cdef struct Region:             # process-local: where things are, who we are. What we act by is here; the note only mirrors it
    char *base
    size_t size
    Identity *identity
    Control *control
    Note *notes
    Stripe *stripes
    uint64_t *buckets
    Header *headers             # headers[1] is the first
    BlockState *states          # states[1]
    unsigned char *values       # block b lies at values + (b << block_bits)
    unsigned char *marks        # marks[1]; NULL: the table has none
    unsigned char *mark_pages   # mark_pages[n >> MARK_BITS]
    uint64_t *earliest          # earliest[n >> GROUP_BITS], the bits of a double; only ever lowered, but by who sweeps
    uint32_t records
    uint32_t blocks
    uint32_t slots
    uint32_t bucket_mask
    uint32_t stripe_mask
    uint32_t block_bits
    uint32_t value_max          # bytes of the longest value
    int wall_expiry
    int slot                    # -1: none
    uint32_t generation
    Note *note
    double *critical            # where the time of entry is noted
    double unnoted              # ... by a process without a slot
    double now                  # CLOCK_BOOTTIME of entry
    uint32_t spare_head         # blocks at hand, a list through BlockState.next
    uint32_t spare_count
    uint32_t spare_limit
    uint32_t spares_limit
    uint32_t spares             # headers at hand, in `spare`
    uint32_t spare[SPARES]
    uint32_t old_count
    uint32_t new_count
    uint32_t old[CHAIN]         # the chains of the operation under way
    uint32_t fresh[CHAIN]
    Held held[8]
    uint32_t depth
    int waiting                 # the deadline of this operation's waits is set
    timespec deadline
