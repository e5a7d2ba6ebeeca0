# Declarations of _uri.pyx.

cdef class UriFields:
    cdef public str _text
    cdef str _given         # as it was when the URI was made
    cdef public object _owner
    cdef public bint _read
    cdef public str _scheme, _userinfo, _user, _host
    cdef public object _port
    cdef public str _headers
    cdef public object _params
    cdef public list _raw_params
    cdef object __weakref__

    cpdef object _parts(self)
    cdef int _parts_sip(self, str rest) except -1
    cdef bint _parts_plain(self) except -1
    cdef object _host_now(self)

cdef UriFields uri_of(cls, str text, owner)
