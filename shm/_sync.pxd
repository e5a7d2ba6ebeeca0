# cython: language_level=3
"""Atomic words, clocks, mutexes with guard words, and the named points at which a test build stops.

A mutex is touched only if its guard word and its kind are what creation left: the library hangs or aborts on random bytes. It is tried, spun for a
few microseconds, then waited for until 1 ms after the operation's first wait; then the answer is BUSY. A holder that died is INHERITED, and the
mutex is marked consistent at once, because whatever a mutex guards here is right after every single store. A mutex whose lock word names a
thread that does not exist was overwritten: CORRUPT.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm._layout cimport *


cdef extern from * nogil:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <signal.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    /* A store that a kill cannot reorder: what stands before it in the source is done, what stands after it is not. */
    #define SHM_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define SHM_STORE(p, v) do { __atomic_signal_fence(__ATOMIC_SEQ_CST); __atomic_store_n((p), (v), __ATOMIC_RELEASE); \\
                                 __atomic_signal_fence(__ATOMIC_SEQ_CST); } while (0)
    #define SHM_ADD(p, v) __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
    #define SHM_OR(p, v) __atomic_or_fetch((p), (v), __ATOMIC_RELEASE)
    #define SHM_AND(p, v) __atomic_and_fetch((p), (v), __ATOMIC_RELEASE)
    #define SHM_FENCE() __atomic_thread_fence(__ATOMIC_ACQ_REL)

    /* Positive doubles are in the order of their bits. */
    static inline unsigned long shm_bits(double d)
    {
        unsigned long w;
        memcpy(&w, &d, 8);
        return w;
    }
    static inline void shm_lower(unsigned long *p, unsigned long v)
    {
        unsigned long old = __atomic_load_n(p, __ATOMIC_RELAXED);
        while (v < old && !__atomic_compare_exchange_n(p, &old, v, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            ;
    }

    #ifdef SHM_TEST_POINTS
    static int shm_point_at = -1, shm_point_left, shm_point_signal;
    #define shm_points_built 1
    static void shm_point(int which)
    {
        if (which == shm_point_at && --shm_point_left <= 0) {
            shm_point_at = -1;
            kill(getpid(), shm_point_signal);
        }
    }
    static void shm_point_arm(int which, int count, int signal_number)
    {
        shm_point_at = which;
        shm_point_left = count;
        shm_point_signal = signal_number;
    }
    #else
    #define shm_points_built 0
    #define shm_point(which) ((void)0)
    #define shm_point_arm(which, count, signal_number) ((void)0)
    #endif

    #if defined(__x86_64__)
    #define shm_pause() __builtin_ia32_pause()
    #else
    #define shm_pause() __asm__ volatile("" ::: "memory")
    #endif
    #define shm_lock_word(m) __atomic_load_n((unsigned *)&(m)->__data.__lock, __ATOMIC_ACQUIRE)
    #define shm_kind(m) ((m)->__data.__kind)
    #define SHM_KIND 144                        /* glibc: robust, process-shared */

    static int shm_mutex_make(pthread_mutex_t *m)
    {
        pthread_mutexattr_t a;
        memset(m, 0, sizeof *m);
        int r = pthread_mutexattr_init(&a);
        if (!r) r = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        if (!r) r = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        if (!r) r = pthread_mutex_init(m, &a);
        pthread_mutexattr_destroy(&a);
        return r;
    }

    /* What unlocking will follow, kept aside: random bytes in a mutex that is held must not become a wild write. Locks nest like brackets. */
    #define shm_held_save(m, h) do { (h)->next = (m)->__data.__list.__next; (h)->previous = (m)->__data.__list.__prev; \\
                                     (h)->tid = shm_lock_word(m) & 0x3fffffff; } while (0)
    #define shm_held_sound(m, h) ((h)->next == (m)->__data.__list.__next && (h)->previous == (m)->__data.__list.__prev \\
                                  && (h)->tid == (shm_lock_word(m) & 0x3fffffff) && shm_kind(m) == SHM_KIND)
    #define shm_held_restore(m, h) do { (m)->__data.__list.__next = (h)->next; (m)->__data.__list.__prev = (h)->previous; \\
                                        (m)->__data.__kind = SHM_KIND; (m)->__data.__owner = (int)(h)->tid; \\
                                        __atomic_store_n(&(m)->__data.__lock, (int)((h)->tid | 0x80000000u), __ATOMIC_RELEASE); } while (0)

    static int shm_holder_missing(pthread_mutex_t *m)
    {
        unsigned word = shm_lock_word(m), tid = word & 0x3fffffff;
        if (tid == 0)
            return 0;
        if (tid != (unsigned)syscall(SYS_gettid) && !(kill((pid_t)tid, 0) == -1 && errno == ESRCH))
            return 0;
        return shm_lock_word(m) == word;
    }

    static double shm_clock(int id)
    {
        struct timespec t;
        clock_gettime(id, &t);
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    }
    """
    uint32_t load32 "SHM_LOAD"(uint32_t *)
    uint64_t load64 "SHM_LOAD"(uint64_t *)
    void store32 "SHM_STORE"(uint32_t *, uint32_t)
    void store64 "SHM_STORE"(uint64_t *, uint64_t)
    void lower64 "shm_lower"(uint64_t *, uint64_t)
    uint64_t bits_of "shm_bits"(double)
    unsigned char load8 "SHM_LOAD"(unsigned char *)
    void store8 "SHM_STORE"(unsigned char *, unsigned char)
    uint32_t add32 "SHM_ADD"(uint32_t *, uint32_t)
    uint64_t add64 "SHM_ADD"(uint64_t *, uint64_t)
    int64_t addi64 "SHM_ADD"(int64_t *, int64_t)
    uint64_t or64 "SHM_OR"(uint64_t *, uint64_t)
    uint64_t and64 "SHM_AND"(uint64_t *, uint64_t)
    void fence "SHM_FENCE"()
    void prefetch "__builtin_prefetch"(const void *)
    const int shm_points_built
    void point "shm_point"(int)
    void point_arm "shm_point_arm"(int, int, int)
    void pause "shm_pause"()
    uint32_t lock_word "shm_lock_word"(pthread_mutex_t *)
    int kind_of "shm_kind"(pthread_mutex_t *)
    const int SOUND_KIND "SHM_KIND"
    int mutex_make "shm_mutex_make"(pthread_mutex_t *)
    void held_save "shm_held_save"(pthread_mutex_t *, Held *)
    bint held_sound "shm_held_sound"(pthread_mutex_t *, Held *)
    void held_restore "shm_held_restore"(pthread_mutex_t *, Held *)
    int holder_missing "shm_holder_missing"(pthread_mutex_t *)
    double clock_read "shm_clock"(int)
    int CLOCK_BOOTTIME, CLOCK_REALTIME, CLOCK_MONOTONIC
    int EBUSY, EOWNERDEAD, ETIMEDOUT
    int pthread_mutex_trylock(pthread_mutex_t *)
    int pthread_mutex_clocklock(pthread_mutex_t *, int, const timespec *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_mutex_consistent(pthread_mutex_t *)
    int clock_gettime(int, timespec *)
    int nanosleep(const timespec *, timespec *)


cdef enum:                                  # where a test build may stop; the order is that of POINTS in _table.pyx
    AT_NOWHERE = 0
    AT_KEY_COMPARED
    AT_RECORD_LOCKED
    AT_BLOCKS_TAKEN
    AT_BLOCKS_COPIED
    AT_HALF_MARKED
    AT_BEFORE_SWITCH
    AT_AFTER_SWITCH                         # ... and before the send
    AT_SENT
    AT_OLD_HALF_FREED
    AT_BEFORE_UNLOCK
    AT_HEADER_TAKEN
    AT_STRIPE_LOCKED
    AT_LINKED
    AT_DEAD
    AT_UNLINKED
    AT_ALLOCATOR_POP
    AT_ALLOCATOR_PUSH
    AT_RECOVERY_STARTED
    AT_RECOVERY_SETTLED
    AT_RECOVERY_SWEPT


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    x ^= x >> 32
    x *= <uint64_t>0xD6E8FEB86659FD93
    x ^= x >> 32
    x *= <uint64_t>0xD6E8FEB86659FD93
    return x ^ (x >> 32)


cdef inline uint32_t guard_of(uint32_t position) noexcept nogil:
    return GUARD ^ (position * <uint32_t>0x9E3779B1)


cdef inline void critical_enter(Region *r) noexcept nogil:
    r.waiting = 0
    r.depth = 0
    r.now = clock_read(CLOCK_BOOTTIME)
    r.critical[0] = r.now


cdef inline void critical_leave(Region *r) noexcept nogil:
    r.critical[0] = 0.0


cdef inline int wait_for(Region *r, pthread_mutex_t *m) noexcept nogil:
    """The slow half of acquire: others hold the mutex. Answers what the pthread call would."""
    cdef int i, got
    for i in range(200):
        pause()
        if lock_word(m) == 0:
            got = pthread_mutex_trylock(m)
            if got != EBUSY:
                return got
    if not r.waiting:
        r.waiting = 1
        clock_gettime(CLOCK_MONOTONIC, &r.deadline)
        r.deadline.tv_nsec += 1000000
        if r.deadline.tv_nsec >= 1000000000:
            r.deadline.tv_nsec -= 1000000000
            r.deadline.tv_sec += 1
    return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &r.deadline)


cdef inline void hold(Region *r, pthread_mutex_t *m) noexcept nogil:
    held_save(m, &r.held[r.depth & 7])
    r.depth += 1


cdef inline void release(Region *r, pthread_mutex_t *m) noexcept nogil:
    r.depth -= 1
    if not held_sound(m, &r.held[r.depth & 7]):
        held_restore(m, &r.held[r.depth & 7])
        add64(&r.control.corrupt, 1)
    pthread_mutex_unlock(m)


cdef inline int acquire(Region *r, pthread_mutex_t *m, uint32_t *guard, uint32_t position) noexcept nogil:
    cdef int got
    if load32(guard) != guard_of(position) or kind_of(m) != SOUND_KIND:
        return CORRUPT
    got = pthread_mutex_trylock(m)
    if got == EBUSY:
        got = wait_for(r, m)
    if got == 0:
        hold(r, m)
        return LOCKED
    if got == EOWNERDEAD:
        pthread_mutex_consistent(m)
        hold(r, m)
        add64(&r.control.inherited, 1)
        return INHERITED
    if got == ETIMEDOUT and not holder_missing(m):
        add64(&r.control.busy, 1)
        return BUSY
    return CORRUPT


cdef inline void mend(Region *r, pthread_mutex_t *m, uint32_t *guard, uint32_t position) noexcept nogil:
    """Make a damaged mutex anew. Its critical sections last a microsecond: 2 ms after nobody enters any more, nobody is inside."""
    cdef timespec nap
    cdef int got
    nap.tv_sec = 0
    nap.tv_nsec = 2000000
    if m == &r.control.mender:
        mutex_make(m)
        store32(guard, guard_of(position))
        return
    got = acquire(r, &r.control.mender, &r.control.mender_guard, 1)
    if got == CORRUPT:
        mend(r, &r.control.mender, &r.control.mender_guard, 1)
        return
    if got == BUSY:
        return
    if load32(guard) != guard_of(position) or kind_of(m) != SOUND_KIND or holder_missing(m):
        store32(guard, 0)
        nanosleep(&nap, NULL)
        mutex_make(m)
        store32(guard, guard_of(position))
        add64(&r.control.corrupt, 1)
        add64(&r.control.mended, 1)
    release(r, &r.control.mender)


cdef inline int acquire_mended(Region *r, pthread_mutex_t *m, uint32_t *guard, uint32_t position) noexcept nogil:
    """acquire() for the mutexes that the table cannot do without. Never CORRUPT."""
    cdef int got = acquire(r, m, guard, position)
    if got == CORRUPT:
        mend(r, m, guard, position)
        got = acquire(r, m, guard, position)
        if got == CORRUPT:
            return BUSY
    return got
