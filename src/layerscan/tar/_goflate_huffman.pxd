"""How Go's Huffman codes are long: the bits of each symbol, for given frequencies.

Several codes can be the shortest for the same frequencies, and what describes the
code in the stream differs in length with it. Which one Go takes follows from how
it merges: package-merge, where a pair goes before a symbol of the same frequency,
and symbols of the same frequency in their own order.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memset


cdef enum:
    # Symbols of the largest alphabet: bytes, the end of a block, and lengths.
    MOST_SYMBOLS = 286
    MOST_BITS = 15


cdef inline int by_size(const void *left, const void *right) noexcept nogil:
    cdef uint64_t a = (<const uint64_t *>left)[0]
    cdef uint64_t b = (<const uint64_t *>right)[0]
    return (a > b) - (a < b)


cdef inline int merged(
    const uint64_t *leaves, int count, const int64_t *below, int below_count,
    int64_t *level, uint8_t *is_pair,
) noexcept nogil:
    """Merge the leaves with the pairs of the level below. Returns the items of this level."""
    cdef int leaf = 0
    cdef int pair = 0
    cdef int made = 0
    cdef int64_t weight
    cdef bint has_pair
    while True:
        has_pair = pair + 1 < below_count
        if not has_pair and leaf == count:
            return made
        weight = below[pair] + below[pair + 1] if has_pair else 0
        is_pair[made] = has_pair and (leaf == count or weight <= <int64_t>(leaves[leaf] >> 16))
        if is_pair[made]:
            pair += 2
        else:
            weight = leaves[leaf] >> 16
            leaf += 1
        level[made] = weight
        made += 1


cdef inline void code_lengths(
    const uint32_t *frequencies, int symbols, int most_bits, uint8_t *lengths
) noexcept nogil:
    """Write the bits of each symbol's code to `lengths`; 0 for one that does not occur."""
    cdef uint64_t leaves[MOST_SYMBOLS]
    cdef int64_t weights[2][2 * MOST_SYMBOLS]
    cdef uint8_t is_pair[MOST_BITS][2 * MOST_SYMBOLS]
    cdef int count = 0
    cdef int made = 0
    cdef int symbol, level, taken, pairs, item
    memset(lengths, 0, symbols)
    for symbol in range(symbols):
        if frequencies[symbol]:
            leaves[count] = <uint64_t>frequencies[symbol] << 16 | <uint32_t>symbol
            count += 1
    if count <= 2:
        for item in range(count):
            lengths[leaves[item] & 0xFFFF] = 1
        return
    qsort(leaves, count, sizeof(uint64_t), by_size)
    # No code can be longer, but Go's choice among equals depends on it.
    most_bits = min(most_bits, count - 1)
    for level in range(most_bits):
        made = merged(
            leaves, count, weights[(level + 1) & 1], made, weights[level & 1], is_pair[level]
        )
    # A leaf among those that are taken of a level makes its symbol's code a bit longer.
    taken = 2 * count - 2
    for level in range(most_bits - 1, -1, -1):
        pairs = 0
        for item in range(taken):
            pairs += is_pair[level][item]
        for item in range(taken - pairs):
            lengths[leaves[item] & 0xFFFF] += 1
        taken = 2 * pairs
