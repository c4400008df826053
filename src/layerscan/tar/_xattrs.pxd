"""The extended attributes of a layer's inodes: which of them Linux sets, see xattr(7).

Docker passes over those that the kernel does not take for this kind of inode,
and gives up at what is no attribute at all.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from layerscan.tar._paths cimport trouble
from layerscan.tar._table cimport NONE
from layerscan.tar._tree cimport (
    DIRECTORY, FILE, MOST_NAMES, MOST_XATTRS, NO_MEMORY, OK, SYMLINK, TOO_MANY, Tree, XAttr, grow,
    keep_text,
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


cdef inline bint begins_with(
    const char *text, size_t length, const char *start, size_t start_length
) noexcept nogil:
    return length >= start_length and memcmp(text, start, start_length) == 0


cdef inline bint is_text(
    const char *text, size_t length, const char *other, size_t other_length
) noexcept nogil:
    return length == other_length and memcmp(text, other, length) == 0


cdef inline uint8_t namespace_of(const char *name, size_t length, size_t *prefix) noexcept nogil:
    """The namespace of an attribute, and how much of its name that is."""
    if begins_with(name, length, b"user.", 5):
        prefix[0] = 5
        return USER
    if begins_with(name, length, b"trusted.", 8):
        prefix[0] = 8
        return TRUSTED
    if begins_with(name, length, b"security.", 9):
        prefix[0] = 9
        return SECURITY
    prefix[0] = length
    if is_text(name, length, b"system.posix_acl_access", 23):
        return ACL_ACCESS
    if is_text(name, length, b"system.posix_acl_default", 24):
        return ACL_DEFAULT
    return NO_NAMESPACE


cdef inline uint32_t find_xattr(
    const Tree *tree, uint32_t inode, uint8_t namespace, const char *name, size_t length,
    int *count,
) noexcept nogil:
    """The attribute of an inode, NONE if it has none; `count` is how many it has if so."""
    cdef uint32_t found = tree.inodes[inode].xattrs
    cdef const XAttr *xattr
    count[0] = 0
    while found != NONE:
        xattr = &tree.xattrs[found]
        if xattr.namespace == namespace and is_text(
            tree.text + xattr.text, xattr.name_length, name, length
        ):
            return found
        count[0] += 1
        found = xattr.next
    return NONE


cdef inline int put_xattr(
    Tree *tree, uint32_t inode, uint8_t namespace, const char *name, size_t length, size_t value
) noexcept nogil:
    """Give an inode an attribute, or the one that it has a value. Returns OK or what failed."""
    cdef int count
    cdef int failed
    cdef XAttr *xattr
    cdef uint32_t found = find_xattr(tree, inode, namespace, name, length, &count)
    if found == NONE:
        if count == MOST_XATTRS or tree.xattr_count >= MOST_NAMES:
            return TOO_MANY
        if grow(
            <void **>&tree.xattrs, &tree.xattr_capacity, tree.xattr_count + 1, sizeof(XAttr)
        ) != OK:
            return NO_MEMORY
        xattr = &tree.xattrs[tree.xattr_count]
        failed = keep_text(tree, name, length, &xattr.text)
        if failed:
            return failed
        xattr.namespace = namespace
        xattr.name_length = <uint16_t>length
        xattr.next = tree.inodes[inode].xattrs
        found = <uint32_t>tree.xattr_count
        tree.inodes[inode].xattrs = found
        tree.xattr_count += 1
    xattr = &tree.xattrs[found]
    xattr.inode = inode
    xattr.value_length = <uint32_t>value
    return OK


cdef inline void take_xattr(
    Tree *tree, uint32_t inode, uint8_t namespace, const char *name, size_t length
) noexcept nogil:
    """Remove an attribute, if it is there."""
    cdef int count
    cdef uint32_t found = find_xattr(tree, inode, namespace, name, length, &count)
    cdef uint32_t *link = &tree.inodes[inode].xattrs
    if found == NONE:
        return
    while link[0] != found:
        link = &tree.xattrs[link[0]].next
    link[0] = tree.xattrs[found].next
    tree.xattrs[found].inode = NONE


cdef inline bint is_capability(const char *value, size_t length) noexcept nogil:
    """Whether it is what the kernel takes for capabilities of a file, capabilities(7)."""
    if length == 20:
        return memcmp(value + 1, b"\0\0\2", 3) == 0
    return length == 24 and memcmp(value + 1, b"\0\0\3", 3) == 0


cdef inline const char *set_acl(
    Tree *tree, uint32_t inode, uint8_t namespace, const char *value, size_t length
) noexcept nogil:
    cdef bint is_folder = tree.inodes[inode].kind == DIRECTORY
    cdef size_t entries
    cdef int failed
    if tree.inodes[inode].kind == SYMLINK:
        return NULL
    if length and (length < ACL_HEADER or (length - ACL_HEADER) % ACL_ENTRY):
        return b"an ACL that is none"
    if length and memcmp(value, b"\2\0\0\0", 4) != 0:
        return NULL
    entries = (length - ACL_HEADER) // ACL_ENTRY if length else 0
    if namespace == ACL_DEFAULT and entries and not is_folder:
        return b"a default ACL on what is no folder"
    if entries == 0 or (namespace == ACL_ACCESS and entries == 3):
        take_xattr(tree, inode, namespace, b"", 0)
        return NULL
    failed = put_xattr(tree, inode, namespace, b"", 0, length)
    return trouble(failed) if failed else NULL


cdef inline const char *set_xattr(
    Tree *tree, uint32_t inode, const char *name, size_t length, const char *value,
    size_t value_length,
) noexcept nogil:
    """What setxattr(2) does. Returns NULL, or why an engine cannot set it."""
    cdef size_t prefix
    cdef uint8_t namespace = namespace_of(name, length, &prefix)
    cdef uint8_t kind = tree.inodes[inode].kind
    cdef int failed
    if length == 0 or length > MOST_XATTR_NAME:
        return b"an extended attribute whose name is empty or longer than 255 bytes"
    if value_length > MOST_XATTR_VALUE:
        return b"an extended attribute longer than 64 KiB"
    if namespace == NO_NAMESPACE:
        return NULL
    if namespace == ACL_ACCESS or namespace == ACL_DEFAULT:
        return set_acl(tree, inode, namespace, value, value_length)
    if length == prefix:
        return b"an extended attribute without a name"
    if namespace == USER and kind != FILE and kind != DIRECTORY:
        return NULL
    if (
        is_text(name, length, b"security.capability", 19)
        and not is_capability(value, value_length)
    ):
        return b"capabilities that are none"
    failed = put_xattr(tree, inode, namespace, name + prefix, length - prefix, value_length)
    if failed == TOO_MANY:
        return b"more than 256 extended attributes, or too many of all inodes"
    return trouble(failed) if failed else NULL
