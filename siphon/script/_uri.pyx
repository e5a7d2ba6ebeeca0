"""What a SipUri holds, as fields of C, and the parts of its text, which are split when a script asks for one.

The rest of the class is in siphon/script/uri.py: what an assignment may be, and how the text is written anew.
"""


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
        cdef UriFields self = cls.__new__(cls)
        self._text = value
        self._owner = owner
        return self

    cpdef object _parts(self):
        """Split the text once; what cannot be split further stays in `host`."""
        cdef str scheme, colon, rest
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
        if not self._read:
            self._parts()
        return self._host if self._scheme != "tel" else self.params.get("phone-context", "")

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

    def __str__(self):
        return self._text

    def __eq__(self, other):
        return self._text == (<UriFields>other)._text if isinstance(other, UriFields) else NotImplemented

    def __hash__(self):
        return hash(self._text)
