"""PAX records: what a header's own fields cannot say, POSIX `pax`, and GNU's and star's own.

Which records are valid, and which of several is meant, is as in Go's archive/tar.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memset

from layerscan.tar._numbers cimport decimal
from layerscan.tar._text cimport Reason, Span, begins_with, span


cdef enum:
    PATH, LINK, SIZE, UID, GID, MTIME, ATIME, CTIME, USER_NAME, GROUP_NAME,
    SPARSE_MAJOR, SPARSE_MINOR, SPARSE_NAME, SPARSE_SIZE, SPARSE_REAL_SIZE, SPARSE_MAP,
    SPARSE_COUNT, SPARSE_OFFSET, SPARSE_LENGTH, UNKNOWN, XATTR, KINDS

    XATTR_PREFIX = 13


cdef extern from * nogil:
    """
    #include <string.h>

    /* Which of the keys a key is, in the order of the enum; UNKNOWN if it is none. */
    static inline int ls_key_of(const char *key, size_t length) {
        #define LS_KEY(text) {text, sizeof(text) - 1}
        static const struct { const char *text; size_t length; } keys[] = {
            LS_KEY("path"), LS_KEY("linkpath"), LS_KEY("size"), LS_KEY("uid"), LS_KEY("gid"),
            LS_KEY("mtime"), LS_KEY("atime"), LS_KEY("ctime"), LS_KEY("uname"), LS_KEY("gname"),
            LS_KEY("GNU.sparse.major"), LS_KEY("GNU.sparse.minor"), LS_KEY("GNU.sparse.name"),
            LS_KEY("GNU.sparse.size"), LS_KEY("GNU.sparse.realsize"), LS_KEY("GNU.sparse.map"),
            LS_KEY("GNU.sparse.numblocks"), LS_KEY("GNU.sparse.offset"),
            LS_KEY("GNU.sparse.numbytes"),
        };
        const int count = sizeof keys / sizeof *keys;
        for (int i = 0; i < count; i++)
            if (keys[i].length == length && memcmp(keys[i].text, key, length) == 0)
                return i;
        return count;
    }
    """
    int ls_key_of(const char *key, size_t length)


cdef struct Records:
    Span all  # all of them, in their order
    Span last[KINDS]  # the last of each kind
    size_t pieces  # how many say where the pieces of a sparse file are, format 0.0


cdef inline bint is_xattr(Span key) noexcept nogil:
    return begins_with(key, b"SCHILY.xattr.")


cdef inline int key_of(Span key) noexcept nogil:
    return XATTR if is_xattr(key) else ls_key_of(key.text, key.length)


cdef inline int next_record(Span *left, Span *key, Span *value) noexcept nogil:
    """Take one record off `left`: `LENGTH KEY=VALUE\\n`. Returns 0, or -1 if it is none."""
    cdef const char *space = <const char *>memchr(left.text, c" ", left.length)
    cdef const char *end
    cdef const char *equals
    cdef int64_t length
    if space == NULL or decimal(span(left.text, space - left.text), &length) != 0:
        return -1
    if length < 5 or <size_t>length > left.length or length <= space + 1 - left.text:
        return -1
    end = left.text + length - 1
    if end[0] != c"\n":
        return -1
    equals = <const char *>memchr(space + 1, c"=", end - space - 1)
    if equals == NULL:
        return -1
    key[0] = span(space + 1, equals - space - 1)
    value[0] = span(equals + 1, end - equals - 1)
    left.text += length
    left.length -= length
    return 0


cdef inline bint has(Span text, char character) noexcept nogil:
    return memchr(text.text, character, text.length) != NULL


cdef inline Reason read_records(Span text, Records *records) noexcept nogil:
    """Read the content of a header of records."""
    cdef Span left = text
    cdef Span key, value
    cdef int kind
    memset(records, 0, sizeof(Records))
    records.all = text
    while left.length > 0:
        if next_record(&left, &key, &value) != 0:
            return b"a PAX record that is none"
        kind = key_of(key)
        if has(value if kind in (PATH, LINK, USER_NAME, GROUP_NAME) else key, 0):
            return b"a PAX record with a NUL"
        if kind == SPARSE_OFFSET or kind == SPARSE_LENGTH:
            if (records.pieces % 2 == 0) != (kind == SPARSE_OFFSET) or has(value, c","):
                return b"pieces of a sparse file that are none"
            records.pieces += 1
        records.last[kind] = value
    return NULL


cdef inline bint is_time(Span value) noexcept nogil:
    """Whether it is seconds since 1970, maybe with a fraction."""
    cdef const char *end = value.text + value.length
    cdef const char *point = <const char *>memchr(value.text, c".", value.length)
    cdef int64_t ignored
    if point == NULL:
        point = end
    if decimal(span(value.text, point - value.text), &ignored) != 0:
        return False
    while point + 1 < end:
        point += 1
        if not c"0" <= point[0] <= c"9":
            return False
    return True


cdef inline Reason check_records(const Records *records, int64_t *size) noexcept nogil:
    """Hold the numbers of records that are not empty against their grammar, and take `size`."""
    cdef const Span *last = &records.last[0]
    cdef int64_t ignored
    cdef int i
    if last[SIZE].length and decimal(last[SIZE], size) != 0:
        return b"a PAX size that is no number"
    for i in range(UID, MTIME):
        if last[i].length and decimal(last[i], &ignored) != 0:
            return b"a PAX owner that is no number"
    for i in range(MTIME, USER_NAME):
        if last[i].length and not is_time(last[i]):
            return b"a PAX time that is none"
    return NULL
