"""The numbers of a tar stream: octal and base-256 in headers, decimal in records.

What is a number and what not is as in Go's archive/tar, which all engines read
layers with.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from layerscan.tar._text cimport Span


cdef inline int octal(const unsigned char *field, size_t length, int64_t *value) noexcept nogil:
    """Read octal digits between blanks and NULs. Returns 0, or -1 if they are none."""
    cdef size_t at = 0
    cdef uint64_t total = 0
    while at < length and (field[at] == c" " or field[at] == 0):
        at += 1
    while length > at and (field[length - 1] == c" " or field[length - 1] == 0):
        length -= 1
    # No more than 12 digits fit into a field, so nothing overflows.
    while at < length and field[at] != 0:
        if field[at] < c"0" or field[at] > c"7":
            return -1
        total = total << 3 | (field[at] - c"0")
        at += 1
    value[0] = <int64_t>total
    return 0


cdef inline int base_256(const unsigned char *field, size_t length, int64_t *value) noexcept nogil:
    """Read a number of two's complement. Returns 0, or -1 if 64 bits do not hold it."""
    cdef unsigned char inverted = 0xFF if field[0] & 0x40 else 0
    cdef uint64_t total = (field[0] ^ inverted) & 0x7F
    cdef size_t i
    for i in range(1, length):
        if total >> 56:
            return -1
        total = total << 8 | (field[i] ^ inverted)
    if total > <uint64_t>INT64_MAX:
        return -1
    value[0] = ~<int64_t>total if inverted else <int64_t>total
    return 0


cdef inline int number(const unsigned char *field, size_t length, int64_t *value) noexcept nogil:
    """Read a header's number, which may be negative. Returns 0 or -1."""
    if field[0] & 0x80:
        return base_256(field, length, value)
    return octal(field, length, value)


cdef inline bint is_usual(const unsigned char *field, size_t length) noexcept nogil:
    """Whether a field of 8 or 12 bytes is octal digits and a NUL, as most are."""
    cdef uint32_t digits = 0x30303030, mask = 0xF8F8F8F8, word
    cdef size_t i
    for i in range(0, length - 4, 4):
        memcpy(&word, field + i, 4)
        if word & mask != digits:
            return False
    memcpy(&word, field + length - 4, 4)
    memcpy(&mask, b"\xf8\xf8\xf8\xff", 4)
    memcpy(&digits, b"000\0", 4)
    return word & mask == digits


cdef inline int check_number(const unsigned char *field, size_t length) noexcept nogil:
    """Returns -1 if a header's number is none, and 0 otherwise."""
    cdef int64_t ignored
    return 0 if is_usual(field, length) else number(field, length, &ignored)


cdef struct Decimal:
    # A number that is read digit by digit: it may come in pieces.
    uint64_t total
    bint is_negative, has_sign, has_digit, is_bad


cdef inline void decimal_add(Decimal *decimal, unsigned char character) noexcept nogil:
    cdef uint64_t most = INT64_MAX
    cdef unsigned int digit
    if c"0" <= character <= c"9":
        digit = character - c"0"
        if decimal.total > (most + decimal.is_negative - digit) // 10:
            decimal.is_bad = True
        else:
            decimal.total = decimal.total * 10 + digit
        decimal.has_digit = True
    elif (character == c"-" or character == c"+") and not (decimal.has_sign or decimal.has_digit):
        decimal.has_sign = True
        decimal.is_negative = character == c"-"
    else:
        decimal.is_bad = True


cdef inline int decimal_end(Decimal *decimal, int64_t *value) noexcept nogil:
    """Take the number and be ready for the next. Returns 0, or -1 if it is none."""
    cdef bint is_bad = decimal.is_bad or not decimal.has_digit
    # Negated as unsigned: that has no overflow.
    value[0] = <int64_t>(0 - decimal.total if decimal.is_negative else decimal.total)
    memset(decimal, 0, sizeof(Decimal))
    return -1 if is_bad else 0


cdef inline int decimal(Span text, int64_t *value) noexcept nogil:
    """Read a signed decimal of 64 bits, nothing around it. Returns 0 or -1."""
    cdef Decimal read
    cdef size_t i
    memset(&read, 0, sizeof(read))
    for i in range(text.length):
        decimal_add(&read, <unsigned char>text.text[i])
    return decimal_end(&read, value)
