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
