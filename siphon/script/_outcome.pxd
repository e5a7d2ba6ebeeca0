# Declarations of _outcome.pyx.

from siphon.sip._message_cy cimport SipMessage

cdef class Outcome:
    cdef public object action
    cdef public list provisionals, reply_edits
    cdef public object reply_body, reply_to_tag
    cdef public bytes message
    cdef public bint edited
    cdef public SipMessage parsed
    cdef public list splices
    cdef public bint record_route
    cdef public dict vars
    cdef public bytes vars_bytes
    cdef public object auth_user
    cdef public list consumed_routes
    cdef public object error
    cdef public bint uri_set, answer_to_source, route_unsigned
    cdef public int auth_failures
    cdef public list confirms
