"""`registrar.save(request)` of a REGISTER that stands as it came: from the call to the answer that is armed, in C.

Whatever else it is goes on in siphon/script/registrar.py: `_save` of a Registrar, after the same checks have passed.
"""

# cython: boundscheck=False, wraparound=False

from siphon.script._actions cimport answer_of
from siphon.script._fields cimport RequestContext, RequestFields, lacks_credentials
from siphon.script._lookup cimport Lookups
from siphon.services._merged cimport MergedRequests
from siphon.services.location._saves cimport PlainSaves
from siphon.sip._message_cy cimport SipMessage

from siphon.script.finishing import CREDENTIALS

LOOP_DETECTED = (482, "Loop Detected")
"""A merged request (RFC 3261 §8.2.2.2)."""


cdef bint is_merged(RequestFields request) except -1:
    """Whether the same REGISTER has come by another path before."""
    cdef SipMessage m = request._message
    merged = request._context.services.merged
    if merged is None or m.s.target.tag_start >= 0:
        return False
    return (<MergedRequests?>merged).is_merged(
        request._context.transaction_id, m.method, m.call_id, m.from_tag or b"", m.s.cseq)


cdef list headers_of(RequestFields request):
    """The headers of the 200 where the REGISTER was plain and has been applied; None: nothing has happened."""
    cdef RequestContext context = request._context
    draft, listener, location = request._draft, context.listener, context.services.location
    plain = None if location is None else location.plain
    if plain is None or request._confirms or listener is None or listener.transport != "udp":
        return None
    if draft is not None and not lacks_credentials(request) and draft.changed and not draft.only_lacks(CREDENTIALS):
        return None
    return (<PlainSaves?>plain).apply(
        request._message, context.transaction_id, context.source, (context.local_ip or listener.ip, listener.port),
        request._nat_register, request._auth_user, context.wall)


cdef class Saving(Lookups):
    """Of the namespace `registrar`."""

    def save(self, request, force=False, aliases=(), flow_token=None):
        """Apply a REGISTER and arm its answer: True after a 2xx, False after an error that changed nothing."""
        cdef RequestFields r
        cdef list headers
        if not isinstance(request, RequestFields) or (<RequestFields>request)._message.method != "REGISTER":
            self._refuse(request, "save()")
        r = <RequestFields>request
        if not r.may_arm("registrar.save()"):
            return False
        if is_merged(r):
            r.arm(answer_of(LOOP_DETECTED[0], LOOP_DETECTED[1], False, []))
            return False
        if not (aliases or force or flow_token is not None):
            headers = headers_of(r)
            if headers is not None:
                r.arm(answer_of(200, "OK", False, headers))
                return True
        return self._save(request, force, aliases, flow_token)
