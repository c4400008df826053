"""CRC-64/ISO of a file's content, as Go's hash/crc64 has it: tar-split's checksum.

The polynomial is x^64 + x^4 + x^3 + x + 1, and bits are taken lowest first: in a
word the lowest bit stands for the highest power. The remainder of 64 bytes is
found with multiplications without carry, where the processor has them; else, and
for what is left, eight bytes at a time with tables.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef enum:
    POWERS = 4
    SLICES = 8


cdef struct Crc64:
    # What each byte, so far before the end, adds to the remainder.
    uint64_t tables[SLICES][256]
    # x^(n-1) modulo the polynomial, for n of 576, 512, 192 and 128: what a word is
    # worth 576 bits before, and so on. One power less, as the product of two words
    # with their bits in this order comes out shifted by one.
    uint64_t powers[POWERS]
    bint has_multiplication


cdef extern from * nogil:
    """
    #include <endian.h>
    #include <stddef.h>
    #include <stdint.h>

    #if defined(__x86_64__)
    #include <immintrin.h>

    #define LS_CLMUL __attribute__((target("pclmul,sse2")))

    static inline int ls_has_clmul(void) { return __builtin_cpu_supports("pclmul") != 0; }

    /* What `block` is worth as many bits later as `powers` says, and `next` with it. */
    static inline LS_CLMUL __m128i ls_fold(__m128i block, __m128i powers, __m128i next) {
        __m128i first = _mm_clmulepi64_si128(block, powers, 0x00);
        __m128i second = _mm_clmulepi64_si128(block, powers, 0x11);
        return _mm_xor_si128(_mm_xor_si128(first, second), next);
    }

    /* Reduces `length` bytes, 64 or more, to 16 with the same remainder, and says how
       many are left. Four chains at a time: a multiplication takes some cycles. */
    static LS_CLMUL size_t ls_crc64_fold(
        uint64_t crc, const uint8_t *data, size_t length, const uint64_t *powers, uint8_t *out
    ) {
        const __m128i *blocks = (const __m128i *)data;
        const __m128i far = _mm_loadu_si128((const __m128i *)powers);
        const __m128i near = _mm_loadu_si128((const __m128i *)(powers + 2));
        __m128i chain[4], sum;
        int i;
        for (i = 0; i < 4; i++)
            chain[i] = _mm_loadu_si128(blocks + i);
        chain[0] = _mm_xor_si128(chain[0], _mm_cvtsi64_si128((long long)crc));
        for (length -= 64, blocks += 4; length >= 64; length -= 64, blocks += 4)
            for (i = 0; i < 4; i++)
                chain[i] = ls_fold(chain[i], far, _mm_loadu_si128(blocks + i));
        sum = chain[0];
        for (i = 1; i < 4; i++)
            sum = ls_fold(sum, near, chain[i]);
        _mm_storeu_si128((__m128i *)out, sum);
        return length;
    }
    #else
    static inline int ls_has_clmul(void) { return 0; }
    static inline size_t ls_crc64_fold(
        uint64_t crc, const uint8_t *data, size_t length, const uint64_t *powers, uint8_t *out
    ) {
        /* Never called. Compilers that see this far ask for what `out` holds. */
        (void)crc; (void)data; (void)powers;
        for (int i = 0; i < 16; i++)
            out[i] = 0;
        return length;
    }
    #endif
    """
    bint has_multiplication "ls_has_clmul"()
    size_t fold "ls_crc64_fold"(
        uint64_t crc, const uint8_t *data, size_t length, const uint64_t *powers, uint8_t *out
    )
    uint64_t little_endian "le64toh"(uint64_t)


cdef inline uint64_t times_x(uint64_t remainder, int power) noexcept nogil:
    cdef int _step
    for _step in range(power):
        remainder = remainder >> 1 ^ (0xD800000000000000ULL if remainder & 1 else 0)
    return remainder


cdef inline void crc64_prepare(Crc64 *crc) noexcept nogil:
    cdef uint64_t one = 0x8000000000000000ULL
    cdef int byte, i
    cdef uint64_t before
    for byte in range(256):
        crc.tables[0][byte] = times_x(byte, 8)
    for i in range(1, SLICES):
        for byte in range(256):
            before = crc.tables[i - 1][byte]
            crc.tables[i][byte] = before >> 8 ^ crc.tables[0][before & 0xFF]
    crc.powers[0] = times_x(one, 512 + 64 - 1)
    crc.powers[1] = times_x(one, 512 - 1)
    crc.powers[2] = times_x(one, 128 + 64 - 1)
    crc.powers[3] = times_x(one, 128 - 1)
    crc.has_multiplication = has_multiplication()


cdef inline uint64_t by_tables(
    const Crc64 *crc, uint64_t remainder, const uint8_t *data, size_t length
) noexcept nogil:
    cdef uint64_t word
    while length >= 8:
        memcpy(&word, data, 8)
        word = little_endian(word) ^ remainder
        remainder = (
            crc.tables[7][word & 0xFF]
            ^ crc.tables[6][word >> 8 & 0xFF]
            ^ crc.tables[5][word >> 16 & 0xFF]
            ^ crc.tables[4][word >> 24 & 0xFF]
            ^ crc.tables[3][word >> 32 & 0xFF]
            ^ crc.tables[2][word >> 40 & 0xFF]
            ^ crc.tables[1][word >> 48 & 0xFF]
            ^ crc.tables[0][word >> 56]
        )
        data += 8
        length -= 8
    while length:
        remainder = remainder >> 8 ^ crc.tables[0][(remainder ^ data[0]) & 0xFF]
        data += 1
        length -= 1
    return remainder


cdef inline uint64_t crc64_add(
    const Crc64 *crc, uint64_t checksum, const uint8_t *data, size_t length
) noexcept nogil:
    """The checksum of what `checksum` is of, 0 for nothing, and of `data` after it."""
    cdef uint8_t folded[16]
    cdef uint64_t remainder = ~checksum
    cdef size_t left
    if crc.has_multiplication and length >= 128:
        left = fold(remainder, data, length, crc.powers, folded)
        data += length - left
        length = left
        remainder = by_tables(crc, 0, folded, 16)
    return ~by_tables(crc, remainder, data, length)
