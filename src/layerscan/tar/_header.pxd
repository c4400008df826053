"""One header block of a tar stream: is it one, and what is in its fields.

The formats are told apart, and the fields checked, as Go's archive/tar does.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp, memcpy

from layerscan.tar._numbers cimport check_number, number, octal
from layerscan.tar._text cimport Reason


cdef enum:
    BLOCK = 512
    # A prefix of 155 bytes, a slash, a name of 100.
    MOST_HEADER_NAME = 256
    MOST_HEADER_LINK = 100


cdef enum Format:
    V7, USTAR, STAR, GNU


cdef extern from * nogil:
    """
    #include <string.h>

    /* The sum of 512 bytes: eight at a time, in lanes that hold the sum of 128. */
    static inline int ls_sum(const unsigned char *block) {
        const uint64_t bytes = 0x00ff00ff00ff00ffULL, lanes = 0x0000ffff0000ffffULL;
        uint64_t sum = 0, word;
        for (int i = 0; i < 512; i += 8) {
            memcpy(&word, block + i, 8);
            sum += (word & bytes) + (word >> 8 & bytes);
        }
        sum = (sum & lanes) + (sum >> 16 & lanes);
        return (int)((uint32_t)sum + (uint32_t)(sum >> 32));
    }
    """
    int ls_sum(const unsigned char *block)


cdef struct Header:
    unsigned char type  # a letter for the kind of entry; NUL is an old one for files
    int64_t size
    size_t name_length, link_length
    char name[MOST_HEADER_NAME]
    char link[MOST_HEADER_LINK]


cdef inline bint is_zero(const unsigned char *block) noexcept nogil:
    return block[0] == 0 and memcmp(block, block + 1, BLOCK - 1) == 0


cdef inline size_t text_length(const unsigned char *field, size_t most) noexcept nogil:
    """Bytes before the first NUL."""
    cdef const void *end = memchr(field, 0, most)
    return most if end == NULL else <const unsigned char *>end - field


cdef inline bint has_checksum(const unsigned char *block) noexcept nogil:
    """Whether the sum of its bytes is the one that it names, by either way of summing."""
    cdef int64_t named
    # The sum itself counts as blanks.
    cdef int unsigned_sum = ls_sum(block) + 8 * c" "
    cdef int high = 0
    cdef int i
    if octal(block + 148, 8, &named) != 0:
        return False
    for i in range(148, 156):
        unsigned_sum -= block[i]
    if named == unsigned_sum:
        return True
    # Old tars summed signed bytes.
    for i in range(BLOCK):
        high += block[i] >> 7
    for i in range(148, 156):
        high -= block[i] >> 7
    return named == unsigned_sum - 256 * high


cdef inline Format header_format(const unsigned char *block) noexcept nogil:
    if memcmp(block + 257, b"ustar\0", 6) == 0:
        return STAR if memcmp(block + 508, b"tar\0", 4) == 0 else USTAR
    if memcmp(block + 257, b"ustar  \0", 8) == 0:
        return GNU
    return V7


cdef inline size_t gnu_prefix(const unsigned char *block) noexcept nogil:
    """Bytes of a prefix that stands where this format has two times.

    Go wrote such headers before 1.8, and reads them since.
    """
    cdef size_t length, i
    if (block[345] == 0 or check_number(block + 345, 12) == 0) and (
        block[357] == 0 or check_number(block + 357, 12) == 0
    ):
        return 0
    length = text_length(block + 345, 155)
    for i in range(length):
        if block[345 + i] >= 0x80:
            return 0
    return length


cdef inline int check_numbers(const unsigned char *block, Format format) noexcept nogil:
    """Returns -1 if a number that nothing here needs is none, and 0 otherwise."""
    cdef int bad = (
        # Mode, owner, group, time.
        check_number(block + 100, 8)
        | check_number(block + 108, 8)
        | check_number(block + 116, 8)
        | check_number(block + 136, 12)
    )
    if format != V7:
        # The two numbers of a device.
        bad |= check_number(block + 329, 8) | check_number(block + 337, 8)
    if format == STAR:
        # Two more times.
        bad |= check_number(block + 476, 12) | check_number(block + 488, 12)
    return bad


cdef inline Reason read_header(const unsigned char *block, Header *header) noexcept nogil:
    """Read a block that is not all zero."""
    cdef Format format
    cdef size_t prefix = 0
    cdef size_t length
    if not has_checksum(block):
        return b"no tar header: its checksum is wrong"
    format = header_format(block)
    if number(block + 124, 12, &header.size) != 0 or check_numbers(block, format) != 0:
        return b"a tar header with a number that is none"
    header.type = block[156]
    if format == USTAR:
        prefix = text_length(block + 345, 155)
    elif format == STAR:
        prefix = text_length(block + 345, 131)
    elif format == GNU:
        prefix = gnu_prefix(block)
    if prefix:
        memcpy(header.name, block + 345, prefix)
        header.name[prefix] = c"/"
        prefix += 1
    length = text_length(block, 100)
    memcpy(header.name + prefix, block, length)
    header.name_length = prefix + length
    header.link_length = text_length(block + 157, 100)
    memcpy(header.link, block + 157, header.link_length)
    return NULL
