"""A plain attempt in C, from the outcome of the on_request handlers to the copy on its way.

A relay(), or a fork() to one target, that is the first attempt of its request, goes to an address and finds nothing in
its way. The same as outcomes.request_done and what that calls; whatever else it is, is left to them as if nothing had
happened; nothing has. `check(record before, outcome, step)` compares each decision with theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from siphon.engine._copies cimport Copy, Places, copy_of
from siphon.engine._hashes cimport Loops
from siphon.forwarding._tokens cimport Tokens
from siphon.script._outcome cimport Outcome
from siphon.sip._build_cy cimport trying_for
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._splice_cy cimport pack_splices
from siphon.state._codec cimport write
from siphon.state._record cimport Branch, Claim, Record
from siphon.state._shm_store cimport datagram

from siphon.engine.attempts import IPV4_BYTES, IPV6_BYTES, LARGEST_DATAGRAM
from siphon.engine.plan import NO_LISTENER
from siphon.forwarding.branch import BRANCH_LENGTH, COOKIE
from siphon.forwarding.own_routes import record_route_value
from siphon.forwarding.signer import record_route_lead
from siphon.forwarding.targets import received_breadth
from siphon.forwarding.trim import clean_target
from siphon.script.flow import split_address
from siphon.script.outcome import Fork, Relay
from siphon.sip.draft import header_line
from siphon.sip.identity import split_host_port
from siphon.sip.message import parse
from siphon.state.record import ClaimKind
from siphon.transaction import invite_client, invite_server, non_invite_client
from siphon.transaction.step import Step

cdef enum:
    CALLING = 1             # states of the tables in siphon/transaction
    TRYING = 6
    PROCEEDING = 1
    REQUEST = 1             # a ClaimKind
    KEPT = 4096
    OUR_BRANCH = 59         # bytes of a branch of ours: cookie, key, salt, index, loop value

if (invite_client.State.CALLING, non_invite_client.State.TRYING, invite_server.State.PROCEEDING, ClaimKind.REQUEST) != (
        CALLING, TRYING, PROCEEDING, REQUEST):
    raise ImportError("the first states of transactions have changed")
if BRANCH_LENGTH != OUR_BRANCH or COOKIE != b"z9hG4bK":
    raise ImportError("our branches have changed")

cdef int LARGEST = LARGEST_DATAGRAM
cdef int HEAD4 = IPV4_BYTES
cdef int HEAD6 = IPV6_BYTES
cdef int NOWHERE = NO_LISTENER
cdef const char *HEX = "0123456789abcdef"


cdef inline char *put_hex(char *p, uint32_t number, int digits) noexcept nogil:
    cdef int i
    for i in range(digits):
        p[digits - 1 - i] = HEX[number & 15]
        number >>= 4
    return p + digits


cdef inline char *put_text(char *p, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(p, text, size)
    return p + size


cdef bytes our_via(bytes sent_by, bytes key, uint32_t salt, uint32_t index, bytes loop):
    """The value of our Via (branch.our_branch says what the branch is)."""
    cdef Py_ssize_t sender = PyBytes_GET_SIZE(sent_by)
    cdef bytes via = PyBytes_FromStringAndSize(NULL, 12 + sender + 8 + OUR_BRANCH + 6)
    cdef char *p = PyBytes_AS_STRING(via)
    cdef const unsigned char *k = <const unsigned char *>PyBytes_AS_STRING(key)
    cdef int i
    p = put_text(p, b"SIP/2.0/UDP ", 12)
    p = put_text(p, PyBytes_AS_STRING(sent_by), sender)
    p = put_text(p, b";branch=z9hG4bK", 15)
    for i in range(16):
        p = put_hex(p, k[i], 2)
    p = put_hex(put_hex(p, salt, 8), index, 4)
    p = put_text(p, PyBytes_AS_STRING(loop), 8)
    put_text(p, b";rport", 6)
    return via


@cython.final
@cython.freelist(4)
cdef class Way:
    """Where one copy goes."""


@cython.final
@cython.freelist(4)
cdef class Attempt:
    """What a plain attempt sends, beside what it has changed in its record."""


@cython.final
cdef class PlainAttempts:
    """The short way of one Environment."""

    def __init__(self, env, check=None):
        self.env = env
        self.check = check
        self.places = Places(env)
        self.loops = Loops()
        self.configure()

    cdef int configure(self) except -1:
        settings, timing = self.env.settings, self.env.timing
        self.cleaned, self.leads, self.hosts = {}, {}, {}
        self.limit = settings.limits.breadth
        self.refuses_unrouted = settings.proxy.unrouted_in_dialog == "refuse"
        self.t1, self.long, self.timer_c, self.linger = timing.t1, timing.long, timing.timer_c, timing.linger
        self.server = self.env.server
        self.server_line = header_line("Server", self.server) if self.server else b""
        return 0

    def begin(self, step, Outcome outcome not None):
        """Do what the handlers want; False: it is not plain, and nothing has happened."""
        cdef Attempt made = self.decide(step.record, step.parsed, outcome, step.now)
        if made is None:
            return False
        step.parsed, step.base = made.received, made.base
        step.sends.extend(made.sends)
        step.oversize = made.oversize
        return True

    cdef Attempt decide(self, Record r, SipMessage received, Outcome outcome, double now):
        """As begin(), of a record and its request (None: not parsed yet). None: not plain, nothing has happened."""
        cdef Attempt made
        cdef bytes before = b""
        if self.places.refresh() or self.server is not self.env.server:
            self.configure()
        if not self.may(r, outcome):
            return None
        if self.check is not None:
            before = write(r)
        made = self.attempt(r, parse(r.request) if received is None else received, outcome, now)
        if made is not None and self.check is not None:
            step = Step(r, now, self.env.timing)
            step.sends, step.oversize = made.sends, made.oversize
            self.check(before, outcome, step)
        return made

    cdef Attempt attempt(self, Record r, SipMessage received, Outcome outcome, double now):
        cdef SipMessage m = received
        cdef Way way
        cdef int breadth
        if outcome.edited:
            m = outcome.parsed if outcome.parsed is not None else parse(outcome.message)
        if m.position(b"Route", 0) >= 0 or m.raw != (outcome.message if outcome.edited else r.request):
            return None
        way = self.way(r, m, outcome.action)
        if way is None:
            return None
        breadth = self.limit if m.position(b"Max-Breadth", 0) < 0 else received_breadth(m, self.limit)
        if breadth <= 0:
            return None
        return self.send(r, received, m, outcome, way, breadth, now)

    cdef bint may(self, Record r, Outcome outcome) except -1:
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
        if r.invite and r.state != PROCEEDING:
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
        way.local_ip = self.host_of(local_addr) if local_addr else self.places.local_ip(way.listener, ip)
        way.sent_by = self.places.sent_by(way.listener, way.local_ip)
        return way if way.sent_by else None

    cdef str host_of(self, str address):
        """The host of `ip:port`, as split_address() says."""
        found = self.hosts.get(address)
        if found is None:
            found = split_address(address)[0]
            if len(self.hosts) >= KEPT:
                self.hosts.clear()
            self.hosts[address] = found
        return found

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

    cdef Attempt send(
        self, Record r, SipMessage received, SipMessage m, Outcome outcome, Way way, int breadth, double now
    ):
        cdef bytes loop = self.loops.value(received, self.env.loop_key)
        cdef bytes via = our_via(way.sent_by, r.key, r.salt, r.next_index, loop)
        cdef bytes recorded = b""
        cdef bytes answer
        cdef Copy copy
        cdef Py_ssize_t size
        cdef Attempt made
        if outcome.record_route and r.method != "REGISTER":
            if self.places.sent_by(r.listener, r.local_ip) != way.sent_by:
                return None
            recorded = self.record_route(way.sent_by, r.call_id)
        copy = copy_of(m, way.uri, via, recorded, breadth, False, True)
        size = PyBytes_GET_SIZE(copy.data)
        if size > LARGEST:
            return None
        made = Attempt.__new__(Attempt)
        made.received, made.base, made.sends, made.oversize = received, m, [], 0
        self.keep(r, outcome)
        if r.invite and not r.last_response:
            r.trying_at = 0.0
            r.last_response = answer = trying_for(received, self.server_line)
            made.sends.append(datagram(answer, (r.reply_ip, r.reply_port), r.listener, r.local_ip))
        self.count(r, outcome.action)
        if self.places.mtu is not None and size + (HEAD6 if ":" in way.address[0] else HEAD4) > self.places.mtu:
            made.oversize = size
        self.branch(r, way, copy.splices, now)
        made.sends.append(datagram(copy.data, way.address, way.listener, way.local_ip))
        return made

    cdef bytes record_route(self, bytes sent_by, bytes call_id):
        """As own_routes.record_route_value; what it says of the place is kept."""
        cdef bytes lead
        signer = self.env.signer
        if signer is None:
            return record_route_value(sent_by.decode(), call_id, None)
        found = self.leads.get(sent_by)
        if found is None:
            host, port = split_host_port(sent_by.decode())
            self.leads[sent_by] = found = record_route_lead(host, port or 0)
        lead = found
        return b"<sip:%b;lr;rrs=%b>" % (sent_by, (<Tokens?>signer).token(lead + call_id))

    cdef int keep(self, Record r, Outcome outcome) except -1:
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

    cdef int count(self, Record r, action) except -1:
        """As outcomes.start_attempt."""
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
