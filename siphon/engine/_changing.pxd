# Declarations of _changing.pyx: how the short ways notice that an Environment is another one.

cdef class Changing:
    cdef unsigned long changes
