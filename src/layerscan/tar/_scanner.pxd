"""What is known while a tar is read: one struct, which the parts above it share."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free

from layerscan.tar._header cimport BLOCK, Header
from layerscan.tar._pax cimport Records
from layerscan.tar._seen cimport SeenPaths
from layerscan.tar._sparse cimport Sparse
from layerscan.tar._split cimport (
    TarSplit, tar_split_content, tar_split_entry_end, tar_split_free,
)
from layerscan.tar._text cimport Reason, Span, Text, span, text_add
from layerscan.tar._unpack cimport Entry, Unpacking, unpacking_free


cdef enum State:
    IN_HEADER  # a header is next, or has begun
    IN_SPECIAL  # the content of a header that is about the next entry
    # The map of a sparse file, before its content.
    IN_MAP
    IN_CONTENT
    IN_PADDING
    # After one block of zeros.
    IN_ZEROS
    PAST_END


cdef struct Scanner:
    Unpacking work
    # Whether the tar-split document is made; only then paths are kept.
    bint has_split
    TarSplit split
    SeenPaths seen
    # Of the entry's path, and the first path that came twice.
    uint64_t path_hash
    bint has_repeated
    Text repeated
    State state
    # Bytes of the stream so far, and where the last header began.
    uint64_t offset, header_offset
    # What is there of a block that came in pieces.
    size_t have
    unsigned char block[BLOCK]
    # Content and padding that are to come.
    uint64_t left
    size_t padding
    uint64_t past_end
    Header header
    Sparse sparse
    # Of the headers before an entry, and of the entry itself.
    Text record_text, long_name, long_link, name, link
    Records records
    bint has_records
    Entry entry
    # Why the stream is refused; NULL: it is not. Whether that is about the entry.
    Reason reason
    bint about_entry


cdef inline void scanner_free(Scanner *scanner) noexcept nogil:
    unpacking_free(&scanner.work)
    tar_split_free(&scanner.split)
    free(scanner.seen.slots)
    free(scanner.repeated.data)
    free(scanner.record_text.data)
    free(scanner.long_name.data)
    free(scanner.long_link.data)
    free(scanner.name.data)
    free(scanner.link.data)


cdef inline Reason keep_raw(Scanner *scanner, Span data) noexcept nogil:
    """Put what is no content into the tar-split document."""
    return text_add(&scanner.split.segment, data) if scanner.has_split else NULL


cdef inline void settle(Scanner *scanner) noexcept nogil:
    """Go on with what there is of content, padding, or else the next header."""
    scanner.state = IN_CONTENT if scanner.left else IN_PADDING if scanner.padding else IN_HEADER


cdef inline Reason content_passed(Scanner *scanner, uint64_t length) noexcept nogil:
    """Go on after `length` bytes of content, which the tar-split document knows of."""
    scanner.left -= length
    settle(scanner)
    if scanner.left == 0 and scanner.split.is_in_entry:
        return tar_split_entry_end(&scanner.split)
    return NULL


cdef inline Reason pass_content(Scanner *scanner, Span data) noexcept nogil:
    """Pass over content."""
    if scanner.split.is_in_entry:
        tar_split_content(&scanner.split, data)
    return content_passed(scanner, data.length)


cdef inline Reason pass_unknown(
    Scanner *scanner, uint64_t length, const uint64_t *checksum
) noexcept nogil:
    """Pass over `length` bytes of content that are not at hand.

    `checksum` is that of the entry's content up to their end; NULL where it is not known.
    """
    cdef TarSplit *split = &scanner.split
    if split.is_in_entry and checksum == NULL:
        # The checksum becomes that of no other entry.
        tar_split_content(split, span(&split.position, sizeof(split.position)))
    elif split.is_in_entry:
        split.checksum = checksum[0]
        split.held = 0
    return content_passed(scanner, length)


cdef inline void forget_headers(Scanner *scanner) noexcept nogil:
    """Their entry has come: they are not about the next."""
    scanner.has_records = False
    scanner.long_name.length = 0
    scanner.long_link.length = 0
