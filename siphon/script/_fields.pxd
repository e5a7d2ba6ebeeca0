# Declarations of _fields.pyx: what Request, Reply and their context hold.

from siphon.script._uri cimport UriFields
from siphon.sip._message_cy cimport SipMessage

cdef class RequestContext:
    cdef public tuple source
    cdef public object listener
    cdef public str local_ip
    cdef public bytes transaction_id
    cdef public object identity, settings, services
    cdef public double now, wall, began
    cdef public object vars, auth_user
    cdef public list consumed_routes
    cdef public bint record_route, dialog_known
    cdef public object uri_received, secrets, script, opened
    cdef public bytes packed
    cdef public int armed

cdef class MessageFields:
    cdef public SipMessage _message
    cdef public object _draft, _body
    cdef UriFields _sender, _receiver   # From and To as given to a script last

    cdef bint as_received(self) except -1
    cdef object first_of(self, name)

cdef class RequestFields(MessageFields):
    cdef public object _action
    cdef public int _armed_at
    cdef public RequestContext _context
    cdef public object _copied, _phase
    cdef public bint _record_route
    cdef public object _reply_body, _reply_edits, _reply_to_tag, _via
    cdef public object _auth_user, _consumed
    cdef object _cseq, _from_tag, _to_tag
    cdef public object _loose
    cdef public bint _nat_register
    cdef public object _pending, _ruri, _uri
    cdef public bint _uri_set
    cdef public int _auth_failures
    cdef public list _confirms

    cdef bint may_arm(self, what) except -1
    cdef int arm(self, action) except -1

cdef bint lacks_credentials(RequestFields request) except -1
