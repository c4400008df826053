"""A set of inodes that have more than one name: open addressing, 16 bytes a
slot, at most 3/4 full. Each inode remembers in which of two trees it was seen
(a root, and the root's named child), so that both count it once."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from layerscan.walking._linux cimport pthread_mutex_t


cdef struct Inode:
    uint64_t ino
    uint32_t dev
    uint32_t seen  # bits IN_TREE and IN_CHILD; 0 marks a free slot


cdef enum:
    IN_TREE = 1
    IN_CHILD = 2


cdef struct InodeSet:
    Inode *slots
    size_t capacity  # a power of two, or 0 before the first insertion
    size_t used


cdef struct Named:
    # An inode with several names, of trees that count apart.
    uint64_t ino, blocks, size
    uint32_t dev
    uint32_t tree           # the first that has one of them, from 1; 0 marks a free slot
    uint32_t names, nlink   # how many were met, how many there are
    unsigned short mode
    bint elsewhere          # whether several trees have one


cdef struct Apart:
    InodeSet roots
    pthread_mutex_t lock    # of what follows
    Named *slots            # open addressing, as in `InodeSet`
    size_t capacity, used


cdef inline size_t inode_mix(uint64_t ino, uint32_t dev) noexcept nogil:
    """A number for a place in a table."""
    # The finaliser of splitmix64: inode numbers are runs of neighbours.
    cdef uint64_t h = ino ^ (<uint64_t>dev << 40)
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL
    return <size_t>(h ^ (h >> 31))


cdef inline size_t inode_slot(const InodeSet *inodes, uint64_t ino, uint32_t dev) noexcept nogil:
    """Where the inode is, or the free slot where it belongs."""
    cdef size_t i = inode_mix(ino, dev) & (inodes.capacity - 1)
    while inodes.slots[i].seen and not (
        inodes.slots[i].ino == ino and inodes.slots[i].dev == dev
    ):
        i = (i + 1) & (inodes.capacity - 1)
    return i


cdef inline int inode_set_grow(InodeSet *inodes) noexcept nogil:
    """Double the capacity. Returns 0, or -1 when there is no memory."""
    cdef InodeSet grown
    cdef size_t i, slot
    grown.capacity = inodes.capacity * 2 if inodes.capacity else 256
    grown.used = inodes.used
    grown.slots = <Inode *>calloc(grown.capacity, sizeof(Inode))
    if grown.slots == NULL:
        return -1
    for i in range(inodes.capacity):
        if inodes.slots[i].seen:
            slot = inode_slot(&grown, inodes.slots[i].ino, inodes.slots[i].dev)
            grown.slots[slot] = inodes.slots[i]
    free(inodes.slots)
    inodes[0] = grown
    return 0


cdef inline int inode_set_add(
    InodeSet *inodes, uint64_t ino, uint32_t dev, uint32_t where
) noexcept nogil:
    """Mark the inode as seen `where`.

    Returns the bits of `where` that are new for it, or -1 when there is no
    memory.
    """
    cdef uint32_t new
    if inodes.used * 4 >= inodes.capacity * 3 and inode_set_grow(inodes) != 0:
        return -1
    cdef Inode *inode = &inodes.slots[inode_slot(inodes, ino, dev)]
    if inode.seen == 0:
        inode.ino = ino
        inode.dev = dev
        inodes.used += 1
    new = where & ~inode.seen
    inode.seen |= where
    return <int>new


cdef inline uint32_t inode_set_seen(
    const InodeSet *inodes, uint64_t ino, uint32_t dev
) noexcept nogil:
    """Where the inode was seen, 0 if it is not in the set."""
    return inodes.slots[inode_slot(inodes, ino, dev)].seen if inodes.capacity else 0


cdef inline void inode_set_free(InodeSet *inodes) noexcept nogil:
    free(inodes.slots)
    inodes.slots = NULL
    inodes.capacity = inodes.used = 0
