"""The paths that a tar has had so far, to notice one that comes a second time.

Who keeps a tar-split document takes no tar that has a path twice (vbatts/tar-split,
tar/storage/packer.go). A path is known by 64 bits of a hash with a random key: with
20,000,000 paths, the chance that two are taken for one is 1 in 90,000.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from layerscan.tar._text cimport Reason


cdef enum:
    FIRST_BITS = 10


cdef struct SeenPaths:
    # Open addressing, at most 3/4 full; 0 is a free slot. The first bits of a hash
    # are its place: so a table twice as large is filled from front to back.
    uint64_t *slots
    size_t used
    int bits  # there are 2 ** bits slots, or none before the first path


cdef extern from * nogil:
    """
    #define ls_will_write(address) __builtin_prefetch(address, 1)
    """
    void ls_will_write(const void *address)


cdef inline uint64_t *seen_slot(const SeenPaths *seen, uint64_t hash) noexcept nogil:
    """The slot that has the hash, or else the free one that it belongs into."""
    cdef size_t mask = (<size_t>1 << seen.bits) - 1
    cdef size_t i = hash >> (64 - seen.bits)
    while seen.slots[i] != 0 and seen.slots[i] != hash:
        i = (i + 1) & mask
    return &seen.slots[i]


cdef inline Reason seen_grow(SeenPaths *seen) noexcept nogil:
    """Make a larger table."""
    cdef SeenPaths grown
    cdef size_t i
    grown.bits = seen.bits + 1 if seen.bits else FIRST_BITS
    grown.used = seen.used
    grown.slots = <uint64_t *>calloc(<size_t>1 << grown.bits, sizeof(uint64_t))
    if grown.slots == NULL:
        return b"no memory"
    if seen.bits:
        for i in range(<size_t>1 << seen.bits):
            if seen.slots[i] != 0:
                seen_slot(&grown, seen.slots[i])[0] = seen.slots[i]
    free(seen.slots)
    seen[0] = grown
    return NULL


cdef inline Reason seen_ready(SeenPaths *seen, uint64_t hash) noexcept nogil:
    """Say that a path will be added soon: it then need not wait for memory."""
    cdef Reason reason = NULL
    if seen.bits == 0 or seen.used >= (<size_t>3 << seen.bits) // 4:
        reason = seen_grow(seen)
    if reason == NULL:
        ls_will_write(&seen.slots[hash >> (64 - seen.bits)])
    return reason


cdef inline bint seen_add(SeenPaths *seen, uint64_t hash) noexcept nogil:
    """Add a path by its hash, after `seen_ready`. Returns whether it was there."""
    cdef uint64_t *slot
    hash |= hash == 0
    slot = seen_slot(seen, hash)
    if slot[0] == hash:
        return True
    slot[0] = hash
    seen.used += 1
    return False
