# Declarations of _md5.pyx.

cdef void md5_digits(const unsigned char *data, size_t length, char *out) noexcept nogil
