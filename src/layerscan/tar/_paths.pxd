"""Paths in the tree of a layer, followed as the kernel follows them in a chroot.

A path of the stream is cleaned first, as engines do: so `..` takes away the
name before it, whatever that is, and nothing leads above the root. In targets
of symlinks `..` is the folder above.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memmove

from layerscan.tar._table cimport NONE
from layerscan.tar._text cimport Reason, Span, is_text, span
from layerscan.tar._tree cimport DIRECTORY, ROOT, SYMLINK, Inode, Tree, add_name, find, new_folder


cdef enum:
    # What Linux takes: bytes of a path, symlinks on the way.
    MOST_PATH = 4095
    MOST_LINKS = 40


cdef extern from * nogil:
    """
    /* What a path with a slash in front begins with. */
    #define LS_AT_ROOT UINT64_MAX
    """
    const uint64_t AT_ROOT "LS_AT_ROOT"


cdef inline void clean(Span *path, uint64_t *above) noexcept nogil:
    """Make a path one of plain names with one slash between, in place; the root is empty.

    `above` becomes how many folders above where it stands the path would begin,
    AT_ROOT for one with a slash in front. With both, two paths are the same if Go's
    path.Clean makes the same of them.
    """
    cdef char *text = <char *>path.text
    cdef size_t length = path.length
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
    path.length = out


cdef inline Span folder_of(Span path) noexcept nogil:
    """What of a clean path is before its last slash; empty if there is none."""
    while path.length > 0 and path.text[path.length - 1] != c"/":
        path.length -= 1
    path.length -= path.length > 0
    return path


cdef inline Span take_name(Span *path) noexcept nogil:
    """Take the first name off a path; empty at its end."""
    cdef Span name
    while path.length > 0 and path.text[0] == c"/":
        path.text += 1
        path.length -= 1
    name.text = path.text
    while path.length > 0 and path.text[0] != c"/":
        path.text += 1
        path.length -= 1
    name.length = path.text - name.text
    return name


cdef inline uint32_t step(Tree *tree, uint32_t folder, Span name) noexcept nogil:
    """The inode of one name in a folder, NONE if there is none; no symlink is followed."""
    cdef uint32_t found, hash
    if is_text(name, b"."):
        return folder
    if is_text(name, b".."):
        return <uint32_t>tree.inodes[folder].size
    found = find(tree, folder, name, &hash)
    return NONE if found == NONE else tree.names[found].inode


cdef inline uint32_t follow(
    Tree *tree, uint32_t folder, Span path, bint follow_last, int *links
) noexcept nogil:
    """The inode that `path` leads to from `folder`, NONE if it leads nowhere.

    `links` counts the symlinks that have been followed.
    """
    # What is left of the path, and of the targets of symlinks on it.
    cdef Span rests[MOST_LINKS + 1]
    cdef int depth = 0
    cdef Span *rest
    cdef Span name
    cdef uint32_t found
    cdef const Inode *inode
    rests[0] = path
    while True:
        rest = &rests[depth]
        name = take_name(rest)
        if name.length == 0:
            if depth == 0:
                return folder
            depth -= 1
            continue
        found = step(tree, folder, name)
        if found == NONE:
            return NONE
        inode = &tree.inodes[found]
        if inode.kind == SYMLINK and (follow_last or depth > 0 or rest.length > 0):
            links[0] += 1
            if links[0] > MOST_LINKS:
                return NONE
            # No path waits that is at its end: so depth 0 and the end is the last name.
            if rest.length > 0:
                depth += 1
            rests[depth] = span(tree.text.data + inode.at, inode.size)
            if rests[depth].text[0] == c"/":
                folder = ROOT
            continue
        if inode.kind != DIRECTORY and (depth > 0 or rest.length > 0):
            return NONE
        folder = found


cdef inline Reason make_folder(
    Tree *tree, uint32_t folder, Span name, uint32_t *made
) noexcept nogil:
    """Make a folder, unless a symlink has that name."""
    cdef uint32_t hash
    if find(tree, folder, name, &hash) != NONE:
        return b"in a folder that is a symlink to nowhere"
    return new_folder(tree, folder, made) or add_name(tree, folder, name, hash, made[0])


cdef inline Reason make_folders(Tree *tree, Span path, uint32_t *folder) noexcept nogil:
    """Find the folder at a clean path, and make what is missing on the way."""
    cdef Reason reason
    cdef int links = 0
    cdef Span name = take_name(&path)
    cdef uint32_t found
    folder[0] = ROOT
    while name.length > 0:
        found = follow(tree, folder[0], name, True, &links)
        if found == NONE:
            reason = make_folder(tree, folder[0], name, &found)
            if reason != NULL:
                return reason
        elif tree.inodes[found].kind != DIRECTORY:
            return b"in a folder that is none"
        folder[0] = found
        name = take_name(&path)
    return NULL
