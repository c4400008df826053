"""The rows of a file table: one for each inode, in memory that NumPy reads as it is."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


cdef struct Row:
    # The fields of layerscan.walking.table.ROW, in its order.
    uint64_t inode
    uint64_t size
    uint64_t blocks
    uint32_t nlink
    uint32_t depth
    uint8_t kind


cdef struct Rows:
    Row *items
    size_t count, capacity


cdef inline int rows_add(Rows *rows, const Row *more, size_t count) noexcept nogil:
    """Append `count` rows. Returns 0, or -1 when there is no memory."""
    cdef size_t capacity = rows.capacity
    cdef Row *items
    while rows.count + count > capacity:
        capacity = capacity * 2 if capacity else 4096
    if capacity != rows.capacity:
        items = <Row *>realloc(rows.items, capacity * sizeof(Row))
        if items == NULL:
            return -1
        rows.items = items
        rows.capacity = capacity
    memcpy(rows.items + rows.count, more, count * sizeof(Row))
    rows.count += count
    return 0


cdef inline void rows_free(Rows *rows) noexcept nogil:
    free(rows.items)
    rows.items = NULL
    rows.count = rows.capacity = 0
