# The gate's world for fuzzing: keys made at start, a policy of one grant, the gate started as Envoy starts it. Needs
# input.pxi, tables.pxi, batch.pxi, envoy.h.

cdef extern from *:
    """
    #include <stdio.h>
    #include "envoy.h"
    typedef struct { const char *ptr; size_t length; } hook_buf;
    #define HOOK(name) envoy_dynamic_module_on_##name
    const void *HOOK(bootstrap_extension_config_new)(void *, hook_buf, hook_buf);
    const void *HOOK(bootstrap_extension_new)(const void *, void *);
    void HOOK(bootstrap_extension_shutdown)(void *, const void *, void (*)(void *), void *);
    void HOOK(bootstrap_extension_destroy)(const void *);
    const void *HOOK(http_filter_config_new)(void *, hook_buf, hook_buf);
    void HOOK(http_filter_config_destroy)(const void *);
    const void *HOOK(http_filter_new)(const void *, void *);
    unsigned HOOK(http_filter_request_headers)(void *, const void *, _Bool);
    unsigned HOOK(http_filter_request_body)(void *, const void *, _Bool);
    unsigned HOOK(http_filter_request_trailers)(void *, const void *);
    unsigned HOOK(http_filter_response_headers)(void *, const void *, _Bool);
    unsigned HOOK(http_filter_response_body)(void *, const void *, _Bool);
    unsigned HOOK(http_filter_response_trailers)(void *, const void *);
    unsigned HOOK(http_filter_local_reply)(void *, const void *, uint32_t, hook_buf, _Bool);
    void HOOK(http_filter_scheduled)(void *, const void *, uint64_t);
    void HOOK(http_filter_stream_complete)(void *, const void *);
    void HOOK(http_filter_destroy)(const void *);

    static void set_environment(const char *key_path, const char *policy_key) {
        setenv("GOVBUS_BROKER", "spiffe://fuzz.test/gov/ndc/broker-1", 1);
        setenv("GOVBUS_TRUST_DOMAIN", "fuzz.test", 1);
        setenv("GOVBUS_JOURNAL_DIR", fe_folder(), 1);
        setenv("GOVBUS_REPLAY_LOG2", "16", 1);
        setenv("GOVBUS_VERIFICATIONS", "1000000", 1);   /* the fuzzer forges more than a peer may */
        setenv("GOVBUS_GATE_KEY", key_path, 1);
        setenv("GOVBUS_POLICY_KEY", policy_key, 1);
    }
    static const void *gate_extension;
    static void heard(void *context) { (void)context; }
    /* As Envoy ends: registered after libcrypto's own cleaning up, so it comes before that. */
    static void stop_gate(void) {
        HOOK(bootstrap_extension_shutdown)(NULL, gate_extension, heard, NULL);
        HOOK(bootstrap_extension_destroy)(gate_extension);
    }
    static int start_gate(void) {
        const void *boot = HOOK(bootstrap_extension_config_new)(NULL, (hook_buf){"gate", 4}, (hook_buf){"", 0});
        gate_extension = boot ? HOOK(bootstrap_extension_new)(boot, NULL) : NULL;
        return gate_extension && atexit(stop_gate) == 0;
    }
    static const void *configure_gate(const char *snapshot, unsigned long long version, const char *digest_hex) {
        char text[800];
        int n = snprintf(text, sizeof text, "snapshot=%s\\nversion=%llu\\ndigest=%s", snapshot, version, digest_hex);
        return HOOK(http_filter_config_new)((void *)text, (hook_buf){"gate", 4}, (hook_buf){text, (size_t)n});
    }
    static unsigned local_reply(void *f, const void *m, const char *details) {
        return HOOK(http_filter_local_reply)(f, m, 503, (hook_buf){details, strlen(details)}, 0);
    }
    """
    ctypedef bint flag "_Bool"
    int strcmp(const char* a, const char* b) nogil
    ctypedef struct fe_entry:
        u8* key
        u8* value
        size_t key_n
        size_t value_n
    ctypedef struct fe_map:
        fe_entry* e
        size_t n
        bint there
    ctypedef struct fe_stream:
        fe_map* map
        size_t chunks
        int body
        char* details
        bint decoding
        bint encoding
        bint over
        bint route_cleared
        int waiting
    fe_stream* fe_new(const u8* digest_hex, size_t n) nogil
    void fe_free(fe_stream* s) nogil
    void fe_add(fe_stream* s, int map, const void* key, size_t key_n, const void* value, size_t value_n) nogil
    void fe_drop(fe_stream* s, int map, size_t index) nogil
    fe_entry* fe_find(fe_stream* s, int map, const char* key) nogil
    size_t fe_count(fe_stream* s, int map, const char* key) nogil
    void fe_chunk(fe_stream* s, int body, const void* p, size_t n) nogil
    void fe_no_chunks(fe_stream* s) nogil
    u64 fe_event(fe_stream* s) nogil
    const char* fe_folder() nogil
    void fe_sweep() nogil
    void fe_write(const char* name, const void* p, size_t n, char* path, size_t cap) nogil
    void fe_seal(const void* p, size_t n, char* path, size_t cap) nogil
    void set_environment(const char* key_path, const char* policy_key) nogil
    bint start_gate() nogil
    const void* configure_gate(const char* snapshot, u64 version, const char* digest_hex) nogil
    void hook_config_destroy "HOOK(http_filter_config_destroy)"(const void* config) nogil
    u64 fe_version
    void fe_pause() nogil
    bint fe_broken
    void fe_break(const char* moment) nogil
    unsigned int local_reply(void* f, const void* m, const char* details) nogil
    const void* hook_new "HOOK(http_filter_new)"(const void* config, void* f) nogil
    unsigned int hook_request_headers "HOOK(http_filter_request_headers)"(void* f, const void* m, flag end) nogil
    unsigned int hook_request_body "HOOK(http_filter_request_body)"(void* f, const void* m, flag end) nogil
    unsigned int hook_request_trailers "HOOK(http_filter_request_trailers)"(void* f, const void* m) nogil
    unsigned int hook_response_headers "HOOK(http_filter_response_headers)"(void* f, const void* m, flag end) nogil
    unsigned int hook_response_body "HOOK(http_filter_response_body)"(void* f, const void* m, flag end) nogil
    unsigned int hook_response_trailers "HOOK(http_filter_response_trailers)"(void* f, const void* m) nogil
    void hook_scheduled "HOOK(http_filter_scheduled)"(void* f, const void* m, u64 event) nogil
    void hook_complete "HOOK(http_filter_stream_complete)"(void* f, const void* m) nogil
    void hook_destroy "HOOK(http_filter_destroy)"(const void* m) nogil

cdef struct world:
    const void* config
    gb_privkey* client
    gb_privkey* provider
    gb_privkey* policy
    gb_privkey* gate
    gb_pubkey* client_key
    gb_pubkey* provider_key
    gb_pubkey* gate_key
    u8 certificate[32]
    char certificate_hex[65]
    u8 last_id[16]
    u64 runs
    u64 version            # of the snapshot that was configured last
    u32 revoked            # REVOKED_* and LIMIT_* in it
    i64 day_ends_ms        # of the counts below
    u64 counted_least      # calls of the grant that the gate surely counted in its day
    u64 counted_most       # and that it may have

cdef world WORLD

cdef enum:
    SUBSYSTEM_CLIENT = 0
    SUBSYSTEM_PROVIDER = 1
    SUBSYSTEM_BROKER = 2

    REVOKED_GRANT = 1
    REVOKED_CLIENT = 2
    REVOKED_CLIENT_KEY = 4
    REVOKED_PROVIDER_KEY = 8
    LIMIT_RATE = 16        # of the grant, and of the peer: a call in a second
    LIMIT_USED = 32        # the grant's day allows the calls that were surely counted, so no more
    LIMIT_ONE_MORE = 64    # it allows one more than those that may have been
    LIMIT_BYTES = 128      # it allows a byte: no body is so small
    LIMIT_BY_DAY = 32 | 64 | 128


cdef void hex_of(const u8* p, size_t n, char* out) noexcept nogil:
    """Digits and a zero."""
    cdef size_t i
    for i in range(n):
        out[2 * i] = fuzz_hex[p[i] >> 4]
        out[2 * i + 1] = fuzz_hex[p[i] & 15]
    out[2 * n] = 0


cdef gb_privkey* new_key() noexcept nogil:
    cdef gb_privkey* key = gb_privkey_generate()
    expect(key != NULL, b"libcrypto makes keys")
    return key


cdef size_t sign_alone(const gb_privkey* key, const char* type_, const u8* header, size_t n, u8* out512) noexcept nogil:
    """The encoded Signature of a batch of one."""
    cdef gb_merkle_tree tree
    cdef u8 leaf[32]
    cdef u8 buffer[512]
    cdef u8 value[64]
    cdef ssize_t size
    gb_leaf(gb_literal(type_), gb_make_span(header, n), leaf)
    gb_merkle_tree_build(&tree, leaf, 1, buffer)
    expect(gb_batch_sign(key, &tree, value), b"libcrypto signs")
    size = gb_batch_encode(&tree, 0, key.id, value, out512, 512)
    expect(size > 0, b"a signature encodes")
    return <size_t>size


# --- tables: the records by hand, everything that follows from them by policy_repair ------------------------------------

ctypedef struct table_writer:
    u8* p
    size_t at              # where the next section's records go
    size_t strings         # strings so far
    int section


cdef void put_name(table_writer* w, u8* ref, const char* text) noexcept nogil:
    cdef size_t n = strlen(text)
    memcpy(w.p + GB_POL_HEADER + w.strings, text, n)
    gb_st32(ref, <u32>w.strings)
    gb_st32(ref + 4, <u32>n)
    w.strings += n


cdef u8* put_section(table_writer* w, int section, u32 count) noexcept nogil:
    """Room for the records of the next section."""
    cdef u8* here = w.p + w.at
    gb_st32(w.p + 32 + 16 * section + 8, count)
    w.at = (w.at + <size_t>count * gb_pol_record_size(section) + 63) & ~<size_t>63
    return here


cdef size_t make_tables(u8* p, size_t cap) noexcept nogil:
    """Client, provider and broker; one certificate, two keys, two methods, one grant."""
    cdef table_writer w
    cdef u8* r
    memset(p, 0, cap)
    w.p = p
    w.strings = 0
    w.at = GB_POL_HEADER
    put_section(&w, GB_POL_STRINGS, 448)
    r = put_section(&w, GB_POL_SUBSYSTEMS, 3)
    put_subsystem(&w, r, b"spiffe://fuzz.test/gov/one/client", b"",
                  0 if WORLD.revoked & REVOKED_CLIENT else GB_SUBSYSTEM_ACTIVE)
    put_subsystem(&w, r + 32, b"spiffe://fuzz.test/gov/two/provider", b"provider", GB_SUBSYSTEM_ACTIVE)
    put_subsystem(&w, r + 64, b"spiffe://fuzz.test/gov/ndc/broker-1", b"", GB_SUBSYSTEM_ACTIVE | GB_SUBSYSTEM_BROKER)
    gb_st32(r + 24, 1 if WORLD.revoked & LIMIT_RATE else 0)
    r = put_section(&w, GB_POL_CERTIFICATES, 1)
    memcpy(r, WORLD.certificate, 32)
    gb_st64(r + 32, <u64>gb_now_ms() + 86400000)
    gb_st32(r + 40, SUBSYSTEM_CLIENT)
    r = put_section(&w, GB_POL_KEYS, 2)
    put_key(r, WORLD.client, SUBSYSTEM_CLIENT, WORLD.revoked & REVOKED_CLIENT_KEY)
    put_key(r + 120, WORLD.provider, SUBSYSTEM_PROVIDER, WORLD.revoked & REVOKED_PROVIDER_KEY)
    r = put_section(&w, GB_POL_METHODS, 2)
    put_method(&w, r, b"/vn.fuzz.v1.FuzzService/Get", GB_METHOD_UNARY)
    put_method(&w, r + 24, b"/vn.fuzz.v1.FuzzService/List", GB_METHOD_SERVER_STREAM)
    put_name(&w, put_section(&w, GB_POL_PURPOSES, 1), b"fuzzing")
    r = put_section(&w, GB_POL_GRANTS, 1)
    put_name(&w, r, b"grant-1")
    gb_st32(r + 12, SUBSYSTEM_PROVIDER)
    gb_st32(r + 20, 2)
    gb_st32(r + 24, 2)
    gb_st32(r + 28, 1)
    gb_st64(r + 40, 1 if WORLD.revoked & REVOKED_GRANT else <u64>gb_now_ms() + 86400000)
    r = put_section(&w, GB_POL_LISTS, 3)
    gb_st32(r + 4, 1)
    put_section(&w, GB_POL_AGENTS, 0)
    r = put_section(&w, GB_POL_LIMITS, 1)
    gb_st32(r, 1 if WORLD.revoked & LIMIT_RATE else 0)
    if WORLD.revoked & LIMIT_ONE_MORE:
        gb_st64(r + 8, WORLD.counted_most + 1)
    elif WORLD.revoked & LIMIT_USED:
        gb_st64(r + 8, WORLD.counted_least)
    gb_st64(r + 16, 1 if WORLD.revoked & LIMIT_BYTES else 0)
    memset(p + GB_POL_HEADER + w.strings, 0x2e, 448 - w.strings)
    return policy_repair(p, cap)


cdef void put_subsystem(table_writer* w, u8* r, const char* id, const char* cluster, u32 flags) noexcept nogil:
    put_name(w, r, id)
    put_name(w, r + 8, cluster)
    gb_st32(r + 16, 27)     # spiffe://fuzz.test/gov/xxx/
    gb_st32(r + 20, flags)


cdef void put_key(u8* r, const gb_privkey* key, u32 subsystem, bint revoked) noexcept nogil:
    memcpy(r + 32, key.point, 65)
    gb_st32(r + 100, subsystem)
    gb_st64(r + 112, 1 if revoked else <u64>gb_now_ms() + 86400000)


cdef void put_method(table_writer* w, u8* r, const char* path, u32 kind) noexcept nogil:
    put_name(w, r, path)
    gb_st32(r + 8, kind)
    gb_st64(r + 16, 60000)


cdef size_t make_snapshot(u8* out, size_t cap) noexcept nogil:
    cdef u8 tables[8192]
    cdef u8 header[1024]
    cdef u8 digest[32]
    cdef gb_snapshot_header h
    cdef size_t size = make_tables(tables, sizeof(tables)), at = 8, n
    memset(&h, 0, sizeof(h))
    memset(out, 0, cap)
    gb_sha256(tables, size, digest)
    h.trust_domain = gb_literal(b"fuzz.test")
    h.version = WORLD.version
    h.created_at_ms = gb_now_ms()
    h.alarm_after_ms = h.refuse_after_ms = 86400000
    h.scope = gb_literal(b"broker")
    h.tables_digest = gb_make_span(digest, 32)
    h.tables_size = size
    n = <size_t>gb_encode_snapshot_header(&h, header, sizeof(header))
    memcpy(out, b"GVBSNAP1", 8)
    gb_st32(out + at, <u32>n)
    memcpy(out + at + 4, header, n)
    at += 4 + n
    n = sign_alone(WORLD.policy, b"govbus/snapshot/v1", header, n, out + at + 4)
    gb_st32(out + at, <u32>n)
    at = (at + 4 + n + 63) & ~<size_t>63
    memcpy(out + at, tables, size)
    return at + size


cdef void put_part(u8* file, size_t* at, const u8* p, size_t n) noexcept nogil:
    file[at[0]] = <u8>(n >> 8)
    file[at[0] + 1] = <u8>n
    memcpy(file + at[0] + 2, p, n)
    at[0] += 2 + n


cdef size_t make_gate_key(u8* out2048) noexcept nogil:
    cdef u8 der[512]
    cdef u8 certified[512]
    cdef u8 proof[512]
    cdef gb_gate_key k
    cdef size_t at = 0, n
    cdef ssize_t size = gb_privkey_der(WORLD.gate, der, sizeof(der))
    expect(size > 0, b"libcrypto encodes keys")
    memset(&k, 0, sizeof(k))
    k.broker = gb_literal(b"spiffe://fuzz.test/gov/ndc/broker-1")
    k.public_key = gb_make_span(WORLD.gate.point, 65)
    k.not_before_ms = gb_now_ms()
    k.not_after_ms = k.not_before_ms + 86400000
    n = <size_t>gb_encode_gate_key(&k, certified, sizeof(certified))
    put_part(out2048, &at, der, <size_t>size)
    put_part(out2048, &at, certified, n)
    put_part(out2048, &at, proof, sign_alone(WORLD.policy, b"govbus/gatekey/v1", certified, n, proof))
    return at


cdef void prepare_world() noexcept nogil:
    cdef u8 file[2048]
    cdef char hex[132]
    cdef char path[320]
    if WORLD.config != NULL:
        return
    WORLD.client = new_key()
    WORLD.provider = new_key()
    WORLD.policy = new_key()
    WORLD.gate = new_key()
    WORLD.client_key = gb_pubkey_new(WORLD.client.point)
    WORLD.provider_key = gb_pubkey_new(WORLD.provider.point)
    WORLD.gate_key = gb_pubkey_new(WORLD.gate.point)
    memset(WORLD.certificate, 0x11, 32)
    hex_of(WORLD.certificate, 32, WORLD.certificate_hex)
    hex_of(WORLD.policy.point, 65, hex)
    fe_seal(file, make_gate_key(file), path, sizeof(path))
    set_environment(path, hex)
    if start_gate():
        WORLD.config = next_policy(0)
    if WORLD.config == NULL:
        complain()
    expect(WORLD.config != NULL, b"the gate starts in a world that is in order")


cdef const void* next_policy(u32 revoked) noexcept nogil:
    """Writes the next snapshot and configures the gate with it: the new filter configuration, or NULL."""
    cdef u8 file[16384]
    cdef u8 digest[32]
    cdef char hex[65]
    cdef char path[320]
    cdef size_t n
    WORLD.version += 1
    WORLD.revoked = revoked
    n = make_snapshot(file, sizeof(file))
    gb_sha256(file, n, digest)
    hex_of(digest, 32, hex)
    fe_write(b"policy.snapshot", file, n, path, sizeof(path))
    return configure_gate(path, WORLD.version, hex)


cdef void swap_policy(u32 revoked) noexcept nogil:
    """Another policy, in force when this returns: a stream without headers makes the gate show which one judges."""
    cdef const void* config = next_policy(revoked)
    cdef fe_stream* f
    cdef const void* gate
    cdef int tries = 0
    expect(config != NULL, b"a policy that is in order configures the gate")
    while fe_version != WORLD.version:
        expect(tries < 5000, b"a policy that is in order comes into force")
        tries += 1
        fe_pause()
        f = fe_new(<const u8*>WORLD.certificate_hex, 64)
        gate = hook_new(config, f)
        hook_request_headers(f, gate, True)
        hook_destroy(gate)
        fe_free(f)
    hook_config_destroy(config)


cdef extern from *:
    """
    static void complain(void) { fprintf(stderr, "fuzz: the gate said: %s\\n", fe_said); }
    """
    void complain() nogil
