"""The base of Environment: counts how often one of its fields got another value.

The short ways in C keep what they need of an Environment in fields of their own. One number tells them, message by
message, whether that is still right: reading a field of a Python object costs a hundred instructions each time.
"""

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object owner, object name, object value) except -1


cdef class Changing:
    def __setattr__(self, name, value):
        if getattr(self, name, self) is not value:
            self.changes += 1
        PyObject_GenericSetAttr(self, name, value)
