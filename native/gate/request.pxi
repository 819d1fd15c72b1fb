# Checks 1-8 of protocol.md, section 4, on request headers alone, in their numbered order (9 is volume.pxi). Each returns
# 0 or the reason;
# where a reason names a key or field, it is left in c.key and c.field.

cdef enum:
    SEEN_REQUEST = 1
    SEEN_SIGNATURE = 2
    SEEN_SALT = 4
    SEEN_ALL = 7
    SEEN_TYPE = 8

cdef u32 fail_key(gate_call *c, u32 reason, const char *key) noexcept nogil:
    c.key = b"key"
    c.field = key
    return reason

cdef u32 check_1_connection(gate_call *c, i64 now) noexcept nogil:
    cdef envoy_buf text
    cdef u8 digest[32]
    cdef i64 not_after = 0
    if not envoy_attribute_string(c.f, ATTR_CONNECTION_SHA256_PEER, &text):
        return GB_R_CERTIFICATE_NOT_LIVE
    if not parse_hex32(text.ptr, text.length, digest):
        return GB_R_CERTIFICATE_NOT_LIVE
    c.peer = gb_policy_cert(&c.policy.snapshot.policy, digest, &not_after)
    if c.peer == GB_NONE:
        return GB_R_CERTIFICATE_NOT_LIVE
    if now > not_after:
        return GB_R_CERTIFICATE_EXPIRED
    if not subsystem_active(c, c.peer):
        return GB_R_SUBSYSTEM_SUSPENDED
    return 0

cdef bint subsystem_active(gate_call *c, u32 index) noexcept nogil:
    cdef gb_subsystem record
    gb_policy_subsystem_get(&c.policy.snapshot.policy, index, &record)
    return record.active

cdef u32 take_value(gate_call *c, envoy_header *h, int *seen, int bit, const char *key, u8 *out, size_t limit,
                    size_t *size) noexcept nogil:
    cdef u32 reason = 0
    cdef ssize_t n
    if seen[0] & bit:
        return fail_key(c, GB_R_METADATA_DUPLICATED, key)
    seen[0] |= bit
    n = decode_value(h.value, h.value_length, out, limit, &reason)
    if n < 0:
        return fail_key(c, reason, key)
    size[0] = <size_t> n
    return 0

cdef u32 check_2_entry(gate_call *c, envoy_header *h, int *seen, size_t *salt_size) noexcept nogil:
    if text_starts(h.key, h.key_length, b"govbus-"):
        if text_is(h.key, h.key_length, b"govbus-request-bin"):
            return take_value(c, h, seen, SEEN_REQUEST, b"govbus-request-bin", c.request_bytes, GATE_HEADER_LIMIT,
                              &c.request_size)
        if text_is(h.key, h.key_length, b"govbus-signature-bin"):
            return take_value(c, h, seen, SEEN_SIGNATURE, b"govbus-signature-bin", c.signature_bytes,
                              GATE_SIGNATURE_LIMIT, &c.signature_size)
        if text_is(h.key, h.key_length, b"govbus-salt-bin"):
            return take_value(c, h, seen, SEEN_SALT, b"govbus-salt-bin", c.salt, 32, salt_size)
        return GB_R_METADATA_UNKNOWN
    if text_is(h.key, h.key_length, b":method"):
        return 0 if text_is(h.value, h.value_length, b"POST") else GB_R_PROTOCOL_INVALID
    if text_is(h.key, h.key_length, b"content-type"):
        seen[0] |= SEEN_TYPE
        if text_is(h.value, h.value_length, b"application/grpc"):
            return 0
        return 0 if text_is(h.value, h.value_length, b"application/grpc+proto") else GB_R_PROTOCOL_INVALID
    if text_is(h.key, h.key_length, b"grpc-encoding"):
        return 0 if text_is(h.value, h.value_length, b"identity") else GB_R_COMPRESSION_NOT_SUPPORTED
    return 0

cdef u32 check_2_metadata(gate_call *c) noexcept nogil:
    cdef envoy_header headers[GATE_HEADERS_MAX]
    cdef size_t n = envoy_headers_size(c.f, HEADERS_REQUEST)
    cdef size_t i
    cdef size_t salt_size = 0
    cdef int seen = 0
    cdef u32 reason
    if n > GATE_HEADERS_MAX or not envoy_get_headers(c.f, HEADERS_REQUEST, headers):
        return GB_R_METADATA_TOO_LARGE
    for i in range(n):
        reason = check_2_entry(c, &headers[i], &seen, &salt_size)
        if reason != 0:
            return reason
    if not seen & SEEN_TYPE:
        return GB_R_PROTOCOL_INVALID
    if seen & SEEN_ALL != SEEN_ALL:
        if not seen & SEEN_REQUEST:
            return fail_key(c, GB_R_METADATA_MISSING, b"govbus-request-bin")
        if not seen & SEEN_SIGNATURE:
            return fail_key(c, GB_R_METADATA_MISSING, b"govbus-signature-bin")
        return fail_key(c, GB_R_METADATA_MISSING, b"govbus-salt-bin")
    if salt_size != 32:
        return fail_key(c, GB_R_METADATA_ENCODING_INVALID, b"govbus-salt-bin")
    return check_2_canonical(c)

cdef u32 check_2_canonical(gate_call *c) noexcept nogil:
    cdef int field = 0
    cdef int error = gb_parse_request(c.request_bytes, c.request_size, &c.request, &field)
    if error != 0:
        if gb_codec_reason(error) == GB_R_HEADER_NOT_CANONICAL:
            return fail_key(c, GB_R_HEADER_NOT_CANONICAL, b"govbus-request-bin")
        c.key = b"field"
        c.field = request_field_name(field)
        return gb_codec_reason(error)
    error = gb_parse_signature(c.signature_bytes, c.signature_size, &c.signature, &field)
    if error != 0:
        return fail_key(c, GB_R_HEADER_NOT_CANONICAL, b"govbus-signature-bin")
    return 0

cdef u32 check_3_addressing(gate_call *c) noexcept nogil:
    cdef envoy_buf path
    cdef gb_policy *policy = &c.policy.snapshot.policy
    c.client = gb_policy_subsystem(policy, c.request.client)
    if c.client == GB_NONE:
        return GB_R_CLIENT_MISMATCH
    if c.client != c.peer and not gb_policy_agent(policy, c.peer, c.client):
        return GB_R_CLIENT_MISMATCH
    if not subsystem_active(c, c.client):
        return GB_R_SUBSYSTEM_SUSPENDED
    if c.request.broker.n != PROCESS.broker_size or memcmp(c.request.broker.p, PROCESS.broker, PROCESS.broker_size) != 0:
        return GB_R_WRONG_BROKER
    if not envoy_get_header(c.f, HEADERS_REQUEST, buf_text(b":path"), &path, 0, NULL):
        return GB_R_PROTOCOL_INVALID
    if path.length != c.request.method.n or memcmp(path.ptr, c.request.method.p, path.length) != 0:
        return GB_R_METHOD_MISMATCH
    return 0

cdef u32 check_4_time(gate_call *c, i64 now) noexcept nogil:
    # Also sets grpc-timeout to what remains of the lifetime, so that the provider and Envoy's router share one deadline.
    cdef gb_method record
    cdef envoy_buf text
    cdef char timeout[24]
    cdef size_t n
    cdef i64 remaining
    cdef i64 asked = 0
    cdef i64 longest = GATE_LIFETIME_MS
    if not clock_trusted(now):
        return GB_R_CLOCK_UNTRUSTED
    if now > PROCESS.gatekey_end_ms - GATE_KEY_MARGIN_MS:
        return GB_R_DRAINING
    if gb_snapshot_age(&c.policy.snapshot.header, now) == GB_AGE_REFUSE:
        return GB_R_POLICY_STALE
    if c.request.issued_at_ms > now + GATE_SKEW_MS or c.request.issued_at_ms < now - GATE_SKEW_MS:
        return GB_R_REQUEST_NOT_FRESH
    c.method = gb_policy_method(&c.policy.snapshot.policy, c.request.method)
    c.kind = 1
    if c.method != GB_NONE:
        gb_policy_method_get(&c.policy.snapshot.policy, c.method, &record)
        c.kind = record.kind
        longest = record.max_lifetime_ms
    remaining = c.request.not_after_ms - now
    if c.request.not_after_ms <= c.request.issued_at_ms or remaining <= 0:
        return GB_R_LIFETIME_INVALID
    if c.request.not_after_ms - c.request.issued_at_ms > longest:
        return GB_R_LIFETIME_INVALID
    if envoy_get_header(c.f, HEADERS_REQUEST, buf_text(b"grpc-timeout"), &text, 0, NULL):
        if not parse_grpc_timeout(text.ptr, text.length, &asked) or asked <= 0:
            return GB_R_LIFETIME_INVALID
        if asked < remaining:
            return 0
    # grpc-timeout has at most 8 digits.
    n = put_decimal(remaining if remaining <= 99999999 else 99999999, timeout)
    timeout[n] = c'm'
    envoy_set_header(c.f, HEADERS_REQUEST, buf_text(b"grpc-timeout"), buf_of(timeout, n + 1))
    return 0

cdef u32 check_5_key(gate_call *c, i64 now, gb_key_record *key) noexcept nogil:
    cdef u32 index = gb_policy_key(&c.policy.snapshot.policy, c.signature.key_id.p, key)
    if index == GB_NONE:
        return GB_R_KEY_UNKNOWN
    if key.subsystem != c.client:
        return GB_R_KEY_NOT_OF_CLIENT
    if now < key.not_before or now > key.not_after:
        return GB_R_KEY_NOT_VALID
    return 0

cdef u32 check_6_signature(gate_call *c, i64 now, const gb_key_record *key) noexcept nogil:
    cdef u8 leaf[32]
    cdef u8 root[32]
    cdef u32 reason
    cdef int error
    gb_leaf(gb_literal(b"govbus/request/v1"), gb_make_span(c.request_bytes, c.request_size), leaf)
    error = gb_batch_begin(key.id32, &c.signature, leaf, PROCESS.signatures, root)
    if error == GB_BATCH_UNKNOWN:
        reason = check_9_verification(c, now)
        if reason != 0:
            return reason
        error = gb_keycache_verify(PROCESS.keys, key.point65, &c.signature, PROCESS.signatures, root)
        if error == GB_BATCH_MEMORY:
            return GB_R_OVERLOADED
        if error != 0:
            charge_failure(c)
    if error == GB_BATCH_PATH:
        return GB_R_BATCH_PATH_INVALID
    if error != 0:
        return GB_R_SIGNATURE_INVALID
    gb_header_digest(gb_literal(b"govbus/request/v1"), gb_make_span(c.request_bytes, c.request_size), c.request_digest)
    name_span(c)
    return 0

cdef void name_span(gate_call *c) noexcept nogil:
    # What is signed: the method, and the id that `govbus explain` takes. Nothing else of a header is anybody's to see.
    cdef const char *digits = b"0123456789abcdef"
    cdef char text[32]
    cdef int i
    cdef void *span = envoy_active_span(c.f)
    if span == NULL:
        return
    for i in range(16):
        text[2 * i] = digits[c.request.request_id.p[i] >> 4]
        text[2 * i + 1] = digits[c.request.request_id.p[i] & 15]
    envoy_span_set_operation(span, buf_of(c.request.method.p + 1, c.request.method.n - 1))
    envoy_span_set_tag(span, buf_text(b"govbus.request_id"), buf_of(text, 32))

cdef u32 check_7_replay(gate_call *c) noexcept nogil:
    cdef int seen = gb_replay_add(PROCESS.replay, c.request.client, c.request.request_id.p, gb_mono_ms())
    if seen == 1:
        return GB_R_REPLAYED
    if seen != 0:
        return GB_R_OVERLOADED
    return 0

cdef u32 check_8_grant(gate_call *c, i64 now, gb_subsystem *provider) noexcept nogil:
    cdef gb_policy *policy = &c.policy.snapshot.policy
    c.provider = gb_policy_subsystem(policy, c.request.provider)
    if c.provider == GB_NONE or c.method == GB_NONE:
        return GB_R_NO_GRANT
    if not gb_policy_permits(policy, c.request.grant_id, c.client, c.provider, c.method, c.request.purpose, now, &c.grant):
        return GB_R_NO_GRANT
    gb_policy_subsystem_get(policy, c.provider, provider)
    if not provider.active or provider.cluster.n == 0:
        return GB_R_NO_GRANT
    if c.kind == 3:
        return GB_R_STREAM_NOT_SUPPORTED
    return 0
