"""The document that Docker and containers/storage keep of a layer's stream, see tar-split.

Of it the stream can be made again, byte for byte, with the files' content from
the unpacked layer. It is a line of JSON for each file, and one for each run of
bytes that are no content, a segment, in the order of the stream. The lines here
are those that Go's tar-split writes.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from layerscan.tar._crc64 cimport Crc64, crc64_add, crc64_prepare


cdef struct TarSplit:
    # What is made and not yet taken. Who takes it sets `used` to 0.
    char *data
    size_t used
    size_t capacity
    # Of the next line.
    unsigned long long position
    # Bytes of the segment whose line is begun and not ended; 0: there is none.
    size_t segment
    # Whether the two blocks that end a tar were seen; then how much the next segment holds.
    bint is_past_end
    size_t room
    # Of `segment` the bytes that wait for others, to be three.
    unsigned char waiting[3]
    int waits
    # Whether the line of an entry waits for the checksum of its content, and that so far.
    bint is_in_entry
    uint64_t checksum
    Crc64 crc


cdef enum:
    # What comes after the end of a tar is kept as it is read. Go's compress/gzip gives it
    # from a window of so much, which it fills again and again from the stream's start.
    WINDOW = 32768
    # No line needs more than this, beside its name and its bytes.
    LINE_FRAME = 128


cdef extern from * nogil:
    """
    static const char ls_base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char ls_hex[] = "0123456789abcdef";
    """
    const char BASE64 "ls_base64"[]
    const char HEX "ls_hex"[]


cdef inline void tar_split_begin(TarSplit *split) noexcept nogil:
    memset(split, 0, sizeof(TarSplit))
    crc64_prepare(&split.crc)


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
    cdef const char *frame = b"{\"type\":2,\"payload\":\""
    cdef char *out
    cdef size_t piece
    while length > 0:
        piece = length
        if split.is_past_end and piece > split.room - split.segment:
            piece = split.room - split.segment
        if tar_split_room(split, LINE_FRAME + piece // 3 * 4) != 0:
            return -1
        out = split.data + split.used
        if split.segment == 0:
            memcpy(out, frame, 21)
            out += 21
        out = segment_bytes(split, out, data, piece)
        split.used = out - split.data
        data += piece
        length -= piece
        if split.is_past_end and split.segment == split.room:
            if tar_split_cut(split) != 0:
                return -1
            split.room = WINDOW
    return 0


cdef inline int utf8_length(const unsigned char *text, size_t length) noexcept nogil:
    """Bytes of the character that `text` begins with, 0 if it is none of UTF-8."""
    cdef unsigned char first = text[0], second
    cdef int count, i
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4:
        return 0
    count = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if <size_t>count > length:
        return 0
    for i in range(1, count):
        if text[i] & 0xC0 != 0x80:
            return 0
    second = text[1]
    # Not the shortest form, half of a pair of UTF-16, or past the last character.
    if first == 0xE0 and second < 0xA0 or first == 0xED and second > 0x9F:
        return 0
    if first == 0xF0 and second < 0x90 or first == 0xF4 and second > 0x8F:
        return 0
    return count


cdef inline bint is_utf8(const unsigned char *text, size_t length) noexcept nogil:
    cdef size_t at = 0
    cdef int count
    while at < length:
        count = utf8_length(text + at, length - at)
        if count == 0:
            return False
        at += count
    return True


cdef inline char *write_escape(char *out, unsigned int character) noexcept nogil:
    memcpy(out, b"\\u", 2)
    out[2] = HEX[character >> 12 & 15]
    out[3] = HEX[character >> 8 & 15]
    out[4] = HEX[character >> 4 & 15]
    out[5] = HEX[character & 15]
    return out + 6


cdef inline char short_escape(unsigned char character) noexcept nogil:
    if character == c"\n":
        return c"n"
    if character == c"\r":
        return c"r"
    return c"t" if character == c"\t" else character


cdef inline char *write_character(char *out, const unsigned char *text, int count) noexcept nogil:
    """Write a character of `count` bytes as Go's encoding/json does. Returns the end."""
    cdef unsigned char first = text[0]
    if count == 3 and first == 0xE2 and text[1] == 0x80 and text[2] & 0xFE == 0xA8:
        # The two separators of lines that JavaScript knows and JSON does not.
        return write_escape(out, 0x2000 | text[2] & 0x3F)
    if first in (c"<", c">", c"&") or first < 0x20 and first not in (c"\n", c"\r", c"\t"):
        return write_escape(out, first)
    if first in (c'"', c"\\", c"\n", c"\r", c"\t"):
        out[0] = c"\\"
        out[1] = short_escape(first)
        return out + 2
    memcpy(out, text, count)
    return out + count


cdef inline char *write_name(
    char *out, const unsigned char *name, size_t length
) noexcept nogil:
    """Write the member that has the name, if there is a name. Returns the end."""
    cdef size_t at = 0
    cdef int count
    if length == 0:
        return out
    if is_utf8(name, length):
        memcpy(out, b",\"name\":\"", 9)
        out += 9
        while at < length:
            count = utf8_length(name + at, length - at)
            out = write_character(out, name + at, count)
            at += count
    else:
        memcpy(out, b",\"name_raw\":\"", 13)
        out += 13
        while length - at >= 3:
            out = base64_three(out, name + at)
            at += 3
        out = base64_rest(out, name + at, <int>(length - at))
    out[0] = c"\""
    return out + 1


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
    # A byte of a name is at most six in JSON.
    if tar_split_room(split, LINE_FRAME + name_length * 6) != 0:
        return -1
    out = split.data + split.used
    memcpy(out, b"{\"type\":1", 9)
    out = write_name(out + 9, <const unsigned char *>name, name_length)
    if size > 0:
        out += snprintf(out, 40, b",\"size\":%lld,\"payload\":\"", size)
        split.is_in_entry = True
        split.checksum = 0
    else:
        memcpy(out, b",\"payload\":null", 15)
        out = write_line_end(split, out + 15)
    split.used = out - split.data
    return 0


cdef inline void tar_split_content(
    TarSplit *split, const unsigned char *data, size_t length
) noexcept nogil:
    """Add content of the entry; it goes into the checksum."""
    split.checksum = crc64_add(&split.crc, split.checksum, data, length)


cdef inline void tar_split_unknown(TarSplit *split) noexcept nogil:
    """Say that content of the entry is not known: its checksum becomes some digits."""
    # splitmix64, so that they are no others' as well.
    cdef uint64_t mixed = (split.position + 1) * 0x9E3779B97F4A7C15ULL
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL
    split.checksum = mixed ^ (mixed >> 31)


cdef inline int tar_split_entry_end(TarSplit *split) noexcept nogil:
    """Say that all content of the entry was added. Returns 0, or -1 when there is no memory."""
    cdef char *out
    if tar_split_room(split, LINE_FRAME) != 0:
        return -1
    out = write_checksum(split.data + split.used, split.checksum)
    out[0] = c"\""
    out = write_line_end(split, out + 1)
    split.used = out - split.data
    split.is_in_entry = False
    return 0


cdef inline int tar_split_end(TarSplit *split, uint64_t offset) noexcept nogil:
    """Say that the two blocks that end a tar were added; more bytes may follow.

    `offset` is where in the stream they would. Returns 0, or -1 when there is no memory.
    """
    split.is_past_end = True
    split.room = WINDOW - offset % WINDOW
    return tar_split_cut(split)


cdef inline int tar_split_finish(TarSplit *split) noexcept nogil:
    """End the document. Returns 0, or -1 when there is no memory."""
    cdef char *out
    # tar-split adds what its last read gave, were it nothing. Go's compress/gzip tells the
    # end together with the last bytes of a window that is not full.
    cdef bint has_rest = split.is_past_end and split.segment > 0
    if tar_split_cut(split) != 0 or tar_split_room(split, LINE_FRAME) != 0:
        return -1
    if has_rest:
        return 0
    out = split.data + split.used
    memcpy(out, b"{\"type\":2,\"payload\":\"\"", 22)
    out = write_line_end(split, out + 22)
    split.used = out - split.data
    return 0
