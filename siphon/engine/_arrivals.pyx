"""New requests, from the parsed datagram to the record that stands, in C: what every request passes through.

The same as siphon/engine/ingest.py, requests.py and core.py do, for a request that is most likely new, that nothing
refuses and for which nothing waits. Whatever else it is, a repeat as well, is left to the engine as if nothing had
happened; nothing has. `check` compares each decision with the engine's, as in siphon/engine/_plain.pyx.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from siphon.engine._changing cimport Changing
from siphon.engine._gate cimport Gate
from siphon.engine._random_bits cimport RandomBits
from siphon.engine._runs cimport PlainRuns
from siphon.sip._blake cimport Keyed
from siphon.sip._hex cimport put_decimal
from siphon.sip._message_cy cimport SipMessage
from siphon.state._codec cimport write
from siphon.state._deadlines cimport expiry, next_deadline
from siphon.state._record cimport Claim, Record
from siphon.state._shm_store cimport ShmStore, committed, shared

from siphon.engine.counters import Counter
from siphon.engine.environment import CLAIM_SECS
from siphon.engine.requests import NON_INVITE_TRYING_SECS, came_back
from siphon.sip.message import stamp_source
from siphon.state.record import ClaimKind
from siphon.state.store import Commit
from siphon.transaction import invite_server, non_invite_server

cdef enum:
    OUR_BRANCH = 59         # bytes of a branch that we write
    COOKIE = 7
    INVITE_STATE = 1
    OTHER_STATE = 6
    CLAIM = 1

if (invite_server.State.PROCEEDING, non_invite_server.State.TRYING, ClaimKind.REQUEST) != (
        INVITE_STATE, OTHER_STATE, CLAIM):
    raise ImportError("the first states of server transactions have changed")

cdef object TRANSACTIONS = Counter.TRANSACTIONS
cdef Keyed keyed = None     # under the key that was used last
cdef bytes keyed_with = None
cdef double CLAIMED = CLAIM_SECS
cdef double OTHERS_TRYING = NON_INVITE_TRYING_SECS
cdef frozenset OTHER_WAYS = frozenset(("ACK", "CANCEL", "PRACK"))


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c | 0x20 if c"A" <= c <= c"Z" else c


cdef bint starts(const unsigned char *p, int size, const char *word, int length) noexcept nogil:
    """Whether the text begins so, whatever its case; `word` is lower case."""
    cdef int i
    if size < length:
        return False
    for i in range(length):
        if lower(p[i]) != <unsigned char>word[i]:
            return False
    return True


cdef bint holds(const unsigned char *p, int size, const char *word, int length) noexcept nogil:
    """Whether the text has this word of lower case somewhere, whatever its case."""
    cdef int i
    for i in range(size - length + 1):
        if lower(p[i]) == <unsigned char>word[0] and starts(p + i, size - i, word, length):
            return True
    return False


cdef bytes transaction_of(SipMessage m, bytes key):
    """As branch.transaction_id, of a Via with the cookie that came by UDP."""
    global keyed, keyed_with
    cdef char text[2048]
    cdef char *behind
    cdef Py_ssize_t at = 0
    cdef const char *method = PyUnicode_AsUTF8AndSize("INVITE" if m.method == "ACK" else m.method, &at)
    cdef int host = m.s.via.host_end - m.s.via.host_start
    cdef int branch = m.s.via.branch_end - m.s.via.branch_start
    cdef int i
    if at + host + branch + 16 > 2048:
        return None
    memcpy(text, method, at)
    text[at] = 0
    at += 1
    for i in range(host):
        text[at + i] = <char>lower(m.p[m.s.via.host_start + i])
    at += host
    text[at] = 0
    behind = put_decimal(text + at + 1, <unsigned int>(m.s.via.port or 5060))
    behind[0] = 0
    at = behind + 1 - text
    for i in range(branch):
        text[at + i] = <char>lower(m.p[m.s.via.branch_start + i])
    if key is not keyed_with:
        keyed, keyed_with = Keyed(key, 16), key
    return keyed.of(<const unsigned char *>text, at + branch)


cdef bint passes(SipMessage m, env) except -1:
    """Whether the checks of RFC 3261 §16.3 and §18.2 let it pass without a word."""
    cdef int size = m.s.uri_end - m.s.uri_start
    cdef const unsigned char *uri = m.p + m.s.uri_start
    cdef int branch = m.s.via.branch_end - m.s.via.branch_start
    if not m.s.via.usable or m.s.via.maddr_start >= 0 or m.s.via.branch_start < 0 or branch <= COOKIE:
        return False
    if not starts(m.p + m.s.via.branch_start, branch, b"z9hg4bk", COOKIE):
        return False
    if m.s.via.transport_end - m.s.via.transport_start != 3 or not starts(
            m.p + m.s.via.transport_start, 3, b"udp", 3):
        return False
    if not (starts(uri, size, b"sip:", 4) or starts(uri, size, b"sips:", 5) or starts(uri, size, b"tel:", 4)):
        return False
    if m.s.max_forwards == 0 or holds(uri, size, b"maddr", 5):
        return False
    if m.position("Proxy-Require", 0) >= 0:
        return False
    return branch != OUR_BRANCH if m.s.via_count == 1 else not came_back(m, env)


@cython.final
cdef class PlainRequests:
    """The short way in of one process, beside its Ingest and Core. `check(arrival facts ..., commit)`: see above."""

    cdef ShmStore shm
    cdef Changing env
    cdef unsigned long seen
    cdef object ingest, core, store, count, arm, clock, lines, wall, script_version
    cdef public object check
    cdef PlainRuns runs
    cdef Gate gate          # where what may come in is asked by a call of C; else None
    cdef RandomBits drawn   # the same of the bits of a salt
    cdef double invite_trying, linger, long
    cdef bint force_rport, says_trying, counts_sources, runs_handlers
    cdef int slot
    cdef int64_t owner
    cdef object generation
    cdef bytes id_key
    cdef Py_ssize_t record_bytes

    def __init__(self, ingest, PlainRuns runs not None, check=None):
        core = ingest.core
        self.ingest, self.core, self.env, self.store = ingest, core, core.env, core.store
        self.shm = shared(core.store)
        self.count, self.arm, self.clock = core.reporter.count, core.arm, core.clock
        self.lines, self.wall, self.script_version = core.order.lines, ingest.wall, ingest.script_version
        self.runs = runs
        self.drawn = ingest.random_bits if type(ingest.random_bits) is RandomBits else None
        gate = getattr(ingest.refusing, "__self__", None)
        self.gate = gate if type(gate) is Gate else None
        self.check = check
        self.configure()

    def configure(self):
        """The Environment has changed."""
        env = self.env
        settings = env.settings
        self.seen = self.env.changes
        self.id_key, self.slot, self.generation, self.owner = env.id_key, env.slot, env.generation, env.owner
        self.runs_handlers = env.runs_handlers
        self.linger, self.long = env.timing.linger, env.timing.long
        self.says_trying = settings.transaction.auto_emit_100_trying
        self.invite_trying = settings.transaction.auto_emit_100_trying_delay_ms / 1000
        self.force_rport = settings.nat.force_rport
        self.counts_sources = settings.limits.per_source is not None and self.ingest.sources is not None
        self.record_bytes = settings.shared.record_bytes

    def take(self, SipMessage m not None, tuple source not None, int listener, str local_ip, double arrived):
        """Serve a request that came from this address; False: nothing has happened."""
        cdef double now
        cdef SipMessage stamped
        if self.seen != self.env.changes:
            self.configure()
        if m.method in OTHER_WAYS or self.counts_sources or self.lines or not self.runs_handlers:
            return False
        if not passes(m, self.env):
            return False
        if not self.is_open(m.s.target.tag_start >= 0):
            return False
        now = self.clock()
        if now - arrived > 3.9:  # near events.STALE_SECS: whether it is stale, the engine says
            return False
        stamped = stamp_source(m, source[0], source[1], self.force_rport)
        key = transaction_of(stamped, self.id_key)
        if key is None:
            return False
        return self.begin(key, stamped, source, listener, local_ip, arrived, now)

    cdef bint is_open(self, bint in_dialog) except -1:
        """Whether new work is taken."""
        if self.gate is not None:
            return not self.gate.is_full() and (in_dialog or not self.gate.is_closed())
        return not self.ingest.overloaded() and (in_dialog or not self.ingest.refusing())

    cdef bint begin(
        self, bytes key, SipMessage m, tuple source, int listener, str local_ip, double arrived, double now
    ) except -1:
        cdef Record r = self.record(key, m, source, listener, local_ip, arrived, now)
        cdef Claim claim
        cdef bytes value
        cdef double deadline, until
        cdef int64_t version
        if r.invite and 0.0 < r.trying_at <= now:
            return False
        claim = Claim(CLAIM, 0, self.slot, self.generation, 0, now + CLAIMED)
        r.claims.append(claim)
        r.touched |= <uint64_t>1 << (self.slot & 63)
        value = write(r)
        if PyBytes_GET_SIZE(value) > self.record_bytes:
            return False
        deadline = next_deadline(r)
        until = expiry(r, self.linger, self.long)
        if self.shm is not None and self.check is None:
            version = self.shm.put(key, 0, value, self.owner, deadline, until, (), True)
        else:
            commit = Commit(key, 0, value, self.owner, deadline, until, [], True)
            if self.check is not None:
                self.check(m, source, listener, local_ip, arrived, r, now, commit)
            version = committed(self.store, commit)
        if version <= 0:
            return False
        self.count(TRANSACTIONS)
        if deadline:
            self.arm(deadline, key, version)
        self.runs.run(claim, version, r, m)
        return True

    cdef Record record(
        self, bytes key, SipMessage m, tuple source, int listener, str local_ip, double arrived, double now
    ):
        """As requests.new_record."""
        cdef Record r = Record(key, self.ingest.random_bits(32) if self.drawn is None else self.drawn.word())
        r.method = m.method
        r.invite = m.method == "INVITE"
        r.state = INVITE_STATE if r.invite else OTHER_STATE
        r.created = now
        r.wall = self.wall()
        r.script_version = self.script_version()
        r.request = m.raw
        r.call_id = m.value_of(m.s.i_call_id)
        r.cseq = m.s.cseq
        r.from_tag = m.span_bytes(m.s.sender.tag_start, m.s.sender.tag_end) if m.s.sender.tag_start >= 0 else b""
        r.to_tag = m.span_bytes(m.s.target.tag_start, m.s.target.tag_end) if m.s.target.tag_start >= 0 else b""
        r.listener = listener
        r.local_ip = local_ip
        r.source_ip, r.source_port = source
        r.reply_ip = r.source_ip
        r.reply_port = r.source_port if m.s.via.rport != -2 else m.s.via.port or 5060
        if self.says_trying:
            r.trying_at = arrived + (self.invite_trying if r.invite else OTHERS_TRYING)
        return r
