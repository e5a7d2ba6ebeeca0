# Declarations of _binding.pyx.

cdef class Binding:
    cdef public object settings, services, log, script
    cdef public object load_warnings    # a list, or None

cpdef Binding find()
cpdef Binding current()
