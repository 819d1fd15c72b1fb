# Checks 11 and 12: the provider's answer, the outcome, the receipt.
#
# Rules
#  1. Nothing of a unary answer reaches the client before its outcome is durable. Stream messages pass as they come and
#     are provisional; their trailers wait.
#  2. Whatever is unsigned or wrong is replaced by the bus's own refusal; a stream that has begun is ended by trailers
#     that carry the refusal, or reset where there are none.
#  3. An outcome that cannot be made durable withholds the answer: OUTCOME_UNRECORDED.

cdef enum:
    SEEN_ANSWER = 1
    SEEN_ANSWER_SIGNATURE = 2
    SEEN_ANSWER_SALT = 4
    SEEN_STATUS = 8
    SEEN_DETAILS = 16
    SEEN_MESSAGE = 32

cdef struct answer_parts:
    int seen
    bint bad                    # a part twice, too long or not base64
    u64 status
    bint has_message
    bint has_details
    u8 salt[32]
    size_t salt_size
    u8 message_digest[32]
    u8 details_digest[32]

cdef void take_part(answer_parts *parts, int bit, envoy_header *h, u8 *out, size_t limit, size_t *size) noexcept nogil:
    cdef u32 reason = 0
    cdef ssize_t n
    if parts.seen & bit:
        parts.bad = True
        return
    parts.seen |= bit
    n = decode_value(h.value, h.value_length, out, limit, &reason)
    if n < 0:
        parts.bad = True
        return
    size[0] = <size_t> n

cdef void take_entry(gate_call *c, answer_parts *parts, envoy_header *h) noexcept nogil:
    cdef u8 details[GATE_DETAILS_LIMIT]
    cdef size_t size = 0
    if text_is(h.key, h.key_length, b"govbus-response-bin"):
        take_part(parts, SEEN_ANSWER, h, c.response_bytes, GATE_HEADER_LIMIT, &c.response_size)
    elif text_is(h.key, h.key_length, b"govbus-response-signature-bin"):
        take_part(parts, SEEN_ANSWER_SIGNATURE, h, c.response_signature_bytes, GATE_SIGNATURE_LIMIT,
                  &c.response_signature_size)
    elif text_is(h.key, h.key_length, b"govbus-response-salt-bin"):
        take_part(parts, SEEN_ANSWER_SALT, h, parts.salt, 32, &parts.salt_size)
    elif text_is(h.key, h.key_length, b"grpc-status"):
        if parts.seen & SEEN_STATUS or not parse_decimal(h.value, h.value_length, &parts.status):
            parts.bad = True
        parts.seen |= SEEN_STATUS
    elif text_is(h.key, h.key_length, b"grpc-message"):
        if parts.seen & SEEN_MESSAGE:
            parts.bad = True
        parts.seen |= SEEN_MESSAGE
        parts.has_message = h.value_length > 0
        gb_sha256(<const u8 *> h.value, h.value_length, parts.message_digest)
    elif text_is(h.key, h.key_length, b"grpc-status-details-bin"):
        take_part(parts, SEEN_DETAILS, h, details, GATE_DETAILS_LIMIT, &size)
        parts.has_details = size > 0
        gb_sha256(details, size, parts.details_digest)

cdef bint digest_fits(gb_span stated, bint present, const u8 *digest) noexcept nogil:
    if not present:
        return stated.n == 0
    return stated.n == 32 and memcmp(stated.p, digest, 32) == 0

cdef u32 check_11_response(gate_call *c, unsigned int headers) noexcept nogil:
    # `headers` is where the provider's parts stand: the trailers, or the headers of a trailers-only answer.
    cdef envoy_header found[GATE_HEADERS_MAX]
    cdef answer_parts parts
    cdef size_t i
    cdef int field = 0
    cdef size_t n = envoy_headers_size(c.f, headers)
    memset(&parts, 0, sizeof(parts))
    if n > GATE_HEADERS_MAX or not envoy_get_headers(c.f, headers, found):
        return GB_R_PROVIDER_UNSIGNED
    for i in range(n):
        take_entry(c, &parts, &found[i])
    if parts.bad or (parts.seen & 15) != 15 or parts.salt_size != 32:
        return GB_R_PROVIDER_UNSIGNED
    if gb_parse_response(c.response_bytes, c.response_size, &c.response, &field) != 0:
        return GB_R_PROVIDER_UNSIGNED
    if not response_matches(c, &parts):
        return GB_R_RESPONSE_MISMATCH
    return check_11_signature(c)

cdef bint response_matches(gate_call *c, answer_parts *parts) noexcept nogil:
    cdef u8 digest[32]
    cdef u8 commitment[32]
    if memcmp(c.response.request_digest.p, c.request_digest, 32) != 0:
        return False
    if not gb_eq(c.response.provider, c.request.provider):
        return False
    if gb_frames_finish(&c.frames, digest) != 0:
        return False
    gb_commitment(parts.salt, digest, commitment)
    if memcmp(commitment, c.response.body_commitment.p, 32) != 0:
        return False
    if c.response.message_count != c.frames.messages or c.response.grpc_status != parts.status:
        return False
    if c.kind == 1 and c.frames.messages != (1 if parts.status == 0 else 0):
        return False
    if not digest_fits(c.response.grpc_message_digest, parts.has_message, parts.message_digest):
        return False
    return digest_fits(c.response.details_digest, parts.has_details, parts.details_digest)

cdef u32 check_11_signature(gate_call *c) noexcept nogil:
    # The key is judged by the policy in force now, which may be newer than the one that judged the call.
    cdef gb_signature signature
    cdef gb_key_record key
    cdef gb_span owner
    cdef gb_subsystem record
    cdef u8 leaf[32]
    cdef u8 root[32]
    cdef u32 index
    cdef int field = 0
    cdef int error
    cdef i64 now = gb_now_ms()
    cdef gate_policy *policy
    if gb_parse_signature(c.response_signature_bytes, c.response_signature_size, &signature, &field) != 0:
        return GB_R_PROVIDER_UNSIGNED
    policy = policy_acquire()
    index = gb_policy_key(&policy.snapshot.policy, signature.key_id.p, &key)
    if index == GB_NONE or now < key.not_before or now > key.not_after:
        policy_release(policy)
        return GB_R_RESPONSE_SIGNATURE_INVALID
    gb_policy_subsystem_get(&policy.snapshot.policy, key.subsystem, &record)
    owner = record.id
    if not record.active or not gb_eq(owner, c.request.provider):
        policy_release(policy)
        return GB_R_RESPONSE_SIGNATURE_INVALID
    gb_leaf(gb_literal(b"govbus/response/v1"), gb_make_span(c.response_bytes, c.response_size), leaf)
    error = gb_batch_begin(key.id32, &signature, leaf, PROCESS.signatures, root)
    if error == GB_BATCH_UNKNOWN:
        error = gb_keycache_verify(PROCESS.keys, key.point65, &signature, PROCESS.signatures, root)
    policy_release(policy)
    if error == GB_BATCH_MEMORY:
        return GB_R_OVERLOADED
    return 0 if error == 0 else GB_R_RESPONSE_SIGNATURE_INVALID

cdef gb_ticket *outcome_ticket(gate_call *c, u32 outcome, u32 reason) noexcept nogil:
    cdef gb_ticket *ticket = gb_ticket_new(GB_J_OUTCOME)
    if ticket == NULL:
        return NULL
    gb_atomic_add(&c.intent.refs, 1)
    ticket.intent = c.intent
    memcpy(ticket.request_digest, c.request_digest, 32)
    ticket.snapshot_version = c.intent.snapshot_version     # that judged the call; c.policy may be newer
    ticket.outcome = outcome
    ticket.reason = reason
    if outcome == GB_J_OUTCOME_DONE:
        gb_ticket_carry(ticket, gb_make_span(c.response_bytes, c.response_size),
                        gb_make_span(c.response_signature_bytes, c.response_signature_size))
        gb_sha256(c.response_signature_bytes, c.response_signature_size, ticket.response_signature_digest)
        gb_header_digest(gb_literal(b"govbus/response/v1"), gb_make_span(c.response_bytes, c.response_size),
                         ticket.response_digest)
    if (outcome == GB_J_OUTCOME_DONE or c.stream_open) and c.frames.bytes != 0:
        ticket.messages_released = c.frames.messages
        ticket.bytes_released = c.frames.bytes
        gb_frames_digest(&c.frames, ticket.released_digest)
        ticket.has_released = True
    return ticket

cdef bint submit_outcome(gate_call *c, u32 reason) noexcept nogil:
    # Whatever comes next waits for the commit. False: it cannot be recorded, and the client has been told so.
    cdef gb_ticket *ticket = outcome_ticket(c, GB_J_OUTCOME_DONE if reason == 0 else GB_J_OUTCOME_FAILED, reason)
    c.pending = reason
    if ticket != NULL:
        ticket.opaque = envoy_scheduler_new(c.f)
        ticket.done = wake_stream
        c.outcome = ticket
        c.state = GATE_OUTCOME
        if gb_journal_submit(PROCESS.journal, ticket) == 0:
            return True
        envoy_scheduler_delete(ticket.opaque)
    withhold(c)
    return False

cdef void withhold(gate_call *c) noexcept nogil:
    # Rule 3.
    if c.stream_open:
        c.state = GATE_CLOSED
        count_refusal(c, GB_R_OUTCOME_UNRECORDED)
        envoy_reset_stream(c.f, ENVOY_RESET_LOCAL, buf_text(b"OUTCOME_UNRECORDED"))
    else:
        refuse(c, GB_R_OUTCOME_UNRECORDED)

cdef void put_receipt(gate_call *c, unsigned int headers) noexcept nogil:
    put_value(c.f, headers, b"govbus-receipt-bin", c.outcome.record, c.outcome.record_n)
    put_value(c.f, headers, b"govbus-receipt-signature-bin", c.outcome.proof, c.outcome.proof_n)
    envoy_set_header(c.f, headers, buf_text(b"govbus-gatekey-bin"),
                     buf_of(PROCESS.gatekey_text, PROCESS.gatekey_text_size))
    envoy_set_header(c.f, headers, buf_text(b"govbus-gatekey-signature-bin"),
                     buf_of(PROCESS.gatekey_proof_text, PROCESS.gatekey_proof_text_size))

cdef void count_call(gate_call *c, const char *outcome) noexcept nogil:
    cdef envoy_buf label = buf_text(outcome)
    envoy_increment_counter(c.f, c.config.metrics.calls, &label, 1, 1)

cdef void overwrite_status(gate_call *c, u32 reason) noexcept nogil:
    # A stream's trailers become the refusal.
    cdef u8 details[1024]
    cdef char code[4]
    cdef gb_span text = gb_reason_message(reason)
    cdef size_t n
    envoy_set_header(c.f, TRAILERS_RESPONSE, buf_text(b"grpc-status"), buf_of(code, put_decimal(gb_reason_grpc_code(reason), code)))
    envoy_set_header(c.f, TRAILERS_RESPONSE, buf_text(b"grpc-message"), buf_of(text.p, text.n))
    n = encode_details(reason, NULL, NULL, 0, 0, details)
    put_value(c.f, TRAILERS_RESPONSE, b"grpc-status-details-bin", details, n)
    envoy_set_header(c.f, TRAILERS_RESPONSE, buf_text(b"govbus-response-bin"), buf_of(NULL, 0))
    envoy_set_header(c.f, TRAILERS_RESPONSE, buf_text(b"govbus-response-signature-bin"), buf_of(NULL, 0))
    envoy_set_header(c.f, TRAILERS_RESPONSE, buf_text(b"govbus-response-salt-bin"), buf_of(NULL, 0))

cdef void release_answer(gate_call *c) noexcept nogil:
    # (12) The outcome is durable: trailers and receipt go.
    cdef unsigned int headers = HEADERS_RESPONSE if c.trailers_only else TRAILERS_RESPONSE
    if c.pending != 0 and not c.stream_open:
        count_call(c, b"failed")
        refuse(c, c.pending)
        return
    c.state = GATE_CLOSED
    if c.pending != 0:
        count_call(c, b"failed")
        count_refusal(c, c.pending)
        overwrite_status(c, c.pending)
    else:
        if not c.stream_open and not strip(c.f, HEADERS_RESPONSE, KEEP_ENDING if c.trailers_only else KEEP_OPENING):
            withhold(c)
            return
        count_call(c, b"done")
    if not c.trailers_only and not strip(c.f, TRAILERS_RESPONSE, KEEP_ENDING):
        withhold(c)
        return
    put_receipt(c, headers)
    envoy_continue_encoding(c.f)
