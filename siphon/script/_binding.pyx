"""What siphon/script/binding.py offers: nearly every call of a script asks for it."""

from cpython.ref cimport Py_DECREF, PyObject

from contextvars import ContextVar

cdef extern from "Python.h":
    int PyContextVar_Get(object variable, PyObject *default_value, PyObject **value) except -1
    object PyContextVar_Set(object variable, object value)


cdef class Binding:
    """Settings, services and log of the process, and the script whose code runs."""

    def __init__(self, settings, services, log=None, script=None, load_warnings=None):
        """`load_warnings`: while a script is loaded, what its author should hear. Each process loads it, one of them
        tells."""
        self.settings, self.services, self.log, self.script = settings, services, log, script
        self.load_warnings = load_warnings


cdef object variable = ContextVar("siphon_binding")
cdef Binding process = None


def bind(Binding binding):
    """Make `binding` the one of this process (None: of a process without a runtime)."""
    global process
    process = binding


def running():
    """The variable that `enter` sets."""
    return variable


def enter(Binding binding not None):
    """Use `binding` in the current context: the first thing a handler's context does."""
    PyContextVar_Set(variable, binding)


cpdef Binding find():
    """As `current`, None when there is none."""
    cdef PyObject *value = NULL
    PyContextVar_Get(variable, NULL, &value)
    if value == NULL:
        return process
    found = <object>value
    Py_DECREF(found)
    return found


cpdef Binding current():
    """The binding of the running handler, else of the process; RuntimeError when there is none."""
    cdef Binding found = find()
    if found is None:
        raise RuntimeError("this call needs a running siphond (or siphon.testing)")
    return found
