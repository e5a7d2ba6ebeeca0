# Declarations of _contact.pyx.

from siphon.script._actions cimport TargetSpec

cdef class Contact:
    cdef readonly str uri
    cdef object binding, services
    cdef double wall
    cdef bint elsewhere

    cpdef TargetSpec target(self)

cdef Contact contact_of(binding, services, double wall)
