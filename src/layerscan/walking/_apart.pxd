"""Trees that count apart: each inode counts in one of them, and in the same at each run.

All roots are looked at before the walk begins, so that a tree ends where another begins.
An inode with several names counts in the first of the trees that have one of them. Which
that is, is known at the end: until then such inodes are kept here.
"""

from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from layerscan.walking._folders cimport Tree, Walk, device
from layerscan.walking._inodes cimport (
    IN_TREE,
    Apart,
    Named,
    inode_mix,
    inode_set_add,
    inode_set_free,
    inode_set_seen,
)
from layerscan.walking._linux cimport AT_FDCWD, Stat, ls_stat
from layerscan.walking._tally cimport add_inode


cdef inline int note_roots(Walk *w, size_t borders) noexcept nogil:
    """Look at each root; the last `borders` are only where others end. Returns 0, or ENOMEM."""
    cdef size_t i
    cdef Tree *tree
    cdef Stat st
    cdef int new
    for i in range(w.tree_count):
        tree = &w.trees[i]
        # What is wrong with it now, the walk will meet.
        if ls_stat(AT_FDCWD, tree.path, &st) != 0:
            continue
        tree.ino = st.stx_ino
        tree.dev = device(&st)
        new = inode_set_add(&w.apart.roots, tree.ino, tree.dev, IN_TREE)
        if new < 0:
            return ENOMEM
        tree.skipped = not new or i + borders >= w.tree_count
    return 0


cdef inline bint is_root(const Walk *w, const Stat *st) noexcept nogil:
    """Whether what was found in a tree is the root of one."""
    return inode_set_seen(&w.apart.roots, st.stx_ino, device(st)) != 0


cdef inline Named *named_slot(const Apart *apart, uint64_t ino, uint32_t dev) noexcept nogil:
    cdef size_t i = inode_mix(ino, dev) & (apart.capacity - 1)
    while apart.slots[i].tree and not (apart.slots[i].ino == ino and apart.slots[i].dev == dev):
        i = (i + 1) & (apart.capacity - 1)
    return &apart.slots[i]


cdef inline int grow(Apart *apart) noexcept nogil:
    """Double the capacity. Returns 0, or -1 when there is no memory."""
    cdef Apart grown  # without its lock
    cdef size_t i
    grown.capacity = apart.capacity * 2 if apart.capacity else 256
    grown.slots = <Named *>calloc(grown.capacity, sizeof(Named))
    if grown.slots == NULL:
        return -1
    for i in range(apart.capacity):
        if apart.slots[i].tree:
            named_slot(&grown, apart.slots[i].ino, apart.slots[i].dev)[0] = apart.slots[i]
    free(apart.slots)
    apart.slots = grown.slots
    apart.capacity = grown.capacity
    return 0


cdef inline int add_name(Walk *w, const Tree *tree, const Named *found) noexcept nogil:
    """Keep a name, met in `tree`, of an inode that has several.

    `Apart.lock` is held. Returns 0, or -1 when there is no memory.
    """
    cdef Apart *apart = &w.apart
    cdef Named *known
    cdef uint32_t number = <uint32_t>(tree - w.trees) + 1
    if apart.used * 4 >= apart.capacity * 3 and grow(apart) != 0:
        return -1
    known = named_slot(apart, found.ino, found.dev)
    if known.tree == 0:
        known[0] = found[0]
        known.tree = number
        apart.used += 1
    elif known.tree != number:
        known.elsewhere = True
        known.tree = min(known.tree, number)
    known.names += 1
    return 0


cdef inline void settle_named(Walk *w) noexcept nogil:
    """Count the inodes that were kept, once the walk is over."""
    cdef size_t i
    cdef Named *named
    cdef Tree *tree
    for i in range(w.apart.capacity):
        named = &w.apart.slots[i]
        if named.tree == 0:
            continue
        tree = &w.trees[named.tree - 1]
        add_inode(&tree.whole, named.mode, named.blocks, named.size)
        # Each name was counted as one too many.
        tree.whole.duplicates -= 1
        if named.elsewhere or named.names < named.nlink:
            tree.shared_blocks += named.blocks


cdef inline void apart_free(Apart *apart) noexcept nogil:
    inode_set_free(&apart.roots)
    free(apart.slots)
    apart.slots = NULL
    apart.capacity = apart.used = 0
