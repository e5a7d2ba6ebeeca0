# Declarations of _deadlines.pyx, for callers in C.

from siphon.state._record cimport Record

cpdef double next_deadline(Record r) except? -1.0
cpdef double expiry(Record r, double linger, double timer_j) except? -1.0
