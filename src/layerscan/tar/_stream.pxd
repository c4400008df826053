"""The stream of a tar: what its bytes are, in chunks of any size.

A state machine over blocks of 512 bytes; content is passed over. The end is
where Go's archive/tar sees it: at two blocks of zeros, or where the bytes end
between two entries.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from layerscan.tar._entries cimport add_special, begin_entry, begin_special, end_sparse
from layerscan.tar._header cimport BLOCK, is_zero, read_header
from layerscan.tar._scanner cimport (
    IN_CONTENT, IN_HEADER, IN_MAP, IN_PADDING, IN_SPECIAL, IN_ZEROS, PAST_END, Scanner, keep_raw,
    pass_content, settle,
)
from layerscan.tar._sparse cimport sparse_block
from layerscan.tar._split cimport tar_split_cut
from layerscan.tar._text cimport Reason, Span, span
from layerscan.tar._unpack cimport come_back


cdef enum:
    MOST_PAST_END = 16 << 20  # what engines pass over after the end, and we up to here


cdef inline Reason take_block(Scanner *scanner, const unsigned char *block) noexcept nogil:
    """Read one block that is a header, or of zeros."""
    cdef Reason reason
    scanner.header_offset = scanner.offset - BLOCK
    scanner.about_entry = False
    reason = keep_raw(scanner, span(block, BLOCK))
    if reason != NULL:
        return reason
    if is_zero(block):
        scanner.state = IN_ZEROS if scanner.state == IN_HEADER else PAST_END
        return NULL
    if scanner.state == IN_ZEROS:
        return b"a block of zeros that is not the end"
    reason = read_header(block, &scanner.header)
    if reason != NULL:
        return reason
    if scanner.header.type in (c"x", c"g", c"L", c"K"):
        return begin_special(scanner)
    return begin_entry(scanner)


cdef inline size_t take_whole(Scanner *scanner, Span data) noexcept nogil:
    """Read what is of one block, and that block when it is whole. Returns what was taken."""
    cdef const unsigned char *block = <const unsigned char *>data.text
    cdef size_t taken = BLOCK
    if scanner.state == IN_MAP and scanner.left < BLOCK:
        scanner.reason = b"a sparse file whose content ends within its map"
        return 0
    if scanner.have or data.length < BLOCK:
        taken = min(BLOCK - scanner.have, data.length)
        memcpy(scanner.block + scanner.have, data.text, taken)
        scanner.have += taken
        block = scanner.block
    scanner.offset += taken
    if block == scanner.block and scanner.have < BLOCK:
        return taken
    scanner.have = 0
    if scanner.state != IN_MAP:
        scanner.reason = take_block(scanner, block)
        return taken
    scanner.reason = sparse_block(&scanner.sparse, block)
    scanner.left -= BLOCK
    if scanner.reason == NULL and scanner.sparse.left == 0:
        scanner.reason = end_sparse(scanner)
    return taken


cdef inline size_t take_part(Scanner *scanner, Span data) noexcept nogil:
    """Read or pass over what is no block of its own. Returns how much was taken."""
    if scanner.state == PAST_END:
        scanner.past_end += data.length
        if scanner.past_end > MOST_PAST_END:
            scanner.reason = b"more than 16 MiB after the end of the tar"
        else:
            scanner.reason = keep_raw(scanner, data)
    elif scanner.state == IN_PADDING:
        data.length = min(data.length, scanner.padding)
        scanner.padding -= data.length
        scanner.reason = keep_raw(scanner, data)
        settle(scanner)
    else:
        data.length = <size_t>min(<uint64_t>data.length, scanner.left)
        if scanner.state == IN_SPECIAL:
            scanner.reason = add_special(scanner, data)
        else:
            scanner.reason = pass_content(scanner, data)
    scanner.offset += data.length
    return data.length


cdef inline void scan(Scanner *scanner, Span data) noexcept nogil:
    """Read the next bytes of the stream; afterwards `reason` says whether it is refused."""
    cdef size_t taken
    while data.length > 0 and scanner.reason == NULL:
        if scanner.state in (IN_HEADER, IN_ZEROS, IN_MAP):
            taken = take_whole(scanner, data)
        else:
            taken = take_part(scanner, data)
        data = span(data.text + taken, data.length - taken)


cdef inline void scan_end(Scanner *scanner) noexcept nogil:
    """The stream has ended; afterwards `reason` says whether it may end here."""
    scanner.about_entry = False
    scanner.header_offset = scanner.offset
    if scanner.have:
        scanner.reason = b"the tar ends within a header"
    elif scanner.state == IN_SPECIAL:
        scanner.reason = b"the tar ends within a header's content"
    elif scanner.state == IN_CONTENT or scanner.state == IN_MAP:
        scanner.about_entry = True
        scanner.reason = b"the tar ends within its content"
    else:
        scanner.reason = tar_split_cut(&scanner.split) or come_back(&scanner.work, scanner.offset)
