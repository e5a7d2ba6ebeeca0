"""What the objects of the script API hold, as fields of C, and the properties that scripts ask for most.

The classes of siphon/script/message.py, request.py and context.py are built on these; the rest of the API is there. A
property is text of the message as it came, decoded when asked for; once a handler has edited something, the methods of
those classes look into the edited lines.
"""

# cython: boundscheck=False, wraparound=False

from cpython.unicode cimport PyUnicode_DecodeUTF8

from siphon.sip._message_cy cimport SipMessage

from siphon.script import variables
from siphon.script.phase import Phase
from siphon.script.text import one_line
from siphon.script.uri import SipUri

cdef object OPEN = Phase.OPEN


cdef inline str span_text(SipMessage m, int start, int end):
    """As text.decode()."""
    return PyUnicode_DecodeUTF8(<const char *>m.p + start, end - start, b"surrogateescape")


cdef class RequestContext:
    """Facts of one transaction beside its message.

    `source` is the observed packet source, `listener` the siphon.sip.identity.Listener it came in on and `local_ip` the
    address it was sent to. `vars` is the stored dict, packed (bytes) or not; it is unpacked once a handler asks.
    `secrets` is what another service said about the users that the credentials name (None: nobody was asked).
    `uri_received` is the Request-URI as received where the message is one that handlers have edited. `script`, the open
    `vars` and the count of armed actions are the runtime's.
    """

    def __init__(
        self,
        tuple source not None,
        listener=None,
        str local_ip="",
        bytes transaction_id=b"",
        identity=None,
        settings=None,
        services=None,
        double now=0.0,
        double wall=0.0,
        vars=b"",
        auth_user=None,
        list consumed_routes=None,
        bint record_route=False,
        bint dialog_known=False,
        uri_received=None,
        secrets=None,
    ):
        self.source, self.listener, self.local_ip, self.transaction_id = source, listener, local_ip, transaction_id
        self.identity, self.settings = identity, settings
        if services is None:
            from siphon.script.context import Services

            services = Services()
        self.services = services
        self.now, self.wall, self.vars, self.auth_user = now, wall, vars, auth_user
        self.consumed_routes = [] if consumed_routes is None else consumed_routes
        self.record_route, self.dialog_known = record_route, dialog_known
        self.uri_received, self.secrets = uri_received, secrets
        self.packed = b""

    def open_vars(self):
        """The dict that all objects of this event share; unpacked at the first call."""
        found = self.opened
        if found is None:
            stored = self.vars
            self.packed = stored if isinstance(stored, bytes) else variables.pack(stored)
            found = self.opened = variables.unpack(self.packed)
        return found

    def drop_vars(self):
        """Forget what handlers wrote."""
        self.opened = None

    def vars_limit(self):
        """`shared.vars_bytes`."""
        return None if self.settings is None else int(self.settings.shared.vars_bytes)

    def vars_changes(self):
        """Keys written and keys deleted by the handlers; raises as variables.pack."""
        if self.opened is None:
            return {}, []
        return variables.changes(self.packed, self.opened, self.vars_limit())


cdef class MessageFields:
    """Of Request and Reply: the parsed message, the lines being changed (None: none), a new body (None: none)."""

    @property
    def body(self):
        """The body, None when it is empty."""
        cdef SipMessage m = self._message
        if self._body is not None:
            return self._body or None
        return m.span_bytes(m.s.body_start, m.s.body_end) if m.s.body_end > m.s.body_start else None

    @property
    def from_uri(self):
        """The URI of From."""
        cdef SipMessage m = self._message
        if self._draft is None and m.s.sender.uri_end > m.s.sender.uri_start:
            return SipUri.of(span_text(m, m.s.sender.uri_start, m.s.sender.uri_end))
        return self._address_uri("From")

    @property
    def to_uri(self):
        """The URI of To."""
        cdef SipMessage m = self._message
        if self._draft is None and m.s.target.uri_end > m.s.target.uri_start:
            return SipUri.of(span_text(m, m.s.target.uri_start, m.s.target.uri_end))
        return self._address_uri("To")

    @property
    def call_id(self):
        """The Call-ID."""
        cdef SipMessage m = self._message
        cdef int i = m.s.i_call_id
        if self._draft is None and i >= 0 and not m.table[i].folded and m.table[i].value_end > m.table[i].value_start:
            return span_text(m, m.table[i].value_start, m.table[i].value_end)
        return self.get_header("Call-ID")


cdef class RequestFields(MessageFields):
    """Of a Request."""

    def __init__(self, SipMessage message not None, RequestContext context not None):
        self._message = message
        self._context = context
        self._phase = OPEN
        self._record_route = context.record_route
        self._auth_user = context.auth_user
        self._confirms = []

    def _may_arm(self, what):
        """Whether an action may be armed now; RuntimeError once the handlers have returned."""
        return True if self._phase is OPEN else self._may_arm_late(what)

    def _arm(self, action):
        """Make `action` the pending one; callers have asked `_may_arm`."""
        self._action = action
        self._context.armed += 1
        self._armed_at = self._context.armed

    def record_route(self):
        """Stay on the path of the dialog: covers all branches and later attempts; ignored for REGISTER."""
        if self._message.method != "REGISTER":
            self._record_route = True

    @property
    def method(self):
        """The method as sent; methods are case-sensitive."""
        return self._message.method

    @property
    def ruri(self):
        """The Request-URI, live: assigning an attribute of it changes the message."""
        cdef SipMessage m = self._message
        if self._ruri is None:
            if self._uri is None:
                text = span_text(m, m.s.uri_start, m.s.uri_end)
            else:
                text = self._uri.decode("utf-8", "surrogateescape")
            self._ruri = SipUri.of(text, self._put_uri)
        return self._ruri

    @ruri.setter
    def ruri(self, uri):
        self.set_ruri(uri)

    @property
    def auth_user(self):
        """The user name that passed a digest check, as sent."""
        return self._auth_user

    @auth_user.setter
    def auth_user(self, user):
        self._auth_user = None if user is None else one_line(user, "auth_user")

    @property
    def from_tag(self):
        """The tag of From."""
        cdef SipMessage m = self._message
        if self._draft is not None:
            return self._edited_tag("From")
        if self._from_tag is None and m.s.sender.tag_start >= 0:
            self._from_tag = span_text(m, m.s.sender.tag_start, m.s.sender.tag_end)
        return self._from_tag

    @property
    def to_tag(self):
        """The tag of To."""
        cdef SipMessage m = self._message
        if self._draft is not None:
            return self._edited_tag("To")
        if self._to_tag is None and m.s.target.tag_start >= 0:
            self._to_tag = span_text(m, m.s.target.tag_start, m.s.target.tag_end)
        return self._to_tag

    @property
    def in_dialog(self):
        """Whether From and To carry tags."""
        return self._message.s.target.tag_start >= 0 and self._message.s.sender.tag_start >= 0

    @property
    def cseq(self):
        """Number and method of CSeq."""
        if self._cseq is None:
            self._cseq = (self._message.s.cseq, self._message.cseq_method)
        return self._cseq

    @property
    def max_forwards(self):
        """Max-Forwards; 70 when absent."""
        cdef int value = self._message.s.max_forwards
        if self._draft is not None:
            given = self.get_header("Max-Forwards")
            number = int(given) if given is not None and given.isascii() and given.isdigit() else -1
            return 70 if number < 0 else number
        return 70 if value < 0 else value

    @property
    def source_ip(self):
        """The observed source address."""
        return self._context.source[0]

    @property
    def source_port(self):
        """The observed source port."""
        return self._context.source[1]

    @property
    def transport(self):
        """`udp`, `tcp` ..., lower case."""
        listener = self._context.listener
        if listener is None:
            return "udp"
        name = listener.transport
        return "udp" if name == "UDP" else str(name).lower()


def is_sane(SipMessage m not None):
    """Whether the headers that every request needs are there and agree (proxy.sanity_check), of an unedited message."""
    if m.s.i_via < 0 or m.s.i_from < 0 or m.s.i_to < 0 or m.s.i_call_id < 0 or m.s.i_cseq < 0:
        return False
    if m.s.max_forwards == 0 or m.s.cseq < 0 or m.cseq_method != m.method:
        return False
    return m.s.content_length < 0 or m.s.content_length == m.s.body_end - m.s.body_start
