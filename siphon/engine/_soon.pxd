# Declarations of _soon.pyx: what each datagram asks of the process, as fields of C.

cdef class Soon:
    cdef public double next_at

cdef class Stirring:
    cdef public double told
    cdef public bint stalled
