"""Numbers that are looked at behind each datagram: whether tick() has to be called before it wants to be.

Bases of classes in Python, which set them as any other field. Reading a field of a Python object costs a hundred and
fifty instructions, one of these a single one.
"""


cdef class Soon:
    """`next_at`: when tick() has something to do here, seconds of CLOCK_BOOTTIME; infinity for not before it is changed."""


cdef class Stirring:
    """`told`: when tick() last said that it wants to be called. `stalled`: this process was away so long that others may have
    served its records (a handler that blocks, SIGSTOP)."""
