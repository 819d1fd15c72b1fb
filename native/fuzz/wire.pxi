# Targets: header codec, base64, frames, the gate's small values. Needs input.pxi, codec*.pxi, base64.pxi, frames.pxi,
# native/gate/values.pxi.

cdef const gb_message* message_of(u32 which) noexcept nogil:
    if which == 0:
        return &gb_request_message
    if which == 1:
        return &gb_response_message
    if which == 2:
        return &gb_signature_message
    if which == 3:
        return &gb_admission_message
    if which == 4:
        return &gb_receipt_message
    if which == 5:
        return &gb_gate_key_message
    if which == 6:
        return &gb_refusal_message
    return &gb_snapshot_message


# --- codec: byte 0 chooses the message (bits 0-2) and the direction (bit 3) -------------------------------------------

cdef void codec(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef u32 kind = <u32>take_number(&s, 1)
    if kind & 8:
        codec_encode(message_of(kind & 7), s)
    else:
        codec_parse(message_of(kind & 7), s.p, s.n)


cdef void codec_parse(const gb_message* m, const u8* p, size_t n) noexcept nogil:
    """What parses is canonical: encoding gives the same bytes. What does not parse has an error, a field and a reason."""
    cdef u8* value = block(m.size)
    cdef u8* again = block(n + 1)      # the encoder asks room for the longest tag, one byte more than most fields take
    cdef int field = -1
    cdef int error = gb_parse(m, p, n, value, &field)
    expect(field >= 0 and field <= <int>m.count, b"the codec names a field of the message")
    if error:
        expect(error >= GB_E_TRUNCATED and error <= GB_E_PERSONAL, b"a parser's error is one of the declared ones")
        expect(gb_codec_reason(error) != 0, b"every parser's error has a reason")
    else:
        expect(n <= GB_CODEC_MAX, b"no message is longer than GB_CODEC_MAX")
        codec_spans(m, value, p, n)
        expect(gb_encode(m, value, again, n + 1, &field) == <ssize_t>n, b"what was parsed encodes to the same length")
        expect(n == 0 or memcmp(again, p, n) == 0, b"what was parsed encodes to the same bytes")
        codec_too_small(m, value, n)
        codec_near(m, p, n)
    free(value)
    free(again)


cdef void codec_spans(const gb_message* m, const u8* value, const u8* p, size_t n) noexcept nogil:
    cdef u32 i
    for i in range(m.count):
        if not m.fields[i].flags & GB_NUMBER:
            expect(inside((<const gb_span*>(value + m.fields[i].offset))[0], p, n), b"parsed fields lie in the input")


cdef void codec_too_small(const gb_message* m, const u8* value, size_t n) noexcept nogil:
    """One byte less than needed is refused, not overrun."""
    cdef int field = 0
    cdef u8* small = block(n - 1)
    expect(gb_encode(m, value, small, n - 1, &field) == -GB_E_SPACE, b"a buffer that is too small is refused")
    free(small)


cdef void codec_near(const gb_message* m, const u8* p, size_t n) noexcept nogil:
    """What is next to a canonical message is refused: a default written where a field is absent, a field that comes twice,
    a message that ends early."""
    cdef const u8* at = p
    cdef const u8* field_end
    cdef u64 tag = 0, value = 0
    cdef u32 last = 0, number
    cdef int error = 0
    cdef u8 default[4]
    while True:
        field_end = at
        number = m.count + 1
        if at < p + n:
            field_end = gb_varint(gb_varint(at, p + n, &tag, &error), p + n, &value, &error)
            field_end += value if tag & 7 else 0
            number = <u32>(tag >> 3)
            codec_with(m, p, n, field_end - p, gb_make_span(at, field_end - at), GB_E_ORDER, number)
        if number > last + 1:
            tag = (last + 1) << 3 | (0 if m.fields[last].flags & GB_NUMBER else 2)
            gb_put_varint(gb_put_varint(default, tag), 0)
            codec_with(m, p, n, at - p, gb_make_span(default, gb_varint_length(tag) + 1), GB_E_DEFAULT, last + 1)
        if number > m.count:
            break
        last = number
        at = field_end
    codec_cut(m, p, n)


cdef void codec_with(const gb_message* m, const u8* p, size_t n, size_t at, gb_span more, int wanted, u32 named) noexcept nogil:
    """The message with something inserted is refused for that."""
    cdef u8* wire = block(n + more.n)
    cdef u8* value = block(m.size)
    cdef int field = -1
    memcpy(wire, p, at)
    memcpy(wire + at, more.p, more.n)
    memcpy(wire + at + more.n, p + at, n - at)
    expect(gb_parse(m, wire, n + more.n, value, &field) == wanted and field == <int>named,
           b"defaults and repeated fields are refused, by name")
    free(wire)
    free(value)


cdef void codec_cut(const gb_message* m, const u8* p, size_t n) noexcept nogil:
    """A beginning of the message, in a block of its own; where it is cut depends on the message."""
    cdef u8* value = block(m.size)
    cdef u8* wire
    cdef int field = -1, error
    cdef u8 digest[32]
    cdef size_t cut
    gb_sha256(p, n, digest)
    cut = gb_ld16(digest) % n
    wire = block_of(gb_make_span(p, cut))
    error = gb_parse(m, wire, cut, value, &field)
    expect(field >= 0 and (error or field == 0), b"a cut message is refused, or ends with a field")
    free(wire)
    free(value)


cdef void codec_encode(const gb_message* m, source s) noexcept nogil:
    """Any values at all: what the encoder writes, the parser reads back alike."""
    cdef u8* value = block(m.size)
    cdef size_t cap = <size_t>take_number(&s, 2) & 4095
    cdef u8* out = block(cap)
    cdef int field = -1
    cdef ssize_t length
    codec_fill(m, value, &s)
    length = gb_encode(m, value, out, cap, &field)
    expect(field >= 0 and field <= <int>m.count, b"the encoder names a field of the message")
    if length < 0:
        expect(length >= -GB_E_SPACE, b"an encoder's error is one of the declared ones")
    else:
        expect(<size_t>length <= cap, b"the encoder stays in its buffer")
        codec_back(m, value, out, <size_t>length)
    free(value)
    free(out)


cdef void codec_fill(const gb_message* m, u8* value, source* s) noexcept nogil:
    """A struct as nobody would fill it: a number is one length byte and its bytes, a span two bytes of length."""
    cdef u32 i
    memset(value, 0, m.size)
    for i in range(m.count):
        if m.fields[i].flags & GB_NUMBER:
            (<u64*>(value + m.fields[i].offset))[0] = take_number(s, (take_number(s, 1) & 7) + 1)
        else:
            (<gb_span*>(value + m.fields[i].offset))[0] = take(s, take_number(s, 2) & 4095)


cdef void codec_back(const gb_message* m, const u8* value, const u8* wire, size_t n) noexcept nogil:
    cdef gb_span exact = gb_make_span(wire, n)
    cdef u8* copy = block_of(exact)
    cdef u8* parsed = block(m.size)
    cdef int field = 0
    cdef u32 i
    cdef u16 at
    expect(gb_parse(m, copy, n, parsed, &field) == 0, b"what was encoded parses")
    for i in range(m.count):
        at = m.fields[i].offset
        if m.fields[i].flags & GB_NUMBER:
            expect((<const u64*>(value + at))[0] == (<const u64*>(parsed + at))[0], b"numbers come back")
        else:
            expect(gb_eq((<const gb_span*>(value + at))[0], (<const gb_span*>(parsed + at))[0]), b"bytes come back")
    free(copy)
    free(parsed)


# --- base64: the input as text, and as bytes --------------------------------------------------------------------------

cdef ssize_t base64_reference(const u8* p, size_t n, u8* out) noexcept nogil:
    """RFC 4648 bit by bit, with our rules: padding whole or absent, unused bits zero."""
    cdef u32 bits = 0, held = 0
    cdef const void* digit
    cdef size_t i, size = 0, padding = 0
    if n and n % 4 == 0:
        while padding < 2 and p[n - 1 - padding] == 61:
            padding += 1
    n -= padding
    if n % 4 == 1:
        return -1
    for i in range(n):
        digit = memchr(gb_b64_digit, p[i], 64)
        if digit == NULL:
            return -1
        held = (held << 6) | <u32>(<const u8*>digit - <const u8*>gb_b64_digit)
        bits += 6
        if bits >= 8:
            bits -= 8
            out[size] = <u8>(held >> bits)
            size += 1
            held &= (<u32>1 << bits) - 1
    return <ssize_t>size if held == 0 else -1


cdef void base64_text(const u8* p, size_t n) noexcept nogil:
    cdef u8* wanted = block(n + 3)
    cdef ssize_t size = base64_reference(p, n, wanted)
    cdef u8* out = block(<size_t>size if size >= 0 else gb_b64_decoded_max(n))
    cdef u8* text
    cdef size_t length
    expect(gb_b64_decode(p, n, out, <size_t>size if size >= 0 else gb_b64_decoded_max(n)) == size,
           b"base64 decodes as its definition says")
    if size >= 0:
        expect(size == 0 or memcmp(out, wanted, size) == 0, b"base64 gives the bytes of its definition")
        length = gb_b64_encoded(size)
        text = block(length)
        expect(gb_b64_encode(out, size, text) == length, b"base64 encodes to the announced length")
        expect(length <= n and n - length <= 2 and (length == 0 or memcmp(text, p, length) == 0),
               b"a value has one spelling but for padding")
        free(text)
    if size > 0:
        expect(gb_b64_decode(p, n, wanted, size - 1) == -1, b"base64 that does not fit is refused")
    free(out)
    free(wanted)


cdef void base64_bytes(const u8* p, size_t n) noexcept nogil:
    cdef size_t length = gb_b64_encoded(n)
    cdef u8* text = block(length)
    cdef u8* back = block(n)
    expect(gb_b64_encode(p, n, text) == length, b"base64 encodes to the announced length")
    expect(gb_b64_decode(text, length, back, n) == <ssize_t>n, b"base64 reads what it wrote")
    expect(n == 0 or memcmp(back, p, n) == 0, b"base64 gives back the bytes")
    free(text)
    free(back)


# --- frames: limits, a seed for the splits, then the body ----------------------------------------------------------------

cdef int frames_reference(const gb_frames* limits, const u8* p, size_t n, u64* messages) noexcept nogil:
    """The rules of frames.pxi over a body in one piece."""
    cdef size_t at = 0
    cdef u64 length
    messages[0] = 0
    while at < n:
        if p[at] != 0:
            return GB_FRAMES_COMPRESSED if p[at] == 1 else GB_FRAMES_FLAG
        if limits.max_messages and messages[0] >= limits.max_messages:
            return GB_FRAMES_TOO_MANY
        if n - at < 5:
            return GB_FRAMES_INCOMPLETE
        length = (<u64>p[at + 1] << 24) | (<u64>p[at + 2] << 16) | (<u64>p[at + 3] << 8) | p[at + 4]
        if limits.max_message and length > limits.max_message:
            return GB_FRAMES_TOO_LARGE
        if limits.max_total and at + 5 + length > limits.max_total:
            return GB_FRAMES_TOO_LARGE
        if n - at - 5 < length:
            return GB_FRAMES_INCOMPLETE
        at += 5 + <size_t>length
        messages[0] += 1
    return GB_FRAMES_OK


cdef int frames_whole(gb_frames* f, const u8* p, size_t n, u64 seed, u8* digest32) noexcept nogil:
    """All of a body in pieces that the seed chooses; seed 0 is one piece."""
    cdef size_t step
    cdef int error = GB_FRAMES_OK
    cdef source s = source_of(p, n)
    cdef gb_span piece
    cdef u8* copy
    while s.n and error == GB_FRAMES_OK:
        step = s.n
        if seed:
            seed ^= seed << 13
            seed ^= seed >> 7
            seed ^= seed << 17
            step = <size_t>(seed >> 20) & (3 if seed & 7 else 63)
        piece = take(&s, step)
        copy = block_of(piece)
        error = gb_frames_update(f, copy, piece.n)
        free(copy)
    expect(gb_frames_update(f, NULL, 0) == error, b"the first error of a body stays")
    if error:
        expect(gb_frames_finish(f, digest32) == error, b"finish repeats the first error of a body")
        return error
    return gb_frames_finish(f, digest32)


cdef void frames(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef gb_frames a
    cdef gb_frames b
    cdef u64 seed, messages = 0
    cdef int error
    cdef u8 digest_a[32]
    cdef u8 digest_b[32]
    cdef u8 wanted[32]
    gb_frames_init(&a, take_number(&s, 1), take_number(&s, 2))
    a.max_messages = take_number(&s, 1)
    seed = take_number(&s, 4) | 1
    b = a
    error = frames_whole(&a, s.p, s.n, 0, digest_a)
    expect(frames_whole(&b, s.p, s.n, seed, digest_b) == error, b"splits do not change what a body is")
    expect(frames_reference(&b, s.p, s.n, &messages) == error, b"frames are judged as their definition says")
    expect(a.messages == messages and b.messages == messages, b"messages are counted alike, however they are split")
    if error == GB_FRAMES_OK or error == GB_FRAMES_INCOMPLETE:
        gb_sha256(s.p, s.n, wanted)
        gb_frames_digest(&a, digest_a)
        gb_frames_digest(&b, digest_b)
        expect(gb_eq32(digest_a, wanted) and gb_eq32(digest_b, wanted), b"the digest is that of all bytes as sent")
        expect(a.bytes == s.n and b.bytes == s.n, b"all bytes are counted")


# --- values: numbers, timeouts, digests and -bin values as they stand in metadata ----------------------------------------

cdef void values(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef size_t limit = <size_t>take_number(&s, 2) & 2047
    values_decimal(<const char*>s.p, s.n)
    values_timeout(<const char*>s.p, s.n)
    values_hex(<const char*>s.p, s.n)
    values_metadata(<const char*>s.p, s.n, limit)


cdef void values_decimal(const char* p, size_t n) noexcept nogil:
    cdef u64 value = 0
    cdef char text[20]
    cdef u8 other[20]
    cdef size_t size, skip = 0
    if not parse_decimal(p, n, &value):
        return
    while skip + 1 < n and p[skip] == 48:
        skip += 1
    size = gb_decimal(value, other)
    expect(size == n - skip and memcmp(other, p + skip, size) == 0, b"a decimal number is the number that was written")
    if value >> 63 == 0:
        expect(put_decimal(<i64>value, text) == size and memcmp(text, other, size) == 0, b"numbers are written alike")


cdef void values_timeout(const char* p, size_t n) noexcept nogil:
    cdef i64 ms = -1
    cdef u64 digits = 0
    if not parse_grpc_timeout(p, n, &ms):
        return
    expect(parse_decimal(p, n - 1, &digits), b"a timeout begins with digits")
    expect(ms >= 0 and ms <= <i64>99999999 * 3600000, b"a timeout fits")
    expect((ms == 0) == (digits == 0), b"only a timeout of nothing is nothing")


cdef void values_hex(const char* p, size_t n) noexcept nogil:
    cdef u8 out[32]
    cdef size_t i
    if not parse_hex32(p, n, out):
        return
    for i in range(32):
        expect(small(p[2 * i]) == fuzz_hex[out[i] >> 4] and small(p[2 * i + 1]) == fuzz_hex[out[i] & 15],
               b"a digest is the one that was written")


cdef inline char small(char letter) noexcept nogil:
    return letter | 32 if 65 <= letter <= 90 else letter


cdef void values_metadata(const char* p, size_t n, size_t limit) noexcept nogil:
    cdef u8* out = block(limit)
    cdef u32 reason = 0
    cdef ssize_t size = decode_value(p, n, out, limit, &reason)
    if size < 0:
        expect(reason == GB_R_METADATA_TOO_LARGE or reason == GB_R_METADATA_DUPLICATED
               or reason == GB_R_METADATA_ENCODING_INVALID, b"a metadata value is refused with a reason")
    else:
        expect(reason == 0 and <size_t>size <= limit, b"a metadata value stays within its limit")
    free(out)
