# Declarations of _actions.pyx.

cdef class TargetSpec:
    cdef public str uri
    cdef public tuple path
    cdef public object received         # (ip, port) or None
    cdef public bint via_source
    cdef public object listener, local_addr
    cdef public double q
    cdef public object flow, address
    cdef public bint is_contact, valid

cdef class Relay:
    cdef public object next_hop, flow, send_socket, via_override, on_reply, on_failure, timeout, address

cdef class Fork:
    cdef public list targets
    cdef public object strategy
    cdef public object send_socket, on_reply, on_failure, timeout

cdef class Answer:
    cdef public int status
    cdef public str reason
    cdef public bint reliable, stateless
    cdef public list headers
    cdef public bytes body
    cdef public object content_type, later

cdef Answer answer_of(int status, str reason, bint stateless, list headers)
