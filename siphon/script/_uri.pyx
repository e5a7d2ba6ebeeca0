"""What a SipUri holds, as fields of C, and the parts of its text, which are split when a script asks for one.

The rest of the class is in siphon/script/uri.py: what an assignment may be, and how the text is written anew.
"""

# cython: boundscheck=False, wraparound=False

from cpython.object cimport PyTypeObject
from cpython.ref cimport PyObject

from siphon.script._binding cimport Binding, find
from siphon.script._text cimport PyUnicode_1BYTE_DATA, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII

cdef extern from "string.h" nogil:
    void *memchr(const void *, int, size_t)
    void *memrchr(const void *, int, size_t)
    int memcmp(const void *, const void *, size_t)

cdef enum:
    KEPT = 1024

cdef tuple NOTHING = ()


cdef class Domains:
    """Which hosts, as written, are of a domain of ours: of one Identity."""

    cdef object identity
    cdef dict found

    cdef bint has(self, identity, str host) except -1:
        cdef dict found
        if identity is not self.identity:
            self.identity, self.found = identity, {}
        found = self.found  # of this identity, also when another thread brings a new one meanwhile
        known = found.get(host)
        if known is None:
            known = bool(identity.is_local(host))
            if len(found) >= KEPT:
                found.clear()
            found[host] = known
        return known


cdef Domains domains = Domains.__new__(Domains)


cdef UriFields uri_of(cls, str text, owner):
    """As SipUri.of(); `cls` is SipUri."""
    cdef PyTypeObject *kind = <PyTypeObject *>cls
    cdef UriFields made = <UriFields>kind.tp_new(<type>cls, <PyObject *>NOTHING, NULL)
    made._text = made._given = text
    made._owner = owner
    return made


cpdef str user_of(str userinfo):
    """What stands before password and user parameters."""
    if not userinfo:
        return None
    if ":" in userinfo or ";" in userinfo:
        return userinfo.partition(":")[0].partition(";")[0] or None
    return userinfo


cdef class UriFields:
    """Fields of a SipUri."""

    @classmethod
    def of(cls, str value not None, owner=None):
        """A URI that the parser has checked already; `owner` is told each new text."""
        return uri_of(cls, value, owner)

    cpdef object _parts(self):
        """Split the text once; what cannot be split further stays in `host`."""
        cdef str scheme, colon, rest
        if self._parts_plain():
            return
        scheme, colon, rest = self._text.partition(":")
        self._scheme = "sip" if scheme == "sip" else scheme.lower()
        self._params = self._userinfo = self._port = None
        self._headers = ""
        if self._scheme == "tel":
            raw = rest.split(";")
            self._userinfo, self._host = raw[0], ""
            self._raw_params = raw[1:]
        else:
            self._parts_sip(rest)
        self._user = user_of(self._userinfo)
        self._read = True

    cdef bint _parts_plain(self) except -1:
        """The same for what nearly all are: sip:, ASCII, at most one "@", and a host that is no IPv6 address."""
        cdef str text = self._text
        cdef Py_ssize_t n, s = 4, e, colon, i
        cdef const unsigned char *p
        cdef const unsigned char *at
        if not PyUnicode_IS_COMPACT_ASCII(text):
            return False
        p, n = PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)
        if n < 4 or memcmp(p, b"sip:", 4):
            return False
        at = <const unsigned char *>memrchr(p + 4, c"@", n - 4)
        if at != NULL:
            s = at - p + 1
            if memchr(p + 4, c"@", s - 5) != NULL:
                return False
        e, colon = s, -1
        while e < n and p[e] != c";" and p[e] != c"?":
            if p[e] == c":":
                if colon >= 0:
                    return False
                colon = e
            e += 1
        if colon >= 0:
            if not 0 < e - colon - 1 <= 9 or p[s] == c"[":
                return False
            for i in range(colon + 1, e):
                if not c"0" <= p[i] <= c"9":
                    return False
        self._scheme, self._headers, self._params, self._port = "sip", "", None, None
        self._userinfo = self._user = None
        if at != NULL:
            self._userinfo = self._user = text[4 : s - 1]
            for i in range(4, s - 1):
                if p[i] == c":" or p[i] == c";":
                    self._user = text[4:i] or None
                    break
            if s == 5:
                self._user = None
        self._host = text[s : e if colon < 0 else colon]
        if colon >= 0:
            self._port = int(text[colon + 1 : e])
        self._raw_params = []
        if e < n:
            at = <const unsigned char *>memchr(p + e, c"?", n - e)
            i = n if at == NULL else at - p
            if at != NULL:
                self._headers = text[i:]
            if i > e:
                self._raw_params = text[e + 1 : i].split(";")
        self._read = True
        return True

    cdef object _host_now(self):
        if not self._read:
            self._parts()
        return self._host if self._scheme != "tel" else self.params.get("phone-context", "")

    cdef int _parts_sip(self, str rest) except -1:
        cdef str userinfo, at, tail, question, headers, host, colon, port
        cdef list raw
        userinfo, at, tail = rest.rpartition("@")
        if at and "?" in userinfo and "@" in userinfo:  # an "@" inside ?headers is not the separator
            userinfo, at, tail = rest.partition("@")
        self._userinfo = userinfo if at else None
        if "?" in tail:
            tail, question, headers = tail.partition("?")
            self._headers = question + headers
        if ";" in tail:
            raw = tail.split(";")
            tail = raw.pop(0)
            self._raw_params = raw
        else:
            self._raw_params = []
        self._host = tail
        if ":" in tail:
            host, colon, port = tail.rpartition(":")
            if port.isdigit() and not host.endswith(":") and (host.startswith("[") or ":" not in host):
                self._host, self._port = host, int(port)
        return 0

    @property
    def scheme(self):
        """`sip`, `sips`, `tel` ..., lower case."""
        if not self._read:
            self._parts()
        return self._scheme

    @property
    def is_tel(self):
        """Whether this is a tel: URI."""
        if not self._read:
            self._parts()
        return self._scheme == "tel"

    @property
    def user(self):
        """User part without password and user parameters (`;npdi`, `;rn=`), the number of a tel: URI."""
        if not self._read:
            self._parts()
        return self._user

    @user.setter
    def user(self, value):
        self._set_user(value)

    @property
    def host(self):
        """Host as written, IPv6 in brackets; the phone-context of a tel: URI or ""."""
        return self._host_now()

    @host.setter
    def host(self, value):
        self._set_host(value)

    @property
    def port(self):
        """Port, None when the URI names none."""
        if not self._read:
            self._parts()
        return self._port

    @port.setter
    def port(self, value):
        self._set_port(value)

    @property
    def is_local(self):
        """Whether the host, case ignored, is one of `domain.local`."""
        cdef Binding bound
        host = self._host_now()
        if not host:
            return False
        bound = find()
        identity = bound.services.identity if bound is not None else None
        return identity is not None and domains.has(identity, host)

    def __str__(self):
        return self._text

    def __eq__(self, other):
        return self._text == (<UriFields>other)._text if isinstance(other, UriFields) else NotImplemented

    def __hash__(self):
        return hash(self._text)
