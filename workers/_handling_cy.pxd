# Declarations of _handling_cy.pyx.

cdef class Handling:
    cdef object set_handler
    cdef int slot
    cdef readonly int depth
