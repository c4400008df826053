"""How long Go's compress/gzip makes a text, to the byte.

Docker keeps a document of each layer that is compressed with it (`tarsplit`). The
result depends on the choices of that one compressor: others differ by up to a
third for very regular texts. So it is done again here, without writing anything:
`_goflate_matches` finds what Go finds, `_goflate_block` and `_goflate_huffman`
count the bits. Source of the rules: Go's packages compress/gzip and compress/flate
as Go 1.19 to 1.26 have them; the tests have what these made of texts.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr

from layerscan.tar._goflate_matches cimport (
    Matches, matches_add, matches_begin, matches_end
)


cdef enum:
    # The header without a name, and the trailer.
    GZIP_FRAME = 10 + 8


cdef void add_lines(
    Matches *state, const uint8_t *text, size_t length, bint is_in_line
) noexcept nogil:
    """Add each line as a write of its own, as Go's JSON encoder makes them."""
    cdef const uint8_t *newline
    cdef size_t line
    while length:
        newline = <const uint8_t *>memchr(text, c"\n", length)
        line = newline - text + 1 if newline != NULL else length
        matches_add(state, text, line, is_in_line)
        is_in_line = False
        text += line
        length -= line


cdef class GoGzipLength:
    cdef Matches *_state
    # The last piece ended within a line.
    cdef bint _is_in_line

    def __cinit__(self):
        self._state = <Matches *>malloc(sizeof(Matches))
        if self._state == NULL:
            raise MemoryError
        matches_begin(self._state)

    def __dealloc__(self):
        free(self._state)

    def add(self, const uint8_t[::1] text not None, /):
        cdef size_t length = text.shape[0]
        if length == 0:
            return
        with nogil:
            add_lines(self._state, &text[0], length, self._is_in_line)
        self._is_in_line = text[length - 1] != c"\n"

    def end(self):
        cdef unsigned long long bits
        with nogil:
            bits = matches_end(self._state)
        return bits // 8 + GZIP_FRAME
