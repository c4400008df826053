"""The names in one folder, to be found: open addressing, at most 3/4 full.

Each folder has a table of its own. Streams go folder by folder, so the table in
use, and the names that it leads to, are those last touched.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from layerscan.tar._text cimport Reason, Span


cdef enum:
    # No inode, no name, no attribute.
    NONE = 0xFFFFFFFF
    FIRST_CAPACITY = 4


cdef struct Name:
    uint32_t inode  # NONE: it has been removed
    uint32_t folder  # the inode of the folder that it is in
    uint32_t hash
    uint32_t text  # where it is in the tree's text
    uint16_t length


cdef struct Table:
    uint32_t *slots  # places of names, and one more: 0 is a free slot
    uint32_t used
    uint32_t capacity  # a power of two, or 0 before the first name


cdef inline uint32_t table_find(
    const Table *table, const Name *names, const char *texts, uint32_t hash, Span text
) noexcept nogil:
    """The name `text`, NONE if it is not there."""
    cdef uint32_t mask = table.capacity - 1
    cdef uint32_t i = hash & mask
    cdef const Name *name
    if table.capacity == 0:
        return NONE
    while table.slots[i]:
        name = &names[table.slots[i] - 1]
        if (
            name.hash == hash
            and name.length == text.length
            and memcmp(texts + name.text, text.text, text.length) == 0
        ):
            return table.slots[i] - 1
        i = (i + 1) & mask
    return NONE


cdef inline void table_put(Table *table, const Name *names, uint32_t name) noexcept nogil:
    """Add a name that is not there; there must be room."""
    cdef uint32_t mask = table.capacity - 1
    cdef uint32_t i = names[name].hash & mask
    while table.slots[i]:
        i = (i + 1) & mask
    table.slots[i] = name + 1
    table.used += 1


cdef inline Reason table_room(Table *table, const Name *names) noexcept nogil:
    """Make room for one more name."""
    cdef Table grown
    cdef uint32_t i
    if table.used < table.capacity // 4 * 3:
        return NULL
    grown.capacity = table.capacity * 2 if table.capacity else FIRST_CAPACITY
    grown.used = 0
    grown.slots = <uint32_t *>calloc(grown.capacity, sizeof(uint32_t))
    if grown.slots == NULL:
        return b"no memory"
    for i in range(table.capacity):
        if table.slots[i]:
            table_put(&grown, names, table.slots[i] - 1)
    free(table.slots)
    table[0] = grown
    return NULL


cdef inline void table_take(Table *table, const Name *names, uint32_t name) noexcept nogil:
    """Remove a name that is there, and move those after it so that they are found."""
    cdef uint32_t mask = table.capacity - 1
    cdef uint32_t i = names[name].hash & mask
    cdef uint32_t gap, home
    while table.slots[i] != name + 1:
        i = (i + 1) & mask
    gap = i
    while True:
        i = (i + 1) & mask
        if table.slots[i] == 0:
            break
        home = names[table.slots[i] - 1].hash & mask
        # It stays if its home is after the gap, round the end of the table too.
        if ((i - home) & mask) >= ((i - gap) & mask):
            table.slots[gap] = table.slots[i]
            gap = i
    table.slots[gap] = 0
    table.used -= 1


cdef inline void table_free(Table *table) noexcept nogil:
    free(table.slots)
    table.slots = NULL
    table.used = table.capacity = 0
