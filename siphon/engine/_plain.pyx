"""Responses of plain calls, decided and committed in C: one branch, no handler, nothing cancelled, nothing parked.

Most responses are of this kind, and each costs a hundred calls of Python on the way through the engine. `take` does the
same for them in one piece: 1xx and 2xx to an INVITE, 2xx to other requests. Whatever is not plain, and whatever the
store does not commit at once, is left to the engine as if nothing had happened; nothing has.

The engine (siphon/engine/events.py, responses.py, core.py) remains the one place that says what is right. Where `check`
is set, as in the simulator and in the engine's tests, every decision made here is made there too and must be the same,
byte for byte.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from siphon.engine._changing cimport Changing
from siphon.services.dialogs._plain cimport PlainDialogs
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._top_via_cy cimport strip_top_via
from siphon.state._codec cimport read, write
from siphon.state._deadlines cimport expiry, next_deadline
from siphon.state._record cimport Branch, Record
from siphon.state._shm_store cimport ShmStore, committed, datagram, shared

from siphon.engine.counters import Counter
from siphon.engine.dialogs import callee_place, caller_place
from siphon.state.store import Commit, Loaded
from siphon.transaction import invite_client, invite_server, non_invite_client, non_invite_server

cdef extern from "string.h" nogil:
    void *memmem(const void *, size_t, const void *, size_t)

cdef enum:
    # States of the tables in siphon/transaction; `_agree` holds them to be the same.
    CALLING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    SERVER_PROCEEDING = 1
    SERVER_ACCEPTED = 2
    TRYING = 6
    OTHER_PROCEEDING = 7
    OTHER_COMPLETED = 8
    COOKIE = 7
    DIGITS = 52             # hex digits of our branch: key 32, salt 8, index 4, loop value 8
    KNOWN_SENDERS = 64


def _agree():
    """The numbers above are those of the tables."""
    ours = (CALLING, PROCEEDING, ACCEPTED, SERVER_PROCEEDING, SERVER_ACCEPTED)
    others = (TRYING, OTHER_PROCEEDING, OTHER_COMPLETED)
    c, s = invite_client.State, invite_server.State
    if ours != (c.CALLING, c.PROCEEDING, c.ACCEPTED, s.PROCEEDING, s.ACCEPTED):
        raise ImportError("the states of INVITE transactions have changed")
    for t in (non_invite_client.State, non_invite_server.State):
        if others != (t.TRYING, t.PROCEEDING, t.COMPLETED):
            raise ImportError("the states of other transactions have changed")


_agree()

cdef object RESPONSES_SENT = Counter.SENT
cdef object OTHER_SOURCE = Counter.OTHER_SOURCE
cdef object MULTI_WORKER = Counter.MULTI_WORKER


cdef inline int digit(unsigned char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    c |= 0x20
    return c - c"a" + 10 if c"a" <= c <= c"f" else -1


cdef bint hex_bytes(const unsigned char *p, int count, uint8_t *into) noexcept nogil:
    cdef int i, high, low
    for i in range(count):
        high, low = digit(p[2 * i]), digit(p[2 * i + 1])
        if high < 0 or low < 0:
            return False
        into[i] = <uint8_t>(high << 4 | low)
    return True


cdef inline bint same_token(bytes one, bytes other):
    return one == other or one.lower() == other.lower()


cdef inline bint is_span(const unsigned char *p, int start, int end, bytes value) noexcept:
    return end - start == PyBytes_GET_SIZE(value) and memcmp(p + start, PyBytes_AS_STRING(value), end - start) == 0


cdef bint has_call_id(SipMessage m, bytes call_id) except -1:
    cdef int i = m.s.i_call_id
    if i < 0 or m.table[i].folded:
        return m.value_of(i) == call_id
    return is_span(m.p, m.table[i].value_start, m.table[i].value_end, call_id)


cdef bint has_from_tag(SipMessage m, bytes tag) except -1:
    if m.s.sender.tag_start < 0:
        return not tag
    if is_span(m.p, m.s.sender.tag_start, m.s.sender.tag_end, tag):
        return True
    return same_token(m.span_bytes(m.s.sender.tag_start, m.s.sender.tag_end), tag)


cdef bint may_be_for_everybody(SipMessage m) noexcept:
    """Whether the Via below ours, or one behind it, names the broadcast address."""
    cdef int i, last = m.s.i_via
    for i in range(last + 1, m.s.count):
        if m.table[i].hash == m.table[last].hash:   # a hash that two names have makes the span longer, no more
            last = i
    return memmem(m.p + m.s.via.end, m.table[last].end - m.s.via.end, b"255.255.255.255", 15) != NULL


@cython.final
cdef class PlainResponses:
    """The short way of one process, beside its Core. `check(event facts ..., commit, opened)`: see above; else None."""

    cdef ShmStore shm
    cdef Changing env
    cdef unsigned long seen
    cdef object core, store, count, arm, clock, cdr
    cdef dict lines, running
    cdef public object check
    cdef PlainDialogs dialogs
    cdef dict senders, replies
    cdef bytes sender       # the last that was ours
    cdef double long, t4, timer_c, linger
    cdef bint fixes_contact, keeps_dialogs
    cdef int slot
    cdef int64_t owner
    cdef Py_ssize_t record_bytes

    def __init__(self, core, check=None):
        self.core, self.env, self.store = core, core.env, core.store
        self.shm = shared(core.store)
        self.count, self.arm, self.clock = core.reporter.count, core.arm, core.clock
        self.lines, self.running = core.order.lines, core.running
        self.check = check
        self.configure()

    def configure(self):
        """The Environment has changed."""
        settings, timing = self.env.settings, self.env.timing
        self.seen = self.env.changes
        self.slot, self.owner, self.keeps_dialogs = self.env.slot, self.env.owner, self.env.dialogs is not None
        self.cdr = self.env.cdr
        self.dialogs = None if self.env.dialogs is None else self.env.dialogs.plain
        self.replies = self.env.script.replies
        self.senders, self.sender = {}, None
        self.long, self.t4, self.timer_c, self.linger = timing.long, timing.t4, timing.timer_c, timing.linger
        self.fixes_contact = settings.nat.fix_contact
        self.record_bytes = settings.shared.record_bytes

    def take(self, SipMessage m not None, str source not None):
        """Serve a response that came from this address; False: it is not plain, and nothing has happened."""
        cdef uint8_t ours[22]
        cdef Record r
        cdef Branch b
        cdef double now
        cdef bytes data, value
        cdef uint64_t version = 0
        if not 100 <= m.s.code < 300 or m.s.via_count < 2 or self.lines or self.running:
            return False
        if self.seen != self.env.changes:
            self.configure()
        if not self.names(m, ours):
            return False
        key = PyBytes_FromStringAndSize(<char *>ours, 16)
        if self.shm is not None:
            value = self.shm.fetch(key, &version)
            if value is None:
                return False
        else:
            loaded = self.store.load(key)
            if type(loaded) is not Loaded:
                return False
            version, value = loaded
        try:
            r = read(key, value)
        except ValueError:
            return False
        b = self.fits(m, r, <uint32_t>ours[16] << 24 | ours[17] << 16 | ours[18] << 8 | ours[19], ours[20] << 8 | ours[21])
        if b is None or self.has_reply(r):
            return False
        now = self.clock()
        data = self.decide(m, r, b, now)
        return data is not None and self.commit(m, r, b, source, version, value, data, now)

    cdef bint has_reply(self, Record r) except -1:
        """As facts.ScriptFacts.has_reply."""
        if r.on_reply:
            return True
        known = self.replies.get(r.script_version)
        return self.env.script.has_reply(r) if known is None else known is True

    # --- whose it is

    cdef bint names(self, SipMessage m, uint8_t *into) except -1:
        """Whether the top Via is one that we write, and what its branch says: key, salt, index."""
        cdef int start = m.s.via.branch_start
        cdef const unsigned char *p = m.p + start
        if start < 0 or m.s.via.branch_end - start != COOKIE + DIGITS or not m.s.via.usable:
            return False
        if memcmp(p, b"z9hG4bK", COOKIE) or not hex_bytes(p + COOKIE, 22, into):
            return False
        if may_be_for_everybody(m):
            return False
        if self.sender is not None and is_span(m.p, m.s.via.sent_start, m.s.via.sent_end, self.sender):
            return True
        sender = PyBytes_FromStringAndSize(<const char *>m.p + m.s.via.sent_start, m.s.via.sent_end - m.s.via.sent_start)
        known = self.senders.get(sender)
        if known is None:
            via = m.via
            known = self.env.identity.is_our_sent_by(via.host.decode("latin-1"), via.port)
            if len(self.senders) < KNOWN_SENDERS:
                self.senders[sender] = known
        if known:
            self.sender = sender
        return known

    cdef Branch fits(self, SipMessage m, Record r, uint32_t salt, uint16_t index):
        """The branch that the response belongs to, where that is a plain one (responses.match)."""
        cdef Branch b
        if r.salt != salt or r.own or r.cancelled or r.rejected or r.final_status or r.local_2xx or r.claims:
            return None
        if len(r.branches) != 1 or r.targets or m.s.cseq != r.cseq or m.cseq_method != r.method:
            return None
        b = r.branches[0]
        if b.index != index or b.result or b.cancel_by or b.cancel is not None or b.end_at or b.dropped or b.moved:
            return None
        if not has_call_id(m, r.call_id) or not has_from_tag(m, r.from_tag):
            return None
        if r.invite:
            plain = r.state == SERVER_PROCEEDING and (b.state == CALLING or b.state == PROCEEDING)
        else:
            plain = m.s.code >= 200 and r.state in (TRYING, OTHER_PROCEEDING) and b.state in (TRYING, OTHER_PROCEEDING)
        return b if plain else None

    # --- what it changes

    cdef bytes decide(self, SipMessage m, Record r, Branch b, double now):
        """The record as it is after the response; what goes up, empty for nothing, None where it is not plain."""
        cdef int status = m.s.code
        cdef bytes data = strip_top_via(m)
        if self.fixes_contact and status > 100 and r.method != "REGISTER":
            return None
        b.last_status = status
        if status < 200:
            return self.provisional(r, b, status, data, now)
        b.resend_at = b.timeout_at = b.ring_at = b.timer_c_at = b.give_up_at = 0.0
        b.result = status
        b.local = b.judging = False
        b.response = b.others = b""
        r.trying_at = 0.0
        r.end_at = now + self.long
        r.final_status = status
        r.final_sent_at = now
        if r.invite:
            b.state = ACCEPTED
            b.end_at = now + self.long
            r.state = SERVER_ACCEPTED
            r.resend_at = 0.0
            r.last_response = b""
        else:
            b.state = OTHER_COMPLETED
            b.end_at = now + self.t4
            r.state = OTHER_COMPLETED
            r.last_response = data
            self.compact(r, b)
        return data

    cdef bytes provisional(self, Record r, Branch b, int status, bytes data, double now):
        b.state = PROCEEDING
        b.resend_at = b.timeout_at = 0.0
        b.provisional = True
        if status == 100:
            return b""
        if b.timer_c_at:
            b.timer_c_at = now + self.timer_c
        r.trying_at = 0.0
        r.last_response = data
        return data

    cdef void compact(self, Record r, Branch b):
        """As retention.compact: the request is answered, and nothing of it is forwarded any more."""
        if r.request:
            r.request = r.edits = r.attempt_edits = r.vars = r.consumed = b""
            b.splices = b.uri = b""

    # --- and its commit

    cdef bint commit(
        self, SipMessage m, Record r, Branch b, str source, uint64_t before, bytes loaded, bytes data, double now
    ) except -1:
        cdef bytes value
        cdef int64_t version
        cdef double deadline = next_deadline(r)
        r.touched |= <uint64_t>1 << (self.slot & 63)
        value = write(r)
        if PyBytes_GET_SIZE(value) > self.record_bytes:
            return False
        sends = [datagram(data, (r.reply_ip, r.reply_port), r.listener, r.local_ip)] if data else []
        made = None
        if self.shm is None or self.check is not None:
            made = Commit(r.key, before, value, self.owner, deadline, expiry(r, self.linger, self.long), sends)
        if self.check is not None:
            self.check(m, source, Loaded(before, loaded), now, made)
        if r.final_status and self.keeps_dialogs:
            self.dialog(m, r, b, now)
        if self.cdr is not None and r.final_status:
            if not r.invite:
                self.cdr.final(r, now)
            elif m.to_tag:
                self.cdr.answered(r, b, m.to_tag, now)
        if made is None:
            version = self.shm.put(
                r.key, before, value, self.owner, deadline, expiry(r, self.linger, self.long), sends, False)
        else:
            version = committed(self.store, made)
        if version <= 0:
            return False
        self.committed(r, b, source, version, deadline, now, len(sends))
        return True

    cdef int dialog(self, SipMessage m, Record r, Branch b, double now) except -1:
        """As dialogs.opened and closed."""
        cdef bytes tag
        cdef double wall
        cdef PlainDialogs plain = self.dialogs
        if r.invite:
            if m.s.target.tag_start < 0 or m.s.target.tag_end == m.s.target.tag_start:
                return 0
            tag = m.span_bytes(m.s.target.tag_start, m.s.target.tag_end)
            wall = r.wall + max(0.0, now - r.created)
            if plain is None or not plain.remember(
                    r.call_id, r.from_tag, tag, (r.source_ip, r.source_port, r.listener, r.local_ip),
                    (b.ip, b.port, b.listener, b.local_ip), wall):
                self.env.dialogs.remember(r.call_id, r.from_tag, tag, caller_place(r), callee_place(b), wall)
        elif r.to_tag and r.method == "BYE":
            if plain is None or not plain.forget(r.call_id, r.from_tag, r.to_tag):
                self.env.dialogs.forget(r.call_id, r.from_tag, r.to_tag)
        return 0

    cdef int committed(self, Record r, Branch b, str source, int64_t version, double deadline, double now, int sent) except -1:
        cdef uint64_t touched = r.touched
        if source and source != b.ip:
            self.count(OTHER_SOURCE)
        if sent:
            self.count(RESPONSES_SENT, sent)
        if deadline:
            self.arm(deadline, r.key, version)
        if r.final_sent_at == now:
            touched &= touched - 1
            touched &= touched - 1
            if touched:
                self.count(MULTI_WORKER)
        return 0
