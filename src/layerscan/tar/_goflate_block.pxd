"""How many bits a block of Go's deflate takes: RFC 1951, and what Go chooses of it.

Of a block's symbols nothing but their frequencies counts. It is written with the
code that RFC 1951 has fixed, with its own, or as it is, whichever is shortest.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from layerscan.tar._goflate_huffman cimport MOST_BITS, MOST_SYMBOLS, code_lengths


cdef enum:
    END_OF_BLOCK = 256
    FIRST_LENGTH = 257
    DISTANCES = 30
    # Of the code that describes the codes of a block.
    DESCRIPTIONS = 19
    MOST_DESCRIPTION_BITS = 7
    MOST_STORED = 65535


cdef struct Block:
    uint32_t symbols[MOST_SYMBOLS]
    uint32_t distances[DISTANCES]
    # Bits that follow the symbols of lengths and distances.
    uint64_t extra_bits
    uint32_t tokens


cdef extern from * nogil:
    """
    /* RFC 1951, 3.2.7: in which order the lengths of the descriptions' codes come. */
    static const uint8_t ls_description_order[19] =
        {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    """
    const uint8_t DESCRIPTION_ORDER "ls_description_order"[DESCRIPTIONS]
    int leading_zeros "__builtin_clz"(unsigned int)


cdef inline void block_begin(Block *block) noexcept nogil:
    memset(block, 0, sizeof(Block))


cdef inline void block_literal(Block *block, uint8_t byte) noexcept nogil:
    block.symbols[byte] += 1
    block.tokens += 1


cdef inline void block_match(Block *block, uint32_t length, uint32_t distance) noexcept nogil:
    """Count a match of 3 to 258 bytes, 1 to 32768 bytes back (RFC 1951, 3.2.5)."""
    cdef uint32_t value = length - 3
    cdef uint32_t bits
    if length == 258:
        block.symbols[FIRST_LENGTH + 28] += 1
    elif value < 8:
        block.symbols[FIRST_LENGTH + value] += 1
    else:
        # Four symbols for each power of two.
        bits = 29 - leading_zeros(value)
        block.symbols[FIRST_LENGTH + 4 * bits + (value >> bits)] += 1
        block.extra_bits += bits
    value = distance - 1
    if value < 4:
        block.distances[value] += 1
    else:
        # Two symbols for each power of two.
        bits = 30 - leading_zeros(value)
        block.distances[2 * bits + (value >> bits)] += 1
        block.extra_bits += bits
    block.tokens += 1


cdef inline int used(const uint32_t *frequencies, int symbols) noexcept nogil:
    """How many symbols are left when those at the end that do not occur are taken off."""
    while symbols > 0 and frequencies[symbols - 1] == 0:
        symbols -= 1
    return symbols


cdef inline uint64_t weighed(
    const uint32_t *frequencies, const uint8_t *lengths, int symbols
) noexcept nogil:
    cdef uint64_t bits = 0
    cdef int symbol
    for symbol in range(symbols):
        bits += <uint64_t>frequencies[symbol] * lengths[symbol]
    return bits


cdef inline uint64_t description_bits(const uint8_t *lengths, int count) noexcept nogil:
    """The bits that say how long `count` codes are, in runs (RFC 1951, 3.2.7)."""
    cdef uint32_t frequencies[DESCRIPTIONS]
    cdef uint8_t codes[DESCRIPTIONS]
    cdef int start = 0
    cdef int run, order
    memset(frequencies, 0, sizeof(frequencies))
    while start < count:
        run = 1
        while start + run < count and lengths[start + run] == lengths[start]:
            run += 1
        count_run(frequencies, lengths[start], run)
        start += run
    code_lengths(frequencies, DESCRIPTIONS, MOST_DESCRIPTION_BITS, codes)
    order = DESCRIPTIONS
    while order > 4 and frequencies[DESCRIPTION_ORDER[order - 1]] == 0:
        order -= 1
    return (
        weighed(frequencies, codes, DESCRIPTIONS)
        + 3 * order + 2 * frequencies[16] + 3 * frequencies[17] + 7 * frequencies[18]
    )


cdef inline void count_run(uint32_t *frequencies, uint8_t length, int run) noexcept nogil:
    """Count what describes `run` codes of the same length."""
    if length == 0:
        while run >= 11:
            frequencies[18] += 1
            run -= min(run, 138)
        if run >= 3:
            frequencies[17] += 1
            run = 0
    else:
        frequencies[length] += 1
        run -= 1
        while run >= 3:
            frequencies[16] += 1
            run -= min(run, 6)
    frequencies[length] += run


cdef inline uint64_t fixed_bits(const Block *block) noexcept nogil:
    """The bits of the symbols with the code of RFC 1951, 3.2.6."""
    cdef uint64_t bits = 0
    cdef int symbol
    for symbol in range(MOST_SYMBOLS):
        bits += block.symbols[symbol] * <uint64_t>(
            8 if symbol < 144 else 9 if symbol < 256 else 7 if symbol < 280 else 8
        )
    for symbol in range(DISTANCES):
        bits += 5 * <uint64_t>block.distances[symbol]
    return bits


cdef inline uint64_t block_end(
    Block *block, uint64_t position, int64_t stored
) noexcept nogil:
    """End a block that starts at the bit `position`, and begin the next.

    `stored` is how many bytes it stands for, -1 if Go has them no more. Returns the
    bit at which the block ends.
    """
    cdef uint8_t lengths[MOST_SYMBOLS + DISTANCES]
    cdef int symbols, distances
    cdef bint is_without
    cdef uint64_t own, fixed, bits, coded
    block.symbols[END_OF_BLOCK] += 1
    symbols = used(block.symbols, MOST_SYMBOLS)
    distances = used(block.distances, DISTANCES)
    # A distance that does not occur is described, and Go weighs it, but it is not written.
    is_without = distances == 0
    if is_without:
        block.distances[0] = 1
        distances = 1
    code_lengths(block.symbols, symbols, MOST_BITS, lengths)
    code_lengths(block.distances, distances, MOST_BITS, lengths + symbols)
    own = (
        3 + 5 + 5 + 4
        + description_bits(lengths, symbols + distances)
        + weighed(block.symbols, lengths, symbols)
        + weighed(block.distances, lengths + symbols, distances)
    )
    fixed = 3 + fixed_bits(block)
    bits = (own - is_without if own < fixed else fixed - 5 * is_without) + block.extra_bits
    coded = min(own, fixed) + block.extra_bits
    if 0 <= stored <= MOST_STORED and <uint64_t>(stored + 5) * 8 < coded:
        # Three bits and padding, the length twice, the bytes.
        position = (position + 3 + 7) // 8 * 8 + <uint64_t>(4 + stored) * 8
    else:
        position += bits
    block_begin(block)
    return position
