"""Plain credentials in C, from the header line to the nonce count that is committed: what phones answer a challenge with.

One line, MD5 or SHA-256 with `qop=auth`, every parameter once and without quoted pairs, under a nonce of the first secret
and for the Request-URI byte for byte; the user is one of `auth.users`. It is the same as credentials.py, nonce.py,
hashes.py, uses.py and verifier.py do. Whatever else it is, a wrong password as well, is left to them as if nothing had
happened, and nothing has. The digest is computed over a stand-in where there is no such user, so that this, too, costs
what a wrong password costs. `check(message, header, request_uri, realm, transaction, wall, user)` compares each decision
with theirs.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from shm._layout cimport ABSENT, KEY
from siphon.services._msgpack cimport Reading, Writing, is_next, put, put_byte, put_number, read_number
from siphon.services._rows cimport Rows
from siphon.services.digest._md5 cimport md5_digits
from siphon.sip._blake cimport Keyed, hash_into
from siphon.sip._hex cimport put_digits
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._sha256 cimport KeyedSha256, sha256_digits

from os import urandom

from siphon.services.digest.hashes import Algorithm
from siphon.services.digest.nonce import FUTURE_SECS, RANDOM_BYTES, TIME_DIGITS
from siphon.services.digest.uses import KEPT, NONCE_OWNER, REPEAT_SECS, VERSION

cdef enum:
    ROOM = 2048             # of a text that is hashed
    PROOF_AT = 41           # time, a dot, random digits
    NONCE = 106
    PROOF = 32              # bytes of it
    NAME = 8                # bytes that stand for a transaction
    ENTRY = 12              # with the second in which it was accepted
    MOST_ENTRIES = 21       # what a bin 8 of msgpack has place for
    REALMS = 64             # whose opaque is remembered

if (VERSION, TIME_DIGITS + 1 + 2 * RANDOM_BYTES) != (1, PROOF_AT) or KEPT < MOST_ENTRIES:
    raise ImportError("nonces, or the records of their uses, have changed")

cdef double REPEATED = REPEAT_SECS
cdef double AHEAD = FUTURE_SECS
cdef int RANDOM = RANDOM_BYTES
cdef int OWNER = NONCE_OWNER
cdef object MD5 = Algorithm.MD5
cdef object SHA_256 = Algorithm.SHA_256
cdef bytes STAND_IN = b"nobody has this password"
cdef const char *HEX = "0123456789abcdef"

cdef enum:                  # the parameters that are known here
    USERNAME, REALM, NONCE_VALUE, URI, RESPONSE, ALGORITHM, OPAQUE, QOP, COUNT, CNONCE, PARAMETERS

cdef const char *NAMES[PARAMETERS]
NAMES[:] = ["username", "realm", "nonce", "uri", "response", "algorithm", "opaque", "qop", "nc", "cnonce"]
cdef int SIZES[PARAMETERS]
SIZES[:] = [8, 5, 5, 3, 8, 9, 6, 3, 2, 6]


cdef inline bint is_white(unsigned char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c | 0x20 if c"A" <= c <= c"Z" else c


cdef inline bint is_plain_char(unsigned char c) noexcept nogil:
    """Of a value without quotes."""
    return 0x20 < c < 0x7F and c != c"," and c != c'"' and c != c"\\"


cdef inline bint says(const unsigned char *p, const Span *value, const char *word, int size) noexcept nogil:
    """Whether the value is this word of lower case, whatever its case."""
    cdef int i
    if value.end - value.start != size:
        return False
    for i in range(size):
        if lower(p[value.start + i]) != <unsigned char>word[i]:
            return False
    return True


cdef int parameter(const unsigned char *p, const Span *name) noexcept nogil:
    cdef int i
    for i in range(PARAMETERS):
        if says(p, name, NAMES[i], SIZES[i]):
            return i
    return -1


cdef bint read(const unsigned char *p, int s, int e, Span *out) noexcept nogil:
    """Whether these are digest credentials of known parameters, each once and without quoted pairs."""
    cdef Span name, value
    cdef int i
    for i in range(PARAMETERS):
        out[i].start = -1
    name.start, name.end = s, s + 6
    if e - s < 8 or not says(p, &name, b"digest", 6) or not is_white(p[s + 6]):
        return False
    s += 7
    while True:
        while s < e and (is_white(p[s]) or p[s] == c","):
            s += 1
        if s == e:
            return True
        name.start = s
        while s < e and (c"a" <= lower(p[s]) <= c"z" or c"0" <= p[s] <= c"9" or p[s] == c"-"):
            s += 1
        name.end = s
        i = parameter(p, &name)
        if i < 0 or out[i].start >= 0:
            return False
        while s < e and is_white(p[s]):
            s += 1
        if s == e or p[s] != c"=":
            return False
        s += 1
        while s < e and is_white(p[s]):
            s += 1
        if s < e and p[s] == c'"':
            value.start = s = s + 1
            while s < e and p[s] != c'"' and p[s] != c"\\":
                s += 1
            if s == e or p[s] == c"\\":
                return False
            value.end = s
            s += 1
        else:
            value.start = s
            while s < e and is_plain_char(p[s]):
                s += 1
            value.end = s
            if value.end == value.start:
                return False
        while s < e and is_white(p[s]):
            s += 1
        if s < e and p[s] != c",":
            return False
        out[i] = value


cdef bint hex_number(const unsigned char *p, int s, int e, uint64_t *out) noexcept nogil:
    """Whether these are hex digits, 16 at most."""
    cdef unsigned char c
    if not 0 < e - s <= 16:
        return False
    out[0] = 0
    while s < e:
        c = lower(p[s])
        if c"0" <= c <= c"9":
            out[0] = out[0] << 4 | (c - c"0")
        elif c"a" <= c <= c"f":
            out[0] = out[0] << 4 | (c - c"a" + 10)
        else:
            return False
        s += 1
    return True


cdef inline bint equal(const char *one, const unsigned char *other, int size) noexcept nogil:
    """At the same cost wherever they differ."""
    cdef unsigned char differs = 0
    cdef int i
    for i in range(size):
        differs |= <unsigned char>one[i] ^ other[i]
    return differs == 0


cdef inline bint join(Writing *text, const void *data, Py_ssize_t size) noexcept nogil:
    return put_byte(text, c":") and put(text, data, size)


@cython.final
cdef class PlainDigest:
    """The short way of one DigestVerifier, whose users are in the configuration and whose nonces are used at one node."""

    def __init__(self, verifier, bytes secret not None, bytes hash_key not None, check=None):
        uses = self.uses = verifier._uses
        self.rows, self.floor_key = Rows(uses._table), uses._floor_key
        self.users, self.nonces, self.ttl = verifier._users, verifier._nonces, verifier._ttl
        self.proof, self.keyed = KeyedSha256(secret), Keyed(hash_key[:64], 16)
        self.md5, self.sha256 = MD5 in verifier._algorithms, SHA_256 in verifier._algorithms
        self.opaques, self.texts = {}, {}
        self.around_nonces, self.offered = verifier._around_nonces, verifier._algorithms
        self.check = check

    cdef list challenges(self, str realm, double wall):
        """As DigestVerifier.challenges, of what the configuration offers."""
        cdef list texts = self.texts.get(realm)
        if texts is None:
            texts = self.around_nonces(realm, False, self.offered)
            if len(self.texts) < REALMS:
                self.texts[realm] = texts
        nonce = self.nonce(wall)
        return [before + nonce + after for before, after in texts]

    cpdef str nonce(self, double wall):
        """As Nonces.make."""
        cdef unsigned char hash[PROOF]
        cdef char out[NONCE]
        cdef bytes random = urandom(RANDOM)
        cdef uint64_t second = <uint64_t>wall
        cdef int i
        for i in range(16):
            out[i] = HEX[second >> (60 - 4 * i) & 15]
        out[16] = out[PROOF_AT] = c"."
        put_digits(<const unsigned char *>PyBytes_AS_STRING(random), RANDOM, out + 17)
        self.proof.into(<unsigned char *>out, PROOF_AT, hash)
        put_digits(hash, PROOF, out + PROOF_AT + 1)
        return PyUnicode_DecodeASCII(out, NONCE, NULL)

    def verify(
        self,
        SipMessage m not None,
        bytes header not None,
        bytes request_uri,
        str realm not None,
        bytes transaction not None,
        double wall,
    ):
        """The user whose credentials are right, and their line's number; False where there are none at all; None where
        they are not plain, or not right. `request_uri` None: as it stands in the message."""
        cdef int line
        user = self.user_of(m, header, request_uri, realm, transaction, wall, &line)
        if user is None:
            return False if line < 0 else None
        return user, line

    cdef str user_of(self, SipMessage m, bytes header, bytes request_uri, str realm, bytes transaction, double wall, int *line):
        """As verify(); `line` is -1 where there are no credentials at all."""
        cdef Span q[PARAMETERS]
        cdef int at = m.position(header, 0)
        cdef uint64_t made_at, count
        cdef bint sha
        line[0] = at
        if at < 0:
            return None
        if m.table[at].folded or m.position(header, at + 1) >= 0:
            return None
        if not read(m.p, m.table[at].value_start, m.table[at].value_end, q):
            return None
        if not self.is_for(m, q, realm, &sha) or not hex_number(m.p, q[COUNT].start, q[COUNT].end, &count):
            return None
        if not count or count >> 32 or not self.is_ours(m, q, realm, &made_at):
            return None
        if not self.is_right(m, q, sha) or not self.fits(m, q, request_uri):
            return None
        if not -AHEAD <= wall - <double>made_at <= self.ttl:
            return None
        if not self.counts(m, q, made_at, <uint32_t>count, transaction, wall):
            return None
        user = PyUnicode_DecodeUTF8(
            <const char *>m.p + q[USERNAME].start, q[USERNAME].end - q[USERNAME].start, b"surrogateescape"
        )
        if self.check is not None:
            self.check(m, header, request_uri, realm, transaction, wall, user)
        return user

    cdef bint is_for(self, SipMessage m, const Span *q, str realm, bint *sha) except -1:
        """Whether everything is there, of this realm and of an algorithm that is offered."""
        cdef bytes name
        cdef int i
        for i in (USERNAME, REALM, NONCE_VALUE, URI, RESPONSE, QOP, COUNT, CNONCE):
            if q[i].start < 0:
                return False
        if not says(m.p, &q[QOP], b"auth", 4) or q[COUNT].end - q[COUNT].start > 8:
            return False
        name = realm.encode("utf-8", "surrogateescape")
        if not is_same(m.p, &q[REALM], name):
            return False
        sha[0] = q[ALGORITHM].start >= 0 and says(m.p, &q[ALGORITHM], b"sha-256", 7)
        if sha[0]:
            return self.sha256
        return self.md5 and (q[ALGORITHM].start < 0 or says(m.p, &q[ALGORITHM], b"md5", 3))

    cdef bint is_ours(self, SipMessage m, const Span *q, str realm, uint64_t *made_at) except -1:
        """Whether nonce and opaque are those of a challenge of ours."""
        cdef const unsigned char *nonce = m.p + q[NONCE_VALUE].start
        cdef unsigned char hash[PROOF]
        cdef char digits[2 * PROOF]
        if q[NONCE_VALUE].end - q[NONCE_VALUE].start != NONCE or nonce[PROOF_AT] != c".":
            return False
        self.proof.into(nonce, PROOF_AT, hash)
        put_digits(hash, PROOF, digits)
        if not equal(digits, nonce + PROOF_AT + 1, 2 * PROOF) or not hex_number(nonce, 0, 16, made_at):
            return False
        if made_at[0] >> 52:
            return False
        return q[OPAQUE].start < 0 or is_same(m.p, &q[OPAQUE], self.opaque(realm))

    cdef bytes opaque(self, str realm):
        found = self.opaques.get(realm)
        if found is None:
            found = self.nonces.opaque(realm).encode()
            if len(self.opaques) < REALMS:
                self.opaques[realm] = found
        return found

    cdef bint is_right(self, SipMessage m, const Span *q, bint sha) except -1:
        """As DigestVerifier._is_right, of what has no quoted pairs."""
        cdef unsigned char room[ROOM]
        cdef char key[2 * PROOF]
        cdef char digits[2 * PROOF]
        cdef int size = 2 * PROOF if sha else PROOF
        cdef const unsigned char *p = m.p
        cdef const Span *user = &q[USERNAME]
        cdef bytes password, known
        cdef bytes method = m.method.encode()
        cdef Writing text
        cdef bint may = True
        secret = self.users(m.span_bytes(user.start, user.end))
        known = None
        if secret is None:
            password, may = STAND_IN, False
        else:
            password = secret.password
            known = secret.ha1.get(SHA_256 if sha else MD5)
            if password is None:
                password, may = b"", known is not None
        text.p, text.end = room, room + ROOM
        if not put(&text, p + user.start, user.end - user.start):
            return False
        if not join(&text, p + q[REALM].start, q[REALM].end - q[REALM].start):
            return False
        if not join(&text, PyBytes_AS_STRING(password), PyBytes_GET_SIZE(password)):
            return False
        hashed(sha, room, text.p - room, key)
        if known is not None:
            if PyBytes_GET_SIZE(known) != size:
                return False
            memcpy(key, PyBytes_AS_STRING(known), size)
        text.p = room
        if not put(&text, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method)):
            return False
        if not join(&text, p + q[URI].start, q[URI].end - q[URI].start):
            return False
        hashed(sha, room, text.p - room, digits)
        text.p = room
        put(&text, key, size)
        for i in (NONCE_VALUE, COUNT, CNONCE, QOP):
            if not join(&text, p + q[i].start, q[i].end - q[i].start):
                return False
        if not join(&text, digits, size):
            return False
        hashed(sha, room, text.p - room, digits)
        return q[RESPONSE].end - q[RESPONSE].start == size and equal(digits, p + q[RESPONSE].start, size) and may

    cdef bint fits(self, SipMessage m, const Span *q, bytes request_uri) except -1:
        cdef int size = q[URI].end - q[URI].start
        if request_uri is not None:
            return is_same(m.p, &q[URI], request_uri)
        return size == m.s.uri_end - m.s.uri_start and memcmp(m.p + q[URI].start, m.p + m.s.uri_start, size) == 0

    # --- the nonce count

    cdef bint counts(
        self, SipMessage m, const Span *q, uint64_t made_at, uint32_t count, bytes transaction, double wall
    ) except -1:
        """As NonceUses.use: whether this use is a new one, or was accepted already. False: it is not, or it could not be
        stored at once."""
        cdef unsigned char name[1 + NONCE]
        cdef uint8_t room[16 + ENTRY * MOST_ENTRIES]
        cdef uint8_t entries[ENTRY * MOST_ENTRIES]
        cdef Writing out
        cdef unsigned char mine[NAME]
        cdef unsigned char key[KEY]
        cdef int size = 0, i
        cdef uint64_t highest, version = 0
        cdef int64_t got
        hash_into(<const unsigned char *>PyBytes_AS_STRING(transaction), PyBytes_GET_SIZE(transaction), mine, NAME)
        name[0] = c"n"
        memcpy(name + 1, m.p + q[NONCE_VALUE].start, NONCE)
        self.keyed.into(name, 1 + NONCE, key)
        got = self.rows.get(key)
        if got == ABSENT:
            if self.rows.has(<const unsigned char *>PyBytes_AS_STRING(self.floor_key)):
                if self.uses._is_below_floor(made_at, wall):
                    return False
        else:
            if got < 0:
                return False
            version = self.rows.version
            size = kept(self.rows.value, got, <const char *>mine, wall, entries, &highest)
            if size < 0:
                return False
            if size > MOST_ENTRIES * ENTRY:
                return True
            if count <= highest:
                return False
            if size == MOST_ENTRIES * ENTRY:
                return False
        memcpy(entries + size, mine, NAME)
        for i in range(4):
            entries[size + NAME + i] = <uint8_t>(<uint64_t>wall >> (24 - 8 * i))
        size += ENTRY
        out.p, out.end = room, room + sizeof(room)
        if not put(&out, b"\x93\x01", 2) or not put_number(&out, count) or not put_byte(&out, 0xC4):
            return False
        if not put_byte(&out, size) or not put(&out, entries, size):
            return False
        return self.rows.commit(
            key, version, room, out.p - room, OWNER, <double>made_at, <double>made_at + self.ttl + REPEATED, True) > 0


cdef int kept(const uint8_t *record, Py_ssize_t length, const char *mine, double wall, uint8_t *entries, uint64_t *highest) except -2:
    """The bytes of what was accepted lately, copied; more than there is room for where this transaction was accepted
    already; -1 for what is not plain."""
    cdef Reading r
    cdef int size, at, left = 0
    cdef uint64_t second
    r.p, r.end = record, record + length
    if not is_next(&r, 0x93) or not is_next(&r, 1) or not read_number(&r, highest) or not is_next(&r, 0xC4):
        return -1
    if r.p == r.end:
        return -1
    size = r.p[0]
    r.p += 1
    if r.end - r.p != size or size % ENTRY:
        return -1
    for at in range(0, size, ENTRY):
        if memcmp(r.p + at, mine, NAME) == 0:
            return MOST_ENTRIES * ENTRY + 1
    for at in range(0, size, ENTRY):
        second = <uint64_t>r.p[at + 8] << 24 | <uint64_t>r.p[at + 9] << 16 | <uint64_t>r.p[at + 10] << 8 | r.p[at + 11]
        if wall - <double>second <= REPEATED:
            memcpy(entries + left, r.p + at, ENTRY)
            left += ENTRY
    return left


cdef inline void hashed(bint sha, const unsigned char *data, size_t size, char *out) noexcept nogil:
    if sha:
        sha256_digits(data, size, out)
    else:
        md5_digits(data, size, out)


cdef inline bint is_same(const unsigned char *p, const Span *value, bytes text) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    return value.end - value.start == size and memcmp(p + value.start, PyBytes_AS_STRING(text), size) == 0
