"""The ACK to a 2xx in C, from the parsed datagram to the copy: every Route of it is ours, and it goes to an address.

The same as siphon/engine/ingest.py and acks.py do for one that belongs to no record of ours. Whatever else it is, an ACK
that is to be dropped as well, is left to them as if nothing had happened; nothing has. `check` compares each copy with
theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from siphon.engine._arrivals cimport holds, passes, transaction_of
from siphon.engine._copies cimport Copy, Places, copy_of
from siphon.engine._random_bits cimport RandomBits
from siphon.forwarding._tokens cimport Tokens
from siphon.sip._grammar_cy cimport AddressSpan, UriSpan, scan_address, utf8
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._words cimport same_text
from siphon.state._shm_store cimport ShmStore, datagram, shared

from siphon.engine.counters import Counter
from siphon.forwarding.branch import COOKIE, TAG_LENGTH, transaction_of_tag
from siphon.forwarding.signer import record_route_lead
from siphon.sip.message import stamp_source

cdef enum:
    KEPT = 256
    SIP = 1                 # UriSpan.kind
    NOWHERE = -1

cdef object FORWARDED = Counter.ACKS_FORWARDED
cdef int OUR_TAG = TAG_LENGTH


cdef bytes token_in(const unsigned char *p, int s, int e):
    """The value of the first parameter `rrs` in `;a=b;c`; b"" when there is none."""
    cdef int end, equals
    while s < e:
        s += 1              # the semicolon
        end = s
        equals = -1
        while end < e and p[end] != c";":
            if p[end] == c"=" and equals < 0:
                equals = end
            end += 1
        if same_text(p, s, end if equals < 0 else equals, b"rrs", 3):
            return b"" if equals < 0 else (<const char *>p)[equals + 1 : end]
        s = end
    return b""


@cython.final
cdef class PlainAcks:
    """The short way of one process, beside its Ingest and Core."""

    cdef ShmStore shm
    cdef ShmStore sender    # where a copy is sent by a call of C; else None
    cdef RandomBits drawn   # the same of the bits of a branch
    cdef object ingest, core, env, store, count
    cdef public object check
    cdef Places places
    cdef dict ours          # (host, port) of a Route: what its token is made of where that names us, else None
    cdef bint force_rport

    def __init__(self, ingest, check=None):
        core = ingest.core
        self.ingest, self.core, self.env, self.store = ingest, core, core.env, core.store
        self.shm = shared(core.store)
        self.sender = shared(getattr(ingest.send, "__self__", None))
        self.drawn = ingest.random_bits if type(ingest.random_bits) is RandomBits else None
        self.count = core.reporter.count
        self.check = check
        self.places = Places(self.env)
        self.configure()

    cdef int configure(self) except -1:
        self.ours = {}
        self.force_rport = self.env.settings.nat.force_rport
        return 0

    def take(self, SipMessage m not None, tuple source not None, int listener, str local_ip):
        """Forward an ACK that came from this address; False: nothing has happened."""
        cdef SipMessage stamped
        if m.s.target.tag_start < 0 or self.core.order.lines:
            return False
        if self.places.refresh():
            self.configure()
        if not passes(m, self.env) or not self.has_its_length(m):
            return False
        stamped = stamp_source(m, source[0], source[1], self.force_rport)
        if self.is_of_a_record(stamped) or not self.vouched(stamped):
            return False
        return self.forward(stamped, source, listener, local_ip)

    cdef bint has_its_length(self, SipMessage m) except -1:
        """Content-Length is there once, and right: nobody puts it right."""
        cdef int i = m.s.i_content_length
        if i < 0 or m.s.content_length != m.s.body_end - m.s.body_start:
            return False
        return m.value_of(i).isdigit() and m.position(b"Content-Length", i + 1) < 0

    cdef bint is_of_a_record(self, SipMessage m) except -1:
        """Whether a record may be there that it is for: one of its branch, or of its To tag."""
        cdef bytes key = transaction_of(m, self.env.id_key)
        if key is None or self.has(key):
            return True
        if m.s.target.tag_end - m.s.target.tag_start != OUR_TAG:
            return False
        other = transaction_of_tag(m.to_tag, self.env.tag_key)
        return other is not None and (other == key or self.has(other))

    cdef bint has(self, bytes key) except -1:
        return self.shm.has(key) if self.shm is not None else self.store.head(key) is not None

    cdef bint vouched(self, SipMessage m) except -1:
        """Whether it has a Route, and each is one that we signed for this Call-ID, or ours where nothing is signed."""
        cdef list routes = m.listed(b"Route")
        cdef bytes call_id
        if not routes or (len(routes) > 1 and self.places.count > 1) or holds(
                m.p + m.s.uri_start, m.s.uri_end - m.s.uri_start, b"lr", 2):
            return False
        call_id = m.call_id
        for value in routes:
            if not self.is_ours(value, call_id):
                return False
        return True

    cdef bint is_ours(self, bytes value, bytes call_id) except -1:
        """As routes.is_ours, of a sip URI in a Record-Route value."""
        cdef AddressSpan a
        cdef UriSpan u
        cdef const unsigned char *p = <const unsigned char *>PyBytes_AS_STRING(value)
        cdef int size = <int>PyBytes_GET_SIZE(value)
        cdef bytes token
        if not scan_address(p, 0, size, &a, &u, False) or not utf8(p, a.uri_start, a.uri_end) or u.kind != SIP:
            return False
        lead = self.names_us(value[u.host_start : u.host_end], u.port)
        if lead is None:
            return False
        signer = self.env.signer
        if signer is None:
            return True
        token = token_in(p, u.params, u.headers)
        return bool(token) and (<Tokens?>signer).is_token(token, lead + call_id)

    cdef bytes names_us(self, bytes host, int port):
        """What the signer takes before the Call-ID; None: not ours."""
        key = (host, port)
        found = self.ours.get(key, self)
        if found is not self:
            return found
        text = host.decode("utf-8", "surrogateescape")
        found = record_route_lead(text, port) if self.places.identity.names_us(text, port or None, 5060) else None
        if len(self.ours) < KEPT:
            self.ours[key] = found
        return found

    cdef bint forward(self, SipMessage m, tuple source, int listener, str local_ip) except -1:
        cdef bytes uri = m.uri
        cdef tuple address = self.places.target(uri)
        cdef int leaving
        cdef bytes sent_by, token
        cdef Copy copy
        cdef str ours
        if address is None:
            return False
        leaving = self.places.listener(NOWHERE, listener, ":" in address[0])
        if leaving < 0:
            return False
        ours = self.places.local_ip(leaving, address[0])
        sent_by = self.places.sent_by(leaving, ours)
        if not sent_by:
            return False
        token = b"%032x" % self.ingest.random_bits(128) if self.drawn is None else self.drawn.digits()
        via = b"".join((b"SIP/2.0/UDP ", sent_by, b";branch=", COOKIE, token, b";rport"))
        copy = copy_of(m, uri, via, b"", 0, True, False)
        if copy is None:
            return False
        if self.check is not None:
            self.check(m, source, listener, local_ip, token, datagram(copy.data, address, leaving, ours))
        self.count(FORWARDED)
        if self.sender is not None:
            self.sender.send_alone(copy.data, address, leaving, ours)
        else:
            self.ingest.send(datagram(copy.data, address, leaving, ours))
        return True
