# Declarations of _tokens.pyx.

cdef class Tokens:
    cdef list keys
    cdef readonly dict known
    cdef tuple of(self, bytes text)
    cpdef bytes token(self, bytes text)
    cpdef bint is_token(self, bytes token, bytes text) except -1
