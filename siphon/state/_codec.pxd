# Declarations of _codec.pyx, for callers in C.

from siphon.state._record cimport Record

cdef bytes write(Record r)
cdef Record read(bytes key, bytes value)
