# cython: subinterpreters_compatible=shared_gil
"""The pages of bbolt's trees: checked as a whole, then searched and taken apart, in C.

This file owns the layout of branch and leaf pages, and Go's varints, which the
values in containerd's are. It makes no system call. Where pages are, and what
leads to which, is ``stores/containerd/bolt.py``'s matter.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.string cimport memcmp

cimport cython


cdef enum:
    # Of a page: its number (8 bytes), flags, count of elements, pages of overflow.
    HEADER = 16
    # Of a leaf: flags, distance to the key, sizes of key and value.
    # Of a branch: distance to the key, its size, number of the page (8 bytes).
    ELEMENT = 16
    # Before the page inside a value that is a bucket: number of its root, a sequence.
    BUCKET = 16
    IS_BRANCH = 1
    IS_LEAF = 2
    IS_BUCKET = 1
    # By bbolt's own rule (MaxKeySize).
    LONGEST_KEY = 32768
    LONGEST_VARINT = 10


class PageError(ValueError):
    pass


cdef struct Element:
    # Offsets in the page. They stay far below 2^64 whatever the element says.
    uint64_t key
    uint64_t key_size
    uint64_t value
    uint64_t value_size
    uint64_t child
    bint is_bucket


cdef inline uint64_t little_endian(const unsigned char *at, int size) noexcept nogil:
    """The number that `size` bytes are."""
    cdef uint64_t found = 0
    cdef int index
    for index in range(size):
        found |= <uint64_t>at[index] << 8 * index
    return found


cdef inline Element element(const unsigned char *page, bint is_leaf, uint32_t index) noexcept nogil:
    cdef uint64_t at = HEADER + <uint64_t>index * ELEMENT
    cdef const unsigned char *raw = page + at
    cdef Element found
    if is_leaf:
        found.is_bucket = little_endian(raw, 4) & IS_BUCKET
        found.key = at + little_endian(raw + 4, 4)
        found.key_size = little_endian(raw + 8, 4)
        found.value_size = little_endian(raw + 12, 4)
        found.child = 0
    else:
        found.is_bucket = False
        found.key = at + little_endian(raw, 4)
        found.key_size = little_endian(raw + 4, 4)
        found.value_size = 0
        found.child = little_endian(raw + 8, 8)
    found.value = found.key + found.key_size
    return found


cdef inline int compared(
    const unsigned char *one, uint64_t size, const unsigned char *other, uint64_t other_size
) noexcept nogil:
    cdef int order = memcmp(one, other, min(size, other_size))
    return order if order else (size > other_size) - (size < other_size)


@cython.final
cdef class Value:
    """Bytes `start` to `end` of `data`; `Page.value` alone makes one."""

    cdef readonly bint is_bucket
    cdef bytes data
    cdef uint64_t start, end

    def __init__(self):
        raise TypeError("values are found in pages")

    def content(self):
        return PyBytes_FromStringAndSize(
            PyBytes_AS_STRING(self.data) + self.start, self.end - self.start
        )

    @property
    def root(self):
        if self.end - self.start < BUCKET:
            raise PageError("is cut off")
        return little_endian(<const unsigned char *>PyBytes_AS_STRING(self.data) + self.start, 8)

    def page(self):
        return None if self.root else Page(self.data, self.start + BUCKET, self.end)


@cython.final
cdef class Page:
    """A page in `data`, from `start` on. Once it is made, its elements can be relied upon."""

    cdef readonly bint is_leaf
    cdef readonly uint64_t number
    cdef readonly uint32_t overflow
    cdef bytes data
    cdef uint64_t start
    cdef const unsigned char *page
    cdef uint32_t count

    def __cinit__(self, bytes data not None, uint64_t start=0, uint64_t end=UINT64_MAX):
        cdef uint64_t kind, length
        end = min(end, <uint64_t>PyBytes_GET_SIZE(data))
        if end < start or end - start < HEADER:
            raise PageError("is cut off")
        length = end - start
        self.data = data
        self.start = start
        self.page = <const unsigned char *>PyBytes_AS_STRING(data) + start
        self.number = little_endian(self.page, 8)
        kind = little_endian(self.page + 8, 2)
        self.count = <uint32_t>little_endian(self.page + 10, 2)
        self.overflow = <uint32_t>little_endian(self.page + 12, 4)
        if HEADER + <uint64_t>self.count * ELEMENT > length:
            raise PageError("has more elements than fit into it")
        if kind != IS_LEAF and (kind != IS_BRANCH or self.count == 0):
            raise PageError("is neither a leaf nor a branch")
        self.is_leaf = kind == IS_LEAF
        self.check(length)

    cdef int check(self, uint64_t length) except -1:
        """Check that each element is in the page, and keys are in order.

        Keys and values lie behind the elements, in their order and without
        gaps: bbolt writes them so (its node.write), and then none is read twice
        over.
        """
        cdef uint64_t end = HEADER + <uint64_t>self.count * ELEMENT
        cdef Element last, one
        cdef uint32_t index
        for index in range(self.count):
            one = element(self.page, self.is_leaf, index)
            if one.key != end or one.key_size > LONGEST_KEY:
                raise PageError("has an element that is not in it")
            end = one.value + one.value_size
            if end > length:
                raise PageError("has an element that is not in it")
            if index and self.order(last, self.page + one.key, one.key_size) >= 0:
                raise PageError("has keys that are out of order")
            last = one
        return 0

    cdef inline int order(self, Element one, const unsigned char *key, uint64_t size) noexcept:
        """Below 0 if the key of `one` comes before `key`, above 0 if after it."""
        return compared(self.page + one.key, one.key_size, key, size)

    cdef uint32_t place(self, bytes key) noexcept:
        """Index of the first element whose key comes after `key`."""
        cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(key)
        cdef uint64_t size = PyBytes_GET_SIZE(key)
        cdef uint32_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) // 2
            if self.order(element(self.page, self.is_leaf, middle), text, size) > 0:
                high = middle
            else:
                low = middle + 1
        return low

    cdef bytes key(self, Element one):
        return PyBytes_FromStringAndSize(<const char *>self.page + one.key, one.key_size)

    cdef Value value(self, Element one):
        cdef Value found = Value.__new__(Value)
        found.is_bucket = one.is_bucket
        found.data = self.data
        found.start = self.start + one.value
        found.end = found.start + one.value_size
        return found

    def find(self, bytes key not None):
        cdef uint32_t index = self.place(key)
        cdef Element one
        if index == 0 or not self.is_leaf:
            return None
        one = element(self.page, True, index - 1)
        if self.order(one, <const unsigned char *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)):
            return None
        return self.value(one)

    def child(self, bytes key not None):
        if self.is_leaf:
            raise PageError("is no branch")
        cdef uint32_t index = self.place(key)
        # The first child also stands for all that comes before it.
        return element(self.page, False, index - 1 if index else 0).child

    def children(self):
        cdef uint32_t index
        if self.is_leaf:
            raise PageError("is no branch")
        return [element(self.page, False, index).child for index in range(self.count)]

    def elements(self):
        cdef list found = []
        cdef Element one
        cdef uint32_t index
        if not self.is_leaf:
            raise PageError("is no leaf")
        for index in range(self.count):
            one = element(self.page, True, index)
            found.append((self.key(one), self.value(one)))
        return found

    def record(self, tuple names not None):
        cdef list found = [b""] * len(names)
        cdef Element one
        cdef uint32_t index
        cdef Py_ssize_t which
        cdef bytes name
        if not self.is_leaf:
            raise PageError("is no leaf")
        for index in range(self.count):
            one = element(self.page, True, index)
            if one.is_bucket:
                continue
            for which, name in enumerate(names):
                if (
                    one.key_size == <uint64_t>PyBytes_GET_SIZE(name)
                    and memcmp(self.page + one.key, PyBytes_AS_STRING(name), one.key_size) == 0
                ):
                    found[which] = PyBytes_FromStringAndSize(
                        <const char *>self.page + one.value, one.value_size
                    )
        return tuple(found)


def uvarint(bytes raw not None):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw), index
    cdef uint64_t value = 0
    cdef unsigned char byte
    if not 0 < size <= LONGEST_VARINT:
        raise ValueError(raw)
    for index in range(size):
        byte = <unsigned char>PyBytes_AS_STRING(raw)[index]
        # The highest bit says that another byte follows; the tenth byte holds one bit more.
        if (byte < 0x80) != (index == size - 1) or (index == LONGEST_VARINT - 1 and byte > 1):
            raise ValueError(raw)
        value |= <uint64_t>(byte & 0x7F) << 7 * index
    return value


def varint(bytes raw not None):
    cdef uint64_t value = uvarint(raw)
    if value & 1:
        raise ValueError(raw)
    return value >> 1
