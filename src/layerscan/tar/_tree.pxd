"""The tree that a layer makes, while it grows: inodes, their names and attributes.

Everything is in arrays, and things are known by their place in them. What is
removed stays there, marked, until it is left out of the columns: so the arrays are
in the order in which things were made. Their number is bounded, however often a
stream replaces a file.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from layerscan.tar._hash cimport HashKey, hash_name
from layerscan.tar._table cimport (
    NONE, Name, Table, table_find, table_free, table_put, table_room, table_take,
)
from layerscan.tar._text cimport Reason, Span, Text, grow, text_add


cdef enum:
    # As `InodeKind` in tree.py; the last is for what has been removed.
    FILE, DIRECTORY, SYMLINK, OTHER, GONE

cdef enum:
    ROOT = 0
    MOST_NAME = 255  # what Linux takes
    # A stream may make so many names, and as many attributes, and have so many
    # bytes of names, paths of folders, targets of symlinks and names of attributes.
    MOST_NAMES = 20000000
    MOST_TEXT = 1 << 30
    MOST_XATTRS = 256  # of one inode: ext4 holds fewer

cdef extern from *:
    """
    #define LS_TOO_MANY "more names than can be taken in: 20,000,000, or 1 GiB of their text"
    """
    const char *TOO_MANY "LS_TOO_MANY"


cdef struct Inode:
    int64_t size  # in bytes; of a folder: the folder that it is in
    uint32_t links  # how many names it has; 0 for one that is gone, and for the root
    uint32_t at  # of a folder the table of its names, of a symlink where its target is in the text
    uint32_t xattrs  # its newest attribute
    uint8_t kind


cdef struct XAttr:
    uint32_t inode  # NONE: it has been removed
    uint32_t next  # the next older one of the same inode
    uint32_t text  # where its name after the namespace is in the text
    uint32_t value_length
    uint16_t name_length
    uint8_t namespace


cdef struct Tree:
    HashKey key
    Inode *inodes
    size_t inode_count, inode_capacity
    Name *names
    size_t name_count, name_capacity
    Table *tables  # one for each folder
    size_t table_count, table_capacity
    XAttr *xattrs
    size_t xattr_count, xattr_capacity
    Text text
    uint64_t steps  # names looked up so far
    uint64_t removals  # grows with each removal: what was found before may be gone


cdef inline Reason keep_text(Tree *tree, Span text, uint32_t *place) noexcept nogil:
    """Copy `text`."""
    if tree.text.length + text.length > MOST_TEXT:
        return TOO_MANY
    place[0] = <uint32_t>tree.text.length
    return text_add(&tree.text, text)


cdef inline Reason new_inode(Tree *tree, uint8_t kind, int64_t size, uint32_t *made) noexcept nogil:
    cdef Inode *inode
    cdef Reason reason
    if tree.inode_count >= MOST_NAMES:
        return TOO_MANY
    reason = grow(<void **>&tree.inodes, &tree.inode_capacity, tree.inode_count, sizeof(Inode))
    if reason != NULL:
        return reason
    inode = &tree.inodes[tree.inode_count]
    inode.kind = kind
    inode.size = size
    inode.links = 0
    inode.at = inode.xattrs = NONE
    made[0] = <uint32_t>tree.inode_count
    tree.inode_count += 1
    return NULL


cdef inline Reason new_folder(Tree *tree, uint32_t parent, uint32_t *made) noexcept nogil:
    cdef Reason reason
    reason = grow(<void **>&tree.tables, &tree.table_capacity, tree.table_count, sizeof(Table))
    reason = reason or new_inode(tree, DIRECTORY, parent, made)
    if reason != NULL:
        return reason
    memset(&tree.tables[tree.table_count], 0, sizeof(Table))
    tree.inodes[made[0]].at = <uint32_t>tree.table_count
    tree.table_count += 1
    return NULL


cdef inline Table *table_of(const Tree *tree, uint32_t folder) noexcept nogil:
    return &tree.tables[tree.inodes[folder].at]


cdef inline uint32_t find(Tree *tree, uint32_t folder, Span name, uint32_t *hash) noexcept nogil:
    """The name in the folder, NONE if it has no such name; `hash` becomes its hash."""
    tree.steps += 1
    hash[0] = hash_name(&tree.key, name)
    return table_find(table_of(tree, folder), tree.names, tree.text.data, hash[0], name)


cdef inline Reason add_name(
    Tree *tree, uint32_t folder, Span text, uint32_t hash, uint32_t inode
) noexcept nogil:
    """Give `inode` a name that `find` has not found."""
    cdef Name *name
    cdef uint32_t place
    cdef Reason reason
    if text.length > MOST_NAME:
        return b"a name longer than 255 bytes"
    if tree.name_count >= MOST_NAMES:
        return TOO_MANY
    reason = grow(<void **>&tree.names, &tree.name_capacity, tree.name_count, sizeof(Name))
    reason = reason or table_room(table_of(tree, folder), tree.names)
    reason = reason or keep_text(tree, text, &place)
    if reason != NULL:
        return reason
    name = &tree.names[tree.name_count]
    name.text = place
    name.inode = inode
    name.folder = folder
    name.hash = hash
    name.length = <uint16_t>text.length
    table_put(table_of(tree, folder), tree.names, <uint32_t>tree.name_count)
    tree.inodes[inode].links += 1
    tree.name_count += 1
    return NULL


cdef inline uint32_t drop_name(Tree *tree, uint32_t gone, uint32_t emptying) noexcept nogil:
    """Take a name from its inode, which is gone with the last.

    Folders that are gone and have names make a list, each with the next in place
    of a folder above it. Returns its first, `emptying` if there is no new one.
    """
    cdef uint32_t number = tree.names[gone].inode
    cdef Inode *inode = &tree.inodes[number]
    tree.names[gone].inode = NONE
    inode.links -= 1
    if inode.links:
        return emptying
    if inode.kind == DIRECTORY:
        inode.size = emptying
        emptying = number
    inode.kind = GONE
    return emptying


cdef inline void remove_all(Tree *tree, uint32_t gone) noexcept nogil:
    """Remove a name, and all that is below it if it is a folder's."""
    cdef uint32_t emptying, folder, i
    cdef Table *table
    tree.removals += 1
    table_take(table_of(tree, tree.names[gone].folder), tree.names, gone)
    emptying = drop_name(tree, gone, NONE)
    while emptying != NONE:
        folder = emptying
        emptying = <uint32_t>tree.inodes[folder].size
        table = table_of(tree, folder)
        for i in range(table.capacity):
            if table.slots[i]:
                emptying = drop_name(tree, table.slots[i] - 1, emptying)
        table_free(table)


cdef inline Reason tree_begin(Tree *tree) noexcept nogil:
    """Make the root; `tree` has its key, and is zero beside."""
    cdef uint32_t root
    return new_folder(tree, ROOT, &root)


cdef inline void tree_free(Tree *tree) noexcept nogil:
    cdef size_t i
    for i in range(tree.table_count):
        table_free(&tree.tables[i])
    free(tree.tables)
    free(tree.inodes)
    free(tree.names)
    free(tree.xattrs)
    free(tree.text.data)
    memset(tree, 0, sizeof(Tree))
