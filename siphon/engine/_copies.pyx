"""Where a plain copy of a request goes, and its bytes: what the short ways of requests and of ACKs have in common.

The same as siphon/engine/attempts.py and siphon/forwarding/copy.py say for a target that is an address, reached from one
listener, with no Route in the way. Answers that depend on the configuration alone are kept until it changes.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

from siphon.sip._message_cy cimport SipMessage

from siphon.forwarding.next_hop import LocalFailure, next_hop, refused_address

cdef enum:
    KEPT = 4096
    LARGEST_MAX_FORWARDS = 255
    INITIAL_MAX_FORWARDS = 70
    MOST = 32               # edits of one copy
    ROOM = 128              # for numbers, and for lines with numbers

cdef object failure = LocalFailure


@cython.final
@cython.freelist(4)
cdef class Copy:
    """A copy, and its splices as a record keeps them."""


@cython.final
cdef class Places:
    """Of one Environment. None, False, -1 and b"" say: not plain, ask the engine."""

    def __init__(self, env):
        self.env = env
        self.seen = self.env.changes - 1
        self.refresh()

    cdef bint refresh(self) except -1:
        """Once for each message; True when the configuration has changed."""
        if self.seen == self.env.changes:
            return False
        self.seen = self.env.changes
        if self.settings is self.env.settings and self.identity is self.env.identity:
            return False
        self.settings, self.identity = self.env.settings, self.env.identity
        self.targets, self.names, self.addresses, self.senders = {}, {}, {}, {}
        self.families = [":" in listener.ip for listener in self.identity.listeners]
        self.wildcards = tuple([listener.wildcard for listener in self.identity.listeners])
        self.count = len(self.families)
        self.mtu = self.settings.listen.mtu
        return True

    cdef tuple target(self, bytes uri):
        """The address that a sip URI names itself; None where it is ours, refused, a name, or of another scheme."""
        found = self.targets.get(uri, self)
        if found is not self:
            return found
        hop = next_hop(None, (), uri, self.identity) if uri[:4].lower() == b"sip:" else None
        found = None
        if hop is not None and not isinstance(hop, failure) and hop.numeric and self.sendable(hop.numeric):
            found = hop.numeric
        if len(self.targets) >= KEPT:
            self.targets.clear()
        self.targets[uri] = found
        return found

    cdef tuple named(self, str text):
        """The address of a next hop that the script has named, as target()."""
        found = self.names.get(text, self)
        if found is not self:
            return found
        hop = next_hop(text.encode("utf-8", "surrogateescape"), (), b"sip:", self.identity)
        found = None
        if not isinstance(hop, failure) and hop.numeric and self.sendable(hop.numeric):
            found = hop.numeric
        if len(self.names) >= KEPT:
            self.names.clear()
        self.names[text] = found
        return found

    cdef bint sendable(self, tuple address) except -1:
        """Whether datagrams may go there, and do not come back."""
        found = self.addresses.get(address)
        if found is None:
            found = self.identity.listener_at(*address) is None and not refused_address(*address)
            if len(self.addresses) >= KEPT:
                self.addresses.clear()
            self.addresses[address] = found
        return found

    cdef int listener(self, int wished, int arrived, bint ipv6) except -2:
        """As attempts._listener, where no more than one is asked for."""
        cdef int first = wished if 0 <= wished < self.count and self.families[wished] == ipv6 else -1
        cdef int second = arrived if 0 <= arrived < self.count and self.families[arrived] == ipv6 else -1
        if first < 0 or second < 0:
            return first if second < 0 else second
        return first if first == second else -1

    cdef str local_ip(self, int listener, str ip):
        """The address that a wildcard listener sends from; '' for others, and where there is no route."""
        return self.env.local_ip(listener, ip) if self.wildcards[listener] else ""

    cdef bytes sent_by(self, int listener, str local_ip):
        """`host:port` of our Via; b"" for a wildcard listener without an address, and where there is no such listener."""
        key = (listener, local_ip)
        found = self.senders.get(key)
        if found is None:
            if listener >= self.count:  # of an earlier configuration
                return b""
            ours = self.identity.listeners[listener]
            if ours.wildcard and not local_ip and not self.identity.advertised(ours):
                return b""
            found = self.identity.sent_by(ours, local_ip).encode()
            if len(self.senders) >= KEPT:
                self.senders.clear()
            self.senders[key] = found
        return found


cdef char *decimal(char *end, unsigned long long number) noexcept nogil:
    """Writes the digits that end there; where they begin."""
    while True:
        end -= 1
        end[0] = <char>(48 + number % 10)
        number //= 10
        if number == 0:
            return end


cdef struct Edit:           # as a splice: what stands in place of [start, end)
    int start
    int end
    const char *text
    int size


cdef struct Edits:
    Edit at[MOST]           # in their order
    int count
    char numbers[ROOM]      # what their texts point to, written from the end
    char *free
    char lines[ROOM]        # header lines of ours, below Record-Route and above Via
    int size


cdef void put(Edits *e, int start, int end, const char *text, int size) noexcept nogil:
    """Into its place by start and end; the caller sees to it that there is room."""
    cdef int i = e.count
    while i > 0 and (e.at[i - 1].start > start or (e.at[i - 1].start == start and e.at[i - 1].end > end)):
        e.at[i] = e.at[i - 1]
        i -= 1
    e.at[i].start, e.at[i].end, e.at[i].text, e.at[i].size = start, end, text, size
    e.count += 1


cdef void put_line(Edits *e, const char *lead, int size, unsigned int number) noexcept nogil:
    """`lead` and the number, as a header line of ours."""
    cdef char text[16]
    cdef char *digits = decimal(text + 16, number)
    memcpy(e.lines + e.size, lead, size)
    e.size += size
    memcpy(e.lines + e.size, digits, text + 16 - digits)
    e.size += <int>(text + 16 - digits)
    memcpy(e.lines + e.size, b"\r\n", 2)
    e.size += 2


cdef void put_number(Edits *e, SipMessage m, int i, const char *lead, int size, unsigned int number) noexcept:
    """The number as the value of line i; where there is none (-1), as a line of ours."""
    cdef char *end = e.free
    if i < 0:
        put_line(e, lead, size, number)
        return
    e.free = decimal(end, number)
    put(e, m.table[i].value_start, m.table[i].value_end, e.free, <int>(end - e.free))


cdef bytes head_of(Edits *e, bytes via, bytes record_route):
    """Our own lines: they stand together before the first of the message."""
    cdef int recorded = <int>PyBytes_GET_SIZE(record_route)
    cdef bytes head = PyBytes_FromStringAndSize(
        NULL, (16 + recorded if recorded else 0) + e.size + 7 + PyBytes_GET_SIZE(via))
    cdef char *p = PyBytes_AS_STRING(head)
    if recorded:
        memcpy(p, b"Record-Route: ", 14)
        memcpy(p + 14, PyBytes_AS_STRING(record_route), recorded)
        memcpy(p + 14 + recorded, b"\r\n", 2)
        p += 16 + recorded
    memcpy(p, e.lines, e.size)
    p += e.size
    memcpy(p, b"Via: ", 5)
    memcpy(p + 5, PyBytes_AS_STRING(via), PyBytes_GET_SIZE(via))
    memcpy(p + 5 + PyBytes_GET_SIZE(via), b"\r\n", 2)
    return head


cdef bytes applied(const Edits *e, bytes raw):
    """As apply_splices()."""
    cdef const char *source = PyBytes_AS_STRING(raw)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw), total = size, at = 0
    cdef bytes made
    cdef char *p
    cdef int i
    for i in range(e.count):
        if e.at[i].start < at or e.at[i].end < e.at[i].start or e.at[i].end > size:
            raise AssertionError("edits of a copy overlap")
        at = e.at[i].end
        total += e.at[i].size - (e.at[i].end - e.at[i].start)
    made = PyBytes_FromStringAndSize(NULL, total)
    p = PyBytes_AS_STRING(made)
    at = 0
    for i in range(e.count):
        memcpy(p, source + at, e.at[i].start - at)
        p += e.at[i].start - at
        memcpy(p, e.at[i].text, e.at[i].size)
        p += e.at[i].size
        at = e.at[i].end
    memcpy(p, source + at, size - at)
    return made


cdef inline char *put_little(char *p, unsigned int number, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        p[i] = <char>(number >> 8 * i)
    return p + size


cdef bytes packed(const Edits *e):
    """As pack_splices(): offsets of a datagram fit into 16 bits."""
    cdef Py_ssize_t total = 2
    cdef bytes made
    cdef char *p
    cdef int i
    for i in range(e.count):
        total += 8 + e.at[i].size
    made = PyBytes_FromStringAndSize(NULL, total)
    p = put_little(PyBytes_AS_STRING(made), e.count, 2)
    for i in range(e.count):
        p = put_little(put_little(p, e.at[i].start, 2), e.at[i].end, 2)
        p = put_little(p, e.at[i].size, 4)
        memcpy(p, e.at[i].text, e.at[i].size)
        p += e.at[i].size
    return made


cdef int lowered(int hops) noexcept nogil:
    """As copy.lowered."""
    if hops < 0 or hops > LARGEST_MAX_FORWARDS:
        return INITIAL_MAX_FORWARDS
    return hops - 1 if hops > 0 else 0


cdef Copy copy_of(SipMessage m, bytes uri, bytes via, bytes record_route, int breadth, bint routes_go, bint keeps):
    """As copy.forward_copy: the copy, and where it is kept the splices that a record keeps. `record_route` is b"" for
    none, `breadth` 0 leaves the header; with `routes_go` the copy has no Route. None: too many of them."""
    cdef Edits e
    cdef Copy made
    cdef bytes head
    cdef int first = m.table[0].start
    cdef int i
    e.count = e.size = 0
    e.free = e.numbers + ROOM
    put_number(&e, m, m.position(b"Max-Forwards", 0), b"Max-Forwards: ", 14, lowered(m.s.max_forwards))
    if breadth:
        put_number(&e, m, m.position(b"Max-Breadth", 0), b"Max-Breadth: ", 13, breadth)
    if routes_go:
        i = m.position(b"Route", 0)
        while i >= 0:
            if e.count == MOST - 2:
                return None
            put(&e, m.table[i].start, m.table[i].end, NULL, 0)
            i = m.position(b"Route", i + 1)
    if m.s.content_length < 0:
        put_line(&e, b"Content-Length: ", 16, m.s.body_end - m.s.body_start)
    head = head_of(&e, via, record_route)
    put(&e, first, first, PyBytes_AS_STRING(head), <int>PyBytes_GET_SIZE(head))
    if PyBytes_GET_SIZE(uri) != m.s.uri_end - m.s.uri_start or memcmp(
            PyBytes_AS_STRING(uri), m.p + m.s.uri_start, PyBytes_GET_SIZE(uri)):
        put(&e, m.s.uri_start, m.s.uri_end, PyBytes_AS_STRING(uri), <int>PyBytes_GET_SIZE(uri))
    made = Copy.__new__(Copy)
    made.data = applied(&e, m.raw)
    made.splices = packed(&e) if keeps else b""
    return made
