"""A plain attempt in C, from the outcome of the on_request handlers to the copy on its way.

A relay(), or a fork() to one target, that is the first attempt of its request, goes to an address and finds nothing in
its way. The same as outcomes.request_done and what that calls; whatever else it is, is left to them as if nothing had
happened; nothing has. `check(record before, outcome, step)` compares each decision with theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from siphon.engine._copies cimport Places, copy_of
from siphon.sip._message_cy cimport SipMessage
from siphon.state._record cimport Branch, Claim, Record, write

from siphon.engine.answers import trying
from siphon.engine.attempts import IPV4_BYTES, IPV6_BYTES, LARGEST_DATAGRAM
from siphon.engine.plan import NO_LISTENER
from siphon.forwarding.branch import COOKIE, loop_value
from siphon.forwarding.own_routes import record_route_value
from siphon.forwarding.targets import received_breadth
from siphon.forwarding.trim import clean_target
from siphon.script.flow import split_address
from siphon.script.outcome import Fork, Relay
from siphon.sip.message import parse
from siphon.sip.splices import apply_splices, pack_splices
from siphon.state.record import ClaimKind
from siphon.state.store import Send
from siphon.transaction import invite_client, non_invite_client

cdef enum:
    CALLING = 1             # states of the tables in siphon/transaction
    TRYING = 6
    REQUEST = 1             # a ClaimKind
    KEPT = 4096

if (invite_client.State.CALLING, non_invite_client.State.TRYING, ClaimKind.REQUEST) != (CALLING, TRYING, REQUEST):
    raise ImportError("the first states of client transactions have changed")

cdef int LARGEST = LARGEST_DATAGRAM
cdef int HEAD4 = IPV4_BYTES
cdef int HEAD6 = IPV6_BYTES
cdef int NOWHERE = NO_LISTENER


@cython.final
@cython.freelist(4)
cdef class Way:
    """Where one copy goes."""

    cdef bytes uri
    cdef tuple address
    cdef int listener
    cdef str local_ip
    cdef bytes sent_by


@cython.final
cdef class PlainAttempts:
    """The short way of one Environment."""

    cdef object env
    cdef public object check
    cdef Places places
    cdef dict cleaned
    cdef int limit
    cdef bint refuses_unrouted
    cdef double t1, long, timer_c

    def __init__(self, env, check=None):
        self.env = env
        self.check = check
        self.places = Places(env)
        self.configure()

    cdef int configure(self) except -1:
        settings, timing = self.env.settings, self.env.timing
        self.cleaned = {}
        self.limit = settings.limits.breadth
        self.refuses_unrouted = settings.proxy.unrouted_in_dialog == "refuse"
        self.t1, self.long, self.timer_c = timing.t1, timing.long, timing.timer_c
        return 0

    def begin(self, step, outcome):
        """Do what the handlers want; False: it is not plain, and nothing has happened."""
        cdef Record r = step.record
        cdef SipMessage m
        cdef Way way
        cdef int breadth
        action = outcome.action
        if self.places.refresh():
            self.configure()
        if not self.may(r, outcome):
            return False
        m = outcome.parsed if outcome.parsed is not None else parse(outcome.message) if outcome.edited else step.request()
        if m.position(b"Route", 0) >= 0 or m.raw != (outcome.message if outcome.edited else r.request):
            return False
        way = self.way(r, m, action)
        if way is None:
            return False
        breadth = received_breadth(m, self.limit)
        if breadth <= 0:
            return False
        return self.send(step, r, m, outcome, way, breadth)

    cdef bint may(self, Record r, outcome) except -1:
        """Whether the record has seen nothing yet, and the outcome asks for an attempt and no more."""
        action = outcome.action
        if type(action) is not Relay and type(action) is not Fork:
            return False
        if outcome.error is not None or outcome.provisionals or outcome.answer_to_source or action.send_socket:
            return False
        if r.own or r.cancelled or r.rejected or r.final_status or r.attempts or r.branches or r.attempt_edits:
            return False
        if len(r.claims) != 1 or (<Claim>r.claims[0]).kind != REQUEST:
            return False
        consumed = outcome.consumed_routes
        if len(consumed) > 1 and self.places.count > 1:
            return False
        if not r.to_tag or consumed or not self.refuses_unrouted or type(action) is Fork:
            return True
        return action.next_hop is not None

    cdef Way way(self, Record r, SipMessage m, action):
        """The way of the one copy; None: ask the engine."""
        cdef Way way = Way.__new__(Way)
        cdef int wished = NOWHERE
        cdef str local_addr = ""
        if type(action) is Relay:
            if action.address or action.flow is not None or action.via_override is not None:
                return None
            way.uri = m.uri
            if action.next_hop is None:
                way.address = self.places.target(way.uri)
            elif action.next_hop and way.uri[:5].lower() != b"sips:":
                way.address = self.places.named(action.next_hop)
        else:
            if len(action.targets) != 1:
                return None
            spec = action.targets[0]
            if not spec.valid or spec.path or spec.address:
                return None
            way.uri = self.clean(spec.uri)
            if way.uri is None:
                return None
            if spec.listener is not None:
                wished = spec.listener
            local_addr = spec.local_addr or ""
            if not spec.via_source or spec.received is None:
                way.address = self.places.target(way.uri)
            elif self.places.sendable(spec.received):
                way.address = spec.received
        if way.address is None or (local_addr and wished == NOWHERE):
            return None
        ip = way.address[0]
        way.listener = self.places.listener(wished, r.listener, ":" in ip)
        if way.listener < 0:
            return None
        way.local_ip = split_address(local_addr)[0] if local_addr else self.places.local_ip(way.listener, ip)
        way.sent_by = self.places.sent_by(way.listener, way.local_ip)
        return way if way.sent_by else None

    cdef bytes clean(self, str uri):
        """As trim.clean_target, of a sip URI; None of others."""
        found = self.cleaned.get(uri)
        if found is None:
            data = uri.encode("utf-8", "surrogateescape")
            if data[:4].lower() != b"sip:":
                return None
            found = clean_target(data)
            if len(self.cleaned) >= KEPT:
                self.cleaned.clear()
            self.cleaned[uri] = found
        return found

    cdef bint send(self, step, Record r, SipMessage m, outcome, Way way, int breadth) except -1:
        cdef bytes via = b"SIP/2.0/UDP %b;branch=%b%b%08x%04x%b;rport" % (
            way.sent_by, COOKIE, r.key.hex().encode(), r.salt, r.next_index, loop_value(step.request(), self.env.loop_key))
        cdef bytes recorded = b""
        cdef bytes data
        cdef list splices
        cdef Py_ssize_t size
        cdef bytes before = b""
        if outcome.record_route and r.method != "REGISTER":
            if self.places.sent_by(r.listener, r.local_ip) != way.sent_by:
                return False
            recorded = record_route_value(way.sent_by.decode(), r.call_id, self.env.signer)
        splices = copy_of(m, way.uri, via, recorded, breadth, False)
        data = apply_splices(m.raw, splices)
        size = PyBytes_GET_SIZE(data)
        if size > LARGEST:
            return False
        if self.check is not None:
            before = write(r)
        self.keep(r, outcome)
        if r.invite and not r.last_response:
            trying(step, self.env)
        self.attempt(r, outcome)
        step.base = m
        if self.places.mtu is not None and size + (HEAD6 if ":" in way.address[0] else HEAD4) > self.places.mtu:
            step.oversize = size
        self.branch(r, way, pack_splices(splices), step.now)
        step.sends.append(Send(data, way.address, way.listener, way.local_ip))
        if self.check is not None:
            self.check(before, outcome, step)
        return True

    cdef int keep(self, Record r, outcome) except -1:
        """As outcomes._keep."""
        r.claims = []
        r.edits = pack_splices(outcome.splices) if outcome.edited else b""
        r.vars = outcome.vars_bytes
        r.auth_user = outcome.auth_user or ""
        consumed = outcome.consumed_routes
        r.consumed = "\n".join(consumed).encode("utf-8", "surrogateescape") if consumed else b""
        r.record_route = outcome.record_route
        r.reply_to_tag = (outcome.reply_to_tag or "").encode() if not r.to_tag else b""
        return 0

    cdef int attempt(self, Record r, outcome) except -1:
        """As outcomes.start_attempt."""
        action = outcome.action
        r.attempts = 1
        r.attempt_first = r.next_index
        r.attempt_edits = r.edits
        r.on_reply = action.on_reply or ""
        r.on_failure = action.on_failure or ""
        r.ring_timeout = action.timeout or 0.0
        r.send_socket = ""
        r.targets = b""
        return 0

    cdef int branch(self, Record r, Way way, bytes splices, double now) except -1:
        """As attempts.start_branch and the start of the client transaction."""
        cdef Branch b = Branch(r.next_index)
        r.next_index += 1
        r.branches.append(b)
        b.uri = way.uri
        b.ip, b.port = way.address
        b.listener = way.listener
        b.local_ip = way.local_ip
        b.splices = splices
        if r.ring_timeout:
            b.ring_at = now + r.ring_timeout
        if r.invite:
            b.state = CALLING
            b.timer_c_at = now + self.timer_c
        else:
            b.state = TRYING
        b.interval = self.t1
        b.resend_at = now + self.t1
        b.timeout_at = now + self.long
        return 0
