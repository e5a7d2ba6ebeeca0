# Declarations of _running.pyx: what runs of handlers have come to.

cdef class Tally:
    cdef public long errors
    cdef public bint exhausted
    cdef public bint blocked
