"""Sparse files as GNU tar keeps them in PAX archives: formats 0.0, 0.1 and 1.0.

Engines write them out with all their zeros. What is checked is that the pieces
are in order, within the file, and as long as the content that there is.
"""

from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memset

from layerscan.tar._header cimport BLOCK
from layerscan.tar._numbers cimport Decimal, decimal, decimal_add, decimal_end
from layerscan.tar._pax cimport (
    SPARSE_COUNT, SPARSE_LENGTH, SPARSE_MAJOR, SPARSE_MAP, SPARSE_MINOR, SPARSE_OFFSET,
    SPARSE_REAL_SIZE, SPARSE_SIZE, Records, key_of, next_record,
)
from layerscan.tar._text cimport Reason, Span, is_text, span


cdef enum SparseFormat:
    NOT_SPARSE, MAP_IN_RECORDS, MAP_IN_CONTENT  # the map is in the records, or before the content

cdef enum:
    MOST_MAP = 1 << 20  # bytes of a map before the content


cdef struct Sparse:
    int64_t size  # bytes of the file with its holes
    int64_t data, end  # bytes of its pieces, and where the last of them ends
    # Of the piece that is being read.
    int64_t offset
    bint has_offset
    int64_t left  # numbers that are to come; -1: their count is
    int64_t map_length  # bytes of the map so far
    Decimal decimal


cdef inline SparseFormat sparse_format(const Records *records) noexcept nogil:
    cdef Span major = records.last[SPARSE_MAJOR]
    cdef Span minor = records.last[SPARSE_MINOR]
    if is_text(major, b"0") and (is_text(minor, b"0") or is_text(minor, b"1")):
        return MAP_IN_RECORDS
    if is_text(major, b"1") and is_text(minor, b"0"):
        return MAP_IN_CONTENT
    if major.length or minor.length:
        return NOT_SPARSE
    if records.last[SPARSE_MAP].length or records.pieces:
        return MAP_IN_RECORDS
    return NOT_SPARSE


cdef inline Reason sparse_begin(
    Sparse *sparse, const Records *records, int64_t *size
) noexcept nogil:
    """Begin to read a map; `size` becomes that of the file."""
    cdef Span named = records.last[SPARSE_SIZE]
    if named.length == 0:
        named = records.last[SPARSE_REAL_SIZE]
    if named.length and decimal(named, size) != 0:
        return b"a sparse file whose size is no number"
    if size[0] < 0:
        return b"a sparse file of less than no bytes"
    memset(sparse, 0, sizeof(Sparse))
    sparse.size = size[0]
    sparse.left = -1
    return NULL


cdef inline Reason sparse_number(Sparse *sparse, int64_t value) noexcept nogil:
    """Take the next number of a map: how many pieces, or of a piece its offset or length."""
    if sparse.left < 0:
        if value < 0 or value > INT64_MAX // 4:
            return b"a sparse file with an impossible number of pieces"
        sparse.left = value * 2
        return NULL
    sparse.left -= 1
    sparse.has_offset = not sparse.has_offset
    if sparse.has_offset:
        sparse.offset = value
        return NULL
    if (
        sparse.offset < sparse.end
        or value < 0
        or sparse.offset > sparse.size
        or value > sparse.size - sparse.offset
    ):
        return b"a sparse file whose pieces overlap or are outside of it"
    sparse.end = sparse.offset + value
    sparse.data += value
    return NULL


cdef inline Reason sparse_text(Sparse *sparse, Span text, char separator) noexcept nogil:
    """Read numbers, one before each separator, so many as are to come; nothing after them."""
    cdef int64_t value
    cdef Reason reason
    cdef size_t i
    for i in range(text.length):
        if text.text[i] != separator:
            decimal_add(&sparse.decimal, <unsigned char>text.text[i])
            continue
        if decimal_end(&sparse.decimal, &value) != 0:
            return b"a sparse file with a piece that is no number"
        reason = sparse_number(sparse, value)
        if reason != NULL or sparse.left == 0:
            return reason
    return NULL


cdef inline Reason sparse_block(Sparse *sparse, const void *block) noexcept nogil:
    """Read one block of a map before the content; the map is complete when `left` is 0."""
    sparse.map_length += BLOCK
    if sparse.map_length > MOST_MAP:
        return b"a sparse file with a map of more than 1 MiB"
    return sparse_text(sparse, span(block, BLOCK), c"\n")


cdef inline Reason sparse_pieces(Sparse *sparse, const Records *records) noexcept nogil:
    """Read a map of format 0.0: a record for each number."""
    cdef Span left = records.all
    cdef Span key, value
    cdef int kind
    cdef int64_t number
    cdef Reason reason
    while left.length and next_record(&left, &key, &value) == 0:
        kind = key_of(key)
        if kind == SPARSE_OFFSET or kind == SPARSE_LENGTH:
            if decimal(value, &number) != 0:
                return b"a sparse file with a piece that is no number"
            reason = sparse_number(sparse, number)
            if reason != NULL:
                return reason
    return NULL


cdef inline Reason sparse_records(Sparse *sparse, const Records *records) noexcept nogil:
    """Read a map that is in the records."""
    cdef Span map = records.last[SPARSE_MAP]
    cdef size_t numbers = 0
    cdef size_t i
    cdef int64_t pieces
    cdef Reason reason
    if decimal(records.last[SPARSE_COUNT], &pieces) != 0:
        return b"a sparse file with no number of its pieces"
    reason = sparse_number(sparse, pieces)
    if reason != NULL:
        return reason
    if records.pieces:
        numbers = records.pieces
    elif map.length:
        numbers = 1
        for i in range(map.length):
            numbers += map.text[i] == c","
    if <int64_t>numbers != sparse.left:
        return b"a sparse file with another number of pieces than it says"
    if records.pieces:
        return sparse_pieces(sparse, records)
    if numbers == 0:
        return NULL
    # The last number has no comma after it.
    return sparse_text(sparse, map, c",") or sparse_text(sparse, span(b",", 1), c",")
