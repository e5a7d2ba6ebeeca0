# Words of a message eight bytes at a time: compared with case ignored, hashed, the usual names of headers known at sight.
#
# All of it works on [s, e) of p, reads nothing outside and writes nothing.

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    static inline uint64_t siphond_eight(const unsigned char *p)
    {
        uint64_t word;
        memcpy(&word, p, 8);
        return word;
    }

    static inline uint64_t siphond_four(const unsigned char *p)
    {
        uint32_t word;
        memcpy(&word, p, 4);
        return word;
    }

    /* The first eight bytes, or all; those of one size differ where the bytes do. */
    static inline uint64_t siphond_word(const unsigned char *p, int size)
    {
        if (size >= 8)
            return siphond_eight(p);
        if (size >= 4)
            return siphond_four(p) | siphond_four(p + size - 4) << 32;
        if (size > 0)
            return (uint64_t)p[0] | (uint64_t)p[size >> 1] << 8 | (uint64_t)p[size - 1] << 16;
        return 0;
    }

    /* A to Z in lower case, in each of eight bytes; nothing else changes. */
    static inline uint64_t siphond_lower(uint64_t word)
    {
        const uint64_t high = 0x8080808080808080u;
        uint64_t low = word & ~high;
        uint64_t upper = (low + 0x3f3f3f3f3f3f3f3fu) & ~(low + 0x2525252525252525u) & ~word & high;
        return word | upper >> 2;
    }

    static inline int siphond_same(const unsigned char *a, const unsigned char *b, int size)
    {
        int i;
        if (size < 8)
            return siphond_lower(siphond_word(a, size)) == siphond_lower(siphond_word(b, size));
        for (i = 0; i + 8 < size; i += 8)
            if (siphond_lower(siphond_eight(a + i)) != siphond_lower(siphond_eight(b + i)))
                return 0;
        return siphond_lower(siphond_eight(a + size - 8)) == siphond_lower(siphond_eight(b + size - 8));
    }

    static inline int siphond_same_text(const unsigned char *p, int s, int e, const char *text, int length)
    {
        return e - s == length && siphond_same(p + s, (const unsigned char *)text, length);
    }

    static inline int siphond_same_span(
        const unsigned char *p, int s, int e, const unsigned char *q, int qs, int qe)
    {
        return e - s == qe - qs && siphond_same(p + s, q + qs, e - s);
    }

    static inline unsigned int siphond_hash(const unsigned char *p, int s, int e)
    {
        const uint64_t blank = 0x2020202020202020u;
        int size = e - s;
        uint64_t first = siphond_word(p + s, size) | blank;
        uint64_t last = size > 8 ? siphond_eight(p + e - 8) | blank : 0;
        uint64_t mixed = (first ^ (uint64_t)size) * 0x9e3779b97f4a7c15u ^ last;
        return (unsigned int)((mixed * 0xc2b2ae3d27d4eb4fu) >> 32);
    }

    static inline int siphond_skip_value(const unsigned char *p, int s, int e)
    {
        unsigned char c;
    #ifdef __SSE2__
        for (; e - s >= 16; s += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(p + s)), blank = _mm_set1_epi8(32);
            __m128i ends = _mm_cmpeq_epi8(_mm_min_epu8(v, blank), v);
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8(127)));
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8(',')));
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8(';')));
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('<')));
            ends = _mm_or_si128(ends, _mm_cmpeq_epi8(v, _mm_set1_epi8('>')));
            if (_mm_movemask_epi8(ends))
                return s + __builtin_ctz((unsigned int)_mm_movemask_epi8(ends));
        }
    #endif
        for (; s < e; s++) {
            c = p[s];
            if (c <= 32 || c == 127 || c == '"' || c == ',' || c == ';' || c == '<' || c == '>')
                break;
        }
        return s;
    }

    static inline int siphond_visible(const unsigned char *p, int s, int e)
    {
    #ifdef __SSE2__
        for (; e - s >= 16; s += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(p + s)), blank = _mm_set1_epi8(32);
            __m128i other = _mm_cmpeq_epi8(_mm_min_epu8(v, blank), v);
            if (_mm_movemask_epi8(_mm_or_si128(other, _mm_cmpeq_epi8(v, _mm_set1_epi8(127)))))
                return 0;
        }
    #endif
        for (; s < e; s++)
            if (p[s] <= 32 || p[s] == 127)
                return 0;
        return 1;
    }

    static inline int siphond_is_ascii(const unsigned char *p, int size)
    {
        uint64_t high = 0;
        int i = 0;
    #ifdef __SSE2__
        __m128i all = _mm_setzero_si128();
        for (; size - i >= 16; i += 16)
            all = _mm_or_si128(all, _mm_loadu_si128((const __m128i *)(p + i)));
        if (_mm_movemask_epi8(all))
            return 0;
    #endif
        for (; size - i >= 8; i += 8)
            high |= siphond_eight(p + i);
        for (; i < size; i++)
            high |= p[i];
        return !(high & 0x8080808080808080u);
    }

    #define SIPHOND_NAME(text, number) \\
        if (memcmp(p, text ":", sizeof(text)) == 0) { *size = sizeof(text) - 1; return number; }

    /* In the order of USUAL_NAMES in _scan_cy.py. */
    static inline int siphond_usual_name(const unsigned char *p, int left, int *size)
    {
        if (left < 16)
            return -1;
        switch (p[0]) {
        case 'V':
            SIPHOND_NAME("Via", 0) break;
        case 'F':
            SIPHOND_NAME("From", 1) break;
        case 'T':
            SIPHOND_NAME("To", 2) break;
        case 'C':
            SIPHOND_NAME("CSeq", 4) SIPHOND_NAME("Call-ID", 3) SIPHOND_NAME("Contact", 7)
            SIPHOND_NAME("Content-Length", 6) SIPHOND_NAME("Content-Type", 8) break;
        case 'M':
            SIPHOND_NAME("Max-Forwards", 5) break;
        case 'R':
            SIPHOND_NAME("Record-Route", 9) SIPHOND_NAME("Route", 10) break;
        case 'U':
            SIPHOND_NAME("User-Agent", 11) break;
        case 'A':
            SIPHOND_NAME("Allow", 12) break;
        case 'S':
            SIPHOND_NAME("Supported", 13) SIPHOND_NAME("Server", 14) break;
        }
        return -1;
    }
    """
    # Is the span this text, case ignored? The text is given in lower case.
    bint same_text "siphond_same_text"(const unsigned char *p, int s, int e, const char *text, int length)
    # Are the two spans equal, case ignored?
    bint same_span "siphond_same_span"(const unsigned char *p, int s, int e, const unsigned char *q, int qs, int qe)
    # Of a name, case ignored; a filter in front of a comparison, never an answer.
    unsigned int hash_name "siphond_hash"(const unsigned char *p, int s, int e)
    # Past an unquoted parameter's value: the characters of _grammar_cy.VALUE.
    int skip_value "siphond_skip_value"(const unsigned char *p, int s, int e)
    # No control character and no white space in the span.
    bint visible "siphond_visible"(const unsigned char *p, int s, int e)
    bint is_ascii "siphond_is_ascii"(const unsigned char *p, int size)
    # The number in USUAL_NAMES of the header that begins at p, written as there and with its colon behind, and the size of
    # the name; -1: another, or less than 16 bytes.
    int usual_name "siphond_usual_name"(const unsigned char *p, int left, int *size)
