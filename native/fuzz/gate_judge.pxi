# What must hold of a call that goes on, judged as its receiver would. Needs gate_world.pxi.

cdef enum:
    REQUEST = 0
    REQUEST_TRAILERS = 1
    RESPONSE = 2
    TRAILERS = 3

ctypedef struct play:
    fe_stream* f
    const void* gate
    source script
    u64 leave
    bint listing
    u32 limits             # LIMIT_* that judge the call at its headers
    u64 allowed            # calls that the grant's day then allows
    u8 salt[32]
    u8 body[600]
    size_t body_n
    u8 request[2048]
    size_t request_n
    u8 digest[32]          # of the request header


cdef bint one_of(const fe_entry* e, const char* names) noexcept nogil:
    """Whether the key is one of the names, which stand between commas."""
    cdef size_t n
    cdef const char* at = names
    while at[0]:
        n = 0
        while at[n] and at[n] != 44:
            n += 1
        if n == e.key_n and memcmp(at, e.key, n) == 0:
            return True
        at += n + (1 if at[n] else 0)
    return False


cdef ssize_t part_of(play* c, int map, const char* key, u8* out, size_t cap) noexcept nogil:
    """A -bin value that must be there exactly once; its length, or -1."""
    cdef fe_entry* e = fe_find(c.f, map, key)
    if fe_count(c.f, map, key) != 1:
        return -1
    return gb_b64_decode(e.value, e.value_n, out, cap)


cdef void signed_by_gate(play* c, int map, const char* type_, const char* record_key, const char* proof_key) noexcept nogil:
    """An admission or a receipt is there, with the gate's signature."""
    cdef u8 record[1024]
    cdef u8 proof[512]
    cdef u8 leaf[32]
    cdef gb_signature s
    cdef int field = 0
    cdef ssize_t n = part_of(c, map, record_key, record, sizeof(record))
    cdef ssize_t m = part_of(c, map, proof_key, proof, sizeof(proof))
    expect(n > 0 and m > 0, b"what goes on carries the gate's record and its signature, once")
    gb_leaf(gb_literal(type_), gb_make_span(record, <size_t>n), leaf)
    expect(gb_parse_signature(proof, <size_t>m, &s, &field) == 0, b"the gate's signature is canonical")
    expect(gb_batch_verify(WORLD.gate_key, &s, leaf, NULL) == GB_BATCH_OK, b"the gate's signature verifies")


cdef void judge_request(play* c) noexcept nogil:
    cdef u8 header[2048]
    cdef u8 proof[512]
    cdef u8 leaf[32]
    cdef gb_request h
    cdef gb_signature s
    cdef fe_entry* e
    cdef size_t i
    cdef int field = 0
    cdef ssize_t n = part_of(c, REQUEST, b"govbus-request-bin", header, sizeof(header))
    cdef ssize_t m = part_of(c, REQUEST, b"govbus-signature-bin", proof, sizeof(proof))
    expect(n > 0 and m > 0 and gb_parse_request(header, <size_t>n, &h, &field) == 0
           and gb_parse_signature(proof, <size_t>m, &s, &field) == 0, b"only a canonical request reaches a provider")
    gb_leaf(gb_literal(b"govbus/request/v1"), gb_make_span(header, <size_t>n), leaf)
    expect(gb_batch_verify(WORLD.client_key, &s, leaf, NULL) == GB_BATCH_OK, b"only a signed request reaches a provider")
    e = fe_find(c.f, REQUEST, b":path")
    expect(e != NULL and gb_eq(h.method, gb_make_span(e.value, e.value_n)), b"the path is the signed method")
    expect(not c.limits & LIMIT_BYTES, b"nothing goes on that passes its day's bytes")
    if c.allowed and gb_now_ms() < WORLD.day_ends_ms:
        WORLD.counted_least += 1
        expect(WORLD.counted_least <= c.allowed, b"nothing goes on that passes its day's calls")
    signed_by_gate(c, REQUEST, b"govbus/admission/v1", b"govbus-admission-bin", b"govbus-admission-signature-bin")
    e = fe_find(c.f, REQUEST, b"govbus-cluster")
    expect(e != NULL and e.value_n == 8 and memcmp(e.value, b"provider", 8) == 0 and c.f.route_cleared,
           b"the request goes to the provider it names")
    for i in range(c.f.map[REQUEST].n):
        e = &c.f.map[REQUEST].e[i]
        expect((e.key_n and e.key[0] == 58) or one_of(e, b"content-type,te,grpc-timeout,user-agent,traceparent,x-forwarded-proto,"
               b"govbus-request-bin,govbus-signature-bin,govbus-salt-bin,govbus-admission-bin,govbus-admission-signature-bin,"
               b"govbus-gatekey-bin,govbus-gatekey-signature-bin,govbus-cluster"),
               b"no foreign metadata reaches a provider")


cdef bint answer_verifies(play* c, int map) noexcept nogil:
    """The provider's own parts, as the client would judge them."""
    cdef u8 header[2048]
    cdef u8 proof[512]
    cdef u8 leaf[32]
    cdef gb_response h
    cdef gb_signature s
    cdef int field = 0
    cdef ssize_t n = part_of(c, map, b"govbus-response-bin", header, sizeof(header))
    cdef ssize_t m = part_of(c, map, b"govbus-response-signature-bin", proof, sizeof(proof))
    if n <= 0 or m <= 0 or gb_parse_response(header, <size_t>n, &h, &field) or gb_parse_signature(proof, <size_t>m, &s, &field):
        return False
    gb_leaf(gb_literal(b"govbus/response/v1"), gb_make_span(header, <size_t>n), leaf)
    return gb_eq32(h.request_digest.p, c.digest) and gb_batch_verify(WORLD.provider_key, &s, leaf, NULL) == GB_BATCH_OK


cdef void judge_answer(play* c, int map) noexcept nogil:
    cdef u8 record[1024]
    cdef gb_receipt receipt
    cdef fe_entry* e
    cdef size_t i
    cdef int each, field = 0
    cdef ssize_t n = part_of(c, map, b"govbus-receipt-bin", record, sizeof(record))
    expect(n > 0 and gb_parse_receipt(record, <size_t>n, &receipt, &field) == 0, b"an answer carries a canonical receipt")
    expect(gb_eq32(receipt.request_digest.p, c.digest), b"a receipt names its request")
    if receipt.outcome == 1:
        expect(answer_verifies(c, map), b"what a receipt calls done was signed by the provider, for this request")
        expect(not WORLD.revoked & REVOKED_PROVIDER_KEY, b"a revoked key answers nothing")
    else:
        expect(receipt.outcome == 2 and fe_find(c.f, map, b"govbus-response-bin") == NULL,
               b"an answer that failed is the bus's alone")
    signed_by_gate(c, map, b"govbus/receipt/v1", b"govbus-receipt-bin", b"govbus-receipt-signature-bin")
    for each in range(RESPONSE, TRAILERS + 1):
        for i in range(c.f.map[each].n):
            e = &c.f.map[each].e[i]
            expect(one_of(e, b":status,content-type,grpc-status,grpc-message,grpc-status-details-bin,govbus-response-bin,"
                   b"govbus-response-signature-bin,govbus-response-salt-bin,govbus-receipt-bin,govbus-receipt-signature-bin,"
                   b"govbus-gatekey-bin,govbus-gatekey-signature-bin"), b"no foreign metadata reaches a client")
