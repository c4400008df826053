"""The extended attributes of a layer's inodes: which of them Linux sets, see xattr(7).

Docker passes over those that the kernel does not take for this kind of inode,
and gives up at what is no attribute at all.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from layerscan.tar._table cimport NONE
from layerscan.tar._text cimport Reason, Span, begins_with, grow, is_text, span
from layerscan.tar._tree cimport (
    DIRECTORY, FILE, MOST_NAMES, MOST_XATTRS, SYMLINK, Tree, XAttr, keep_text,
)


cdef enum:
    # As `XattrNamespace` in tree.py. What is not of these, no file system takes.
    NO_NAMESPACE, USER, TRUSTED, SECURITY, ACL_ACCESS, ACL_DEFAULT

cdef enum:
    # XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux.
    MOST_XATTR_NAME = 255
    MOST_XATTR_VALUE = 65536
    # An ACL: a version, then entries. Three entries say what the mode says.
    ACL_HEADER = 4
    ACL_ENTRY = 8


cdef inline uint8_t take_namespace(Span *name) noexcept nogil:
    """The namespace of an attribute, whose name becomes what is after it."""
    cdef size_t prefix = name.length
    cdef uint8_t namespace = NO_NAMESPACE
    if begins_with(name[0], b"user."):
        namespace, prefix = USER, 5
    elif begins_with(name[0], b"trusted."):
        namespace, prefix = TRUSTED, 8
    elif begins_with(name[0], b"security."):
        namespace, prefix = SECURITY, 9
    elif is_text(name[0], b"system.posix_acl_access"):
        namespace = ACL_ACCESS
    elif is_text(name[0], b"system.posix_acl_default"):
        namespace = ACL_DEFAULT
    name.text += prefix
    name.length -= prefix
    return namespace


cdef inline uint32_t find_xattr(
    const Tree *tree, uint32_t inode, uint8_t namespace, Span name, int *count
) noexcept nogil:
    """The attribute of an inode, NONE if it has none; `count` is how many it has if so."""
    cdef uint32_t found = tree.inodes[inode].xattrs
    cdef const XAttr *xattr
    count[0] = 0
    while found != NONE:
        xattr = &tree.xattrs[found]
        if (
            xattr.namespace == namespace
            and xattr.name_length == name.length
            and memcmp(tree.text.data + xattr.text, name.text, name.length) == 0
        ):
            return found
        count[0] += 1
        found = xattr.next
    return NONE


cdef inline Reason put_xattr(
    Tree *tree, uint32_t inode, uint8_t namespace, Span name, size_t value
) noexcept nogil:
    """Give an inode an attribute, or the one that it has a value of so many bytes."""
    cdef int count
    cdef uint32_t place
    cdef Reason reason
    cdef XAttr *xattr
    cdef uint32_t found = find_xattr(tree, inode, namespace, name, &count)
    if found == NONE:
        if count == MOST_XATTRS or tree.xattr_count >= MOST_NAMES:
            return b"more than 256 extended attributes, or too many of all inodes"
        reason = grow(<void **>&tree.xattrs, &tree.xattr_capacity, tree.xattr_count, sizeof(XAttr))
        reason = reason or keep_text(tree, name, &place)
        if reason != NULL:
            return reason
        xattr = &tree.xattrs[tree.xattr_count]
        xattr.text = place
        xattr.namespace = namespace
        xattr.name_length = <uint16_t>name.length
        xattr.next = tree.inodes[inode].xattrs
        found = <uint32_t>tree.xattr_count
        tree.inodes[inode].xattrs = found
        tree.xattr_count += 1
    xattr = &tree.xattrs[found]
    xattr.inode = inode
    xattr.value_length = <uint32_t>value
    return NULL


cdef inline void take_xattr(
    Tree *tree, uint32_t inode, uint8_t namespace, Span name
) noexcept nogil:
    """Remove an attribute, if it is there."""
    cdef int count
    cdef uint32_t found = find_xattr(tree, inode, namespace, name, &count)
    cdef uint32_t *link = &tree.inodes[inode].xattrs
    if found == NONE:
        return
    while link[0] != found:
        link = &tree.xattrs[link[0]].next
    link[0] = tree.xattrs[found].next
    tree.xattrs[found].inode = NONE


cdef inline bint is_capability(Span value) noexcept nogil:
    """Whether it is what the kernel takes for capabilities of a file, capabilities(7)."""
    cdef const char *version = b"\0\0\2" if value.length == 20 else b"\0\0\3"
    return value.length in (20, 24) and memcmp(value.text + 1, version, 3) == 0


cdef inline Reason set_acl(
    Tree *tree, uint32_t inode, uint8_t namespace, Span value
) noexcept nogil:
    cdef size_t entries = 0
    if tree.inodes[inode].kind == SYMLINK:
        return NULL
    if value.length:
        if value.length < ACL_HEADER or (value.length - ACL_HEADER) % ACL_ENTRY:
            return b"an ACL that is none"
        if memcmp(value.text, b"\2\0\0\0", 4) != 0:
            return NULL
        entries = (value.length - ACL_HEADER) // ACL_ENTRY
    if namespace == ACL_DEFAULT and entries and tree.inodes[inode].kind != DIRECTORY:
        return b"a default ACL on what is no folder"
    if entries == 0 or (namespace == ACL_ACCESS and entries == 3):
        take_xattr(tree, inode, namespace, span(b"", 0))
        return NULL
    return put_xattr(tree, inode, namespace, span(b"", 0), value.length)


cdef inline Reason set_xattr(Tree *tree, uint32_t inode, Span full_name, Span value) noexcept nogil:
    """What setxattr(2) does."""
    cdef Span name = full_name
    cdef uint8_t namespace = take_namespace(&name)
    cdef uint8_t kind = tree.inodes[inode].kind
    if full_name.length == 0 or full_name.length > MOST_XATTR_NAME:
        return b"an extended attribute whose name is empty or longer than 255 bytes"
    if value.length > MOST_XATTR_VALUE:
        return b"an extended attribute longer than 64 KiB"
    if namespace == NO_NAMESPACE:
        return NULL
    if namespace == ACL_ACCESS or namespace == ACL_DEFAULT:
        return set_acl(tree, inode, namespace, value)
    if name.length == 0:
        return b"an extended attribute without a name"
    if namespace == USER and kind != FILE and kind != DIRECTORY:
        return NULL
    if is_text(full_name, b"security.capability") and not is_capability(value):
        return b"capabilities that are none"
    return put_xattr(tree, inode, namespace, name, value.length)
