"""The finished tree as columns, without what was removed: layerscan.tar.tree."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from layerscan.tar._table cimport NONE, Name
from layerscan.tar._tree cimport DIRECTORY, GONE, Inode, Tree, XAttr


cdef struct Columns:
    size_t inode_count
    uint8_t *kinds
    int64_t *sizes
    size_t name_count
    int32_t *name_directories
    int32_t *name_inodes
    int32_t *name_lengths
    size_t xattr_count
    int32_t *xattr_inodes
    uint8_t *xattr_namespaces
    int32_t *xattr_name_lengths
    int32_t *xattr_value_lengths


cdef inline bint is_kept(const Tree *tree, const XAttr *xattr) noexcept nogil:
    return xattr.inode != NONE and tree.inodes[xattr.inode].kind != GONE


cdef inline void count_columns(const Tree *tree, Columns *columns) noexcept nogil:
    """How long the columns will be."""
    cdef size_t i
    columns.inode_count = columns.name_count = columns.xattr_count = 0
    for i in range(tree.inode_count):
        columns.inode_count += tree.inodes[i].kind != GONE
    for i in range(tree.name_count):
        columns.name_count += tree.names[i].inode != NONE
    for i in range(tree.xattr_count):
        columns.xattr_count += is_kept(tree, &tree.xattrs[i])


cdef inline void fill_inodes(Tree *tree, Columns *columns) noexcept nogil:
    """Inodes get their new numbers, which the tree keeps in place of other things."""
    cdef uint32_t at = 0
    cdef size_t i
    cdef Inode *inode
    for i in range(tree.inode_count):
        inode = &tree.inodes[i]
        if inode.kind != GONE:
            columns.kinds[at] = inode.kind
            columns.sizes[at] = 0 if inode.kind == DIRECTORY else inode.size
            inode.at = at
            at += 1


cdef inline void fill_columns(Tree *tree, Columns *columns) noexcept nogil:
    """Write the columns; the tree is of no use afterwards."""
    cdef size_t at = 0
    cdef size_t i
    cdef const Name *name
    cdef const XAttr *xattr
    fill_inodes(tree, columns)
    for i in range(tree.name_count):
        name = &tree.names[i]
        if name.inode != NONE:
            columns.name_directories[at] = tree.inodes[name.folder].at
            columns.name_inodes[at] = tree.inodes[name.inode].at
            columns.name_lengths[at] = name.length
            at += 1
    at = 0
    for i in range(tree.xattr_count):
        xattr = &tree.xattrs[i]
        if is_kept(tree, xattr):
            columns.xattr_inodes[at] = tree.inodes[xattr.inode].at
            columns.xattr_namespaces[at] = xattr.namespace
            columns.xattr_name_lengths[at] = xattr.name_length
            columns.xattr_value_lengths[at] = xattr.value_length
            at += 1
