# One parser and one encoder for all flat messages. Needs base.pxi, codec_tables.pxi, codec_text.pxi.
#
# Canonical (protocol.md, section 2): fields ascending, each once, minimal varints, no default written, nothing
# unknown. The first thing wrong, from left to right, is the error; missing fields are looked for at the end, lowest
# first. Within a field: wire type, truncation and overlong, default, reserved, length or range, characters, personal.
# Spans point into the input: the input must outlive the struct.

cdef enum:
    GB_CODEC_OK = 0
    GB_E_TRUNCATED = 1
    GB_E_WIRE_TYPE = 2
    GB_E_ORDER = 3           # out of order or twice
    GB_E_OVERLONG = 4        # varint longer than needed or beyond 64 bits
    GB_E_DEFAULT = 5         # a default value was written
    GB_E_UNKNOWN = 6         # a field that the message does not have
    GB_E_LENGTH = 7
    GB_E_RANGE = 8
    GB_E_CHARSET = 9
    GB_E_REQUIRED = 10
    GB_E_NOT_SUPPORTED = 11
    GB_E_PERSONAL = 12
    GB_E_SPACE = 13          # encoder only: does not fit the buffer
    GB_CODEC_MAX = 2048      # no message is longer


cdef inline const u8* gb_varint(const u8* p, const u8* end, u64* value, int* error) noexcept nogil:
    """Reads a minimal varint of at most 64 bits in [p, end); returns what follows, or NULL with error set."""
    cdef u64 v = 0
    cdef u32 shift = 0
    cdef u8 byte
    while p < end:
        byte = p[0]
        p += 1
        if shift == 63 and byte > 1:
            error[0] = GB_E_OVERLONG
            return NULL
        v |= <u64>(byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                error[0] = GB_E_OVERLONG
                return NULL
            value[0] = v
            return p
        shift += 7
    error[0] = GB_E_TRUNCATED
    return NULL


cdef inline int gb_check_number(const gb_field* f, u64 v) noexcept nogil:
    """Judges a number that is not zero."""
    if f.flags & GB_RESERVED:
        return GB_E_NOT_SUPPORTED
    return GB_E_RANGE if v > f.max else GB_CODEC_OK


cdef inline int gb_check_span(const gb_field* f, gb_span s) noexcept nogil:
    """Judges a string or bytes value that is not empty."""
    if f.flags & GB_RESERVED:
        return GB_E_NOT_SUPPORTED
    if s.n < f.min or s.n > f.max or (f.text == GB_NODES and s.n & 31):
        return GB_E_LENGTH
    if not gb_text_allowed(s, f.text):
        return GB_E_CHARSET
    if f.text == GB_PSEUDONYM and gb_text_personal(s):
        return GB_E_PERSONAL
    return GB_CODEC_OK


cdef inline const u8* gb_parse_value(const gb_field* f, const u8* p, const u8* end, u8* out, int* error) noexcept nogil:
    """Reads and judges the value of a field into the struct at out; returns what follows, or NULL with error set."""
    cdef u64 v = 0
    cdef gb_span s
    p = gb_varint(p, end, &v, error)
    if p == NULL:
        return NULL
    if f.flags & GB_NUMBER:
        error[0] = gb_check_number(f, v) if v else GB_E_DEFAULT
        (<u64*>(out + f.offset))[0] = v
        return p if error[0] == GB_CODEC_OK else NULL
    if v > <u64>(end - p):
        error[0] = GB_E_TRUNCATED
        return NULL
    s = gb_make_span(p, <size_t>v)
    error[0] = gb_check_span(f, s) if v else GB_E_DEFAULT
    (<gb_span*>(out + f.offset))[0] = s
    return p + s.n if error[0] == GB_CODEC_OK else NULL


cdef inline int gb_missing(const gb_message* m, u32 seen, int* field) noexcept nogil:
    """Names the lowest required field that is not among the seen ones (bit = number)."""
    cdef u32 i
    for i in range(m.count):
        if m.fields[i].flags & GB_REQUIRED and not (seen >> (i + 1)) & 1:
            field[0] = <int>i + 1
            return GB_E_REQUIRED
    return GB_CODEC_OK


cdef int gb_parse(const gb_message* m, const u8* p, size_t n, void* out, int* field) noexcept nogil:
    """Parses n bytes at p into the struct of m. Returns 0, or GB_E_* with the field's number (0: none) in field."""
    cdef const u8* end = p + n
    cdef u64 tag = 0
    cdef u32 number, last = 0, seen = 0
    cdef int error = GB_CODEC_OK
    cdef const gb_field* f
    memset(out, 0, m.size)
    while p < end:
        field[0] = 0
        p = gb_varint(p, end, &tag, &error)
        if p == NULL:
            return error
        if tag < 8 or tag >> 3 > m.count:
            return GB_E_UNKNOWN
        number = <u32>(tag >> 3)
        field[0] = <int>number
        if number <= last:
            return GB_E_ORDER
        f = &m.fields[number - 1]
        if <u32>(tag & 7) != <u32>(0 if f.flags & GB_NUMBER else 2):
            return GB_E_WIRE_TYPE
        p = gb_parse_value(f, p, end, <u8*>out, &error)
        if p == NULL:
            return error
        last = number
        seen |= <u32>1 << number
    field[0] = 0
    return gb_missing(m, seen, field)


cdef inline u32 gb_varint_length(u64 v) noexcept nogil:
    cdef u32 n = 1
    while v >= 128:
        v >>= 7
        n += 1
    return n


cdef inline u8* gb_put_varint(u8* out, u64 v) noexcept nogil:
    while v >= 128:
        out[0] = <u8>(v | 128)
        out += 1
        v >>= 7
    out[0] = <u8>v
    return out + 1


cdef ssize_t gb_encode(const gb_message* m, const void* value, u8* out, size_t cap, int* field) noexcept nogil:
    """Encodes the struct of m. Returns the length, or -GB_E_* with the field's number in field."""
    cdef const u8* base = <const u8*>value
    cdef u8* at = out
    cdef u8* end = out + cap
    cdef const gb_field* f
    cdef gb_span s
    cdef u64 v
    cdef u32 i, wire
    cdef int error
    for i in range(m.count):
        f = &m.fields[i]
        field[0] = <int>i + 1
        if f.flags & GB_NUMBER:
            s = gb_make_span(NULL, 0)
            wire = 0
            v = (<const u64*>(base + f.offset))[0]
            error = gb_check_number(f, v) if v else GB_CODEC_OK
        else:
            s = (<const gb_span*>(base + f.offset))[0]
            wire = 2
            v = s.n
            error = gb_check_span(f, s) if v else GB_CODEC_OK
        if v == 0:
            if f.flags & GB_REQUIRED:
                return -GB_E_REQUIRED
            continue
        if error:
            return -error
        if <u64>(end - at) < 2 + gb_varint_length(v) + s.n:
            return -GB_E_SPACE
        at = gb_put_varint(gb_put_varint(at, (<u64>(i + 1) << 3) | wire), v)
        if wire == 2:
            memcpy(at, s.p, s.n)
            at += s.n
    field[0] = 0
    return at - out


cdef inline int gb_parse_request(const u8* p, size_t n, gb_request* out, int* field) noexcept nogil:
    return gb_parse(&gb_request_message, p, n, out, field)

cdef inline int gb_parse_response(const u8* p, size_t n, gb_response* out, int* field) noexcept nogil:
    return gb_parse(&gb_response_message, p, n, out, field)

cdef inline int gb_parse_signature(const u8* p, size_t n, gb_signature* out, int* field) noexcept nogil:
    return gb_parse(&gb_signature_message, p, n, out, field)

cdef inline int gb_parse_admission(const u8* p, size_t n, gb_admission* out, int* field) noexcept nogil:
    return gb_parse(&gb_admission_message, p, n, out, field)

cdef inline int gb_parse_receipt(const u8* p, size_t n, gb_receipt* out, int* field) noexcept nogil:
    return gb_parse(&gb_receipt_message, p, n, out, field)

cdef inline int gb_parse_gate_key(const u8* p, size_t n, gb_gate_key* out, int* field) noexcept nogil:
    return gb_parse(&gb_gate_key_message, p, n, out, field)

cdef inline int gb_parse_refusal(const u8* p, size_t n, gb_refusal* out, int* field) noexcept nogil:
    return gb_parse(&gb_refusal_message, p, n, out, field)

cdef inline int gb_parse_snapshot_header(const u8* p, size_t n, gb_snapshot_header* out, int* field) noexcept nogil:
    return gb_parse(&gb_snapshot_message, p, n, out, field)


# Each answers the length, or a negative GB_E_*.
cdef inline ssize_t gb_encode_request(const gb_request* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_request_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_response(const gb_response* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_response_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_signature(const gb_signature* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_signature_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_admission(const gb_admission* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_admission_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_receipt(const gb_receipt* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_receipt_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_gate_key(const gb_gate_key* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_gate_key_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_refusal(const gb_refusal* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_refusal_message, v, out, cap, &field)

cdef inline ssize_t gb_encode_snapshot_header(const gb_snapshot_header* v, u8* out, size_t cap) noexcept nogil:
    cdef int field = 0
    return gb_encode(&gb_snapshot_message, v, out, cap, &field)
