"""A plain REGISTER in C, from the message to the binding that stands: what phones send all day.

One Contact without q, an address of record of a domain of ours that has no more than this one binding, in shared memory,
and no event that waits for `on_change` already. The old binding's bytes are read, the new one's written in its place, and nothing
of them becomes an object. The same as `facts`, `register`, `location`, `records`, `index` and `binding` do; whatever
else it is, and what the table does not take at once, is left to them: what has happened then is at most the hint, which
they write as well. `check(facts ..., old bytes, new bytes, headers)` compares each decision with theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from shm._layout cimport ABSENT, KEY
from siphon.services._msgpack cimport (
    Reading,
    Text,
    Writing,
    is_next,
    put,
    put_byte,
    put_decimal,
    put_double,
    put_number,
    put_text,
    read_bool,
    read_double,
    read_number,
    read_text,
    read_texts,
    same,
    skip,
)
from siphon.services._rows cimport Rows
from siphon.services.location._wanted cimport (
    Name,
    Wanted,
    digits,
    make_name,
    put_header_params,
    put_params,
    read_params,
    simple_host,
    simple_user,
)
from siphon.sip._blake cimport Keyed
from siphon.sip._grammar_cy cimport (
    AddressSpan,
    UriSpan,
    scan_address,
    scan_uri,
    skip_list_value,
    unique_uri_params,
    utf8,
)
from siphon.sip._message_cy cimport SipMessage

from siphon.services.location.binding import LATEST
from siphon.services.location.binding import VERSION as RECORD_VERSION
from siphon.services.location.changes import CODES, Event
from siphon.services.location.facts import is_sent_by
from siphon.services.location.index import Kind
from siphon.services.location.records import BOUND, CHANGED, CHANGED_SECS, SWEEP_GRACE_SECS
from siphon.services.location.register import date_of
from siphon.services.store import StoreError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    ROOM = 4096             # of a record that is plain
    VERSION = 2
    FIELDS = 19             # of a binding
    KNOWN = 256             # hosts that are remembered as ours or not

if RECORD_VERSION != VERSION:
    raise ImportError("records of addresses of record have changed")

cdef double GRACE = SWEEP_GRACE_SECS
cdef double MOST = LATEST
cdef double TOLD = CHANGED_SECS
cdef int OWNER = BOUND
cdef int AWAITED = CHANGED
cdef int REGISTERED = CODES[Event.REGISTERED]
cdef int REFRESHED = CODES[Event.REFRESHED]
cdef object CONTACT = Kind.CONTACT


# --- what is stored

cdef bint put_str(Writing *w, str text) except -1:
    cdef Py_ssize_t size
    cdef const char *data = PyUnicode_AsUTF8AndSize(text, &size)
    return put_text(w, data, size)


cdef bint read_time(Reading *r, double *out) noexcept nogil:
    return read_double(r, out) and 0.0 <= out[0] <= MOST


cdef struct Old:
    # The record as it is. `tail`: what follows the bindings, which stays but for the events.
    bint has_binding
    Text uri
    Text instance
    Text reg_id
    Text call_id
    uint64_t cseq
    double expiry
    const uint8_t *transaction
    int transaction_size
    const uint8_t *tail
    Py_ssize_t tail_size
    Py_ssize_t events       # where in the tail they are
    uint64_t following
    uint64_t lost


cdef bint read_binding(Reading *r, Old *o) noexcept nogil:
    cdef Text text
    cdef uint64_t port
    cdef double number
    if not is_next(r, 0xDC) or not is_next(r, 0) or not is_next(r, FIELDS):
        return False
    if not read_text(r, &o.uri, False) or not read_double(r, &number) or not 0.0 <= number <= 1.0:
        return False
    if not read_texts(r, 2) or not read_text(r, &o.instance, True) or not read_text(r, &o.reg_id, True):
        return False
    if not read_text(r, &o.call_id, False) or not read_number(r, &o.cseq):
        return False
    if not read_time(r, &o.expiry) or not read_time(r, &number):
        return False
    if not read_texts(r, 1) or not read_text(r, &text, False):
        return False
    if not read_text(r, &text, False) or not read_number(r, &port) or port > 65535:
        return False
    if not read_text(r, &text, False) or not read_number(r, &port) or port > 65535:
        return False
    if not read_bool(r) or not read_text(r, &text, True):
        return False
    if not is_next(r, 0xC4) or r.p >= r.end:
        return False
    o.transaction_size = r.p[0]
    o.transaction = r.p + 1
    return skip(r, 1 + o.transaction_size) and read_text(r, &text, False)


cdef bint read_tail(Reading *r, Old *o) noexcept nogil:
    """No aliases, nothing to be confirmed, no event that waits."""
    cdef uint64_t begun
    o.tail = r.p
    if not is_next(r, 0x90) or not read_texts(r, 1) or not read_texts(r, 1) or not is_next(r, 0x90):
        return False
    o.events = r.p - o.tail
    if not is_next(r, 0x94) or not read_number(r, &o.following) or not read_number(r, &o.lost):
        return False
    if not read_number(r, &begun) or not is_next(r, 0x90):
        return False
    o.tail_size = r.p - o.tail
    return r.p == r.end


cdef bint read_record(const uint8_t *p, Py_ssize_t size, const char *aor, Py_ssize_t aor_size, Old *o) noexcept nogil:
    """Whether it is this address of record's, with one binding at most and nothing out of the ordinary."""
    cdef Reading r
    cdef Text text
    r.p, r.end = p, p + size
    if not is_next(&r, 0x98) or not is_next(&r, VERSION) or not read_text(&r, &text, False):
        return False
    if text.size != aor_size or memcmp(text.p, aor, aor_size):
        return False
    o.has_binding = not is_next(&r, 0x90)
    if o.has_binding and (not is_next(&r, 0x91) or not read_binding(&r, o)):
        return False
    return read_tail(&r, o)


cdef inline str text_of(const Name *name):
    return PyUnicode_DecodeASCII(name.text + 1, name.size, NULL)


cdef bytes FRESH = b"\x90\x90\x90\x90\x94\x01\x00\x00\x90"
"""The tail of a record that has nothing but bindings."""


cdef bint put_tail(Writing *out, const Old *o, int event) noexcept nogil:
    """What follows the bindings, with this event at the end of none; 0: nobody is told of it."""
    if not event:
        return put(out, o.tail, o.tail_size)
    if o.following >= <uint64_t>0xFFFFFFFFUL or not put(out, o.tail, o.events):
        return False
    if not put_byte(out, 0x94) or not put_number(out, <uint32_t>o.following + 1) or not put_number(out, <uint32_t>o.lost):
        return False
    if not put(out, b"\x00\x91\x92", 3) or not put_number(out, <uint32_t>o.following):
        return False
    return put_byte(out, event)


cdef inline int uri_start(const Wanted *w) noexcept nogil:
    return w.uri.scheme_end - (3 if w.uri.kind == 1 else 4)


cdef bint takes_place(SipMessage m, const Wanted *w, const Old *o, bytes transaction) noexcept:
    """Whether the one binding is that of this Contact, and an older request has written it."""
    cdef int at = m.s.i_call_id
    cdef bint instance = w.instance_size >= 0 and same(&o.instance, w.instance, w.instance_size) and same(
        &o.reg_id, m.p + w.reg_start if w.reg_start >= 0 else NULL, w.reg_end - w.reg_start if w.reg_start >= 0 else -1
    )
    if not instance and not same(&o.uri, m.p + uri_start(w), w.uri.end - uri_start(w)):
        return False
    if o.transaction_size == 16 and memcmp(o.transaction, PyBytes_AS_STRING(transaction), 16) == 0:
        return False
    if at < 0 or m.table[at].folded:
        return False
    if not same(&o.call_id, m.p + m.table[at].value_start, m.table[at].value_end - m.table[at].value_start):
        return True
    return o.cseq < <uint64_t>m.s.cseq


@cython.final
cdef class PlainSaves:
    """The short way of one Location over shared memory. `check`: see above."""

    def __init__(self, location, bytes hash_key not None, check=None):
        settings = location._settings
        self.location, self.rows, self.index = location, Rows(location._table), location._index
        self.identity, self.epoch = location.identity, location._epoch
        self.check = check
        self.hosts = {}
        self.date_at = -1
        self.keyed = Keyed(hash_key[:64], 16)
        self.least, self.most = settings.min_expires, min(settings.max_expires, 1 << 30)
        self.default = min(settings.default_expires, 1 << 30)
        self.matches_user = settings.enforce_auth_aor_match

    def save(
        self,
        SipMessage m not None,
        bytes transaction not None,
        tuple source not None,
        tuple local not None,
        bint behind_nat,
        str auth_user,
        double wall,
    ):
        """Apply a REGISTER that came by UDP: the headers of its 200, or None where it is not plain."""
        return self.apply(m, transaction, source, local, behind_nat, auth_user, wall)

    cdef list apply(
        self, SipMessage m, bytes transaction, tuple source, tuple local, bint behind_nat, str auth_user, double wall
    ):
        """As save()."""
        cdef Wanted w
        cdef UriSpan to
        cdef Name aor
        cdef bint nat
        if PyBytes_GET_SIZE(transaction) != 16 or not 1 <= m.s.cseq <= 0x7FFFFFFF:
            return None
        if m.position(b"require", 0) >= 0 or m.position(b"path", 0) >= 0:
            return None
        if not self.reads_to(m, &to) or not self.reads_contact(m, &w):
            return None
        if self.matches_user and auth_user is not None and not self.is_own(m, &to, auth_user):
            return None
        if not make_name(&aor, b"r", False, m.p, &to, 0):
            return None
        nat = behind_nat or not self.knows_itself(m, source)
        facts = None if self.check is None else (transaction, source, local, behind_nat, auth_user, wall)
        return self.store(m, &w, &aor, transaction, source, local, nat, wall, facts)

    # --- what it says

    cdef bint reads_to(self, SipMessage m, UriSpan *u) except -1:
        """Whether the To is an address of record of ours in its canonical form."""
        cdef int at = m.s.i_to, i
        if at < 0 or m.table[at].folded or not m.s.target.end:
            return False
        for i in range(m.table[at].value_start, m.table[at].value_end):
            if m.p[i] < 0x20 or m.p[i] == 0x7F:
                return False
        if not scan_uri(m.p, m.s.target.uri_start, m.s.target.uri_end, u) or u.kind != 1 or u.port:
            return False
        if u.scheme_end - m.s.target.uri_start != 3 or not simple_user(m.p, u):
            return False
        if not utf8(m.p, m.s.target.uri_start, m.s.target.uri_end):
            return False
        if u.host_end != u.params or not simple_host(m.p, u.host_start, u.host_end):
            return False
        return self.is_ours(m, u.host_start, u.host_end)

    cdef bint is_ours(self, SipMessage m, int s, int e) except -1:
        cdef bytes host
        if self.ours is not None and PyBytes_GET_SIZE(self.ours) == e - s:
            if memcmp(PyBytes_AS_STRING(self.ours), m.p + s, e - s) == 0:
                return True
        host = m.span_bytes(s, e)
        known = self.hosts.get(host)
        if known is None:
            text = host.decode("ascii")
            known = self.identity.is_local(text) or self.identity.names_us(text, None)
            if len(self.hosts) < KNOWN:
                self.hosts[host] = known
        if known:
            self.ours = host
        return known

    cdef bint reads_contact(self, SipMessage m, Wanted *w) except -1:
        """Whether there is one Contact, and what it wants."""
        cdef AddressSpan a
        cdef int at = m.position(b"contact", 0), s, e
        if at < 0 or m.table[at].folded or m.position(b"contact", at + 1) >= 0:
            return False
        s, e = m.table[at].value_start, m.table[at].value_end
        if skip_list_value(m.p, s, e) != e or not scan_address(m.p, s, e, &a, &w.uri, False):
            return False
        if not utf8(m.p, a.uri_start, a.uri_end) or not 1 <= w.uri.kind <= 2 or not unique_uri_params(m.p, &w.uri):
            return False
        if (w.uri.port == 0) != (w.uri.host_end == w.uri.params) or w.uri.end - a.uri_start > 512:
            return False
        w.uri.end = a.uri_end
        w.params, w.end = a.params, e
        w.lifetime = w.instance_size = w.reg_start = w.reg_end = -1
        w.others = 0
        return read_params(m.p, a.params, e, w) and self.reads_lifetime(m, w)

    cdef bint reads_lifetime(self, SipMessage m, Wanted *w) except -1:
        """Whether a binding is asked for, and not for too short a time."""
        cdef int at
        if w.lifetime < 0:
            at = m.position(b"expires", 0)
            if at < 0:
                w.lifetime = self.default
                return w.lifetime > 0
            if m.table[at].folded:
                return False
            w.lifetime = digits(m.p, m.table[at].value_start, m.table[at].value_end)
        if w.lifetime <= 0 or w.lifetime < self.least:
            return False
        w.lifetime = min(w.lifetime, self.most)
        return w.lifetime > 0

    cdef bint is_own(self, SipMessage m, const UriSpan *to, str user) except -1:
        cdef Py_ssize_t size
        cdef const char *name
        if not user.isascii():
            return False
        name = PyUnicode_AsUTF8AndSize(user, &size)
        return size == to.user_end - to.user_start and memcmp(name, m.p + to.user_start, size) == 0

    cdef bint knows_itself(self, SipMessage m, tuple source) except -1:
        """As facts.is_sent_by."""
        cdef Py_ssize_t size
        cdef const char *ip = PyUnicode_AsUTF8AndSize(source[0], &size)
        cdef int port = source[1]
        if (m.s.via.port or 5060) != port:
            return False
        if m.s.via.host_end - m.s.via.host_start == size and memcmp(ip, m.p + m.s.via.host_start, size) == 0:
            return True
        return is_sent_by(m.via, source)

    # --- what is stored

    cdef list store(
        self, SipMessage m, Wanted *w, const Name *aor, bytes transaction, tuple source, tuple local, bint nat, double wall,
        tuple facts,
    ):
        cdef Old old
        cdef uint8_t room[ROOM]
        cdef unsigned char key[KEY]
        cdef Writing out
        cdef double expiry = wall + w.lifetime
        cdef bytes before = None
        cdef bint adds = True
        cdef double until = expiry + GRACE
        cdef int event = 0
        cdef uint64_t version = 0
        cdef int64_t got
        tell = self.location.tell
        self.keyed.into(<const unsigned char *>aor.text, aor.size + 1, key)
        got = self.rows.get(key)
        old.has_binding = False
        old.events, old.following, old.lost = 4, 1, 0
        old.tail, old.tail_size = <const uint8_t *>PyBytes_AS_STRING(FRESH), PyBytes_GET_SIZE(FRESH)
        if got >= 0:
            version = self.rows.version
            if not read_record(self.rows.value, got, aor.text + 1, aor.size, &old):
                return None
            if old.has_binding and old.expiry > wall:
                if not takes_place(m, w, &old, transaction):
                    return None
                adds = False
            if self.check is not None:
                before = PyBytes_FromStringAndSize(<const char *>self.rows.value, got)
        elif got != ABSENT:
            return None
        if tell is not None:
            event = REGISTERED if adds else REFRESHED
            until = max(until, wall + TOLD)
        out.p, out.end = room, room + ROOM
        if not self.writes(&out, m, w, aor, transaction, source, local, nat, wall) or not put_tail(&out, &old, event):
            return None
        headers = self.headers(m, w, wall)
        if headers is None:
            return None
        if self.check is not None:
            self.check(m, facts, before, PyBytes_FromStringAndSize(<char *>room, out.p - room), headers, adds)
        if not self.points(m, w, aor, wall, expiry, adds):
            return None
        got = self.rows.commit(
            key, version, room, out.p - room, AWAITED if event else OWNER, expiry, until, not adds)
        if got <= 0:
            return None
        if event:
            tell(PyBytes_FromStringAndSize(<char *>key, KEY))
        return headers

    cdef bint writes(
        self, Writing *out, SipMessage m, Wanted *w, const Name *aor, bytes transaction, tuple source, tuple local,
        bint nat, double wall,
    ) except -1:
        """The record as AddressRecord.to_bytes writes it, up to its bindings' end."""
        cdef int at = m.s.i_call_id
        cdef int uri = uri_start(w)
        cdef const unsigned char *p = m.p
        if at < 0 or m.table[at].folded:
            return False
        if not put(out, b"\x98\x02", 2) or not put_text(out, aor.text + 1, aor.size):
            return False
        if not put(out, b"\x91\xdc\x00\x13", 4) or not put_text(out, p + uri, w.uri.end - uri) or not put_double(out, 1.0):
            return False
        if not put_params(out, p, w.params, w.end, w.others):
            return False
        if w.instance_size < 0:
            if not put_byte(out, 0xC0):
                return False
        elif not put_text(out, w.instance, w.instance_size):
            return False
        if w.reg_start < 0:
            if not put_byte(out, 0xC0):
                return False
        elif not put_text(out, p + w.reg_start, w.reg_end - w.reg_start):
            return False
        if not put_text(out, p + m.table[at].value_start, m.table[at].value_end - m.table[at].value_start):
            return False
        if not put_number(out, <uint32_t>m.s.cseq) or not put_double(out, wall + w.lifetime) or not put_double(out, wall):
            return False
        if not put(out, b"\x90\xa3udp", 5) or not put_str(out, source[0]) or not put_number(out, source[1]):
            return False
        if not put_str(out, local[0]) or not put_number(out, local[1]) or not put(out, b"\xc3\xc0" if nat else b"\xc2\xc0", 2):
            return False
        if not put(out, b"\xc4\x10", 2) or not put(out, PyBytes_AS_STRING(transaction), 16):
            return False
        return put_str(out, self.epoch)

    cdef list headers(self, SipMessage m, Wanted *w, double wall):
        """As register._success."""
        cdef char room[2048]
        cdef Writing out
        cdef int uri = uri_start(w)
        cdef uint8_t *digits
        out.p, out.end = <uint8_t *>room, <uint8_t *>room + sizeof(room)
        if not put_byte(&out, c"<") or not put(&out, m.p + uri, w.uri.end - uri) or not put(&out, b">;expires=", 10):
            return None
        digits = out.p
        if not put_decimal(&out, w.lifetime):
            return None
        lifetime = PyUnicode_DecodeASCII(<const char *>digits, out.p - digits, NULL)
        if not put_header_params(&out, m.p, w.params, w.end):
            return None
        contact = PyUnicode_DecodeUTF8(room, <char *>out.p - room, b"surrogateescape")
        if self.date_at != <long long>wall:
            self.date_at, self.date = <long long>wall, date_of(<long long>wall)
        return [("Contact", contact), ("Expires", lifetime), ("Date", self.date)]

    # --- the way to it from its contact

    cdef bint points(self, SipMessage m, Wanted *w, const Name *aor, double wall, double until, bint adds) except -1:
        """As Location._hint; False where the table has no room, or the contact's URI is not plain."""
        cdef unsigned char key[KEY]
        cdef int64_t got
        cdef Name name
        cdef Reading r
        cdef Text text
        cdef double end
        if not simple_host(m.p, w.uri.host_start, w.uri.host_end):
            return False
        if w.uri.user_start >= 0 and not simple_user(m.p, &w.uri):
            return False
        if not make_name(&name, b"c", w.uri.kind == 2, m.p, &w.uri, w.uri.port):
            return False
        self.keyed.into(<const unsigned char *>name.text, name.size + 1, key)
        got = self.rows.get(key)
        if got >= 0:
            r.p = self.rows.value
            r.end = r.p + got
            if is_next(&r, 0x92) and is_next(&r, 1) and is_next(&r, 0x91) and is_next(&r, 0x92):
                if read_text(&r, &text, False) and same(&text, aor.text + 1, aor.size):
                    if read_double(&r, &end) and r.p == r.end and end >= until:
                        return True
        try:
            return self.index.point(CONTACT, text_of(&name), text_of(aor), wall, until, is_new=adds)
        except StoreError:
            return False
