# What characters an identifier may have. Needs base.pxi, codec_tables.pxi.
#
# spiffe    [a-z0-9:/.-] beginning "spiffe://"      method   /[A-Za-z0-9_.]+/[A-Za-z0-9_]+
# purpose   [a-z0-9][a-z0-9._-]*                    token    [A-Za-z0-9._-]+
# pseudonym a token that is not shaped like a national number: no letter and 9 to 13 digits
# domain    [a-z0-9.-]+                             scope    "broker" or a spiffe

cdef extern from *:
    """
    enum { GB_IS_SPIFFE = 1, GB_IS_METHOD = 2, GB_IS_PURPOSE = 4, GB_IS_TOKEN = 8 };
    enum { GB_IS_DOMAIN = 16, GB_IS_DIGIT = 32, GB_IS_LETTER = 64 };
    static const unsigned char gb_text_class[256] = {
        ['a' ... 'z'] = GB_IS_SPIFFE | GB_IS_METHOD | GB_IS_PURPOSE | GB_IS_TOKEN | GB_IS_DOMAIN | GB_IS_LETTER,
        ['A' ... 'Z'] = GB_IS_METHOD | GB_IS_TOKEN | GB_IS_LETTER,
        ['0' ... '9'] = GB_IS_SPIFFE | GB_IS_METHOD | GB_IS_PURPOSE | GB_IS_TOKEN | GB_IS_DOMAIN | GB_IS_DIGIT,
        ['.'] = GB_IS_SPIFFE | GB_IS_METHOD | GB_IS_PURPOSE | GB_IS_TOKEN | GB_IS_DOMAIN,
        ['-'] = GB_IS_SPIFFE | GB_IS_PURPOSE | GB_IS_TOKEN | GB_IS_DOMAIN,
        ['_'] = GB_IS_METHOD | GB_IS_PURPOSE | GB_IS_TOKEN,
        ['/'] = GB_IS_SPIFFE | GB_IS_METHOD,
        [':'] = GB_IS_SPIFFE,
    };
    """
    enum:
        GB_IS_SPIFFE
        GB_IS_METHOD
        GB_IS_PURPOSE
        GB_IS_TOKEN
        GB_IS_DOMAIN
        GB_IS_DIGIT
        GB_IS_LETTER
    const unsigned char gb_text_class[256]


cdef inline bint gb_text_only(gb_span s, u32 wanted) noexcept nogil:
    cdef u32 all_of = wanted
    cdef size_t i
    for i in range(s.n):
        all_of &= gb_text_class[s.p[i]]
    return all_of != 0


cdef inline bint gb_text_spiffe(gb_span s) noexcept nogil:
    return s.n > 9 and memcmp(s.p, b"spiffe://", 9) == 0 and gb_text_only(s, GB_IS_SPIFFE)


cdef inline bint gb_text_method(gb_span s) noexcept nogil:
    """/service/method: exactly two slashes, nothing empty, no dot in the method's name."""
    cdef size_t i, second = 0
    if s.n < 4 or s.p[0] != 47 or not gb_text_only(s, GB_IS_METHOD):
        return False
    for i in range(1, s.n):
        if s.p[i] == 47:
            if second:
                return False
            second = i
        elif s.p[i] == 46 and second:
            return False
    return second > 1 and second < s.n - 1


cdef inline bint gb_text_personal(gb_span s) noexcept nogil:
    """Shaped like a national number, a tax code or a telephone: no letter and 9 to 13 digits in total."""
    cdef size_t i
    cdef u32 kind, digits = 0
    for i in range(s.n):
        kind = gb_text_class[s.p[i]]
        if kind & GB_IS_LETTER:
            return False
        digits += 1 if kind & GB_IS_DIGIT else 0
    return digits >= 9 and digits <= 13


cdef inline bint gb_text_allowed(gb_span s, u8 text) noexcept nogil:
    """Whether s, which is not empty, has the characters that `text` allows; says nothing of its length."""
    cdef u8 first
    if text == GB_ANY or text == GB_NODES:
        return True
    if text == GB_SPIFFE:
        return gb_text_spiffe(s)
    if text == GB_METHOD:
        return gb_text_method(s)
    if text == GB_PURPOSE:
        # Begins with a small letter or a digit: what a domain may have, less dot and hyphen.
        first = s.p[0]
        return gb_text_only(s, GB_IS_PURPOSE) and gb_text_class[first] & GB_IS_DOMAIN and first != 46 and first != 45
    if text == GB_TOKEN or text == GB_PSEUDONYM:
        return gb_text_only(s, GB_IS_TOKEN)
    if text == GB_DOMAIN:
        return gb_text_only(s, GB_IS_DOMAIN)
    if text == GB_SCOPE:
        return (s.n == 6 and memcmp(s.p, b"broker", 6) == 0) or gb_text_spiffe(s)
    return False
