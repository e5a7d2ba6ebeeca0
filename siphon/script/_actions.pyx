"""Relay, Fork, the targets of a fork, and Answer, as fields of C: every request has one made, and the engine reads it.

Values: two with equal fields are equal. Nothing in them points to something that could point back, but for what an
Answer waits for; so the garbage collector need not know the others.
"""

cimport cython

cdef tuple TARGET = ("uri", "path", "received", "via_source", "listener", "local_addr", "q", "flow", "address", "is_contact",
                     "valid")
cdef tuple RELAY = ("next_hop", "flow", "send_socket", "via_override", "on_reply", "on_failure", "timeout", "address")
cdef tuple ANSWER = ("status", "reason", "reliable", "stateless", "headers", "body", "content_type", "later")
cdef tuple FORK = ("targets", "strategy", "send_socket", "on_reply", "on_failure", "timeout")


cdef list values(value, tuple names):
    return [getattr(value, name) for name in names]


cdef str shown(value, tuple names):
    fields = ", ".join([f"{name}={getattr(value, name)!r}" for name in names])
    return f"{type(value).__name__}({fields})"


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class TargetSpec:
    """One entry of a fork. `received`, `listener`, `path` and `flow` are those of a registered contact.

    `via_source`: send to `received` instead of the URI (a binding behind NAT, or one reached over its flow).
    `address`: a gateway destination's configured address. `valid` is False for an entry that is not a SIP URI: a failed
    branch.
    """

    __hash__ = None

    def __init__(
        self,
        str uri not None,
        tuple path not None=(),
        received=None,
        bint via_source=False,
        listener=None,
        local_addr=None,
        double q=1.0,
        flow=None,
        address=None,
        bint is_contact=False,
        bint valid=True,
    ):
        self.uri, self.path, self.received, self.via_source = uri, path, received, via_source
        self.listener, self.local_addr, self.q, self.flow = listener, local_addr, q, flow
        self.address, self.is_contact, self.valid = address, is_contact, valid

    def __eq__(self, other):
        return values(self, TARGET) == values(other, TARGET) if type(other) is TargetSpec else NotImplemented

    def __repr__(self):
        return shown(self, TARGET)


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Relay:
    """`request.relay()`. `next_hop` is a URI or `ip[:port]`; None: Route or Request-URI.

    `address` is the configured address of a gateway destination. Callbacks are "module:qualname".
    """

    __hash__ = None

    def __init__(
        self,
        next_hop=None,
        flow=None,
        send_socket=None,
        via_override=None,
        on_reply=None,
        on_failure=None,
        timeout=None,
        address=None,
    ):
        self.next_hop, self.flow, self.send_socket, self.via_override = next_hop, flow, send_socket, via_override
        self.on_reply, self.on_failure, self.timeout, self.address = on_reply, on_failure, timeout, address

    def __eq__(self, other):
        return values(self, RELAY) == values(other, RELAY) if type(other) is Relay else NotImplemented

    def __repr__(self):
        return shown(self, RELAY)


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Fork:
    """`request.fork()`; `strategy` is "parallel", "sequential" or "q"."""

    __hash__ = None

    def __init__(
        self,
        list targets not None,
        strategy="parallel",
        send_socket=None,
        on_reply=None,
        on_failure=None,
        timeout=None,
    ):
        self.targets, self.strategy, self.send_socket = targets, strategy, send_socket
        self.on_reply, self.on_failure, self.timeout = on_reply, on_failure, timeout

    def __eq__(self, other):
        return values(self, FORK) == values(other, FORK) if type(other) is Fork else NotImplemented

    def __repr__(self):
        return shown(self, FORK)


@cython.final
@cython.freelist(8)
cdef class Answer:
    """A response made here. `headers` come before the queued edits; `stateless` discards the server transaction.
    `later`, a siphon.state.store.Wait of a RegisterResult, is there where a store has still to confirm: the answer is
    that one's, when it has come.
    """

    __hash__ = None

    def __init__(
        self,
        int status,
        str reason,
        bint reliable=False,
        bint stateless=False,
        list headers=None,
        bytes body not None=b"",
        content_type=None,
        later=None,
    ):
        self.status, self.reason, self.reliable, self.stateless = status, reason, reliable, stateless
        self.headers = [] if headers is None else headers
        self.body, self.content_type, self.later = body, content_type, later

    def __eq__(self, other):
        return values(self, ANSWER) == values(other, ANSWER) if type(other) is Answer else NotImplemented

    def __repr__(self):
        return shown(self, ANSWER)


cdef Answer answer_of(int status, str reason, bint stateless, list headers):
    """An Answer of these, for less than a call of its class."""
    cdef Answer made = Answer.__new__(Answer)
    made.status, made.reason, made.stateless, made.headers, made.body = status, reason, stateless, headers, b""
    return made
