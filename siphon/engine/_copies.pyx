"""Where a plain copy of a request goes, and its bytes: what the short ways of requests and of ACKs have in common.

The same as siphon/engine/attempts.py and siphon/forwarding/copy.py say for a target that is an address, reached from one
listener, with no Route in the way. Answers that depend on the configuration alone are kept until it changes.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdio cimport snprintf

from siphon.sip._message_cy cimport SipMessage

from siphon.forwarding.next_hop import LocalFailure, next_hop, refused_address

cdef enum:
    KEPT = 4096
    LARGEST_MAX_FORWARDS = 255
    INITIAL_MAX_FORWARDS = 70

cdef object failure = LocalFailure


@cython.final
cdef class Places:
    """Of one Environment. None, False, -1 and b"" say: not plain, ask the engine."""

    def __init__(self, env):
        self.env = env
        self.refresh()

    cdef bint refresh(self) except -1:
        """Once for each message; True when the configuration has changed."""
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
        hop = next_hop(text.encode(), (), b"sip:", self.identity)
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
        """`host:port` of our Via; b"" for a wildcard listener without an address."""
        key = (listener, local_ip)
        found = self.senders.get(key)
        if found is None:
            ours = self.identity.listener(listener)
            if ours.wildcard and not local_ip and not self.identity.advertised(ours):
                return b""
            found = self.identity.sent_by(ours, local_ip).encode()
            if len(self.senders) >= KEPT:
                self.senders.clear()
            self.senders[key] = found
        return found


cdef int set_number(SipMessage m, bytes name, int number, list head, list edits) except -1:
    cdef char text[16]
    cdef int i = m.position(name, 0)
    if i < 0:
        head.append(b"%b: %d\r\n" % (name, number))
    else:
        digits = PyBytes_FromStringAndSize(text, snprintf(text, 16, b"%d", number))
        edits.append((<int>m.table[i].value_start, <int>m.table[i].value_end, digits))
    return 0


cdef list copy_of(SipMessage m, bytes uri, bytes via, bytes record_route, int breadth, bint routes_go):
    """As copy.forward_copy: splices. `record_route` is b"" for none, `breadth` 0 leaves the header; with `routes_go`
    the copy has no Route."""
    cdef list head = [b"Record-Route: %b\r\n" % record_route] if record_route else []
    cdef list edits = []
    cdef int hops = m.s.max_forwards
    cdef int first = m.table[0].start
    cdef int i
    if hops < 0 or hops > LARGEST_MAX_FORWARDS:
        hops = INITIAL_MAX_FORWARDS
    elif hops > 0:
        hops -= 1
    set_number(m, b"Max-Forwards", hops, head, edits)
    if breadth:
        set_number(m, b"Max-Breadth", breadth, head, edits)
    if routes_go:
        i = m.position(b"Route", 0)
        while i >= 0:
            edits.append((<int>m.table[i].start, <int>m.table[i].end, b""))
            i = m.position(b"Route", i + 1)
    if m.s.content_length < 0:
        head.append(b"Content-Length: %d\r\n" % (m.s.body_end - m.s.body_start))
    head += [b"Via: ", via, b"\r\n"]
    edits.append((first, first, b"".join(head)))
    if uri != m.uri:
        edits.append((m.s.uri_start, m.s.uri_end, uri))
    edits.sort()
    return edits
