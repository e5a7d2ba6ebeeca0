# Declarations of _lookup.pyx.

cdef class Lookups:
    pass
