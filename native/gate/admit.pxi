# Check 10 and what follows it: the body as it arrives, the intent, the admission, and the way to the provider.

cdef void wake_stream(gb_ticket *ticket) noexcept nogil:
    # On the journal's thread. The filter may be gone by now: Envoy then drops the event.
    gb_mutex_lock(&PROCESS.wake_lock)
    if not PROCESS.closing:
        envoy_scheduler_commit(ticket.opaque, GATE_EVENT_OUTCOME if ticket.kind == GB_J_OUTCOME else GATE_EVENT_INTENT)
    gb_mutex_unlock(&PROCESS.wake_lock)
    envoy_scheduler_delete(ticket.opaque)

cdef void fill_request(gate_call *c, gb_ticket *ticket) noexcept nogil:
    gb_ticket_carry(ticket, gb_make_span(c.request_bytes, c.request_size),
                    gb_make_span(c.signature_bytes, c.signature_size))
    memcpy(ticket.request_digest, c.request_digest, 32)
    gb_sha256(c.signature_bytes, c.signature_size, ticket.request_signature_digest)
    ticket.snapshot_version = c.policy.snapshot.header.version

cdef u32 check_10_take(gate_call *c, unsigned int body) noexcept nogil:
    # Hashes the pieces that this hook brought.
    cdef envoy_buf chunks[64]
    cdef envoy_buf *all = chunks
    cdef size_t n = envoy_body_chunks_size(c.f, body)
    cdef size_t i
    cdef int error = 0
    if n == 0:
        return 0
    if n > 64:
        all = <envoy_buf *> malloc(n * sizeof(envoy_buf))
        if all == NULL:
            return GB_R_OVERLOADED
    if envoy_body_chunks(c.f, body, all):
        for i in range(n):
            error = gb_frames_update(&c.frames, <const u8 *> all[i].ptr, all[i].length)
            if error != 0:
                break
    if all != chunks:
        free(all)
    return frames_reason(error)

cdef u32 frames_reason(int error) noexcept nogil:
    if error == 0:
        return 0
    if error == GB_FRAMES_COMPRESSED:
        return GB_R_COMPRESSION_NOT_SUPPORTED
    if error == GB_FRAMES_TOO_LARGE:
        return GB_R_BODY_TOO_LARGE
    if error == GB_FRAMES_TOO_MANY:
        return GB_R_MESSAGE_COUNT_INVALID
    return GB_R_FRAME_INVALID

cdef u32 check_10_commitment(gate_call *c) noexcept nogil:
    cdef u8 digest[32]
    cdef u8 commitment[32]
    if gb_frames_finish(&c.frames, digest) != 0:
        return GB_R_FRAME_INVALID
    if c.frames.messages != 1:
        return GB_R_MESSAGE_COUNT_INVALID
    gb_commitment(c.salt, digest, commitment)
    if memcmp(commitment, c.request.body_commitment.p, 32) != 0:
        return GB_R_BODY_COMMITMENT_MISMATCH
    return 0

cdef u32 submit_intent(gate_call *c) noexcept nogil:
    cdef gb_ticket *ticket = gb_ticket_new(GB_J_INTENT)
    cdef int error
    if ticket == NULL:
        return GB_R_OVERLOADED
    fill_request(c, ticket)
    if c.counted != NULL:
        gb_ticket_charge(ticket, PROCESS.grants, c.counted, c.counted_bytes)
        c.counted = NULL
    ticket.opaque = envoy_scheduler_new(c.f)
    ticket.done = wake_stream
    error = gb_journal_submit(PROCESS.journal, ticket)
    if error != 0:
        envoy_scheduler_delete(ticket.opaque)
        gb_ticket_release(ticket)
        return GB_R_DRAINING if error == GB_JOURNAL_STOPPED else GB_R_JOURNAL_UNAVAILABLE
    c.intent = ticket
    c.state = GATE_INTENT
    return 0

cdef enum:
    KEEP_REQUEST = 0            # request headers
    KEEP_OPENING = 1            # response headers that a body or trailers follow
    KEEP_ENDING = 2             # response trailers, and headers of a trailers-only answer
    KEEP_NOTHING = 3            # request trailers

cdef bint goes_on(const char *p, size_t n) noexcept nogil:
    # The request metadata that may reach a provider. x-forwarded-proto is Envoy's own: without it no route matches; the
    # route removes it.
    if n > 0 and p[0] == c':':
        return True
    if text_starts(p, n, b"govbus-"):
        return True                     # check 2 refused all but ours; ours replace what was there
    return (text_is(p, n, b"content-type") or text_is(p, n, b"te") or text_is(p, n, b"grpc-timeout")
            or text_is(p, n, b"traceparent") or text_is(p, n, b"x-forwarded-proto"))

cdef bint opens(const char *p, size_t n) noexcept nogil:
    return text_is(p, n, b":status") or text_is(p, n, b"content-type")

cdef bint comes_back(const char *p, size_t n) noexcept nogil:
    # The response metadata that may reach a client.
    return (opens(p, n) or text_is(p, n, b"grpc-status")
            or text_is(p, n, b"grpc-message") or text_is(p, n, b"grpc-status-details-bin")
            or text_is(p, n, b"govbus-response-bin") or text_is(p, n, b"govbus-response-signature-bin")
            or text_is(p, n, b"govbus-response-salt-bin"))

cdef bint kept(const char *p, size_t n, int which) noexcept nogil:
    if which == KEEP_REQUEST:
        return goes_on(p, n)
    if which == KEEP_OPENING:
        return opens(p, n)
    return which == KEEP_ENDING and comes_back(p, n)

cdef bint strip(void *f, unsigned int headers, int which) noexcept nogil:
    # Removes everything else. Names are copied before the first setter, which moves the map. False: more than Envoy's own
    # limits let through, so nothing may pass.
    cdef envoy_header found[GATE_STRIP_MAX]
    cdef char names[GATE_STRIP_BYTES]
    cdef size_t lengths[GATE_STRIP_MAX]
    cdef size_t n = envoy_headers_size(f, headers)
    cdef size_t i
    cdef size_t at = 0
    cdef size_t count = 0
    if n == 0:
        return True
    if n > GATE_STRIP_MAX or not envoy_get_headers(f, headers, found):
        return False
    for i in range(n):
        if kept(found[i].key, found[i].key_length, which):
            continue
        if found[i].key_length > sizeof(names) - at:
            return False
        memcpy(names + at, found[i].key, found[i].key_length)
        lengths[count] = found[i].key_length
        at += found[i].key_length
        count += 1
    at = 0
    for i in range(count):
        envoy_set_header(f, headers, buf_of(names + at, lengths[i]), buf_of(NULL, 0))
        at += lengths[i]
    return True

cdef void strip_trace(void *f) noexcept nogil:
    # What calls itself a trace context and is none may say anything: it goes no further.
    cdef envoy_buf text
    cdef size_t n = 0
    if envoy_get_header(f, HEADERS_REQUEST, buf_text(b"traceparent"), &text, 0, &n):
        if n != 1 or not is_traceparent(text.ptr, text.length):
            envoy_set_header(f, HEADERS_REQUEST, buf_text(b"traceparent"), buf_of(NULL, 0))

cdef void admit(gate_call *c) noexcept nogil:
    # The intent is durable: to the provider, with the proof that it is.
    cdef gb_subsystem provider
    gb_policy_subsystem_get(&c.policy.snapshot.policy, c.provider, &provider)
    if not strip(c.f, HEADERS_REQUEST, KEEP_REQUEST):
        submit_outcome(c, GB_R_METADATA_TOO_LARGE)
        return
    strip_trace(c.f)
    put_value(c.f, HEADERS_REQUEST, b"govbus-admission-bin", c.intent.record, c.intent.record_n)
    put_value(c.f, HEADERS_REQUEST, b"govbus-admission-signature-bin", c.intent.proof, c.intent.proof_n)
    envoy_set_header(c.f, HEADERS_REQUEST, buf_text(b"govbus-gatekey-bin"),
                     buf_of(PROCESS.gatekey_text, PROCESS.gatekey_text_size))
    envoy_set_header(c.f, HEADERS_REQUEST, buf_text(b"govbus-gatekey-signature-bin"),
                     buf_of(PROCESS.gatekey_proof_text, PROCESS.gatekey_proof_text_size))
    # What a client writes there is neither signed nor recorded.
    envoy_set_header(c.f, HEADERS_REQUEST, buf_text(b":authority"), buf_of(provider.cluster.p, provider.cluster.n))
    envoy_set_header(c.f, HEADERS_REQUEST, buf_text(b"govbus-cluster"), buf_of(provider.cluster.p, provider.cluster.n))
    envoy_clear_route_cache(c.f)
    gb_frames_init(&c.frames, GATE_BODY_LIMIT, 0 if c.kind == 2 else GATE_BODY_LIMIT + 5)
    c.frames.max_messages = 0 if c.kind == 2 else 1
    c.state = GATE_PROVIDER
    envoy_continue_decoding(c.f)
