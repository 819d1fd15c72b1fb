# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
#
# The whole gate under sanitizers: the very C file that Envoy loads, driven through its hooks by a stand-in (envoy.c).
#
# An input is a script of one call. It chooses method, body, pieces and the moments at which client or provider leave, and
# what each side does to its headers after everything was made and signed as it should be (edits). What must hold:
#  1. What goes on to the provider has nothing but the bus's metadata, and a request that verifies; it has an admission.
#  2. What goes back to the client has nothing but the bus's metadata, and a receipt that verifies.
#  3. A stream is answered once, and not touched after that; pointers into a map are not kept over a setter.
#  4. A policy that comes into force in the middle of a call judges what is still to come.
#  5. Check 9 lets as many calls of a grant on as its day allows: none more, and none fewer for those that never went on.
#  6. Nothing goes on that the journal could not record (GOVBUS_FUZZ_BREAK=intent or outcome takes its disk away then).

include "native/core/base.pxi"
include "native/core/sync.pxi"
include "native/core/sha256.pxi"
include "native/core/frames.pxi"
include "native/core/base64.pxi"
include "native/core/codec_tables.pxi"
include "native/core/codec_text.pxi"
include "native/core/codec.pxi"
include "native/core/ecdsa.pxi"
include "native/core/merkle.pxi"
include "native/core/sigcache.pxi"
include "native/core/batch.pxi"
include "native/core/siphash.pxi"
include "native/core/keycache.pxi"
include "native/core/policy_layout.pxi"
include "native/core/policy_check.pxi"
include "native/core/policy.pxi"

include "native/fuzz/input.pxi"
include "native/fuzz/tables.pxi"
include "native/fuzz/gate_world.pxi"
include "native/fuzz/gate_judge.pxi"

cdef enum:
    LEAVE_BEFORE = 1       # the client goes away before its request is handed over
    LEAVE_BODY = 2
    LEAVE_INTENT = 3
    LEAVE_PROVIDER = 4
    LEAVE_ANSWER = 5
    LEAVE_OUTCOME = 6

cdef void add_text(play* c, int map, const char* key, const char* value) noexcept nogil:
    fe_add(c.f, map, key, strlen(key), value, strlen(value))


cdef void add_bytes(play* c, int map, const char* key, const u8* p, size_t n) noexcept nogil:
    """As base64, the way -bin metadata travels."""
    cdef u8 text[4096]
    fe_add(c.f, map, key, strlen(key), text, gb_b64_encode(p, n, text))


cdef void make_body(play* c, u8* commitment32) noexcept nogil:
    """One message as the script has it, and the commitment to it."""
    cdef u8 digest[32]
    cdef gb_span payload = take(&c.script, take_number(&c.script, 2) & 511)
    gb_random(c.salt, 32)
    memset(c.body, 0, 5)
    c.body[3] = <u8>(payload.n >> 8)
    c.body[4] = <u8>payload.n
    memcpy(c.body + 5, payload.p, payload.n)
    c.body_n = 5 + payload.n
    gb_sha256(c.body, c.body_n, digest)
    gb_commitment(c.salt, digest, commitment32)


cdef void make_request(play* c, u64 choices) noexcept nogil:
    """A request that is in order, unless a choice says otherwise."""
    cdef gb_request h
    cdef u8 commitment[32]
    cdef u8 signature[512]
    cdef size_t n
    cdef const char* path = b"/vn.fuzz.v1.FuzzService/List" if c.listing else b"/vn.fuzz.v1.FuzzService/Get"
    memset(&h, 0, sizeof(h))
    make_body(c, commitment)
    if not choices & 1:
        gb_random(WORLD.last_id, 16)
    h.request_id = gb_make_span(WORLD.last_id, 16)
    h.client = gb_literal(b"spiffe://fuzz.test/gov/one/client")
    h.provider = gb_literal(b"spiffe://fuzz.test/gov/two/provider")
    h.broker = gb_literal(b"spiffe://fuzz.test/gov/ndc/broker-1")
    h.method = gb_literal(path)
    h.body_commitment = gb_make_span(commitment, 32)
    h.issued_at_ms = gb_now_ms()
    h.not_after_ms = h.issued_at_ms + (70000 if choices & 2 else 20000)
    h.purpose = gb_literal(b"other" if choices & 4 else b"fuzzing")
    h.case_id = gb_literal(b"case-1")
    h.grant_id = gb_literal(b"grant-2" if choices & 8 else b"grant-1")
    c.request_n = <size_t>gb_encode_request(&h, c.request, sizeof(c.request))
    n = sign_alone(WORLD.provider if choices & 16 else WORLD.client, b"govbus/request/v1", c.request, c.request_n, signature)
    gb_header_digest(gb_literal(b"govbus/request/v1"), gb_make_span(c.request, c.request_n), c.digest)
    add_text(c, REQUEST, b":method", b"POST")
    add_text(c, REQUEST, b":path", path)
    add_text(c, REQUEST, b"content-type", b"application/grpc")
    add_text(c, REQUEST, b"te", b"trailers")
    if choices & 32:
        add_text(c, REQUEST, b"grpc-timeout", b"5S")
    add_bytes(c, REQUEST, b"govbus-request-bin", c.request, c.request_n)
    add_bytes(c, REQUEST, b"govbus-signature-bin", signature, n)
    add_bytes(c, REQUEST, b"govbus-salt-bin", c.salt, 32)


cdef void make_answer(play* c, int map, u64 choices) noexcept nogil:
    """The provider's parts, over the body that c holds: in trailers, or in the headers of an answer without body."""
    cdef gb_response h
    cdef u8 commitment[32]
    cdef u8 digest[32]
    cdef u8 wire[2048]
    cdef u8 signature[512]
    cdef u8 message[32]
    cdef size_t n
    cdef bint failed = map == RESPONSE or choices & 1
    memset(&h, 0, sizeof(h))
    if failed:
        c.body_n = 0
    gb_random(c.salt, 32)
    gb_sha256(c.body, c.body_n, digest)
    gb_commitment(c.salt, digest, commitment)
    h.request_digest = gb_make_span(c.digest, 32)
    h.provider = gb_literal(b"spiffe://fuzz.test/gov/two/provider")
    h.body_commitment = gb_make_span(commitment, 32)
    h.message_count = 0 if failed else 1
    h.grpc_status = 5 if failed else 0
    h.time_ms = gb_now_ms()
    if failed:
        gb_sha256(<const u8*>b"not found", 9, message)
        h.grpc_message_digest = gb_make_span(message, 32)
        add_text(c, map, b"grpc-message", b"not found")
    n = <size_t>gb_encode_response(&h, wire, sizeof(wire))
    add_text(c, map, b"grpc-status", b"5" if failed else b"0")
    add_bytes(c, map, b"govbus-response-bin", wire, n)
    n = sign_alone(WORLD.client if choices & 2 else WORLD.provider, b"govbus/response/v1", wire, n, signature)
    add_bytes(c, map, b"govbus-response-signature-bin", signature, n)
    add_bytes(c, map, b"govbus-response-salt-bin", c.salt, 32)


# --- edits: what a side does to a map that was in order -------------------------------------------------------------------

cdef void edit(play* c, int map) noexcept nogil:
    cdef u64 times = take_number(&c.script, 1) & 3
    while times:
        edit_once(c, map)
        times -= 1


cdef void edit_once(play* c, int map) noexcept nogil:
    cdef u64 kind = take_number(&c.script, 1) & 7
    cdef size_t n = c.f.map[map].n, index = <size_t>take_number(&c.script, 1) % (n if n else 1)
    cdef fe_entry* e = &c.f.map[map].e[index]
    cdef gb_span key, value
    if n == 0:
        return
    if kind == 0:
        key = take(&c.script, take_number(&c.script, 1) & 63)
        value = take(&c.script, take_number(&c.script, 1))
        fe_add(c.f, map, key.p, key.n, value.p, value.n)
    elif kind == 1:
        fe_drop(c.f, map, index)
    elif kind == 2 and e.value_n:
        index = <size_t>take_number(&c.script, 2) % e.value_n
        e.value[index] ^= <u8>take_number(&c.script, 1)
    elif kind == 3:
        fe_add(c.f, map, e.key, e.key_n, e.value, e.value_n)
    elif kind == 4:
        edit_many(c, map, take_number(&c.script, 1))
    elif kind == 5:
        edit_long(c, map, index, <size_t>take_number(&c.script, 2))
    elif kind == 6:
        value = take(&c.script, take_number(&c.script, 2) & 1023)
        fe_add(c.f, map, e.key, e.key_n, value.p, value.n)
        fe_drop(c.f, map, index)
    elif kind == 7 and e.value_n:
        fe_add(c.f, map, e.key, e.key_n, e.value, e.value_n - 1)
        fe_drop(c.f, map, index)


cdef void edit_many(play* c, int map, u64 times) noexcept nogil:
    """Foreign metadata until the map has so many entries."""
    cdef u8 name[4]
    memcpy(name, b"x-00", 4)
    while c.f.map[map].n < times and c.f.map[map].n < 200:
        name[2] = <u8>(48 + (c.f.map[map].n >> 4))
        name[3] = <u8>(48 + (c.f.map[map].n & 15))
        fe_add(c.f, map, name, 4, b"foreign", 7)


cdef void edit_long(play* c, int map, size_t index, size_t choice) noexcept nogil:
    """A name, or where the highest bit says so a value of base64, that is longer than any buffer for it."""
    cdef u8 text[8192]
    cdef size_t n = choice & 8191
    cdef fe_entry* e = &c.f.map[map].e[index]
    memset(text, 0x41 if choice >> 15 else 0x78, n)
    if choice >> 15:
        fe_add(c.f, map, e.key, e.key_n, text, n)
        fe_drop(c.f, map, index)
    else:
        fe_add(c.f, map, text, n, b"foreign", 7)


# --- the play -----------------------------------------------------------------------------------------------------------

cdef bint goes(play* c, u64 stage) noexcept nogil:
    """Whether the call ends here: answered, or one side leaves."""
    return c.f.over or c.leave == stage


cdef void wait_for(play* c) noexcept nogil:
    """The journal's answer, as Envoy brings it."""
    cdef u64 event
    if c.f.waiting:
        event = fe_event(c.f)
        expect(event != 0, b"the journal answers")
        hook_scheduled(c.f, c.gate, event)


cdef void spoil(play* c) noexcept nogil:
    """A body that is not what was committed to: a byte, an end, a second message."""
    cdef u64 kind = take_number(&c.script, 1) & 3
    cdef size_t at = <size_t>take_number(&c.script, 2) % (c.body_n if c.body_n else 1)
    if kind == 1:
        c.body[at] ^= <u8>take_number(&c.script, 1)
    elif kind == 2:
        c.body_n = at
    elif kind == 3:
        memset(c.body + c.body_n, 0, 5)
        c.body_n += 5


cdef void hand_over(play* c, int which, bint end) noexcept nogil:
    """The body in pieces, several to a hook where the script says so."""
    cdef size_t at = 0, n
    cdef u64 more
    while not c.f.over and (at < c.body_n or (end and at == 0)):
        more = take_number(&c.script, 1)
        n = c.body_n - at if more == 0 or more > c.body_n - at else <size_t>more
        fe_chunk(c.f, which, c.body + at, n)
        at += n
        if more & 1 and at < c.body_n:
            continue
        if which == 0:
            hook_request_body(c.f, c.gate, end and at == c.body_n)
        else:
            hook_response_body(c.f, c.gate, end and at == c.body_n)
        fe_no_chunks(c.f)
        if at == c.body_n:
            return


cdef void play_request(play* c, u64 choices) noexcept nogil:
    make_request(c, choices)
    edit(c, REQUEST)
    if goes(c, LEAVE_BEFORE):
        return
    hook_request_headers(c.f, c.gate, choices & 64 != 0)
    if goes(c, LEAVE_BODY) or choices & 64:
        return
    spoil(c)
    fe_break(b"intent")
    if choices & 128:
        hand_over(c, 0, False)
        if not c.f.over:
            c.f.map[REQUEST_TRAILERS].there = True
            edit(c, REQUEST_TRAILERS)
            hook_request_trailers(c.f, c.gate)
    else:
        hand_over(c, 0, True)


cdef void play_answer(play* c) noexcept nogil:
    cdef u64 choices = take_number(&c.script, 1), way = choices & 3
    cdef u8 commitment[32]
    cdef bint passing      # a stream whose headers went on
    c.f.map[RESPONSE].there = True
    if way == 3:
        local_reply(c.f, c.gate, b"upstream_response_timeout" if choices & 4 else b"no_healthy_upstream")
        add_text(c, RESPONSE, b":status", b"503")
        hook_response_headers(c.f, c.gate, False)
        return
    add_text(c, RESPONSE, b":status", b"200")
    add_text(c, RESPONSE, b"content-type", b"application/grpc")
    if way == 2:
        make_answer(c, RESPONSE, choices >> 3)
        edit(c, RESPONSE)
        hook_response_headers(c.f, c.gate, True)
        return
    make_body(c, commitment)
    edit(c, RESPONSE)
    passing = hook_response_headers(c.f, c.gate, False) == 0
    if goes(c, LEAVE_ANSWER):
        return
    if choices & 128:
        swap_policy(<u32>take_number(&c.script, 1) & (15 | LIMIT_BY_DAY))
    c.f.map[TRAILERS].there = True
    make_answer(c, TRAILERS, choices >> 3)
    spoil(c)
    hand_over(c, 2, choices & 32 != 0)
    expect(c.f.over or not passing or c.body_n == 0 or not WORLD.revoked & (REVOKED_GRANT | REVOKED_CLIENT | REVOKED_CLIENT_KEY),
           b"an open stream ends with what permitted it")
    if c.f.over or choices & 32:
        return
    if choices & 64:
        local_reply(c.f, c.gate, b"upstream_reset_after_response_started{remote_reset}")
        return
    edit(c, TRAILERS)
    fe_break(b"outcome")
    hook_response_trailers(c.f, c.gate)


cdef void limit(play* c, u32 limits) noexcept nogil:
    """The limits that the script chose are in force before its call."""
    if limits:
        if gb_now_ms() >= WORLD.day_ends_ms:
            WORLD.day_ends_ms = (gb_now_ms() / 86400000 + 1) * 86400000
            WORLD.counted_least = 0
        swap_policy(limits)
        c.limits = limits
        if limits & LIMIT_ONE_MORE:
            c.allowed = WORLD.counted_most + 1
        elif limits & LIMIT_USED:
            c.allowed = WORLD.counted_least


cdef void judge_limits(play* c) noexcept nogil:
    """A call that its grant's day allows is not refused by that."""
    if c.f.over and c.limits & LIMIT_ONE_MORE and not c.limits & LIMIT_BYTES:
        expect(strcmp(c.f.details, b"QUOTA_EXCEEDED") != 0, b"what never went on used nothing up")


cdef void play_all(play* c) noexcept nogil:
    play_request(c, take_number(&c.script, 1))
    if goes(c, LEAVE_INTENT) or c.leave == LEAVE_BEFORE or c.leave == LEAVE_BODY:
        return
    wait_for(c)
    judge_limits(c)
    if c.f.over or not c.f.decoding:
        return
    expect(not fe_broken, b"nothing goes on that the journal could not record")
    judge_request(c)
    if goes(c, LEAVE_PROVIDER):
        return
    play_answer(c)
    if goes(c, LEAVE_OUTCOME) or c.leave == LEAVE_ANSWER:
        return
    wait_for(c)
    if not c.f.over and c.f.encoding:
        expect(not fe_broken, b"nothing goes on that the journal could not record")
        judge_answer(c, TRAILERS if c.f.map[TRAILERS].there else RESPONSE)


cdef public void fuzz_gate(const u8* p, size_t n) noexcept nogil:
    cdef play c
    cdef u64 choices
    prepare_world()
    memset(&c, 0, sizeof(c))
    c.script = source_of(p, n)
    c.leave = take_number(&c.script, 1) & 7
    choices = take_number(&c.script, 1)
    c.listing = choices & 1
    if choices & 14 == 14:      # seldom: a policy that must come into force takes its time
        limit(&c, <u32>choices & ~<u32>15)
    c.f = fe_new(<const u8*>WORLD.certificate_hex, 0 if c.leave == 7 else 64)
    c.gate = hook_new(WORLD.config, c.f)
    expect(c.gate != NULL, b"a stream gets its filter")
    play_all(&c)
    if not c.f.over:
        hook_complete(c.f, c.gate)
    hook_destroy(c.gate)
    fe_free(c.f)
    if c.allowed:
        WORLD.counted_most += 1
    if WORLD.revoked:
        swap_policy(0)
    WORLD.runs += 1
    if WORLD.runs & 4095 == 0:
        fe_sweep()
