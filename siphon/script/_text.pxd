# Text of scripts, looked at without a call of Python: what siphon/script/text.py lets through as it is.

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const unsigned char *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef inline bint is_plain(str text):
    """Whether all of it is printable ASCII: then text.one_line() has nothing against it. False says nothing."""
    cdef const unsigned char *p
    cdef Py_ssize_t i
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    p = PyUnicode_1BYTE_DATA(text)
    for i in range(PyUnicode_GET_LENGTH(text)):
        if p[i] < 0x20 or p[i] == 0x7F:
            return False
    return True
