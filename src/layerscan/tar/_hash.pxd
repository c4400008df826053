"""SipHash-1-3 of names and paths, with a key that nobody outside can know.

So no stream can be made whose names all fall on the same place of a table.
"""

from libc.stdint cimport uint32_t, uint64_t

from layerscan.tar._text cimport Span


cdef struct HashKey:
    uint64_t low
    uint64_t high


cdef extern from * nogil:
    """
    #include <string.h>

    static inline uint64_t ls_rotated(uint64_t x, int bits) {
        return x << bits | x >> (64 - bits);
    }

    #define LS_SIP_ROUND \\
        v0 += v1; v1 = ls_rotated(v1, 13); v1 ^= v0; v0 = ls_rotated(v0, 32); \\
        v2 += v3; v3 = ls_rotated(v3, 16); v3 ^= v2; \\
        v0 += v3; v3 = ls_rotated(v3, 21); v3 ^= v0; \\
        v2 += v1; v1 = ls_rotated(v1, 17); v1 ^= v2; v2 = ls_rotated(v2, 32)

    static inline uint64_t ls_siphash(
        uint64_t low, uint64_t high, const char *text, size_t length
    ) {
        uint64_t v0 = low ^ 0x736f6d6570736575ULL, v1 = high ^ 0x646f72616e646f6dULL;
        uint64_t v2 = low ^ 0x6c7967656e657261ULL, v3 = high ^ 0x7465646279746573ULL;
        uint64_t word;
        size_t left = length;
        for (; left >= 8; text += 8, left -= 8) {
            memcpy(&word, text, 8);
            v3 ^= word;
            LS_SIP_ROUND;
            v0 ^= word;
        }
        word = 0;
        memcpy(&word, text, left);
        word |= (uint64_t)length << 56;
        v3 ^= word;
        LS_SIP_ROUND;
        v0 ^= word;
        v2 ^= 0xff;
        LS_SIP_ROUND;
        LS_SIP_ROUND;
        LS_SIP_ROUND;
        return v0 ^ v1 ^ v2 ^ v3;
    }
    """
    uint64_t ls_siphash(uint64_t low, uint64_t high, const char *text, size_t length)


cdef inline uint32_t hash_name(const HashKey *key, Span name) noexcept nogil:
    return <uint32_t>ls_siphash(key.low, key.high, name.text, name.length)


cdef inline uint64_t hash_path(const HashKey *key, uint64_t above, Span path) noexcept nogil:
    """The hash of a clean path that begins so many folders above, see `clean`."""
    return ls_siphash(key.low ^ above, key.high, path.text, path.length)
