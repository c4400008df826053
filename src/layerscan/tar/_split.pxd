"""The document that Docker and containers/storage keep of a layer's stream, see tar-split.

It is a line of JSON for each file, and one for each run of bytes that are no
content, a segment, in the order of the stream. Only the length of what a compressor
makes of it is of use here (`layerscan.tar.tarsplit`). So what does not matter for that
is simpler than in theirs: names are not escaped, a checksum is any 64 bits that equal
contents have in common, and what follows the tar's end is one segment.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset


cdef enum:
    # No line needs more than this, beside its name and its bytes.
    LINE_FRAME = 128
    # Bytes of content that go into a checksum at a time.
    PIECE = 32


cdef struct TarSplit:
    # What is made and not yet taken. Who takes it sets `used` to 0.
    char *data
    size_t used
    size_t capacity
    # Of the next line.
    unsigned long long position
    # Bytes of the segment whose line is begun and not ended; 0: there is none.
    size_t segment
    # Of `segment` the bytes that wait for others, to be three.
    unsigned char waiting[3]
    int waits
    # Whether the line of an entry waits for the checksum of its content, that so far, and
    # the bytes of content that wait for others, to be a piece.
    bint is_in_entry
    uint64_t checksum
    unsigned char content[PIECE]
    size_t held


cdef extern from * nogil:
    """
    static const char ls_base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    """
    const char BASE64 "ls_base64"[]


cdef inline void tar_split_free(TarSplit *split) noexcept nogil:
    free(split.data)
    memset(split, 0, sizeof(TarSplit))


cdef inline int tar_split_room(TarSplit *split, size_t length) noexcept nogil:
    """Make room for `length` more bytes of text. Returns 0, or -1 when there is no memory."""
    cdef size_t capacity = split.capacity if split.capacity else 65536
    cdef char *data
    if split.used + length <= split.capacity:
        return 0
    while capacity < split.used + length:
        capacity *= 2
    data = <char *>realloc(split.data, capacity)
    if data == NULL:
        return -1
    split.data = data
    split.capacity = capacity
    return 0


cdef inline bint is_zeros_12(const unsigned char *data) noexcept nogil:
    cdef uint64_t eight
    cdef uint32_t four
    memcpy(&eight, data, 8)
    memcpy(&four, data + 8, 4)
    return (eight | four) == 0


cdef inline char *base64_three(char *out, const unsigned char *data) noexcept nogil:
    """Write three bytes as four digits. Returns the end of what is written."""
    out[0] = BASE64[data[0] >> 2]
    out[1] = BASE64[(data[0] & 3) << 4 | data[1] >> 4]
    out[2] = BASE64[(data[1] & 15) << 2 | data[2] >> 6]
    out[3] = BASE64[data[2] & 63]
    return out + 4


cdef inline char *base64_rest(char *out, const unsigned char *data, int length) noexcept nogil:
    """Write the last one or two bytes as four digits, or none. Returns the end."""
    cdef unsigned char padded[3]
    if length == 0:
        return out
    memset(padded, 0, sizeof(padded))
    memcpy(padded, data, length)
    out = base64_three(out, padded)
    (out - 1)[0] = c"="
    if length == 1:
        (out - 2)[0] = c"="
    return out


cdef inline char *segment_bytes(
    TarSplit *split, char *out, const unsigned char *data, size_t length
) noexcept nogil:
    """Write `length` bytes of the open segment, as digits. Returns the end."""
    cdef const unsigned char *end = data + length
    cdef int i
    split.segment += length
    while split.waits and data < end:
        split.waiting[split.waits] = data[0]
        split.waits += 1
        data += 1
        if split.waits == 3:
            out = base64_three(out, split.waiting)
            split.waits = 0
    while end - data >= 12:
        # Most of a header are zeros.
        if is_zeros_12(data):
            memset(out, c"A", 16)
        else:
            for i in range(4):
                base64_three(out + 4 * i, data + 3 * i)
        out += 16
        data += 12
    while end - data >= 3:
        out = base64_three(out, data)
        data += 3
    while data < end:
        split.waiting[split.waits] = data[0]
        split.waits += 1
        data += 1
    return out


cdef inline char *write_line_end(TarSplit *split, char *out) noexcept nogil:
    out += snprintf(out, 40, b",\"position\":%llu}\n", split.position)
    split.position += 1
    return out


cdef inline int tar_split_cut(TarSplit *split) noexcept nogil:
    """End the segment that is open, if one is. Returns 0, or -1 when there is no memory."""
    cdef char *out
    if split.segment == 0:
        return 0
    if tar_split_room(split, LINE_FRAME) != 0:
        return -1
    out = base64_rest(split.data + split.used, split.waiting, split.waits)
    out[0] = c"\""
    out = write_line_end(split, out + 1)
    split.used = out - split.data
    split.segment = 0
    split.waits = 0
    return 0


cdef inline int tar_split_raw(
    TarSplit *split, const unsigned char *data, size_t length
) noexcept nogil:
    """Add bytes of the stream that are no file's content, in order.

    They are headers with all that belongs to them, padding, and what is at the
    end. Returns 0, or -1 when there is no memory.
    """
    cdef char *out
    if length == 0:
        return 0
    if tar_split_room(split, LINE_FRAME + length // 3 * 4) != 0:
        return -1
    out = split.data + split.used
    if split.segment == 0:
        memcpy(out, b"{\"type\":2,\"payload\":\"", 21)
        out += 21
    out = segment_bytes(split, out, data, length)
    split.used = out - split.data
    return 0


cdef inline char *write_name(
    char *out, const unsigned char *name, size_t length
) noexcept nogil:
    """Write the member that has the name, if there is a name. Returns the end."""
    cdef size_t i
    if length == 0:
        return out
    memcpy(out, b",\"name\":\"", 9)
    out += 9
    for i in range(length):
        # What JSON has longer forms for is too rare to matter.
        out[i] = c"_" if name[i] < 0x20 or name[i] in (c'"', c"\\") else name[i]
    out[length] = c'"'
    return out + length + 1


cdef inline char *write_checksum(char *out, uint64_t checksum) noexcept nogil:
    """Write the eight bytes of a checksum, as digits. Returns the end."""
    cdef unsigned char digits[8]
    cdef int i
    for i in range(8):
        digits[i] = checksum >> (56 - 8 * i) & 0xFF
    out = base64_three(out, digits)
    out = base64_three(out, digits + 3)
    return base64_rest(out, digits + 6, 2)


cdef inline int tar_split_entry(
    TarSplit *split, const char *name, size_t name_length, long long size
) noexcept nogil:
    """Add an entry: after the last of its header blocks, before its content.

    If it has content, `tar_split_entry_end` has to follow.

    Args:
        split: the document.
        name: the entry's as the stream has it, a folder's slash included.
        name_length: its bytes.
        size: bytes of content that follow; 0 for all that has none.

    Returns 0, or -1 when there is no memory.
    """
    cdef char *out
    if tar_split_cut(split) != 0:
        return -1
    if tar_split_room(split, LINE_FRAME + name_length) != 0:
        return -1
    out = split.data + split.used
    memcpy(out, b"{\"type\":1", 9)
    out = write_name(out + 9, <const unsigned char *>name, name_length)
    if size > 0:
        out += snprintf(out, 40, b",\"size\":%lld,\"payload\":\"", size)
        split.is_in_entry = True
        split.checksum = size
        split.held = 0
    else:
        memcpy(out, b",\"payload\":null", 15)
        out = write_line_end(split, out + 15)
    split.used = out - split.data
    return 0


cdef inline void add_piece(TarSplit *split, const unsigned char *piece) noexcept nogil:
    cdef uint64_t words[4]
    memcpy(words, piece, PIECE)
    # Odd numbers without a pattern; one multiplication need not wait for another's result.
    split.checksum ^= (
        words[0] * 0x9E3779B97F4A7C15ULL
        + words[1] * 0xC2B2AE3D27D4EB4FULL
        + words[2] * 0x165667B19E3779F9ULL
        + words[3] * 0x27D4EB2F165667C5ULL
    )
    split.checksum = (split.checksum ^ split.checksum >> 32) * 0xBF58476D1CE4E5B9ULL


cdef inline void tar_split_content(
    TarSplit *split, const unsigned char *data, size_t length
) noexcept nogil:
    """Add content of the entry; it goes into the checksum."""
    cdef const unsigned char *end = data + length
    cdef size_t taken
    while data < end:
        if split.held == 0 and end - data >= PIECE:
            add_piece(split, data)
            data += PIECE
            continue
        taken = min(<size_t>(end - data), PIECE - split.held)
        memcpy(split.content + split.held, data, taken)
        split.held += taken
        data += taken
        if split.held == PIECE:
            add_piece(split, split.content)
            split.held = 0


cdef inline void tar_split_known(TarSplit *split, uint64_t checksum) noexcept nogil:
    """Say what the checksum of the entry's content is so far."""
    split.checksum = checksum
    split.held = 0


cdef inline void tar_split_unknown(TarSplit *split) noexcept nogil:
    """Say that content of the entry is not known: its checksum becomes that of no other."""
    tar_split_content(split, <const unsigned char *>&split.position, sizeof(split.position))


cdef inline int tar_split_entry_end(TarSplit *split) noexcept nogil:
    """Say that all content of the entry was added. Returns 0, or -1 when there is no memory."""
    cdef char *out
    if tar_split_room(split, LINE_FRAME) != 0:
        return -1
    if split.held:
        memset(split.content + split.held, 0, PIECE - split.held)
        add_piece(split, split.content)
    out = write_checksum(split.data + split.used, split.checksum)
    out[0] = c"\""
    out = write_line_end(split, out + 1)
    split.used = out - split.data
    split.is_in_entry = False
    return 0
