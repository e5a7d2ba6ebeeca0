"""What the objects of the script API hold, as fields of C, and the properties that scripts ask for most.

The classes of siphon/script/message.py, request.py and context.py are built on these; the rest of the API is there. A
property is text of the message as it came, decoded when asked for; once a handler has edited something, the methods of
those classes look into the edited lines.
"""

# cython: boundscheck=False, wraparound=False

from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8

from siphon.forwarding._own_route cimport only_route
from siphon.script._actions cimport Fork, Relay
from siphon.script._contact cimport Contact
from siphon.script._uri cimport UriFields, uri_of
from siphon.sip._message_cy cimport SipMessage

from siphon.forwarding.routes import ALL_CONSUMED
from siphon.script import variables
from siphon.script.phase import Phase
from siphon.script.text import HEADER_NAMES, one_line
from siphon.script.uri import SipUri
from siphon.sip.draft import Draft

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *object)

cdef object OPEN = Phase.OPEN
cdef object consumed = ALL_CONSUMED
cdef set names = HEADER_NAMES


cdef inline str span_text(SipMessage m, int start, int end):
    """As text.decode()."""
    return PyUnicode_DecodeUTF8(<const char *>m.p + start, end - start, b"surrogateescape")


cdef inline bint is_unseen(PyObject *kept):
    """Whether no script has the URI any more, or has changed it: it may be given once more."""
    cdef UriFields uri
    if kept == <PyObject *>None or Py_REFCNT(kept) != 1:
        return False
    uri = <UriFields>kept
    return uri._params is None and uri._text is uri._given


cdef class RequestContext:
    """Facts of one transaction beside its message.

    `source` is the observed packet source, `listener` the siphon.sip.identity.Listener it came in on and `local_ip` the
    address it was sent to. `vars` is the stored dict, packed (bytes) or not; it is unpacked once a handler asks.
    `secrets` is what another service said about the users that the credentials name (None: nobody was asked).
    `uri_received` is the Request-URI as received where the message is one that handlers have edited. `script`, the open
    `vars` and the count of armed actions are the runtime's. `now` and `wall` are when the event came, `began` when its
    request did, in epoch seconds as `wall`.
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
        self.now, self.vars, self.auth_user = now, vars, auth_user
        self.wall = self.began = wall
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

    cdef bint as_received(self) except -1:
        """Whether no handler has changed anything."""
        return self._draft is None

    cdef object first_of(self, name):
        """Value of the first line of that name of a message that is as received."""
        cdef SipMessage m = self._message
        cdef int i = m.position(name, 0)
        if i < 0:
            return None
        if m.table[i].folded:
            return m.value_of(i).decode("utf-8", "surrogateescape")
        return span_text(m, m.table[i].value_start, m.table[i].value_end)

    def get_header(self, name):
        """Value of the first line of that name, not split at commas; None when absent."""
        if type(name) is str and name in names and self.as_received():
            return self.first_of(name)
        return self._header_now(name)

    def has_header(self, name):
        """Whether there is a line of that name."""
        if type(name) is str and name in names and self.as_received():
            return self._message.position(name, 0) >= 0
        return self._has_header_now(name)

    @property
    def content_type(self):
        """The Content-Type as it stands."""
        return self.first_of(b"content-type") if self._draft is None else self.get_header("Content-Type")

    @property
    def from_uri(self):
        """The URI of From."""
        cdef SipMessage m = self._message
        if self._draft is not None or m.s.sender.uri_end <= m.s.sender.uri_start:
            return self._address_uri("From")
        if not is_unseen(<PyObject *>self._sender):
            self._sender = uri_of(SipUri, span_text(m, m.s.sender.uri_start, m.s.sender.uri_end), None)
        return self._sender

    @property
    def to_uri(self):
        """The URI of To."""
        cdef SipMessage m = self._message
        if self._draft is not None or m.s.target.uri_end <= m.s.target.uri_start:
            return self._address_uri("To")
        if not is_unseen(<PyObject *>self._receiver):
            self._receiver = uri_of(SipUri, span_text(m, m.s.target.uri_start, m.s.target.uri_end), None)
        return self._receiver

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

    cdef bint as_received(self) except -1:
        return self._draft is None and self._pending is None

    cdef bint may_arm(self, what) except -1:
        return True if self._phase is OPEN else self._may_arm_late(what)

    cdef int arm(self, action) except -1:
        self._action = action
        self._context.armed += 1
        self._armed_at = self._context.armed
        return 0

    def _may_arm(self, what):
        """Whether an action may be armed now; RuntimeError once the handlers have returned."""
        return self.may_arm(what)

    def _arm(self, action):
        """Make `action` the pending one; callers have asked `_may_arm`."""
        self.arm(action)

    def relay(self, next_hop=None, on_reply=None, on_failure=None, flow=None, send_socket=None, *, timeout=None):
        """Forward to `flow`, else `next_hop`, else by Route and Request-URI."""
        if next_hop is not None or flow is not None or send_socket is not None or timeout is not None:
            self._relay(next_hop, on_reply, on_failure, flow, send_socket, timeout)
            return
        cdef Relay action = Relay.__new__(Relay)
        if on_reply is not None:
            action.on_reply = self._callback(on_reply, "on_reply")
        if on_failure is not None:
            action.on_failure = self._callback(on_failure, "on_failure")
        if self.may_arm("relay()"):
            self.arm(action)

    def fork(self, targets, strategy="parallel", send_socket=None, *, on_reply=None, on_failure=None, timeout=None):
        """Forward to several targets: "parallel", "sequential" or "q"."""
        cdef Fork action
        cdef list specs = []
        if type(targets) is list and send_socket is None and timeout is None and strategy == "parallel":
            for entry in <list>targets:
                if type(entry) is not Contact:
                    break
                specs.append((<Contact>entry).target())
        if not specs or len(specs) < len(<list>targets):
            self._fork(targets, strategy, send_socket, on_reply, on_failure, timeout)
            return
        action = Fork.__new__(Fork)
        action.targets, action.strategy = specs, "parallel"
        if on_reply is not None:
            action.on_reply = self._callback(on_reply, "on_reply")
        if on_failure is not None:
            action.on_failure = self._callback(on_failure, "on_failure")
        if self.may_arm("fork()"):
            self.arm(action)

    def loose_route(self):
        """Consume the Route values that are ours; True when the top one was. Later calls return the first result."""
        cdef RequestContext context = self._context
        if context.consumed_routes:  # by an earlier handler of this transaction
            return True
        if self._loose is None:
            own = only_route(self._message, context.identity, context.services.signer) if self._draft is None else None
            if own is None:
                return self._route_loosely()
            self._consumed = [own]
            self._loose = self._pending = consumed
        return self._loose.accepted

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
            self._ruri = uri_of(SipUri, text, self._put_uri)
        return self._ruri

    @ruri.setter
    def ruri(self, uri):
        self.set_ruri(uri)

    @property
    def user_agent(self):
        """The User-Agent."""
        return self.first_of(b"user-agent") if self._draft is None else self.get_header("User-Agent")

    @property
    def event(self):
        """The Event header."""
        return self.first_of(b"event") if self._draft is None else self.get_header("Event")

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


cdef bint lacks_credentials(RequestFields request) except -1:
    """Whether nothing was edited but that the one line of credentials is gone, of a draft that nobody has read yet. False
    says nothing: Draft.only_lacks knows."""
    cdef SipMessage m = request._message
    cdef int line
    draft = request._draft
    if type(draft) is not Draft or draft.message is not m or "_lines" in draft.__dict__:
        return False
    if draft._start is not None or draft._body is not None:
        return False
    line = draft._lacks
    return line >= 0 and line in (m.position(b"authorization", line), m.position(b"proxy-authorization", line))


cdef bint is_sane(SipMessage m):
    """Whether the headers that every request needs are there and agree (proxy.sanity_check), of an unedited message."""
    if m.s.i_via < 0 or m.s.i_from < 0 or m.s.i_to < 0 or m.s.i_call_id < 0 or m.s.i_cseq < 0:
        return False
    if m.s.max_forwards == 0 or m.s.cseq < 0 or m.cseq_method != m.method:
        return False
    return m.s.content_length < 0 or m.s.content_length == m.s.body_end - m.s.body_start


cdef class Checks:
    """Of the namespace `proxy`: what its script asks of every request outside of dialogs."""

    def sanity_check(self, request):
        """Whether the headers that every request needs are there and agree, as handlers have left them."""
        if isinstance(request, RequestFields) and (<RequestFields>request)._draft is None:
            return is_sane((<RequestFields>request)._message)
        return self._sanity_check(request)
