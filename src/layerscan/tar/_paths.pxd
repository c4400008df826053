"""Paths in the tree of a layer, followed as the kernel follows them in a chroot.

A path of the stream is cleaned first, as engines do: so `..` takes away the
name before it, whatever that is, and nothing leads above the root. In targets
of symlinks `..` is the folder above.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memmove

from layerscan.tar._table cimport NONE
from layerscan.tar._tree cimport (
    DIRECTORY, NO_MEMORY, OK, ROOT, SYMLINK, Inode, Tree, add_name, find, new_folder,
)


cdef enum:
    # What Linux takes: bytes of a name and of a path, symlinks on the way.
    MOST_NAME = 255
    MOST_PATH = 4095
    MOST_LINKS = 40


cdef extern from * nogil:
    """
    /* What a path with a slash in front begins with. */
    #define LS_AT_ROOT UINT64_MAX
    """
    const uint64_t AT_ROOT "LS_AT_ROOT"


cdef struct Rest:
    # What is left of a path, or of the target of a symlink on it.
    const char *at
    const char *end


cdef inline const char *trouble(int failed) noexcept nogil:
    """A failure of the tree in words."""
    if failed == NO_MEMORY:
        return b"no memory"
    return b"more names than can be taken in: 20,000,000, or 1 GiB of their text"


cdef inline size_t clean(char *text, size_t length, uint64_t *above) noexcept nogil:
    """Make `text` a path of plain names with one slash between; the root is empty.

    `above` becomes how many folders above where it stands the path would begin,
    AT_ROOT for one with a slash in front. With both, two paths are the same if Go's
    path.Clean makes the same of them. Returns the length.
    """
    cdef size_t out = 0
    cdef size_t at = 0
    cdef size_t start
    above[0] = AT_ROOT if length > 0 and text[0] == c"/" else 0
    while True:
        while at < length and text[at] == c"/":
            at += 1
        start = at
        while at < length and text[at] != c"/":
            at += 1
        if at == start:
            break
        if at - start == 1 and text[start] == c".":
            continue
        if at - start == 2 and text[start] == c"." and text[start + 1] == c".":
            above[0] += out == 0 and above[0] != AT_ROOT
            while out > 0 and text[out - 1] != c"/":
                out -= 1
            if out > 0:
                out -= 1
            continue
        if out > 0:
            text[out] = c"/"
            out += 1
        if out != start:
            memmove(text + out, text + start, at - start)
        out += at - start
    return out


cdef inline size_t folder_length(const char *path, size_t length) noexcept nogil:
    """How much of a clean path is before its last slash; 0 if there is none."""
    while length > 0 and path[length - 1] != c"/":
        length -= 1
    return length - 1 if length > 0 else 0


cdef inline uint32_t step(Tree *tree, uint32_t folder, const Rest *name) noexcept nogil:
    """The inode of one name in a folder, NONE if there is none; no symlink is followed."""
    cdef size_t length = name.end - name.at
    cdef uint32_t found, hash
    if length == 1 and name.at[0] == c".":
        return folder
    if length == 2 and name.at[0] == c"." and name.at[1] == c".":
        return <uint32_t>tree.inodes[folder].size
    found = find(tree, folder, name.at, length, &hash)
    return NONE if found == NONE else tree.names[found].inode


cdef inline uint32_t follow(
    Tree *tree, uint32_t folder, const char *path, size_t length, bint follow_last, int *links
) noexcept nogil:
    """The inode that `path` leads to from `folder`, NONE if it leads nowhere.

    `links` counts the symlinks that have been followed.
    """
    cdef Rest rests[MOST_LINKS + 1]
    cdef int depth = 0
    cdef Rest *rest
    cdef Rest name
    cdef uint32_t found
    cdef const Inode *inode
    rests[0].at = path
    rests[0].end = path + length
    while True:
        rest = &rests[depth]
        while rest.at < rest.end and rest.at[0] == c"/":
            rest.at += 1
        if rest.at == rest.end:
            if depth == 0:
                return folder
            depth -= 1
            continue
        name.at = rest.at
        while rest.at < rest.end and rest.at[0] != c"/":
            rest.at += 1
        name.end = rest.at
        found = step(tree, folder, &name)
        if found == NONE:
            return NONE
        inode = &tree.inodes[found]
        if inode.kind == SYMLINK and (follow_last or depth > 0 or rest.at < rest.end):
            links[0] += 1
            if links[0] > MOST_LINKS:
                return NONE
            # No path waits that is at its end: so depth 0 and the end is the last name.
            if rest.at < rest.end:
                depth += 1
            rest = &rests[depth]
            rest.at = tree.text + inode.at
            rest.end = rest.at + inode.size
            if rest.at[0] == c"/":
                folder = ROOT
            continue
        if inode.kind != DIRECTORY and (depth > 0 or rest.at < rest.end):
            return NONE
        folder = found


cdef inline const char *make_folder(
    Tree *tree, uint32_t folder, const char *name, size_t length, uint32_t *made
) noexcept nogil:
    """Make a folder, unless a symlink has that name. Returns NULL, or why it cannot be."""
    cdef int failed
    cdef uint32_t hash
    if find(tree, folder, name, length, &hash) != NONE:
        return b"in a folder that is a symlink to nowhere"
    if length > MOST_NAME:
        return b"a name longer than 255 bytes"
    failed = new_folder(tree, folder, made)
    if failed == OK:
        failed = add_name(tree, folder, name, length, hash, made[0])
    return trouble(failed) if failed else NULL


cdef inline const char *make_folders(
    Tree *tree, const char *path, size_t length, uint32_t *folder
) noexcept nogil:
    """Find the folder at a clean path, and make what is missing on the way.

    Returns NULL, or why it cannot be.
    """
    cdef const char *reason
    cdef const char *end = path + length
    cdef int links = 0
    cdef Rest name
    cdef uint32_t found
    folder[0] = ROOT
    name.end = path
    while name.end < end:
        name.at = name.end + (name.end > path)
        name.end = name.at
        while name.end < end and name.end[0] != c"/":
            name.end += 1
        found = follow(tree, folder[0], name.at, name.end - name.at, True, &links)
        if found == NONE:
            reason = make_folder(tree, folder[0], name.at, name.end - name.at, &found)
            if reason != NULL:
                return reason
        elif tree.inodes[found].kind != DIRECTORY:
            return b"in a folder that is none"
        folder[0] = found
    return NULL
