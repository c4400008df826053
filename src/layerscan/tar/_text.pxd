"""Texts that are somewhere, texts that grow, and memory for more of anything.
"""

from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy, strlen


# Why something cannot be, as text that stays; NULL: it can. So `f() or g()` is the first
# that there is, and g is called only if f has none.
ctypedef const char *Reason

cdef struct Span:
    # NULL: it is not there.
    const char *text
    size_t length


cdef struct Text:
    char *data
    size_t length
    size_t capacity


cdef inline Span span(const void *text, size_t length) noexcept nogil:
    cdef Span made
    made.text = <const char *>text
    made.length = length
    return made


cdef inline bint begins_with(Span text, const char *start) noexcept nogil:
    return text.length >= strlen(start) and memcmp(text.text, start, strlen(start)) == 0


cdef inline bint is_text(Span text, const char *other) noexcept nogil:
    return text.length == strlen(other) and memcmp(text.text, other, text.length) == 0


cdef inline Reason grow(void **items, size_t *capacity, size_t count, size_t size) noexcept nogil:
    """Make room for one thing of `size` bytes more than `count`."""
    cdef size_t more = capacity[0] if capacity[0] else 256
    cdef void *grown
    if count < capacity[0]:
        return NULL
    while more <= count:
        more += more // 2
    grown = realloc(items[0], more * size)
    if grown == NULL:
        return b"no memory"
    items[0] = grown
    capacity[0] = more
    return NULL


cdef inline Reason text_room(Text *text, size_t length) noexcept nogil:
    """Make room for `length` more bytes, and one: there is memory then, also for no text."""
    return grow(<void **>&text.data, &text.capacity, text.length + length, 1)


cdef inline Reason text_add(Text *text, Span more) noexcept nogil:
    cdef Reason reason = text_room(text, more.length)
    if reason == NULL:
        memcpy(text.data + text.length, more.text, more.length)
        text.length += more.length
    return reason


cdef inline Reason text_set(Text *text, Span content) noexcept nogil:
    text.length = 0
    return text_add(text, content)
