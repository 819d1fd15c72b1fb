# Targets: policy tables and snapshot files. Needs input.pxi, tables.pxi, trust.pxi, policy*.pxi, snapshot.pxi.

# --- policy: byte 0: 0 as it is, else repaired ------------------------------------------------------------------------

cdef void policy(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef u64 repair = take_number(&s, 1)
    cdef size_t size = s.n
    cdef u8* file = block_of(gb_make_span(s.p, s.n))
    cdef u8* exact
    cdef gb_policy pol
    cdef int bad
    if repair:
        size = policy_repair(file, size)
    exact = block_of(gb_make_span(file, size))
    bad = gb_policy_open(&pol, exact, size)
    expect(bad >= 0 and bad <= GB_POLICY_MEMORY, b"tables open, or are refused for one reason")
    if bad == 0:
        policy_walk(&pol)
        policy_questions(&pol, s.p, s.n)
    expect(ERR_peek_error() == 0, b"libcrypto's error queue is left empty")
    free(exact)
    free(file)


cdef void policy_text(const gb_policy* pol, gb_span text, size_t longest) noexcept nogil:
    """A name that was answered: within the tables, of its length, visible ASCII."""
    cdef size_t i
    expect(inside(text, pol.base, pol.size) and text.n <= longest, b"a name lies in the tables")
    for i in range(text.n):
        expect(text.p[i] > 0x20 and text.p[i] < 0x7f, b"a name is visible ASCII")


cdef void policy_walk(const gb_policy* pol) noexcept nogil:
    """Every record of opened tables is found under its own name and answers within bounds."""
    cdef u32 i, subsystems = pol.section[GB_POL_SUBSYSTEMS].n
    cdef i64 not_after = 0
    cdef const u8* record
    cdef gb_subsystem subsystem
    cdef gb_method method
    cdef gb_key_record key
    cdef gb_pubkey* made
    for i in range(subsystems):
        gb_policy_subsystem_get(pol, i, &subsystem)
        policy_text(pol, subsystem.id, 200)
        policy_text(pol, subsystem.cluster, 255)
        expect(subsystem.member.n and subsystem.member.n <= subsystem.id.n, b"a member's prefix is one of its subsystem")
        expect(gb_policy_subsystem(pol, subsystem.id) == i, b"a subsystem is found by its name")
    for i in range(pol.section[GB_POL_CERTIFICATES].n):
        record = gb_pol_at(pol, GB_POL_CERTIFICATES, i)
        expect(gb_policy_cert(pol, record, &not_after) < subsystems, b"a certificate is somebody's")
    for i in range(pol.section[GB_POL_KEYS].n):
        made = gb_pubkey_new(gb_pol_at(pol, GB_POL_KEYS, i) + 32)
        expect(gb_policy_key(pol, gb_pol_at(pol, GB_POL_KEYS, i), &key) == i, b"a key is found by its id")
        expect(key.subsystem < subsystems and made != NULL, b"a key is somebody's and can be used")
        expect(gb_eq32(made.id, key.id32), b"a key's id is its point's")
        gb_pubkey_free(made)
    for i in range(pol.section[GB_POL_METHODS].n):
        gb_policy_method_get(pol, i, &method)
        policy_text(pol, method.path, 200)
        expect(gb_policy_method(pol, method.path) == i, b"a method is found by its path")
        expect(method.kind >= 1 and method.kind <= 3 and method.max_lifetime_ms > 0, b"a method has a kind and a lifetime")
    for i in range(pol.section[GB_POL_GRANTS].n):
        policy_grant(pol, i)


cdef void policy_grant(const gb_policy* pol, u32 index) noexcept nogil:
    """A grant permits what it lists, within its time, and nobody else."""
    cdef gb_grant g
    cdef gb_span purpose
    cdef u32 found = GB_NONE, method
    gb_policy_grant_get(pol, index, &g)
    policy_text(pol, g.id, 64)
    expect(gb_policy_grant(pol, g.id) == index, b"a grant is found by its id")
    expect(g.client < pol.section[GB_POL_SUBSYSTEMS].n and g.provider < pol.section[GB_POL_SUBSYSTEMS].n,
           b"a grant is between subsystems of the tables")
    expect(g.methods_n > 0 and g.purposes_n > 0, b"a grant names methods and purposes")
    method = gb_ld32(g.methods + 4 * <size_t>(g.methods_n - 1))
    purpose = gb_pol_string(pol, gb_pol_at(pol, GB_POL_PURPOSES, gb_ld32(g.purposes + 4 * <size_t>(g.purposes_n - 1))))
    policy_text(pol, purpose, 64)
    expect(gb_policy_permits(pol, g.id, g.client, g.provider, method, purpose, g.not_before, &found)
           == (g.not_before <= g.not_after), b"a grant permits what it lists")
    expect(g.not_before > g.not_after or found == index, b"the grant that permits is the one named")
    expect(not gb_policy_permits(pol, g.id, g.client, GB_NONE, method, purpose, g.not_before, &found),
           b"an unknown provider is permitted nothing")
    expect(not gb_policy_permits(pol, g.id, g.client + 1, g.provider, method, purpose, g.not_before, &found),
           b"another client is permitted nothing")


cdef void policy_questions(const gb_policy* pol, const u8* p, size_t n) noexcept nogil:
    """Names that the tables may not have: any piece of the input."""
    cdef size_t length = n if n < 64 else 64
    cdef gb_span name = gb_make_span(p + n - length, length)
    cdef gb_key_record key
    cdef i64 not_after = 0
    cdef u8 digest[32]
    cdef u32 found
    memset(digest, 0, 32)
    memcpy(digest, name.p, length if length < 32 else 32)
    found = gb_policy_subsystem(pol, name)
    expect(found == GB_NONE or found < pol.section[GB_POL_SUBSYSTEMS].n, b"a lookup answers a record or nothing")
    found = gb_policy_method(pol, name)
    expect(found == GB_NONE or found < pol.section[GB_POL_METHODS].n, b"a lookup answers a record or nothing")
    expect(not gb_policy_permits(pol, name, 0, 0, 0, name, 0, &found) or found < pol.section[GB_POL_GRANTS].n,
           b"a grant that permits is in the tables")
    gb_policy_cert(pol, digest, &not_after)
    gb_policy_key(pol, digest, &key)
    gb_policy_agent(pol, gb_ld32(digest), gb_ld32(digest + 4))
    expect(not gb_policy_agent(pol, GB_NONE, 0) and not gb_policy_agent(pol, 0, GB_NONE), b"nobody is nobody's agent")


# --- snapshot: a clock and two floors, then the file ----------------------------------------------------------------------

cdef void snapshot(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef gb_snapshot_pins pins
    cdef gb_snapshot snap
    cdef u8* file
    cdef int bad
    prepare_key()
    pins.key = the_key
    pins.trust_domain = gb_literal(b"fuzz.test")
    pins.scope = gb_literal(b"broker")
    pins.now_ms = <i64>(take_number(&s, 6) % <u64>253402300800000)
    pins.floor_version = take_number(&s, 1)
    pins.floor_log_position = take_number(&s, 1)
    file = block_of(gb_make_span(s.p, s.n))
    snapshot_parts(file, s.n, &pins)
    bad = gb_snapshot_open(&snap, file, s.n, &pins)
    expect(bad >= 0 and bad <= GB_SNAPSHOT_TABLES, b"a snapshot opens, or is refused for one reason")
    expect((bad == GB_SNAPSHOT_TABLES) == (snap.policy_error != 0), b"tables have an error when they are the reason")
    if bad == 0:
        expect(gb_snapshot_age(&snap.header, pins.now_ms) != GB_AGE_REFUSE, b"what opens is not too old")
        policy_walk(&snap.policy)
    free(file)
    expect(ERR_peek_error() == 0, b"libcrypto's error queue is left empty")


cdef void snapshot_parts(const u8* p, size_t n, gb_snapshot_pins* pins) noexcept nogil:
    """What lies behind the signature, judged without it: a forged header must break nothing either."""
    cdef gb_span header, signature, tables
    cdef gb_snapshot_header h
    cdef int field = 0, bad
    if gb_snapshot_split(p, n, &header, &signature, &tables):
        return
    expect(inside(header, p, n) and inside(signature, p, n) and inside(tables, p, n), b"parts lie in the file")
    expect((tables.p - p) & 63 == 0, b"tables are aligned")
    if gb_parse_snapshot_header(header.p, header.n, &h, &field) == 0:
        bad = gb_snapshot_judge(&h, pins)
        expect(bad == 0 or (bad >= GB_SNAPSHOT_DOMAIN and bad <= GB_SNAPSHOT_STALE), b"a header is refused for one reason")
