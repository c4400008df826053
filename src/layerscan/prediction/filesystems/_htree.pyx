# cython: subinterpreters_compatible=shared_gil
"""The growth of the index of a folder of ext4, entry by entry, in C and without the GIL.

The rules are those of the kernel, `layerscan.prediction.filesystems.ext4_folders` has them with
their source. A folder of more than one block keeps its entries in leaves, each
for a range of hashes. A new entry goes to the leaf of its hash, and a leaf that
is full is split by hash, half its bytes to each side. The kernel seeds the hash
of names anew for each file system, so no model can know it: here hashes are
made up, the same at each call, and a folder is grown several times for a mean.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset, strchr


cdef enum:
    SHORTEST_ENTRY = 12  # 8 bytes and a name of 1 to 4
    MOST_ROOM = 65536  # bytes for entries in the largest block
    MOST_IN_LEAF = 65536 // SHORTEST_ENTRY + 1
    NOTHING = -1


cdef struct Name:
    uint32_t hash
    int32_t length
    int32_t before  # the one that came to the same leaf before it, or NOTHING


cdef struct Leaf:
    uint32_t least_hash
    int32_t used, count, newest


cdef struct Node:  # a block of the index
    uint32_t least_hash
    int32_t count
    int32_t *leaves  # in the order of their hashes


cdef struct Index:
    int32_t linear_room, leaf_room, half_block, root_limit, node_limit
    Name *names
    Leaf *leaves
    Node *nodes
    int32_t leaf_count, node_count
    int32_t levels  # with one, the only node is the root itself
    int32_t *node_space
    Name *sorting


cdef int index_allocate(Index *index, size_t most_names) noexcept nogil:
    """Space for folders of so many names. Returns 0, or -1 when there is no memory."""
    # Both sides of a split have an entry, and both nodes of one have half the leaves.
    cdef size_t most_nodes = 2 * most_names // index.root_limit + 2
    index.names = <Name *>malloc(most_names * sizeof(Name))
    index.leaves = <Leaf *>malloc((most_names + 1) * sizeof(Leaf))
    index.nodes = <Node *>malloc(most_nodes * sizeof(Node))
    index.node_space = <int32_t *>malloc(most_nodes * index.node_limit * sizeof(int32_t))
    index.sorting = <Name *>malloc(MOST_IN_LEAF * sizeof(Name))
    return -1 if (
        index.names == NULL or index.leaves == NULL or index.nodes == NULL
        or index.node_space == NULL or index.sorting == NULL
    ) else 0


cdef void index_free(Index *index) noexcept nogil:
    free(index.names)
    free(index.leaves)
    free(index.nodes)
    free(index.node_space)
    free(index.sorting)


cdef inline int32_t new_leaf(Index *index, uint32_t least_hash) noexcept nogil:
    cdef int32_t number = index.leaf_count
    index.leaves[number].least_hash = least_hash
    index.leaves[number].used = index.leaves[number].count = 0
    index.leaves[number].newest = NOTHING
    index.leaf_count += 1
    return number


cdef inline int32_t new_node(Index *index, uint32_t least_hash) noexcept nogil:
    cdef int32_t number = index.node_count
    index.nodes[number].least_hash = least_hash
    index.nodes[number].count = 0
    index.nodes[number].leaves = index.node_space + <int64_t>number * index.node_limit
    index.node_count += 1
    return number


cdef inline void put_into_leaf(Index *index, Leaf *leaf, int32_t name) noexcept nogil:
    index.names[name].before = leaf.newest
    leaf.newest = name
    leaf.used += index.names[name].length
    leaf.count += 1


cdef inline Node *node_of(Index *index, uint32_t hash) noexcept nogil:
    cdef int32_t low = 0, high = index.node_count, middle
    while high - low > 1:
        middle = (low + high) >> 1
        if index.nodes[middle].least_hash <= hash:
            low = middle
        else:
            high = middle
    return &index.nodes[low]


cdef inline int32_t place_of(Index *index, Node *node, uint32_t hash) noexcept nogil:
    """Where in the node the leaf of the hash stands."""
    cdef int32_t low = 0, high = node.count, middle
    while high - low > 1:
        middle = (low + high) >> 1
        if index.leaves[node.leaves[middle]].least_hash <= hash:
            low = middle
        else:
            high = middle
    return low


cdef void make_room_in_node(Index *index, Node *node) noexcept nogil:
    """Split a full node of the index in the middle; of a full root, make one more level."""
    cdef int32_t kept, moved, i, place, at
    cdef Node upper
    if index.levels == 1:
        index.levels = 2
        return
    kept = node.count // 2
    moved = node.count - kept
    at = new_node(index, 0)
    upper = index.nodes[at]
    for i in range(moved):
        upper.leaves[i] = node.leaves[kept + i]
    upper.count = moved
    upper.least_hash = index.leaves[upper.leaves[0]].least_hash
    node.count = kept
    # The new node belongs right behind the old one.
    place = <int32_t>(node - index.nodes) + 1
    while at > place:
        index.nodes[at] = index.nodes[at - 1]
        at -= 1
    index.nodes[place] = upper


cdef int32_t sort_leaf(Index *index, Leaf *leaf) noexcept nogil:
    """Put a leaf's entries into `sorting`, by their hashes.

    Their numbers are in `before`. What the last split left is in order already
    and comes first.
    """
    cdef int32_t i = leaf.count, j, name = leaf.newest
    cdef Name moving
    while name != NOTHING:
        i -= 1
        index.sorting[i] = index.names[name]
        index.sorting[i].before = name
        name = index.names[name].before
    for i in range(1, leaf.count):
        moving = index.sorting[i]
        j = i
        while j > 0 and index.sorting[j - 1].hash > moving.hash:
            index.sorting[j] = index.sorting[j - 1]
            j -= 1
        index.sorting[j] = moving
    return leaf.count


cdef void split_leaf(Index *index, Node *node, int32_t place) noexcept nogil:
    """Move the upper half, by bytes, of a leaf's entries to a new leaf behind it."""
    cdef Leaf *lower = &index.leaves[node.leaves[place]]
    cdef int32_t count = sort_leaf(index, lower), i = count - 1, moved = 0, length, split, number
    cdef Leaf *upper
    while i >= 0:
        length = index.sorting[i].length
        if index.sorting[i].before == lower.newest:
            # The last entry in a block has what is free behind it, too.
            length += index.leaf_room - lower.used
        if moved + length // 2 > index.half_block:
            break
        moved += length
        i -= 1
    split = i + 1 if i >= 0 else count // 2
    number = new_leaf(index, index.sorting[split].hash)
    upper = &index.leaves[number]
    lower.used = lower.count = 0
    lower.newest = NOTHING
    for i in range(count):
        put_into_leaf(index, lower if i < split else upper, index.sorting[i].before)
    for i in range(node.count, place + 1, -1):
        node.leaves[i] = node.leaves[i - 1]
    node.leaves[place + 1] = number
    node.count += 1


cdef void add_name(Index *index, int32_t name) noexcept nogil:
    cdef uint32_t hash = index.names[name].hash
    cdef Node *node = node_of(index, hash)
    cdef int32_t place = place_of(index, node, hash)
    cdef Leaf *leaf = &index.leaves[node.leaves[place]]
    # The block of a folder that has one only also holds "." and "..".
    cdef int32_t room = index.linear_room if index.leaf_count == 1 else index.leaf_room
    if leaf.used + index.names[name].length > room:
        if node.count == (index.root_limit if index.levels == 1 else index.node_limit):
            make_room_in_node(index, node)
            node = node_of(index, hash)
            place = place_of(index, node, hash)
        split_leaf(index, node, place)
        place = place_of(index, node, hash)
        leaf = &index.leaves[node.leaves[place]]
    put_into_leaf(index, leaf, name)


cdef inline uint32_t made_up_hash(uint64_t number) noexcept nogil:
    """31 bits, evenly spread. The finaliser of splitmix64."""
    cdef uint64_t h = (number + 1) * 0x9e3779b97f4a7c15ULL
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL
    return <uint32_t>((h ^ (h >> 31)) >> 33)


cdef int64_t grow(
    Index *index, const int32_t *lengths, int64_t count, uint64_t first_hash
) noexcept nogil:
    """Blocks of a folder once it has all of its entries."""
    cdef int32_t i
    index.leaf_count = index.node_count = 0
    index.levels = 1
    new_node(index, 0)
    index.nodes[0].leaves[0] = new_leaf(index, 0)
    index.nodes[0].count = 1
    for i in range(<int32_t>count):
        index.names[i].hash = made_up_hash(first_hash + i)
        index.names[i].length = lengths[i]
        add_name(index, i)
    if index.leaf_count == 1:
        return 1
    return 1 + index.leaf_count + (index.node_count if index.levels == 2 else 0)


cdef int64_t most_entries(const int64_t *starts, int64_t folders, int64_t entries) except -1:
    """Entries of the largest folder."""
    cdef int64_t folder, most = 0
    if starts[0] != 0 or starts[folders] != entries:
        raise ValueError("the folders' starts do not fit to the entries")
    for folder in range(folders):
        if starts[folder + 1] <= starts[folder]:
            raise ValueError("a folder without entries")
        most = max(most, starts[folder + 1] - starts[folder])
    return most


cdef int grow_all(
    Index *index, const int32_t *lengths, const int64_t *starts, double *means, int64_t folders,
    int64_t most, int trials,
) noexcept nogil:
    """Fill `means`. Returns 0, or -1 when there is no memory."""
    cdef int64_t folder, count, total
    cdef int _trial
    cdef uint64_t hashed = 0
    cdef int failed = index_allocate(index, most)
    if not failed:
        for folder in range(folders):
            total = 0
            count = starts[folder + 1] - starts[folder]
            for _trial in range(trials):
                total += grow(index, &lengths[starts[folder]], count, hashed)
                hashed += count
            means[folder] = <double>total / trials
    index_free(index)
    return failed


cdef Py_ssize_t take(
    array, Py_buffer *view, const char *formats, Py_ssize_t size, int flags=0
) except -1:
    """Take the memory of an array of numbers until `view` is released. Returns how many.

    Their `formats` are letters of the struct module, and `size` the bytes of each. Typed
    memoryviews do this as well, and are most of what Cython then makes.
    """
    PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_ND | flags)
    if view.ndim != 1 or view.itemsize != size or strchr(formats, view.format[0]) == NULL:
        raise ValueError("an array of other numbers than it has to have")
    return view.shape[0]


def indexed_blocks(
    lengths, starts, means, *,
    int linear_room, int leaf_room, int block_size, int root_limit, int node_limit, int trials,
):
    cdef Index index
    cdef Py_buffer views[3]
    cdef int64_t entries, folders, most
    cdef int failed, i
    if linear_room < SHORTEST_ENTRY or leaf_room > MOST_ROOM or trials < 1:
        raise ValueError("these are no measures of a folder")
    if root_limit < 2 or node_limit < root_limit:
        raise ValueError("these are no measures of a folder's index")
    index.linear_room, index.leaf_room, index.half_block = linear_room, leaf_room, block_size // 2
    index.root_limit, index.node_limit = root_limit, node_limit
    memset(views, 0, sizeof(views))
    try:
        entries = take(lengths, &views[0], b"il", sizeof(int32_t))
        folders = take(means, &views[2], b"d", sizeof(double), PyBUF_WRITABLE)
        if take(starts, &views[1], b"lq", sizeof(int64_t)) != folders + 1:
            raise ValueError("the folders' starts do not fit to the entries")
        most = most_entries(<const int64_t *>views[1].buf, folders, entries)
        with nogil:
            failed = grow_all(
                &index, <const int32_t *>views[0].buf, <const int64_t *>views[1].buf,
                <double *>views[2].buf, folders, most, trials,
            )
    finally:
        for i in range(3):
            PyBuffer_Release(&views[i])
    if failed:
        raise MemoryError
