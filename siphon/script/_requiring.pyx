"""`auth.require_*`: plain credentials, and none at all, from the call to what it leaves in the request, in C.

Whatever else it is goes on in siphon/script/auth.py: `_require` of an Auth.
"""

# cython: boundscheck=False, wraparound=False

from siphon.script._actions cimport answer_of
from siphon.script._binding cimport current
from siphon.script._fields cimport RequestContext, RequestFields
from siphon.script._text cimport is_plain
from siphon.services.digest._plain cimport PlainDigest
from siphon.sip._message_cy cimport SipMessage

from siphon.sip.draft import Draft

WWW = ("Authorization", "WWW-Authenticate", 401, "Unauthorized")
PROXY = ("Proxy-Authorization", "Proxy-Authenticate", 407, "Proxy Authentication Required")

cdef enum:
    NOT_PLAIN = -1
    REFUSED = 0
    PASSED = 1

cdef dict HEADERS = {WWW[0]: b"authorization", PROXY[0]: b"proxy-authorization"}


cdef int plainly(namespace, RequestFields request, tuple scheme, realm) except -2:
    """NOT_PLAIN: nothing has happened."""
    cdef RequestContext context = request._context
    cdef SipMessage m = request._message
    cdef PlainDigest plain
    cdef str user
    cdef int line
    if m.method == "ACK" or m.method == "CANCEL" or context.services.digest is None:
        return NOT_PLAIN
    plain = context.services.digest.plain
    if realm is None:
        realm = current().settings.auth.realm
    if plain is None or type(realm) is not str or not is_plain(realm):
        return NOT_PLAIN
    user = plain.user_of(m, HEADERS[scheme[0]], context.uri_received, realm, context.transaction_id, context.wall, &line)
    if user is not None:
        request.auth_user = user
        if request._draft is None and request._pending is None:
            request._draft = Draft.lacking(m, line)     # what is left is read when somebody asks for it
        else:
            namespace._remove(request, scheme[0])
        return PASSED
    if line >= 0:
        return NOT_PLAIN
    if request.may_arm("auth"):
        values = [(scheme[1], value) for value in plain.challenges(realm, context.wall)]
        stateless = m.s.target.tag_start < 0 or not namespace._keeps_state(request)
        request.arm(answer_of(scheme[2], scheme[3], stateless, values))
    return REFUSED


cdef bint require(namespace, target, tuple scheme, realm, password, ha1) except -1:
    cdef int found = NOT_PLAIN
    if password is None and ha1 is None and isinstance(target, RequestFields):
        found = plainly(namespace, <RequestFields>target, scheme, realm)
    return namespace._require(target, scheme, realm, password, ha1) if found == NOT_PLAIN else found


cdef class Requiring:
    """Of the namespace `auth`."""

    def require_www_digest(self, target, realm=None, password=None, ha1=None):
        """Verify Authorization or arm 401."""
        return require(self, target, WWW, realm, password, ha1)

    def require_proxy_digest(self, target, realm=None, password=None, ha1=None):
        """Verify Proxy-Authorization or arm 407."""
        return require(self, target, PROXY, realm, password, ha1)

    def require_digest(self, target, realm=None, password=None, ha1=None):
        """401 and Authorization for REGISTER, 407 and Proxy-Authorization for every other method."""
        if isinstance(target, RequestFields) and (<RequestFields>target)._message.method == "REGISTER":
            return require(self, target, WWW, realm, password, ha1)
        return require(self, target, PROXY, realm, password, ha1)
