"""Numbers as text: hexadecimal digits, two a byte, in lower case; decimal ones."""


cdef inline void put_digits(const unsigned char *data, int count, char *out) noexcept nogil:
    """2 * count characters; no zero behind them."""
    cdef const char *digits = "0123456789abcdef"
    cdef int i
    for i in range(count):
        out[2 * i] = digits[data[i] >> 4]
        out[2 * i + 1] = digits[data[i] & 15]


cdef inline char *put_decimal(char *out, unsigned int number) noexcept nogil:
    """At most ten characters, no zero behind them; where they end."""
    cdef char digits[10]
    cdef int count = 0
    while number or not count:
        digits[count] = <char>(c"0" + number % 10)
        number //= 10
        count += 1
    while count:
        count -= 1
        out[0] = digits[count]
        out += 1
    return out
