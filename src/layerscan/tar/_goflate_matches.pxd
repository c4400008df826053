"""What Go's deflate finds in its window: literals and matches, at level 6.

Go has the format and the name of levels from zlib, but searches in its own way:
for matches of four bytes and more, with another hash, along chains of 128, in a
window that moves by half its length. Where it moves depends on how much each
write brings, so `add` must be called as Go's writer is.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from layerscan.tar._goflate_block cimport (
    Block, block_begin, block_end, block_literal, block_match
)


cdef enum:
    HALF = 32768
    HASH_BITS = 17
    SHORTEST = 4
    LONGEST = 258
    # A match of the shortest length is of no use from further back.
    FAR = 4096
    # Level 6: how many candidates are tried, from which length on a match is good
    # enough to look no further, and a match so long that the next byte's is not looked for.
    TRIES = 128
    NICE = 128
    LAZY = 16
    MOST_TOKENS = 16384
    NOWHERE = -1
    # Bytes that are read at a time where matches are compared, beyond the end.
    SLACK = 8
    # From here on `moved` starts anew: it and what it is in must stay small numbers.
    MOST_MOVED = 1 << 24


cdef struct Matches:
    Block block
    # Bits that are written.
    uint64_t position
    # Positions in the window: what is next, the end of what is there, the start of
    # the block (NOWHERE if it has moved out).
    int at
    int end
    int block_start
    # The match, or no match (SHORTEST - 1), at the byte before, which is still
    # to be decided if there is one.
    int length
    int distance
    bint has_before
    # How far the window has moved, plus one: a position in it and this makes what is in
    # `heads` and `before`, so that 0 is none.
    uint32_t moved
    # The newest position of each hash, and of each position the one before with that hash.
    uint32_t heads[1 << HASH_BITS]
    uint32_t before[HALF]
    uint8_t window[2 * HALF + SLACK]


cdef extern from * nogil:
    """
    #include <endian.h>
    """
    int trailing_zeros "__builtin_ctzll"(unsigned long long)
    uint32_t big_endian "be32toh"(uint32_t)
    uint64_t little_endian "le64toh"(uint64_t)


cdef inline void matches_begin(Matches *state) noexcept nogil:
    memset(state, 0, sizeof(Matches))
    state.length = SHORTEST - 1
    state.moved = 1
    block_begin(&state.block)


cdef inline uint32_t four(const uint8_t *data) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, data, 4)
    return value


cdef inline uint32_t *head_of(Matches *state, uint32_t bytes_there) noexcept nogil:
    return &state.heads[
        (big_endian(bytes_there) * <uint32_t>0x1E35A7BD) >> (32 - HASH_BITS)
    ]


cdef inline int insert(Matches *state, int at) noexcept nogil:
    """Enter the four bytes at `at`. Returns the newest position before with their hash."""
    cdef uint32_t *head = head_of(state, four(state.window + at))
    cdef uint32_t newest = head[0]
    state.before[at & (HALF - 1)] = newest
    head[0] = <uint32_t>at + state.moved
    return <int>(newest - state.moved)


cdef inline void insert_all(Matches *state, int start, int stop) noexcept nogil:
    """Enter the four bytes at each position. In a run of one byte they are all the same."""
    cdef uint32_t there, newest
    cdef uint32_t *head
    cdef int at = start
    while at < stop:
        there = four(state.window + at)
        head = head_of(state, there)
        newest = head[0]
        while True:
            state.before[at & (HALF - 1)] = newest
            newest = <uint32_t>at + state.moved
            at += 1
            if at >= stop or four(state.window + at) != there:
                break
        head[0] = newest


cdef inline int common(const uint8_t *left, const uint8_t *right, int most) noexcept nogil:
    """How many bytes are the same, at most `most`."""
    cdef int length = 0
    cdef uint64_t a, b
    while length < most:
        memcpy(&a, left + length, 8)
        memcpy(&b, right + length, 8)
        if a != b:
            return min(length + (trailing_zeros(little_endian(a ^ b)) >> 3), most)
        length += 8
    return most


cdef inline void search(Matches *state, int candidate) noexcept nogil:
    """Look for a match at `at`, along the chain from `candidate` on."""
    cdef const uint8_t *here = state.window + state.at
    cdef int most = min(LONGEST, state.end - state.at)
    cdef int nice = min(NICE, most)
    cdef int least = state.at - HALF
    cdef int _try, length
    for _try in range(TRIES):
        # A longer one has these four bytes, too.
        if four(state.window + candidate + state.length - 3) == four(here + state.length - 3):
            length = common(state.window + candidate, here, most)
            if length > state.length and (length > SHORTEST or state.at - candidate <= FAR):
                state.length = length
                state.distance = state.at - candidate
                if length >= nice:
                    return
        if candidate == least:
            return
        candidate = <int>(state.before[candidate & (HALF - 1)] - state.moved)
        if candidate < least or candidate < 0:
            return


cdef inline void end_block(Matches *state, int end) noexcept nogil:
    cdef int64_t stored = end - state.block_start if state.block_start != NOWHERE else -1
    state.position = block_end(&state.block, state.position, stored)
    state.block_start = end


cdef inline void advance(Matches *state, bint is_last) noexcept nogil:
    """Go on as far as there is enough to look ahead; to the end if this `is_last`."""
    cdef int last_entered = state.end - SHORTEST
    cdef int ahead, candidate, length, distance, stop
    while True:
        ahead = state.end - state.at
        if ahead < SHORTEST + LONGEST and not is_last:
            return
        if ahead == 0:
            break
        candidate = insert(state, state.at) if state.at <= last_entered else NOWHERE
        length = state.length
        distance = state.distance
        state.length = SHORTEST - 1
        if candidate >= 0 and candidate >= state.at - HALF and length < min(ahead, LAZY):
            search(state, candidate)
        if length >= SHORTEST and state.length <= length:
            # The match at the byte before is the better one.
            block_match(&state.block, length, distance)
            stop = state.at + length - 1
            insert_all(state, state.at + 1, min(stop, last_entered + 1))
            state.at = stop
            state.length = SHORTEST - 1
            state.has_before = False
            if state.block.tokens == MOST_TOKENS:
                end_block(state, state.at)
        else:
            if state.has_before:
                block_literal(&state.block, state.window[state.at - 1])
                if state.block.tokens == MOST_TOKENS:
                    end_block(state, state.at)
            state.at += 1
            state.has_before = True
    if state.has_before:
        block_literal(&state.block, state.window[state.at - 1])
        state.has_before = False
    if state.block.tokens:
        end_block(state, state.at)


cdef inline void forget(uint32_t *positions, size_t count, uint32_t moved) noexcept nogil:
    cdef size_t i
    for i in range(count):
        positions[i] = positions[i] - moved if positions[i] > moved else 0


cdef inline void move_window(Matches *state) noexcept nogil:
    memcpy(state.window, state.window + HALF, HALF)
    state.at -= HALF
    state.end -= HALF
    state.block_start = state.block_start - HALF if state.block_start >= HALF else NOWHERE
    state.moved += HALF
    if state.moved > MOST_MOVED:
        forget(state.heads, 1 << HASH_BITS, state.moved - 1)
        forget(state.before, HALF, state.moved - 1)
        state.moved = 1


cdef inline void matches_add(
    Matches *state, const uint8_t *data, size_t length, bint goes_on
) noexcept nogil:
    """Add what Go's writer gets in one call, or what `goes_on` in a call."""
    cdef size_t taken
    while length:
        if not goes_on:
            advance(state, False)
            if state.at >= 2 * HALF - (SHORTEST + LONGEST):
                move_window(state)
        goes_on = False
        taken = min(length, <size_t>(2 * HALF - state.end))
        memcpy(state.window + state.end, data, taken)
        state.end += taken
        data += taken
        length -= taken


cdef inline uint64_t matches_end(Matches *state) noexcept nogil:
    """End the stream. Returns how many bits it has, as Go pads it."""
    advance(state, True)
    # An empty block, stored: three bits, padding, and its length twice.
    return (state.position + 3 + 7) // 8 * 8 + 32
