"""PAX records: what a header's own fields cannot say, POSIX `pax`, and GNU's and star's own.

Which records are valid, and which of several is meant, is as in Go's archive/tar.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memset

from layerscan.tar._numbers cimport decimal
from layerscan.tar._xattrs cimport begins_with, is_text


cdef struct Span:
    # NULL: it is not there.
    const char *text
    size_t length


cdef enum:
    PATH, LINK, SIZE, UID, GID, USER_NAME, GROUP_NAME, MTIME, ATIME, CTIME,
    SPARSE_MAJOR, SPARSE_MINOR, SPARSE_NAME, SPARSE_SIZE, SPARSE_REAL_SIZE, SPARSE_MAP,
    SPARSE_COUNT, SPARSE_OFFSET, SPARSE_LENGTH, XATTR, UNKNOWN


cdef enum:
    XATTR_PREFIX = 13


cdef struct Records:
    # All of them, in their order.
    Span all
    # The last of each kind.
    Span last[UNKNOWN]
    # How many say where the pieces of a sparse file are, format 0.0.
    size_t pieces


cdef inline int key_of(const Span *key) noexcept nogil:
    cdef const char *text = key.text
    cdef size_t length = key.length
    if is_text(text, length, b"path", 4):
        return PATH
    if is_text(text, length, b"linkpath", 8):
        return LINK
    if is_text(text, length, b"size", 4):
        return SIZE
    if is_text(text, length, b"mtime", 5):
        return MTIME
    if is_text(text, length, b"atime", 5):
        return ATIME
    if is_text(text, length, b"ctime", 5):
        return CTIME
    if is_text(text, length, b"uid", 3):
        return UID
    if is_text(text, length, b"gid", 3):
        return GID
    if is_text(text, length, b"uname", 5):
        return USER_NAME
    if is_text(text, length, b"gname", 5):
        return GROUP_NAME
    if begins_with(text, length, b"SCHILY.xattr.", XATTR_PREFIX):
        return XATTR
    if begins_with(text, length, b"GNU.sparse.", 11):
        return sparse_key_of(text + 11, length - 11)
    return UNKNOWN


cdef inline int sparse_key_of(const char *text, size_t length) noexcept nogil:
    if is_text(text, length, b"major", 5):
        return SPARSE_MAJOR
    if is_text(text, length, b"minor", 5):
        return SPARSE_MINOR
    if is_text(text, length, b"name", 4):
        return SPARSE_NAME
    if is_text(text, length, b"size", 4):
        return SPARSE_SIZE
    if is_text(text, length, b"realsize", 8):
        return SPARSE_REAL_SIZE
    if is_text(text, length, b"map", 3):
        return SPARSE_MAP
    if is_text(text, length, b"numblocks", 9):
        return SPARSE_COUNT
    if is_text(text, length, b"offset", 6):
        return SPARSE_OFFSET
    if is_text(text, length, b"numbytes", 8):
        return SPARSE_LENGTH
    return UNKNOWN


cdef inline int next_record(Span *left, Span *key, Span *value) noexcept nogil:
    """Take one record off `left`: `LENGTH KEY=VALUE\\n`. Returns 0, or -1 if it is none."""
    cdef const char *space = <const char *>memchr(left.text, c" ", left.length)
    cdef const char *end
    cdef const char *equals
    cdef int64_t length
    if space == NULL or decimal(left.text, space - left.text, &length) != 0:
        return -1
    if length < 5 or <size_t>length > left.length or length <= space + 1 - left.text:
        return -1
    end = left.text + length - 1
    if end[0] != c"\n":
        return -1
    key.text = space + 1
    equals = <const char *>memchr(key.text, c"=", end - key.text)
    if equals == NULL:
        return -1
    key.length = equals - key.text
    value.text = equals + 1
    value.length = end - value.text
    left.text += length
    left.length -= length
    return 0


cdef inline bint is_valid(int kind, const Span *key, const Span *value) noexcept nogil:
    if kind == PATH or kind == LINK or kind == USER_NAME or kind == GROUP_NAME:
        return memchr(value.text, 0, value.length) == NULL
    return memchr(key.text, 0, key.length) == NULL


cdef inline const char *read_records(
    const char *text, size_t length, Records *records
) noexcept nogil:
    """Read the content of a header of records. Returns NULL, or what is wrong with it."""
    cdef Span left, key, value
    cdef int kind
    memset(records, 0, sizeof(Records))
    left.text = records.all.text = text
    left.length = records.all.length = length
    while left.length > 0:
        if next_record(&left, &key, &value) != 0:
            return b"a PAX record that is none"
        kind = key_of(&key)
        if not is_valid(kind, &key, &value):
            return b"a PAX record with a NUL"
        if kind == SPARSE_OFFSET or kind == SPARSE_LENGTH:
            if (records.pieces % 2 == 0) != (kind == SPARSE_OFFSET) or memchr(
                value.text, c",", value.length
            ) != NULL:
                return b"pieces of a sparse file that are none"
            records.pieces += 1
        if kind != UNKNOWN:
            records.last[kind] = value
    return NULL


cdef inline bint is_time(const Span *value) noexcept nogil:
    """Whether it is seconds since 1970, maybe with a fraction."""
    cdef const char *end = value.text + value.length
    cdef const char *point = <const char *>memchr(value.text, c".", value.length)
    cdef int64_t ignored
    if point == NULL:
        point = end
    if decimal(value.text, point - value.text, &ignored) != 0:
        return False
    while point + 1 < end:
        point += 1
        if not c"0" <= point[0] <= c"9":
            return False
    return True


cdef inline const char *check_records(const Records *records, int64_t *size) noexcept nogil:
    """Hold the numbers of records against their grammar; `size` is taken from them.

    Empty ones count as none. Returns NULL, or what is wrong.
    """
    cdef int64_t ignored
    cdef int i
    cdef const Span *value
    for i in range(SIZE, SPARSE_MAJOR):
        value = &records.last[i]
        if value.length == 0 or i == USER_NAME or i == GROUP_NAME:
            continue
        if i == SIZE:
            if decimal(value.text, value.length, size) != 0:
                return b"a PAX size that is no number"
        elif i == UID or i == GID:
            if decimal(value.text, value.length, &ignored) != 0:
                return b"a PAX owner that is no number"
        elif not is_time(value):
            return b"a PAX time that is none"
    return NULL
