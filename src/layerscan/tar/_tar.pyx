# cython: subinterpreters_compatible=shared_gil
"""The tar scanner: from the bytes of a layer to the tree that unpacking them makes.

This file owns its Python face, `TarScanner`, and the tree as columns. Its parts, from
the ground up, are C without the GIL:

    _text.pxd           texts, and memory for more
    _numbers.pxd        numbers as headers and records have them
    _header.pxd         one header block
    _hash.pxd           a hash of names that cannot be foreseen
    _table.pxd          the names of one folder
    _tree.pxd           inodes, names and attributes
    _paths.pxd          paths and symlinks
    _xattrs.pxd         extended attributes
    _pax.pxd            PAX records
    _sparse.pxd         sparse files
    _unpack.pxd         what one entry makes
    _split.pxd          the tar-split document, nearly
    _seen.pxd           the paths that were there, none of which it takes twice
    _scanner.pxd        what is known while a tar is read
    _entries.pxd        entries and the headers that belong to them
    _stream.pxd         blocks, content and padding
"""

import os

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strcmp

from layerscan.tar._scanner cimport IN_CONTENT, Scanner, pass_unknown, scanner_free
from layerscan.tar._stream cimport scan, scan_end
from layerscan.tar._table cimport NONE, Name
from layerscan.tar._text cimport span
from layerscan.tar._tree cimport DIRECTORY, GONE, Inode, Tree, XAttr, tree_begin
from layerscan.tar._unpack cimport unpacking_free


class TarFault(Exception):
    pass


cdef enum:
    MOST_SHOWN = 200  # bytes of a name in a message


cdef str shown(bytes name):
    """A name from the stream, fit for a message."""
    cdef str text = name[:MOST_SHOWN].decode("utf-8", "backslashreplace")
    if len(name) > MOST_SHOWN:
        text += "…"
    return "".join([c if c.isprintable() else ascii(c).strip("'") for c in text])


cdef void *memory_of(array) except NULL:
    """Where the bytes of a new array are; it must outlive their use."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    return view.buf


cdef struct Columns:
    # See layerscan.tar.tree.
    size_t inode_count, name_count, xattr_count
    uint8_t *kinds
    int64_t *sizes
    int32_t *names[3]  # folders, inodes and lengths
    # Inodes, lengths of names and of values.
    int32_t *xattrs[3]
    uint8_t *namespaces


cdef bint is_kept(const Tree *tree, const XAttr *xattr) noexcept nogil:
    return xattr.inode != NONE and tree.inodes[xattr.inode].kind != GONE


cdef void count_columns(const Tree *tree, Columns *columns) noexcept nogil:
    """How long the columns will be, without what was removed."""
    cdef size_t i
    columns.inode_count = columns.name_count = columns.xattr_count = 0
    for i in range(tree.inode_count):
        columns.inode_count += tree.inodes[i].kind != GONE
    for i in range(tree.name_count):
        columns.name_count += tree.names[i].inode != NONE
    for i in range(tree.xattr_count):
        columns.xattr_count += is_kept(tree, &tree.xattrs[i])


cdef void fill_columns(Tree *tree, Columns *columns) noexcept nogil:
    """Write the columns; the tree is of no use afterwards: it keeps new numbers of inodes."""
    cdef size_t at, i
    cdef uint32_t inodes = 0
    cdef Inode *inode
    cdef const Name *name
    cdef const XAttr *xattr
    for i in range(tree.inode_count):
        inode = &tree.inodes[i]
        if inode.kind != GONE:
            columns.kinds[inodes] = inode.kind
            columns.sizes[inodes] = 0 if inode.kind == DIRECTORY else inode.size
            inode.at = inodes
            inodes += 1
    at = 0
    for i in range(tree.name_count):
        name = &tree.names[i]
        if name.inode != NONE:
            columns.names[0][at] = tree.inodes[name.folder].at
            columns.names[1][at] = tree.inodes[name.inode].at
            columns.names[2][at] = name.length
            at += 1
    at = 0
    for i in range(tree.xattr_count):
        xattr = &tree.xattrs[i]
        if is_kept(tree, xattr):
            columns.xattrs[0][at] = tree.inodes[xattr.inode].at
            columns.xattrs[1][at] = xattr.name_length
            columns.xattrs[2][at] = xattr.value_length
            columns.namespaces[at] = xattr.namespace
            at += 1


cdef class TarScanner:
    """See _tar.pyi."""

    cdef Scanner scanner
    cdef bint is_finished

    def __cinit__(self, *, bint tar_split=False):
        cdef bytes key = os.urandom(sizeof(self.scanner.work.tree.key))
        memset(&self.scanner, 0, sizeof(Scanner))
        memcpy(&self.scanner.work.tree.key, <const char *>key, len(key))
        self.scanner.has_split = tar_split
        # The tree is empty, and an entry before was in its root.
        if tree_begin(&self.scanner.work.tree) != NULL:
            raise MemoryError

    def __dealloc__(self):
        scanner_free(&self.scanner)

    cdef int refuse(self) except -1:
        """Raise what the stream is refused for."""
        cdef const Scanner *scanner = &self.scanner
        cdef str where
        if strcmp(scanner.reason, b"no memory") == 0:
            raise MemoryError
        where = f"at byte {scanner.header_offset}"
        if scanner.about_entry:
            name = scanner.entry.name.text[:scanner.entry.name.length]
            where += f", {shown(name) or '/'}"
        raise TarFault(f"{where}: {scanner.reason.decode()}")

    cdef int check(self) except -1:
        if self.is_finished:
            raise ValueError("this scanner has come to its end")
        if self.scanner.reason != NULL:
            self.refuse()
        return 0

    def feed(self, data):
        cdef Py_buffer view
        self.check()
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                scan(&self.scanner, span(view.buf, view.len))
        finally:
            PyBuffer_Release(&view)
        if self.scanner.reason != NULL:
            self.refuse()

    def skip(self, unsigned long long length, *, checksum=None):
        cdef uint64_t known = 0 if checksum is None else checksum
        self.check()
        if length == 0:
            return
        if self.scanner.state != IN_CONTENT or length > self.scanner.left:
            self.scanner.reason = b"no content of that length to pass over"
            self.refuse()
        self.scanner.offset += length
        self.scanner.reason = pass_unknown(
            &self.scanner, length, NULL if checksum is None else &known
        )
        self.check()

    @property
    def repeated(self):
        if not self.scanner.has_repeated:
            return ""
        return shown(self.scanner.repeated.data[:self.scanner.repeated.length]) or "/"

    def take_tar_split(self):
        cdef bytes taken = self.scanner.split.made.data[:self.scanner.split.made.length]
        self.scanner.split.made.length = 0
        return taken

    def finish(self):
        self.check()
        with nogil:
            scan_end(&self.scanner)
        if self.scanner.reason != NULL:
            self.refuse()
        self.is_finished = True
        return self.columns()

    cdef object columns(self):
        """The tree as NumPy arrays."""
        cdef Tree *tree = &self.scanner.work.tree
        cdef Columns columns
        cdef int i
        import numpy

        from layerscan.tar.tree import LayerTree

        count_columns(tree, &columns)
        kinds = numpy.empty(columns.inode_count, numpy.uint8)
        sizes = numpy.empty(columns.inode_count, numpy.int64)
        names = [numpy.empty(columns.name_count, numpy.int32) for _ in range(3)]
        xattrs = [numpy.empty(columns.xattr_count, numpy.int32) for _ in range(3)]
        namespaces = numpy.empty(columns.xattr_count, numpy.uint8)
        columns.kinds = <uint8_t *>memory_of(kinds)
        columns.sizes = <int64_t *>memory_of(sizes)
        for i in range(3):
            columns.names[i] = <int32_t *>memory_of(names[i])
            columns.xattrs[i] = <int32_t *>memory_of(xattrs[i])
        columns.namespaces = <uint8_t *>memory_of(namespaces)
        with nogil:
            fill_columns(tree, &columns)
            # The tar-split document may yet be taken.
            unpacking_free(&self.scanner.work)
        inodes, lengths, values = xattrs
        return LayerTree(kinds, sizes, *names, inodes, namespaces, lengths, values)
