"""The system calls of the datagram path: batches in, batches out, the error queue.

In: a `Reader` drains one UDP socket by recvmmsg and hands out `Received` objects; data are copied out of buffers that
the process owns once (a process reads in one thread). The control messages of a datagram give the local address
(IP_PKTINFO, IPV6_RECVPKTINFO), the arrival (SO_TIMESTAMPNS, wall time, moved to CLOCK_BOOTTIME) and the kernel's
count of dropped datagrams (SO_RXQ_OVFL). That count belongs to the socket, which several processes may read in turn;
so the last count that anybody saw lies in shared memory (`ledger`) and each drop is reported once.

Out: an `Outbox` holds references to the datagrams of one commit until its flush, which needs neither the interpreter
nor the GIL and can therefore be run by the store under a record's lock. Datagrams leave in the order of put(): one
sendmmsg for each stretch that shares a socket. A full send buffer loses the datagram, as any network may, and is
counted.

With IP_RECVERR an ICMP error about an earlier datagram makes the next send or receive on the socket fail although that
call is innocent. The kernel clears the condition by reporting it, so the call is repeated a few times before its
error is believed; the ICMP error itself waits in the error queue, where `read_errors` fetches it.

A step of the wall clock while datagrams lie in a socket would falsify their age: what is read first after one counts as
new.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memset

import os

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from * nogil:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <netinet/in.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    #include <linux/errqueue.h>
    #ifndef SO_TIMESTAMPNS_OLD
    #define SO_TIMESTAMPNS_OLD SO_TIMESTAMPNS
    #endif

    static inline int siphond_errno(void) { return errno; }

    /* Adds to the ledger what this count is ahead of it; two readers of one socket never report a drop twice. */
    static inline unsigned int siphond_new_drops(unsigned int *ledger, unsigned int count)
    {
        unsigned int seen = __atomic_load_n(ledger, __ATOMIC_RELAXED);
        while ((int)(count - seen) > 0)
            if (__atomic_compare_exchange_n(ledger, &seen, count, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                return count - seen;
        return 0;
    }
    """
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr:
        sa_family_t sa_family
    cdef struct sockaddr_in:
        sa_family_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        sa_family_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cdef struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
        in_addr ipi_addr
    cdef struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex
    cdef struct sock_extended_err:
        uint32_t ee_errno
        uint8_t ee_origin
        uint8_t ee_type
        uint8_t ee_code
        uint32_t ee_info
    cdef struct timespec:
        long tv_sec
        long tv_nsec

    int AF_INET, AF_INET6
    int SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6
    int IP_PKTINFO, IPV6_PKTINFO, IP_RECVERR, IPV6_RECVERR, SO_TIMESTAMPNS_OLD, SO_RXQ_OVFL
    int MSG_DONTWAIT, MSG_NOSIGNAL, MSG_ERRQUEUE, MSG_TRUNC
    int SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, SO_EE_ORIGIN_LOCAL
    int CLOCK_BOOTTIME, CLOCK_REALTIME
    int EAGAIN, EINTR, ENOBUFS, ENOMEM, EMSGSIZE, EINVAL, EAFNOSUPPORT, EADDRNOTAVAIL
    cmsghdr *CMSG_FIRSTHDR(msghdr *)
    cmsghdr *CMSG_NXTHDR(msghdr *, cmsghdr *)
    void *CMSG_DATA(cmsghdr *)
    size_t CMSG_LEN(size_t)
    size_t CMSG_SPACE(size_t)
    int recvmmsg(int, mmsghdr *, unsigned int, int, timespec *)
    int sendmmsg(int, mmsghdr *, unsigned int, int)
    ssize_t recvmsg(int, msghdr *, int)
    int getsockname(int, sockaddr *, socklen_t *)
    const char *inet_ntop(int, const void *, char *, socklen_t)
    int inet_pton(int, const char *, void *)
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    int clock_gettime(int, timespec *)
    unsigned long strtoul(const char *, char **, int)
    unsigned int siphond_new_drops(unsigned int *, unsigned int)
    int last_error "siphond_errno"()

cdef enum:
    MAX_BATCH = 64
    BUFFER = 65536
    CONTROL = 256
    SEND_CONTROL = 64
    PEERS = 1024
    LOCALS = 64
    RETRIES = 3
    FIRST_CAPACITY = 16


cdef int raise_errno(int code) except -1:
    raise OSError(code, os.strerror(code))


cdef inline double seconds(int clock) noexcept nogil:
    cdef timespec moment
    clock_gettime(clock, &moment)
    return <double>moment.tv_sec + <double>moment.tv_nsec * 1e-9


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: the `now` of every part of siphond."""
    return seconds(CLOCK_BOOTTIME)


# Addresses. A peer is the tuple (ip text, port). The tuples of recent peers are kept: a busy peer costs no allocation.

cdef struct PeerKey:
    uint8_t address[16]
    uint32_t scope
    uint16_t port
    uint16_t family

cdef PeerKey peer_keys[PEERS]
cdef PyObject *peer_values[PEERS]
cdef PeerKey local_keys[LOCALS]
cdef PyObject *local_values[LOCALS]


cdef inline uint64_t mixed(const PeerKey *key) noexcept nogil:
    cdef uint64_t words[3]
    memcpy(words, key, 24)
    cdef uint64_t value = words[0] ^ (words[1] * <uint64_t>0x9E3779B97F4A7C15)
    value ^= words[2] * <uint64_t>0xC2B2AE3D27D4EB4F
    value ^= value >> 29
    value *= <uint64_t>0xBF58476D1CE4E5B9
    return value ^ (value >> 32)


cdef inline bint same_key(const PeerKey *one, const PeerKey *other) noexcept nogil:
    cdef uint64_t a[3]
    cdef uint64_t b[3]
    memcpy(a, one, 24)
    memcpy(b, other, 24)
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2]


cdef str text_of(const PeerKey *key):
    """The numeric address; a link-local one with its interface, as fe80::1%2, or nobody could answer it."""
    cdef char text[64]
    inet_ntop(key.family, key.address, text, 64)
    cdef str host = text.decode("ascii")
    return f"{host}%{key.scope}" if key.scope else host


cdef object peer(const sockaddr *address):
    cdef PeerKey key
    memset(&key, 0, sizeof(PeerKey))
    cdef const sockaddr_in *four
    cdef const sockaddr_in6 *six
    if address.sa_family == AF_INET:
        four = <const sockaddr_in *>address
        memcpy(key.address, &four.sin_addr, 4)
        key.port = ntohs(four.sin_port)
    elif address.sa_family == AF_INET6:
        six = <const sockaddr_in6 *>address
        memcpy(key.address, &six.sin6_addr, 16)
        key.port = ntohs(six.sin6_port)
        key.scope = six.sin6_scope_id
    else:
        return None
    key.family = address.sa_family
    cdef size_t place = mixed(&key) % PEERS
    if peer_values[place] != NULL and same_key(&peer_keys[place], &key):
        return <object>peer_values[place]
    cdef tuple made = (text_of(&key), int(key.port))
    remember(&peer_keys[place], &peer_values[place], &key, made)
    return made


cdef str local_text(int family, const void *address, uint32_t scope):
    cdef PeerKey key
    memset(&key, 0, sizeof(PeerKey))
    memcpy(key.address, address, 4 if family == AF_INET else 16)
    key.family = family
    key.scope = scope
    cdef size_t place = mixed(&key) % LOCALS
    if local_values[place] != NULL and same_key(&local_keys[place], &key):
        return <str>local_values[place]
    cdef str made = text_of(&key)
    remember(&local_keys[place], &local_values[place], &key, made)
    return made


cdef void remember(PeerKey *key_place, PyObject **value_place, const PeerKey *key, object value) noexcept:
    cdef PyObject *old = value_place[0]
    Py_INCREF(value)
    memcpy(key_place, key, sizeof(PeerKey))
    value_place[0] = <PyObject *>value
    Py_XDECREF(old)


cdef int fill_host(str host, int family, sockaddr_in6 *into) except -1:
    """Writes a numeric address of the socket's family; 0, or the errno that says why it cannot be sent to."""
    cdef Py_ssize_t size
    cdef const char *text = PyUnicode_AsUTF8AndSize(host, &size)
    cdef const char *percent
    cdef char bare[64]
    cdef sockaddr_in *four = <sockaddr_in *>into
    if family == AF_INET:
        four.sin_family = AF_INET
        return 0 if inet_pton(AF_INET, text, &four.sin_addr) == 1 else EAFNOSUPPORT
    into.sin6_family = AF_INET6
    into.sin6_scope_id = 0
    percent = <const char *>memchr(text, c"%", size)
    if percent == NULL:
        return 0 if inet_pton(AF_INET6, text, &into.sin6_addr) == 1 else EAFNOSUPPORT
    if percent - text >= 64:
        return EINVAL
    memcpy(bare, text, percent - text)
    bare[percent - text] = 0
    into.sin6_scope_id = <uint32_t>strtoul(percent + 1, NULL, 10)
    return 0 if inet_pton(AF_INET6, bare, &into.sin6_addr) == 1 else EAFNOSUPPORT


# Receiving.

@cython.freelist(128)
cdef class Received:
    """One datagram as it came in.

    `source` is (ip text, port); `local` the address it was sent to; `listener` the index in the list of listen
    addresses and `socket` says which worker's socket of that listener held it; `arrived` is CLOCK_BOOTTIME seconds.
    """

    def __init__(self, bytes data not None, tuple source not None, int listener=0, int socket=0, str local="127.0.0.1",
                 double arrived=0.0):
        self.data = data
        self.source = source
        self.listener = listener
        self.socket = socket
        self.local = local
        self.arrived = arrived

    def __repr__(self):
        return f"Received({len(self.data)} bytes from {self.source} at listener {self.listener}, socket {self.socket})"


cdef double STEP = 0.5  # seconds between two batches by which the clocks do not drift apart
cdef mmsghdr *in_headers = NULL
cdef iovec *in_vectors = NULL
cdef sockaddr_in6 *in_addresses = NULL
cdef char *in_controls = NULL
cdef char *in_buffers = NULL


cdef int make_buffers() except -1:
    """One set of buffers a process; pages are touched only as far as datagrams fill them."""
    global in_headers, in_vectors, in_addresses, in_controls, in_buffers
    cdef int i
    in_vectors = <iovec *>calloc(MAX_BATCH, sizeof(iovec))
    in_addresses = <sockaddr_in6 *>calloc(MAX_BATCH, sizeof(sockaddr_in6))
    in_controls = <char *>calloc(MAX_BATCH, CONTROL)
    in_buffers = <char *>malloc(MAX_BATCH * BUFFER)
    in_headers = <mmsghdr *>calloc(MAX_BATCH, sizeof(mmsghdr))
    if not in_headers or not in_vectors or not in_addresses or not in_controls or not in_buffers:
        raise MemoryError
    for i in range(MAX_BATCH):
        in_vectors[i].iov_base = in_buffers + i * BUFFER
        in_vectors[i].iov_len = BUFFER
        in_headers[i].msg_hdr.msg_iov = &in_vectors[i]
        in_headers[i].msg_hdr.msg_iovlen = 1
        in_headers[i].msg_hdr.msg_name = &in_addresses[i]
        in_headers[i].msg_hdr.msg_control = in_controls + i * CONTROL
    return 0


cdef class Reader:
    """Reads one UDP socket. The descriptor belongs to the caller.

    `ledger` is a writable buffer of 4 bytes shared by all processes that may read this socket (see above), or None.
    """

    def __init__(self, int fd, int listener, int socket, object ledger=None):
        if in_headers == NULL:
            make_buffers()
        self.fd = fd
        self.listener = listener
        self.socket = socket
        self.ledger = &self.own_ledger
        if ledger is None:
            return
        PyObject_GetBuffer(ledger, &self.view, PyBUF_WRITABLE)
        if self.view.len != 4 or <uintptr_t>self.view.buf % 4:
            raise ValueError("a ledger is 4 aligned bytes")
        self.ledger = <uint32_t *>self.view.buf

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def receive(self, int limit=32, double stale_after=0.0, object keep_stale=None):
        """At most `limit` datagrams that wait in the socket, without blocking; `self.now` is then the batch's time.

        Those older than `stale_after` seconds (0: none) are dropped and counted in `stale`, unless keep_stale(data)
        is true. New kernel drops are added to `drops`. The kernel stamps datagrams by the wall clock: after a step of it
        what waited in the socket meanwhile counts as new.
        """
        return self.read(limit, stale_after, keep_stale)

    cdef list read(self, int limit, double stale_after, object keep_stale):
        cdef int count = 0, i, tries = 0
        cdef double shift
        cdef bint stepped
        cdef list batch
        cdef Received one
        cdef bytes data
        if limit > MAX_BATCH:
            limit = MAX_BATCH
        for i in range(limit):
            in_headers[i].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
            in_headers[i].msg_hdr.msg_controllen = CONTROL
        while True:
            count = recvmmsg(self.fd, in_headers, limit, MSG_DONTWAIT, NULL)
            if count >= 0:
                break
            if last_error() == EAGAIN:
                count = 0
                break
            tries += 1
            if tries > RETRIES:
                raise_errno(last_error())
        self.now = seconds(CLOCK_BOOTTIME)
        shift = self.now - seconds(CLOCK_REALTIME)
        stepped = self.shift != 0.0 and fabs(shift - self.shift) > STEP
        self.shift = shift
        batch = []
        for i in range(count):
            one = Received.__new__(Received)
            one.arrived = self.now
            read_control(self, one, &in_headers[i].msg_hdr, shift)
            if stepped:
                one.arrived = self.now
            data = PyBytes_FromStringAndSize(in_buffers + i * BUFFER, in_headers[i].msg_len)
            if stale_after > 0.0 and self.now - one.arrived > stale_after and not (keep_stale and keep_stale(data)):
                self.stale += 1
                continue
            one.data = data
            one.source = peer(<sockaddr *>&in_addresses[i])
            if one.source is None:
                continue
            one.listener = self.listener
            one.socket = self.socket
            batch.append(one)
        return batch

cdef int read_control(Reader reader, Received one, msghdr *header, double shift) except -1:
    cdef cmsghdr *control = CMSG_FIRSTHDR(header)
    cdef in_pktinfo four
    cdef in6_pktinfo six
    cdef timespec moment
    cdef uint32_t dropped
    cdef double arrived
    one.local = ""
    while control != NULL:
        if control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_TIMESTAMPNS_OLD:
            memcpy(&moment, CMSG_DATA(control), sizeof(timespec))
            arrived = <double>moment.tv_sec + <double>moment.tv_nsec * 1e-9 + shift
            if arrived < one.arrived:
                one.arrived = arrived
        elif control.cmsg_level == SOL_SOCKET and control.cmsg_type == SO_RXQ_OVFL:
            memcpy(&dropped, CMSG_DATA(control), 4)
            reader.drops += siphond_new_drops(reader.ledger, dropped)
        elif control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            memcpy(&four, CMSG_DATA(control), sizeof(in_pktinfo))
            one.local = local_text(AF_INET, &four.ipi_spec_dst, 0)
        elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            memcpy(&six, CMSG_DATA(control), sizeof(in6_pktinfo))
            one.local = local_text(AF_INET6, &six.ipi6_addr, 0)
        control = CMSG_NXTHDR(header, control)
    return 0


def receive_batch(int fd, int listener, int socket_index, int limit=32):
    """One batch from a socket that nobody else reads; the worker loop keeps a Reader a socket instead."""
    return Reader(fd, listener, socket_index).receive(limit)


# The error queue.

cdef class Unreachable:
    """An ICMP error about a datagram that this socket's group sent to `to`; `data` is what the error quotes of it."""

    cdef readonly int listener
    cdef readonly object to
    cdef int code
    cdef readonly bytes data

    def __init__(self, int listener, tuple to not None, int errno, bytes data not None):
        self.listener = listener
        self.to = to
        self.code = errno
        self.data = data

    def __repr__(self):
        return f"Unreachable(to {self.to} from listener {self.listener}: {os.strerror(self.code)})"

    @property
    def errno(self):
        return self.code


def read_errors(int fd, int listener=0, int limit=64):
    """What the error queue holds, oldest first, without "packet too big": the kernel fragments the repeat."""
    if in_headers == NULL:
        make_buffers()
    cdef list found = []
    cdef msghdr *header = &in_headers[0].msg_hdr
    cdef ssize_t size
    cdef cmsghdr *control
    cdef sock_extended_err problem
    cdef bint known
    while limit > 0:
        limit -= 1
        header.msg_namelen = sizeof(sockaddr_in6)
        header.msg_controllen = CONTROL
        in_addresses[0].sin6_family = 0
        size = recvmsg(fd, header, MSG_ERRQUEUE | MSG_DONTWAIT)
        if size < 0:
            break
        known = False
        control = CMSG_FIRSTHDR(header)
        while control != NULL:
            if (control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_RECVERR) or (
                control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_RECVERR
            ):
                memcpy(&problem, CMSG_DATA(control), sizeof(sock_extended_err))
                known = problem.ee_origin in (SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, SO_EE_ORIGIN_LOCAL)
            control = CMSG_NXTHDR(header, control)
        to = peer(<sockaddr *>&in_addresses[0])
        if known and to is not None and problem.ee_errno != <uint32_t>EMSGSIZE:
            found.append(Unreachable(listener, to, problem.ee_errno, PyBytes_FromStringAndSize(in_buffers, size)))
    return found


# Sending.

cdef struct Box:
    mmsghdr *headers
    iovec *vectors
    sockaddr_in6 *addresses
    char *controls
    PyObject **held
    int *listeners
    int *errors
    int *fds
    int count
    int capacity
    bint flushed
    uint64_t sent
    uint64_t lost


cdef int flush_box(void *argument) noexcept nogil:
    """Sends everything queued. No Python, no allocation, no waiting: it may run under a lock in another module."""
    cdef Box *box = <Box *>argument
    cdef int start = 0, end, sent, tries = 0, failure
    if box.flushed:
        return 0
    while start < box.count:
        if box.errors[start]:
            start += 1
            continue
        end = start + 1
        while end < box.count and not box.errors[end] and box.listeners[end] == box.listeners[start]:
            end += 1
        sent = sendmmsg(box.fds[box.listeners[start]], box.headers + start, end - start, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent > 0:
            box.sent += sent
            start += sent
            tries = 0
            continue
        failure = last_error()
        if failure == EINTR:
            continue
        if failure == EAGAIN or failure == ENOBUFS or failure == ENOMEM:
            box.lost += 1
            start += 1
            tries = 0
            continue
        tries += 1
        if tries > RETRIES:
            box.errors[start] = failure
            start += 1
            tries = 0
    box.flushed = True
    return 0


cdef int one_of_family(int *families, int count, str ip):
    """The first socket that can send there; the first of all, from which it fails, where there is none."""
    cdef int family = AF_INET6 if ":" in ip else AF_INET
    cdef int i
    for i in range(count):
        if families[i] == family:
            return i
    return 0


cdef class Outbox:
    """The datagrams of one commit. `sockets` are the caller's descriptors to send from, one a listener.

    put() queues and keeps a reference; flush(), or the C function at `function_address` called with
    `argument_address`, sends and empties. `failures` holds the (index in the order of put, errno) of what could not
    be sent by the last flush, and of addresses that cannot be sent to at all, until the next put() or clear().
    """

    def __cinit__(self, list sockets not None):
        cdef sockaddr_in6 name
        cdef socklen_t size
        cdef int i
        self.box = <Box *>calloc(1, sizeof(Box))
        if not self.box:
            raise MemoryError
        self.sockets = len(sockets)
        self.box.fds = <int *>calloc(self.sockets + 1, sizeof(int))
        self.families = <int *>calloc(self.sockets + 1, sizeof(int))
        self.wildcard = <bint *>calloc(self.sockets + 1, sizeof(bint))
        if not self.box.fds or not self.families or not self.wildcard:
            raise MemoryError
        for i in range(self.sockets):
            self.box.fds[i] = sockets[i]
            size = sizeof(sockaddr_in6)
            if getsockname(self.box.fds[i], <sockaddr *>&name, &size) != 0:
                raise_errno(last_error())
            self.families[i] = name.sin6_family
            self.wildcard[i] = is_wildcard(&name)
        self.grow()

    def __dealloc__(self):
        if not self.box:
            return
        self.empty()
        free(self.box.headers)
        free(self.box.vectors)
        free(self.box.addresses)
        free(self.box.controls)
        free(self.box.held)
        free(self.box.listeners)
        free(self.box.errors)
        free(self.box.fds)
        free(self.box)
        free(self.families)
        free(self.wildcard)

    def put(self, bytes data not None, tuple to not None, int listener, str source=None):
        """Queues a datagram to `to` = (numeric ip, port) from the socket of `listener`.

        `source` is the local address to send from; it matters only where the listener is bound to the wildcard address.
        A listener past the last is one of an earlier configuration, which a record or a binding still names: the first
        of the family of `to` sends instead.
        """
        self.queue(data, to, listener, source)

    cdef int queue(self, bytes data, tuple to, int listener, str source) except -1:
        if listener < 0 or not self.sockets:
            raise IndexError(f"no listener {listener}")
        if listener >= self.sockets:
            listener, source = one_of_family(self.families, self.sockets, to[0]), None
        if self.box.flushed:
            self.empty()
        if self.box.count == self.box.capacity:
            self.grow()
        cdef int i = self.box.count
        cdef int family = self.families[listener]
        cdef msghdr *header = &self.box.headers[i].msg_hdr
        cdef sockaddr_in6 *address = &self.box.addresses[i]
        cdef long port = to[1]
        cdef int failure = fill_host(<str?>to[0], family, address)
        if port <= 0 or port > 65535:
            failure = EINVAL
        if family == AF_INET:
            (<sockaddr_in *>address).sin_port = htons(<uint16_t>port)
            header.msg_namelen = sizeof(sockaddr_in)
        else:
            address.sin6_port = htons(<uint16_t>port)
            header.msg_namelen = sizeof(sockaddr_in6)
        header.msg_controllen = 0
        if source is not None and self.wildcard[listener] and not failure:
            failure = self.fill_source(i, family, source)
        self.box.vectors[i].iov_base = PyBytes_AS_STRING(data)
        self.box.vectors[i].iov_len = PyBytes_GET_SIZE(data)
        Py_INCREF(data)
        self.box.held[i] = <PyObject *>data
        self.box.listeners[i] = listener
        self.box.errors[i] = failure
        self.box.count = i + 1
        return 0

    cdef bint has_failed(self) noexcept:
        """Whether `failures` has anything."""
        cdef int i
        for i in range(self.box.count):
            if self.box.errors[i]:
                return True
        return False

    cdef int fill_source(self, int i, int family, str source) except -1:
        cdef msghdr *header = &self.box.headers[i].msg_hdr
        cdef sockaddr_in6 local
        cdef cmsghdr *control = <cmsghdr *>(self.box.controls + i * SEND_CONTROL)
        cdef in_pktinfo four
        cdef in6_pktinfo six
        cdef int failure = fill_host(source, family, &local)
        if failure:
            return EADDRNOTAVAIL
        memset(control, 0, SEND_CONTROL)
        if family == AF_INET:
            memset(&four, 0, sizeof(in_pktinfo))
            four.ipi_spec_dst = (<sockaddr_in *>&local).sin_addr
            control.cmsg_level = IPPROTO_IP
            control.cmsg_type = IP_PKTINFO
            control.cmsg_len = CMSG_LEN(sizeof(in_pktinfo))
            memcpy(CMSG_DATA(control), &four, sizeof(in_pktinfo))
            header.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo))
        else:
            memset(&six, 0, sizeof(in6_pktinfo))
            six.ipi6_addr = local.sin6_addr
            six.ipi6_ifindex = local.sin6_scope_id
            control.cmsg_level = IPPROTO_IPV6
            control.cmsg_type = IPV6_PKTINFO
            control.cmsg_len = CMSG_LEN(sizeof(in6_pktinfo))
            memcpy(CMSG_DATA(control), &six, sizeof(in6_pktinfo))
            header.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo))
        return 0

    cdef int grow(self) except -1:
        cdef int capacity = self.box.capacity * 2 if self.box.capacity else FIRST_CAPACITY
        cdef int i
        self.box.headers = <mmsghdr *>resized(self.box.headers, capacity * sizeof(mmsghdr))
        self.box.vectors = <iovec *>resized(self.box.vectors, capacity * sizeof(iovec))
        self.box.addresses = <sockaddr_in6 *>resized(self.box.addresses, capacity * sizeof(sockaddr_in6))
        self.box.controls = <char *>resized(self.box.controls, capacity * SEND_CONTROL)
        self.box.held = <PyObject **>resized(self.box.held, capacity * sizeof(PyObject *))
        self.box.listeners = <int *>resized(self.box.listeners, capacity * sizeof(int))
        self.box.errors = <int *>resized(self.box.errors, capacity * sizeof(int))
        for i in range(capacity):
            if i >= self.box.capacity:
                memset(&self.box.headers[i], 0, sizeof(mmsghdr))
                self.box.held[i] = NULL
            self.box.headers[i].msg_hdr.msg_iov = &self.box.vectors[i]
            self.box.headers[i].msg_hdr.msg_iovlen = 1
            self.box.headers[i].msg_hdr.msg_name = &self.box.addresses[i]
            self.box.headers[i].msg_hdr.msg_control = self.box.controls + i * SEND_CONTROL
        self.box.capacity = capacity
        return 0

    cdef void empty(self) noexcept:
        cdef int i
        for i in range(self.box.count):
            Py_XDECREF(self.box.held[i])
            self.box.held[i] = NULL
        self.box.count = 0
        self.box.flushed = False

    def flush(self):
        """Sends what is queued; returns the number of failures."""
        flush_box(self.box)
        return len(self.failures)

    def clear(self):
        """Forgets what is queued, for a commit that did not happen, and the failures of the last flush."""
        self.empty()

    def __len__(self):
        return 0 if self.box.flushed else self.box.count

    @property
    def failures(self):
        cdef int i
        return [(i, self.box.errors[i]) for i in range(self.box.count) if self.box.errors[i]]

    @property
    def function_address(self):
        return <uintptr_t>&flush_box

    @property
    def argument_address(self):
        return <uintptr_t>self.box

    @property
    def sent(self):
        """Datagrams handed to the kernel since the start."""
        return self.box.sent

    @property
    def lost(self):
        """Datagrams lost to a full send buffer since the start."""
        return self.box.lost


cdef void *resized(void *memory, size_t size) except NULL:
    cdef void *larger = realloc(memory, size)
    if larger == NULL:
        raise MemoryError
    return larger


cdef bint is_wildcard(const sockaddr_in6 *name) noexcept:
    cdef int i
    if name.sin6_family == AF_INET:
        return (<const sockaddr_in *>name).sin_addr.s_addr == 0
    for i in range(16):
        if name.sin6_addr.s6_addr[i]:
            return False
    return True
