"""Hexadecimal digits, two a byte, in lower case."""


cdef inline void put_digits(const unsigned char *data, int count, char *out) noexcept nogil:
    """2 * count characters; no zero behind them."""
    cdef const char *digits = "0123456789abcdef"
    cdef int i
    for i in range(count):
        out[2 * i] = digits[data[i] >> 4]
        out[2 * i + 1] = digits[data[i] & 15]
