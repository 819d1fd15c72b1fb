# Refusals: trailers-only answers with grpc-status, a fixed grpc-message and google.rpc.Status with ErrorInfo (and, where
# waiting helps, RetryInfo) in grpc-status-details-bin. Texts come from govbus.errors.v1; no byte of a caller's is ever echoed, only
# the names of metadata keys and header fields, which are ours.
#
# Rules
#  1. After refuse() the stream is not touched again: the caller returns its hook's stop value.
#  2. A refusal of checks 7-10 is journaled without waiting, up to GATE_REFUSALS a second and peer; an earlier one is only counted.
#     It is dated now, and names the policy that judged it: what is written later must not speak of a later moment.
#  3. A refusal after the intent is sent once the outcome is durable, and carries the receipt.

cdef size_t put_field(u8 *out, u32 tag, const void *p, size_t n) noexcept nogil:
    # One length-delimited protobuf field, number < 16, n < 16,384.
    cdef size_t at = 0
    out[0] = <u8> ((tag << 3) | 2)
    if n < 128:
        out[1] = <u8> n
        at = 2
    else:
        out[1] = <u8> ((n & 127) | 128)
        out[2] = <u8> (n >> 7)
        at = 3
    memcpy(out + at, p, n)
    return at + n

cdef size_t put_varint(u8 *out, u32 tag, u64 value) noexcept nogil:
    # One varint field, number < 16; nothing for a zero.
    cdef size_t n = 1
    if value == 0:
        return 0
    out[0] = <u8> (tag << 3)
    while value >= 128:
        out[n] = <u8> ((value & 127) | 128)
        value = value >> 7
        n += 1
    out[n] = <u8> value
    return n + 1

cdef size_t put_retry(u8 *out, i64 retry_ms) noexcept nogil:
    # A `details` field: Any{RetryInfo{retry_delay: Duration{seconds, nanos}}}.
    cdef u8 delay[24]
    cdef u8 info[32]
    cdef u8 packed[96]
    cdef size_t n, m
    n = put_varint(delay, 1, <u64> retry_ms / 1000)
    n += put_varint(delay + n, 2, <u64> retry_ms % 1000 * 1000000)
    n = put_field(info, 1, delay, n)
    m = put_field(packed, 1, b"type.googleapis.com/google.rpc.RetryInfo", 40)
    m += put_field(packed + m, 2, info, n)
    return put_field(out, 3, packed, m)

cdef size_t encode_details(u32 reason, const char *key, const char *value, size_t value_size, i64 retry_ms,
                           u8 *out) noexcept nogil:
    # google.rpc.Status{code, message, details: [Any{ErrorInfo{reason, domain, metadata}}, Any{RetryInfo}]} into `out`
    # (1,024 bytes); RetryInfo when retry_ms > 0.
    cdef u8 info[512]
    cdef u8 packed[640]
    cdef u8 entry[160]
    cdef size_t n = 0
    cdef size_t m = 0
    cdef size_t at = 2
    cdef gb_span name = gb_reason_name(reason)
    cdef gb_span text = gb_reason_message(reason)
    n += put_field(info + n, 1, name.p, name.n)
    n += put_field(info + n, 2, b"govbus", 6)
    if key != NULL and value_size <= 64:
        m = put_field(entry, 1, key, strlen(key))
        m += put_field(entry + m, 2, value, value_size)
        n += put_field(info + n, 3, entry, m)
    m = put_field(packed, 1, b"type.googleapis.com/google.rpc.ErrorInfo", 40)
    m += put_field(packed + m, 2, info, n)
    out[0] = 8
    out[1] = <u8> gb_reason_grpc_code(reason)
    at += put_field(out + at, 2, text.p, text.n)
    at += put_field(out + at, 3, packed, m)
    if retry_ms > 0:
        at += put_retry(out + at, retry_ms)
    return at

cdef void count_refusal(gate_call *c, u32 reason) noexcept nogil:
    cdef gb_span name = gb_reason_name(reason)
    cdef envoy_buf label = buf_of(name.p, name.n)
    cdef void *span
    envoy_increment_counter(c.f, c.config.metrics.refusals, &label, 1, 1)
    span = envoy_active_span(c.f)
    if span != NULL:
        envoy_span_set_tag(span, buf_text(b"govbus.reason"), label)

cdef struct gate_reply:
    envoy_header headers[10]
    size_t count

cdef void add_reply(gate_reply *reply, const char *key, const void *p, size_t n) noexcept nogil:
    reply.headers[reply.count].key = key
    reply.headers[reply.count].key_length = strlen(key)
    reply.headers[reply.count].value = <const char *> p
    reply.headers[reply.count].value_length = n
    reply.count += 1

cdef void refuse(gate_call *c, u32 reason) noexcept nogil:
    # Answers with the reason; with the receipt when the outcome is durable. Rule 1.
    cdef gate_reply reply
    cdef u8 details[1024]
    cdef u8 details_text[1376]
    cdef u8 receipt_text[1032]
    cdef u8 signature_text[1032]
    cdef char code[4]
    cdef char clock[24]
    cdef size_t size
    cdef size_t value_size = 0
    cdef const char *key = c.key
    cdef const char *value = c.field
    cdef gb_span text = gb_reason_message(reason)
    cdef gb_span name = gb_reason_name(reason)
    c.state = GATE_CLOSED
    count_refusal(c, reason)
    if reason == GB_R_REQUEST_NOT_FRESH:
        key = b"server_time_ms"
        value = clock
        value_size = put_decimal(gb_now_ms(), clock)
    elif key != NULL:
        value_size = strlen(value)
    size = encode_details(reason, key, value, value_size, c.retry_ms, details)
    reply.count = 0
    add_reply(&reply, b"content-type", b"application/grpc", 16)
    size = gb_b64_encode(details, size, details_text)
    add_reply(&reply, b"grpc-status", code, put_decimal(gb_reason_grpc_code(reason), code))
    add_reply(&reply, b"grpc-message", text.p, text.n)
    add_reply(&reply, b"grpc-status-details-bin", details_text, size)
    if c.outcome != NULL and c.outcome.status == 0 and c.outcome.record_n != 0:
        size = gb_b64_encode(c.outcome.record, c.outcome.record_n, receipt_text)
        add_reply(&reply, b"govbus-receipt-bin", receipt_text, size)
        size = gb_b64_encode(c.outcome.proof, c.outcome.proof_n, signature_text)
        add_reply(&reply, b"govbus-receipt-signature-bin", signature_text, size)
        add_reply(&reply, b"govbus-gatekey-bin", PROCESS.gatekey_text, PROCESS.gatekey_text_size)
        add_reply(&reply, b"govbus-gatekey-signature-bin", PROCESS.gatekey_proof_text, PROCESS.gatekey_proof_text_size)
    envoy_send_response(c.f, 200, reply.headers, reply.count, buf_of(NULL, 0), buf_of(name.p, name.n))

cdef bint may_record_refusal(u32 peer) noexcept nogil:
    # One peer can repeat one signed request for ever, at no cost to itself. Refusals may not fill the disk that intents
    # need: beyond GATE_REFUSALS a second they are counted only. The share is the peer's (peers are folded onto
    # GATE_REFUSAL_ROWS), so that none can hide the refusals of others.
    cdef i64 second = gb_mono_ns() / 1000000000
    cdef gate_refusals *row = &PROCESS.refusals[peer % GATE_REFUSAL_ROWS]
    cdef bint room
    gb_mutex_lock(&PROCESS.refusal_lock)
    if row.second != second:
        row.second = second
        row.count = 0
    row.count += 1
    room = row.count <= GATE_REFUSALS
    gb_mutex_unlock(&PROCESS.refusal_lock)
    return room

cdef void refuse_recorded(gate_call *c, u32 reason) noexcept nogil:
    # Checks 7-10: the refusal goes to the journal, which nobody waits for.
    give_back(c)
    cdef gb_ticket *ticket = gb_ticket_new(GB_J_REFUSAL) if may_record_refusal(c.peer) else NULL
    if ticket == NULL:
        envoy_increment_counter(c.f, c.config.metrics.unrecorded, NULL, 0, 1)
    else:
        fill_request(c, ticket)
        ticket.reason = reason
        ticket.decided_ms = gb_now_ms()
        gb_journal_submit(PROCESS.journal, ticket)
        gb_ticket_release(ticket)
    refuse(c, reason)
