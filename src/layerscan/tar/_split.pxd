"""The document that Docker and containers/storage keep of a layer's stream, see tar-split.

It is a line of JSON for each file, and one for each run of bytes that are no
content, a segment, in the order of the stream. Only the length of what a compressor
makes of it is of use here (`layerscan.tar.tarsplit`). So what does not matter for that
is simpler than in theirs: names are not escaped, a checksum is any 64 bits that equal
contents have in common, and what follows the tar's end is one segment.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from layerscan.tar._text cimport Reason, Span, Text, text_room


cdef enum:
    LINE_FRAME = 128  # no line needs more than this, beside its name and its bytes
    PIECE = 32  # bytes of content that go into a checksum at a time


cdef struct TarSplit:
    # What is made and not yet taken. Who takes it sets its length to 0.
    Text made
    unsigned long long position  # of the next line
    # What goes into the next segment: bytes of the stream that are no file's content, that is
    # headers with all that belongs to them, padding, and what is at the end.
    Text segment
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
    free(split.made.data)
    free(split.segment.data)
    memset(split, 0, sizeof(TarSplit))


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


cdef inline char *base64(char *out, const unsigned char *data, size_t length) noexcept nogil:
    """Write bytes as digits, padded to be in fours. Returns the end of what is written."""
    cdef const unsigned char *end = data + length
    cdef unsigned char padded[3]
    cdef int i
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
    if data < end:
        memset(padded, 0, sizeof(padded))
        memcpy(padded, data, end - data)
        out = base64_three(out, padded)
        memset(out - 3 + (end - data), c"=", 3 - (end - data))
    return out


cdef inline void end_line(TarSplit *split, char *out) noexcept nogil:
    """End a line of which `out` is the end so far; there is room for it."""
    out += snprintf(out, 40, b",\"position\":%llu}\n", split.position)
    split.position += 1
    split.made.length = out - split.made.data


cdef inline Reason tar_split_cut(TarSplit *split) noexcept nogil:
    """End the segment, if it has bytes."""
    cdef size_t length = split.segment.length
    cdef char *out
    cdef Reason reason
    if length == 0:
        return NULL
    reason = text_room(&split.made, LINE_FRAME + length // 3 * 4)
    if reason != NULL:
        return reason
    out = split.made.data + split.made.length
    memcpy(out, b"{\"type\":2,\"payload\":\"", 21)
    out = base64(out + 21, <unsigned char *>split.segment.data, length)
    out[0] = c"\""
    end_line(split, out + 1)
    split.segment.length = 0
    return NULL


cdef inline char *write_name(char *out, Span name) noexcept nogil:
    """Write the member that has the name, if there is a name. Returns the end."""
    cdef size_t i
    cdef unsigned char byte
    if name.length == 0:
        return out
    memcpy(out, b",\"name\":\"", 9)
    out += 9
    for i in range(name.length):
        # What JSON has longer forms for is too rare to matter.
        byte = name.text[i]
        out[i] = c"_" if byte < 0x20 or byte in (c'"', c"\\") else byte
    out[name.length] = c'"'
    return out + name.length + 1


cdef inline Reason tar_split_entry(TarSplit *split, Span name, long long size) noexcept nogil:
    """Add an entry: after the last of its header blocks, before its content.

    Its name is as the stream has it, a folder's slash included. If it has content, `size`
    bytes, `tar_split_entry_end` has to follow.
    """
    cdef char *out
    cdef Reason reason
    reason = tar_split_cut(split) or text_room(&split.made, LINE_FRAME + name.length)
    if reason != NULL:
        return reason
    out = split.made.data + split.made.length
    memcpy(out, b"{\"type\":1", 9)
    out = write_name(out + 9, name)
    if size > 0:
        out += snprintf(out, 40, b",\"size\":%lld,\"payload\":\"", size)
        split.made.length = out - split.made.data
        split.is_in_entry = True
        split.checksum = size
        split.held = 0
    else:
        memcpy(out, b",\"payload\":null", 15)
        end_line(split, out + 15)
    return NULL


cdef inline void add_piece(TarSplit *split, const void *piece) noexcept nogil:
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


cdef inline void tar_split_content(TarSplit *split, Span data) noexcept nogil:
    """Add content of the entry; it goes into the checksum."""
    cdef const char *at = data.text
    cdef const char *end = at + data.length
    cdef size_t taken
    while at < end:
        if split.held == 0 and end - at >= PIECE:
            add_piece(split, at)
            at += PIECE
            continue
        taken = min(<size_t>(end - at), PIECE - split.held)
        memcpy(split.content + split.held, at, taken)
        split.held += taken
        at += taken
        if split.held == PIECE:
            add_piece(split, split.content)
            split.held = 0


cdef inline Reason tar_split_entry_end(TarSplit *split) noexcept nogil:
    """Say that all content of the entry was added."""
    cdef unsigned char checksum[8]
    cdef char *out
    cdef int i
    cdef Reason reason = text_room(&split.made, LINE_FRAME)
    if reason != NULL:
        return reason
    if split.held:
        memset(split.content + split.held, 0, PIECE - split.held)
        add_piece(split, split.content)
    for i in range(8):
        checksum[i] = split.checksum >> (56 - 8 * i) & 0xFF
    out = base64(split.made.data + split.made.length, checksum, 8)
    out[0] = c"\""
    end_line(split, out + 1)
    split.is_in_entry = False
    return NULL
