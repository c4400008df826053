"""Entries of a tar, which have one header or several: all but the last are about the next.

Headers of records (`x`), long names (`L`) and long links (`K`) are kept until
the entry's own header comes. Records for all entries (`g`) are passed over, as
engines do.
"""

from libc.stdint cimport uint64_t

from layerscan.tar._hash cimport hash_path
from layerscan.tar._header cimport BLOCK, text_length
from layerscan.tar._paths cimport clean
from layerscan.tar._pax cimport LINK, PATH, SPARSE_NAME, check_records, has, read_records
from layerscan.tar._scanner cimport IN_MAP, IN_SPECIAL, Scanner, forget_headers, keep_raw, settle
from layerscan.tar._seen cimport seen_add, seen_ready
from layerscan.tar._sparse cimport (
    MAP_IN_CONTENT, NOT_SPARSE, SparseFormat, sparse_begin, sparse_format, sparse_records,
)
from layerscan.tar._split cimport tar_split_entry, tar_split_entry_end
from layerscan.tar._text cimport Reason, Span, Text, span, text_add, text_set
from layerscan.tar._tree cimport MOST_NAMES, TOO_MANY
from layerscan.tar._unpack cimport Entry, unpack


cdef enum:
    MOST_SPECIAL = 1 << 20  # bytes of a header that is about the next entry, as in Go's archive/tar


cdef inline Reason note_entry(Scanner *scanner, long long size) noexcept nogil:
    """Clean the entry's path, and put it into the tar-split document if that is made."""
    cdef Entry *entry = &scanner.entry
    cdef Reason reason = NULL
    scanner.about_entry = True
    if scanner.has_split:
        reason = tar_split_entry(&scanner.split, entry.name, size)
    if reason == NULL and scanner.split.is_in_entry and scanner.left == 0:
        # No content follows: a link whose header has a size, or a sparse file of one hole.
        reason = tar_split_entry_end(&scanner.split)
    if reason != NULL:
        return reason
    clean(&entry.name, &entry.above)
    if not scanner.has_split:
        return NULL
    scanner.path_hash = hash_path(&scanner.work.tree.key, entry.above, entry.name)
    if scanner.seen.used >= MOST_NAMES:
        return TOO_MANY
    return seen_ready(&scanner.seen, scanner.path_hash)


cdef inline Reason note_path(Scanner *scanner) noexcept nogil:
    """Note the first path that stands twice in the tar-split document: who keeps one refuses it."""
    cdef bint came_twice = scanner.has_split and seen_add(&scanner.seen, scanner.path_hash)
    if not came_twice or scanner.has_repeated:
        return NULL
    scanner.has_repeated = True
    return text_set(&scanner.repeated, scanner.entry.name)


cdef inline Reason end_entry(Scanner *scanner) noexcept nogil:
    """All headers of an entry have been read: put it where it belongs."""
    cdef Reason reason = note_entry(scanner, scanner.entry.size)
    forget_headers(scanner)
    settle(scanner)
    return (
        reason
        or unpack(&scanner.work, &scanner.entry, scanner.header_offset)
        or note_path(scanner)
    )


cdef inline Reason end_sparse(Scanner *scanner) noexcept nogil:
    if <uint64_t>scanner.sparse.data != scanner.left:
        return b"a sparse file with other content than its pieces"
    return end_entry(scanner)


cdef inline Reason take_record(Scanner *scanner, int key, Text *copy, Span *found) noexcept nogil:
    """Take a text from a record: a copy, since it is cleaned in place and the record read again."""
    cdef Reason reason = text_set(copy, scanner.records.last[key])
    found[0] = span(copy.data, copy.length)
    return reason


cdef inline Reason name_entry(Scanner *scanner) noexcept nogil:
    """Take the entry's name and link from where they are written in full."""
    cdef Entry *entry = &scanner.entry
    cdef const Span *records = scanner.records.last
    cdef Reason reason = NULL
    entry.name = span(scanner.header.name, scanner.header.name_length)
    entry.link = span(scanner.header.link, scanner.header.link_length)
    if scanner.long_name.length:
        entry.name = span(scanner.long_name.data, scanner.long_name.length)
    elif scanner.has_records and records[PATH].length:
        reason = take_record(scanner, PATH, &scanner.name, &entry.name)
    if scanner.long_link.length:
        entry.link = span(scanner.long_link.data, scanner.long_link.length)
    elif scanner.has_records and records[LINK].length and reason == NULL:
        reason = take_record(scanner, LINK, &scanner.link, &entry.link)
    return reason


cdef inline Reason begin_sparse(Scanner *scanner, SparseFormat format) noexcept nogil:
    """An entry is a sparse file: read its map, or let it be read from the content."""
    cdef Entry *entry = &scanner.entry
    cdef Span name = scanner.records.last[SPARSE_NAME]
    cdef Reason reason = NULL
    if name.length:
        if has(name, 0):
            return b"a sparse file with a NUL in its name"
        reason = take_record(scanner, SPARSE_NAME, &scanner.name, &entry.name)
    reason = reason or sparse_begin(&scanner.sparse, &scanner.records, &entry.size)
    if format == MAP_IN_CONTENT:
        scanner.state = IN_MAP
        return reason
    return reason or sparse_records(&scanner.sparse, &scanner.records) or end_sparse(scanner)


cdef inline bint has_no_content(unsigned char type) noexcept nogil:
    """Whether no content follows, whatever the header says of its size."""
    return c"1" <= type <= c"6"


cdef inline Reason begin_entry(Scanner *scanner) noexcept nogil:
    """A header that is an entry's own has been read."""
    cdef Entry *entry = &scanner.entry
    cdef SparseFormat format = NOT_SPARSE
    cdef Reason reason = name_entry(scanner)
    entry.type = scanner.header.type
    entry.size = scanner.header.size
    entry.records = &scanner.records if scanner.has_records else NULL
    if reason != NULL:
        return reason
    if entry.size < 0 and not has_no_content(entry.type):
        return b"a size of less than no bytes"
    if scanner.has_records:
        reason = check_records(&scanner.records, &entry.size)
        format = sparse_format(&scanner.records)
        if reason != NULL:
            return reason
    if entry.type == 0:
        entry.type = c"0"
        if entry.name.length and entry.name.text[entry.name.length - 1] == c"/":
            entry.type = c"5"
    scanner.left = 0
    if not has_no_content(entry.type):
        if entry.size < 0:
            return b"a size of less than no bytes"
        scanner.left = <uint64_t>entry.size
    scanner.padding = <size_t>(-scanner.left & (BLOCK - 1))
    if format == NOT_SPARSE or entry.type == c"S":
        return end_entry(scanner)
    if has_no_content(entry.type):
        return b"a sparse file that is no file"
    return begin_sparse(scanner, format)


cdef inline Text *special_text(Scanner *scanner) noexcept nogil:
    """Where the content of the header about the next entry is kept."""
    if scanner.header.type == c"L":
        return &scanner.long_name
    return &scanner.long_link if scanner.header.type == c"K" else &scanner.record_text


cdef inline Reason begin_special(Scanner *scanner) noexcept nogil:
    """A header about the next entry has been read: its content is to be kept."""
    cdef Reason reason
    if scanner.header.size < 0:
        return b"a size of less than no bytes"
    if scanner.header.size > MOST_SPECIAL:
        return b"a header of more than 1 MiB"
    scanner.left = <uint64_t>scanner.header.size
    scanner.padding = <size_t>(-scanner.left & (BLOCK - 1))
    reason = text_set(special_text(scanner), span(b"", 0))
    if reason == NULL and scanner.left == 0:
        return end_special(scanner)
    scanner.state = IN_SPECIAL
    return reason


cdef inline Reason add_special(Scanner *scanner, Span data) noexcept nogil:
    """Keep a piece of the content of a header about the next entry."""
    cdef Reason reason = keep_raw(scanner, data) or text_add(special_text(scanner), data)
    scanner.left -= data.length
    if reason == NULL and scanner.left == 0:
        reason = end_special(scanner)
    return reason


cdef inline Reason end_special(Scanner *scanner) noexcept nogil:
    """The content of a header about the next entry is complete."""
    cdef unsigned char type = scanner.header.type
    cdef Text *text = special_text(scanner)
    cdef Reason reason
    settle(scanner)
    if type == c"L" or type == c"K":
        text.length = text_length(<const unsigned char *>text.data, text.length)
        return NULL
    reason = read_records(span(text.data, text.length), &scanner.records)
    scanner.has_records = True
    return end_global(scanner) if reason == NULL and type == c"g" else reason


cdef inline Reason end_global(Scanner *scanner) noexcept nogil:
    """Records for all entries: engines pass over them, and over the headers before."""
    cdef Entry *entry = &scanner.entry
    entry.name = span(scanner.header.name, scanner.header.name_length)
    if scanner.records.last[PATH].length:
        # The records are not read again.
        entry.name = scanner.records.last[PATH]
    forget_headers(scanner)
    # It stands in the tar-split document as an entry.
    return note_entry(scanner, 0) or note_path(scanner)
