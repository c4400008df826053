"""One entry of a layer, unpacked into the tree as Docker unpacks it for overlay2.

The rules are those of its pkg/archive: an entry replaces what has its name, but
for a folder that meets a folder; missing folders above it are made; `.wh.` names
become whiteouts. What Docker or the kernel would refuse is refused here.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from layerscan.tar._paths cimport MOST_PATH, clean, folder_of, follow, make_folders
from layerscan.tar._pax cimport XATTR, XATTR_PREFIX, Records, is_xattr, next_record
from layerscan.tar._table cimport NONE
from layerscan.tar._text cimport Reason, Span, begins_with, grow, is_text, span
from layerscan.tar._tree cimport (
    DIRECTORY, FILE, MOST_NAMES, OTHER, ROOT, SYMLINK, TOO_MANY, Tree, add_name, find, keep_text,
    new_folder, new_inode, remove_all, tree_free,
)
from layerscan.tar._xattrs cimport SECURITY, TRUSTED, put_xattr, set_xattr, take_xattr


cdef enum:
    # Names may be looked up so often, and once more for so many bytes of stream:
    # long paths through many symlinks would else take hours.
    STEPS_FREE = 1 << 26
    STEP_BYTES = 4
    # Folders that no entry makes, see `find_folder`.
    IMPLIED_FREE = 100000
    IMPLIED_PER_ENTRY = 16


cdef extern from * nogil:
    """
    /* Bytes of all files together, holes included: no sum of sizes overflows. */
    #define LS_MOST_CONTENT (INT64_C(1) << 60)
    """
    const int64_t MOST_CONTENT "LS_MOST_CONTENT"


cdef struct Entry:
    # A letter as in its header.
    unsigned char type
    int64_t size
    # Clean, see `clean`.
    Span name
    uint64_t above
    # A hard link's is cleaned in place.
    Span link
    const Records *records


cdef struct Path:
    uint32_t text, length  # where a path is in the tree's text


cdef struct Unpacking:
    Tree tree
    int64_t content
    uint64_t entries
    uint64_t implied  # folders made because the path of an entry leads through them
    # Of all entries that are folders: engines come back to them at the end.
    Path *paths
    size_t path_count, path_capacity
    # The folder of the entry before, and its clean path; good until something is removed.
    uint32_t folder
    uint64_t removals
    size_t folder_length
    char folder_path[MOST_PATH + 1]


cdef struct Where:
    # The folder that an entry goes into, its path, and the entry's name there.
    uint32_t folder
    Span path, name
    uint32_t found, hash  # what has that name, NONE for nothing; and its hash
    uint32_t inode  # what the entry describes


cdef inline Reason find_folder(Unpacking *work, Where *at) noexcept nogil:
    """Find the folder of an entry, made with those above it where it is missing.

    A path has room for 2,047 new folders, and packs to a few bytes: for each entry some
    are granted, so that memory is in proportion to the stream. Real tars that have no
    entries for folders need fewer than one for each file, seldom two or three.
    """
    cdef Span path = at.path
    cdef size_t before = work.tree.inode_count
    cdef Reason reason
    if (
        work.removals == work.tree.removals
        and path.length == work.folder_length
        and memcmp(work.folder_path, path.text, path.length) == 0
    ):
        at.folder = work.folder
        return NULL
    if path.length > MOST_PATH:
        return b"a path longer than 4,095 bytes"
    reason = make_folders(&work.tree, path, &at.folder)
    if reason != NULL:
        return reason
    work.implied += work.tree.inode_count - before
    if work.implied > IMPLIED_FREE + IMPLIED_PER_ENTRY * work.entries:
        return b"more folders without an entry than can be taken in: 100,000, and 16 for each entry"
    work.folder = at.folder
    work.removals = work.tree.removals
    work.folder_length = path.length
    memcpy(work.folder_path, path.text, path.length)
    return NULL


cdef inline Reason make_way(Tree *tree, const Entry *entry, Where *at) noexcept nogil:
    """Remove what the entry replaces, if something has its name."""
    cdef bint was_folder
    cdef int links = 0
    at.found = find(tree, at.folder, at.name, &at.hash)
    if at.found == NONE:
        return NULL
    was_folder = tree.inodes[tree.names[at.found].inode].kind == DIRECTORY
    if was_folder and entry.type == c"5":
        return NULL
    remove_all(tree, at.found)
    at.found = NONE
    # A path may come back through a symlink to above itself.
    if was_folder and follow(tree, ROOT, at.path, True, &links) != at.folder:
        return b"in a folder that it replaces"
    return NULL


cdef inline Reason set_xattrs(Tree *tree, uint32_t inode, const Entry *entry) noexcept nogil:
    cdef Span left, key, value
    cdef Reason reason = NULL
    if entry.records == NULL or entry.records.last[XATTR].text == NULL:
        return NULL
    left = entry.records.all
    while reason == NULL and left.length and next_record(&left, &key, &value) == 0:
        if is_xattr(key):
            key = span(key.text + XATTR_PREFIX, key.length - XATTR_PREFIX)
            reason = set_xattr(tree, inode, key, value)
    return reason


cdef inline Reason unpack_root(Unpacking *work, const Entry *entry) noexcept nogil:
    """An entry for the root itself, which Docker heeds unless it is written as a dot."""
    if entry.above == 0:
        return NULL
    if entry.type != c"5":
        return b"would replace the root folder"
    return set_xattrs(&work.tree, ROOT, entry)


cdef inline Reason make_opaque(Unpacking *work, Where *at) noexcept nogil:
    """Mark the folder of an entry as one that shows nothing of the layers below."""
    cdef int links = 0
    cdef Reason reason = NULL
    # It may be a file: Docker does not look.
    at.folder = follow(&work.tree, ROOT, at.path, True, &links)
    if at.folder == NONE:
        reason = find_folder(work, at)
    return reason or put_xattr(&work.tree, at.folder, TRUSTED, span(b"overlay.opaque", 14), 1)


cdef inline Reason name_inode(Tree *tree, const Where *at) noexcept nogil:
    return add_name(tree, at.folder, at.name, at.hash, at.inode)


cdef inline Reason add_inode(Tree *tree, Where *at, uint8_t kind, int64_t size) noexcept nogil:
    return new_inode(tree, kind, size, &at.inode) or name_inode(tree, at)


cdef inline Reason make_whiteout(Tree *tree, Where *at) noexcept nogil:
    """Make the device that hides what a lower layer has."""
    at.name = span(at.name.text + 4, at.name.length - 4)
    if (
        at.name.length == 0
        or is_text(at.name, b".")
        or is_text(at.name, b"..")
        or find(tree, at.folder, at.name, &at.hash) != NONE
    ):
        return b"a whiteout of what the same layer has"
    return add_inode(tree, at, OTHER, 0)


cdef inline Reason add_folder(Unpacking *work, const Entry *entry, Where *at) noexcept nogil:
    cdef Tree *tree = &work.tree
    cdef Path path
    cdef Reason reason
    if work.path_count >= MOST_NAMES:
        return TOO_MANY
    path.length = <uint32_t>entry.name.length
    reason = grow(<void **>&work.paths, &work.path_capacity, work.path_count, sizeof(Path))
    reason = reason or keep_text(tree, entry.name, &path.text)
    if reason != NULL:
        return reason
    # Its times are to be set when all is unpacked.
    work.paths[work.path_count] = path
    work.path_count += 1
    if at.found != NONE:
        at.inode = tree.names[at.found].inode
        return NULL
    return new_folder(tree, at.folder, &at.inode) or name_inode(tree, at)


cdef inline Reason add_link(Tree *tree, const Entry *entry, Where *at) noexcept nogil:
    """Give another name to what the entry's link leads to."""
    cdef int links = 0
    cdef uint64_t above
    cdef Span link = entry.link
    cdef Reason reason
    clean(&link, &above)
    at.inode = follow(tree, ROOT, link, False, &links) if link.length < MOST_PATH else NONE
    if at.inode == NONE:
        return b"a hard link to what is not there"
    if tree.inodes[at.inode].kind == DIRECTORY:
        return b"a hard link to a folder"
    reason = name_inode(tree, at)
    # Docker sets the owner anew, which takes capabilities away, chown(2).
    take_xattr(tree, at.inode, SECURITY, span(b"capability", 10))
    return reason


cdef inline Reason add_symlink(Tree *tree, const Entry *entry, Where *at) noexcept nogil:
    if entry.link.length == 0 or entry.link.length > MOST_PATH:
        return b"a symlink whose target is empty or longer than 4,095 bytes"
    return (
        add_inode(tree, at, SYMLINK, <int64_t>entry.link.length)
        or keep_text(tree, entry.link, &tree.inodes[at.inode].at)
    )


cdef inline Reason add_file(Unpacking *work, const Entry *entry, Where *at) noexcept nogil:
    if entry.size > MOST_CONTENT - work.content:
        return b"more content than there can be: 1 EiB with that of the files before"
    work.content += entry.size
    return add_inode(&work.tree, at, FILE, entry.size)


cdef inline bint is_worn_out(const Tree *tree, uint64_t offset) noexcept nogil:
    return tree.steps > STEPS_FREE + offset // STEP_BYTES


cdef inline Reason come_back(Unpacking *work, uint64_t offset) noexcept nogil:
    """Set the times of folders, once all is unpacked: Docker fails where one is not there."""
    cdef Tree *tree = &work.tree
    cdef Span path
    cdef size_t i
    cdef int links
    if tree.removals == 0:
        return NULL
    for i in range(work.path_count):
        path = span(tree.text.data + work.paths[i].text, work.paths[i].length)
        links = 0
        if follow(tree, ROOT, path, True, &links) == NONE:
            return b"a folder of the tar is replaced by something else later"
        if is_worn_out(tree, offset):
            return b"too many long ways through folders and symlinks"
    return NULL


cdef inline Reason add_entry(Unpacking *work, const Entry *entry, Where *at) noexcept nogil:
    """Make what an entry describes, whose name is free or is a folder's."""
    cdef Tree *tree = &work.tree
    cdef Reason reason
    if entry.type == c"0":
        reason = add_file(work, entry, at)
    elif entry.type == c"5":
        reason = add_folder(work, entry, at)
    elif entry.type == c"2":
        reason = add_symlink(tree, entry, at)
    elif entry.type == c"1":
        reason = add_link(tree, entry, at)
    elif entry.type in (c"3", c"4", c"6"):
        reason = add_inode(tree, at, OTHER, 0)
    elif entry.type == c"S":
        reason = b"a sparse file of GNU's old format, which no engine unpacks"
    else:
        reason = b"of a kind that no engine unpacks"
    return reason or set_xattrs(tree, at.inode, entry)


cdef inline Reason unpack(Unpacking *work, const Entry *entry, uint64_t offset) noexcept nogil:
    """Put an entry into the tree; `offset` is where its header is in the stream."""
    cdef Where at
    cdef Reason reason
    cdef size_t start
    work.entries += 1
    if entry.name.length == 0:
        return unpack_root(work, entry)
    if is_worn_out(&work.tree, offset):
        return b"too many long ways through folders and symlinks"
    at.path = folder_of(entry.name)
    start = at.path.length + (at.path.length > 0)
    at.name = span(entry.name.text + start, entry.name.length - start)
    if is_text(at.name, b".wh..wh..opq"):
        return make_opaque(work, &at)
    reason = find_folder(work, &at) or make_way(&work.tree, entry, &at)
    if reason != NULL:
        return reason
    if begins_with(at.name, b".wh."):
        return make_whiteout(&work.tree, &at)
    # With the slash before it, which is not in the name here.
    if entry.name.length >= MOST_PATH:
        return b"a path longer than 4,095 bytes"
    return add_entry(work, entry, &at)


cdef inline void unpacking_free(Unpacking *work) noexcept nogil:
    tree_free(&work.tree)
    free(work.paths)
    work.paths = NULL
