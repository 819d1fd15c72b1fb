# Small helpers between Envoy's buffers and ours. Nothing here decides anything.

cdef inline envoy_buf buf_of(const void *p, size_t n) noexcept nogil:
    cdef envoy_buf b
    b.ptr = <const char *> p
    b.length = n
    return b

cdef inline envoy_buf buf_text(const char *text) noexcept nogil:
    return buf_of(text, strlen(text))

cdef inline bint text_is(const char *p, size_t n, const char *literal) noexcept nogil:
    cdef size_t m = strlen(literal)
    return n == m and memcmp(p, literal, m) == 0

cdef inline bint text_starts(const char *p, size_t n, const char *literal) noexcept nogil:
    cdef size_t m = strlen(literal)
    return n >= m and memcmp(p, literal, m) == 0

cdef size_t put_decimal(i64 value, char *out) noexcept nogil:
    # Decimal digits of a non-negative number, at most 20; returns how many.
    cdef char digits[20]
    cdef size_t n = 0
    cdef size_t i
    if value < 0:
        value = 0
    while True:
        digits[n] = <char> (48 + value % 10)
        n += 1
        value = value / 10
        if value == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n

cdef bint parse_decimal(const char *p, size_t n, u64 *out) noexcept nogil:
    # 1 to 19 digits and nothing else.
    cdef u64 value = 0
    cdef size_t i
    if n == 0 or n > 19:
        return False
    for i in range(n):
        if p[i] < 48 or p[i] > 57:
            return False
        value = value * 10 + <u64> (p[i] - 48)
    out[0] = value
    return True

cdef bint parse_grpc_timeout(const char *p, size_t n, i64 *out_ms) noexcept nogil:
    # gRPC over HTTP/2: up to 8 digits and a unit. Less than a millisecond counts as one.
    cdef u64 value = 0
    if n < 2 or n > 9 or not parse_decimal(p, n - 1, &value):
        return False
    cdef char unit = p[n - 1]
    if unit == c'H':
        out_ms[0] = <i64> value * 3600000
    elif unit == c'M':
        out_ms[0] = <i64> value * 60000
    elif unit == c'S':
        out_ms[0] = <i64> value * 1000
    elif unit == c'm':
        out_ms[0] = <i64> value
    elif unit == c'u':
        out_ms[0] = <i64> ((value + 999) / 1000)
    elif unit == c'n':
        out_ms[0] = <i64> ((value + 999999) / 1000000)
    else:
        return False
    return True

cdef bint parse_hex32(const char *p, size_t n, u8 *out) noexcept nogil:
    cdef size_t i
    cdef int high, low
    if n != 64:
        return False
    for i in range(32):
        high = hex_digit(p[2 * i])
        low = hex_digit(p[2 * i + 1])
        if high < 0 or low < 0:
            return False
        out[i] = <u8> (high * 16 + low)
    return True

cdef inline int hex_digit(char c) noexcept nogil:
    if c >= 48 and c <= 57:
        return c - 48
    if c >= 97 and c <= 102:
        return c - 87
    if c >= 65 and c <= 70:
        return c - 55
    return -1

cdef bint is_traceparent(const char *p, size_t n) noexcept nogil:
    # W3C Trace Context, level 1: two, 32, 16 and two hex digits.
    cdef size_t i
    if n != 55:
        return False
    for i in range(n):
        if i == 2 or i == 35 or i == 52:
            if p[i] != c'-':
                return False
        elif hex_digit(p[i]) < 0:
            return False
    return True

cdef ssize_t decode_value(const char *p, size_t n, u8 *out, size_t limit, u32 *reason) noexcept nogil:
    # A `-bin` value into `out`. A comma means that several values were joined. Sets the reason on failure.
    cdef ssize_t size
    cdef size_t digits = n
    if n > (limit * 4) / 3 + 4:
        reason[0] = GB_R_METADATA_TOO_LARGE
        return -1
    if memchr(p, c',', n) != NULL:
        reason[0] = GB_R_METADATA_DUPLICATED
        return -1
    size = gb_b64_decode(<const u8 *> p, n, out, limit)
    if size < 0:
        while digits > 0 and p[digits - 1] == c'=':
            digits -= 1
        reason[0] = GB_R_METADATA_TOO_LARGE if digits * 3 / 4 > limit else GB_R_METADATA_ENCODING_INVALID
    return size

cdef void put_value(void *f, unsigned int headers, const char *key, const u8 *p, size_t n) noexcept nogil:
    # Sets a `-bin` value, replacing what was there. n <= 768.
    cdef u8 text[1032]
    cdef size_t size = gb_b64_encode(p, n, text)
    envoy_set_header(f, headers, buf_text(key), buf_of(text, size))
