# Policy lookups of the gate: who a peer is, whose a key is, what a grant permits. Needs policy_layout.pxi, policy_check.pxi.
#
# 1. All answers come from one opened gb_policy, so one call is judged by one snapshot version (protocol.md 4).
# 2. Each lookup is one keyed hash and, but for rare collisions, one comparison: O(1) at 200,000 grants.
# 3. A record index handed in comes from a lookup on the same gb_policy; GB_NONE is the only other value, never passed on.
# 4. Spans answered point into the tables and live as long as they do.

cdef inline u32 gb_policy_cert(const gb_policy* pol, const u8* digest32, i64* not_after) noexcept nogil:
    """Check 1: the subsystem whose live certificate has this SHA-256, or GB_NONE."""
    cdef u32 found = gb_pol_find(pol, GB_POL_CERTIFICATES, gb_make_span(digest32, 32))
    cdef const u8* record
    if found == GB_NONE:
        return GB_NONE
    record = gb_pol_at(pol, GB_POL_CERTIFICATES, found)
    not_after[0] = <i64>gb_ld64(record + 32)
    return gb_ld32(record + 40)


cdef inline u32 gb_policy_subsystem(const gb_policy* pol, gb_span id) noexcept nogil:
    return gb_pol_find(pol, GB_POL_SUBSYSTEMS, id)


cdef inline void gb_policy_subsystem_get(const gb_policy* pol, u32 index, gb_subsystem* out) noexcept nogil:
    cdef const u8* record = gb_pol_at(pol, GB_POL_SUBSYSTEMS, index)
    cdef u32 flags = gb_ld32(record + 20)
    out.id = gb_pol_string(pol, record)
    out.cluster = gb_pol_string(pol, record + 8)
    out.member = gb_make_span(out.id.p, gb_ld32(record + 16))
    out.active = (flags & GB_SUBSYSTEM_ACTIVE) != 0
    out.is_broker = (flags & GB_SUBSYSTEM_BROKER) != 0
    out.calls_per_second = gb_ld32(record + 24)
    out.burst = gb_ld32(record + 28)


cdef inline u32 gb_policy_key(const gb_policy* pol, const u8* key_id32, gb_key_record* out) noexcept nogil:
    """Check 5: the signing key with this id, or GB_NONE. The caller judges owner and validity."""
    cdef u32 found = gb_pol_find(pol, GB_POL_KEYS, gb_make_span(key_id32, 32))
    cdef const u8* record
    if found == GB_NONE:
        return GB_NONE
    record = gb_pol_at(pol, GB_POL_KEYS, found)
    out.id32 = record
    out.point65 = record + 32
    out.subsystem = gb_ld32(record + 100)
    out.not_before = <i64>gb_ld64(record + 104)
    out.not_after = <i64>gb_ld64(record + 112)
    return found


cdef inline u32 gb_policy_method(const gb_policy* pol, gb_span path) noexcept nogil:
    return gb_pol_find(pol, GB_POL_METHODS, path)


cdef inline void gb_policy_method_get(const gb_policy* pol, u32 index, gb_method* out) noexcept nogil:
    cdef const u8* record = gb_pol_at(pol, GB_POL_METHODS, index)
    out.path = gb_pol_string(pol, record)
    out.kind = gb_ld32(record + 8)
    out.idempotent = (gb_ld32(record + 12) & GB_METHOD_IDEMPOTENT) != 0
    out.max_lifetime_ms = <i64>gb_ld64(record + 16)


cdef inline void gb_policy_grant_get(const gb_policy* pol, u32 index, gb_grant* out) noexcept nogil:
    cdef const u8* record = gb_pol_at(pol, GB_POL_GRANTS, index)
    cdef const u8* lists = pol.section[GB_POL_LISTS].p
    cdef const u8* limits = gb_pol_at(pol, GB_POL_LIMITS, gb_ld32(record + 52))
    out.id = gb_pol_string(pol, record)
    out.client = gb_ld32(record + 8)
    out.provider = gb_ld32(record + 12)
    out.methods = lists + <size_t>gb_ld32(record + 16) * 4
    out.methods_n = gb_ld32(record + 20)
    out.purposes = lists + <size_t>gb_ld32(record + 24) * 4
    out.purposes_n = gb_ld32(record + 28)
    out.not_before = <i64>gb_ld64(record + 32)
    out.not_after = <i64>gb_ld64(record + 40)
    out.operator_made = (gb_ld32(record + 48) & GB_GRANT_OPERATOR_MADE) != 0
    out.calls_per_second = gb_ld32(limits)
    out.burst = gb_ld32(limits + 4)
    out.calls_per_day = gb_ld64(limits + 8)
    out.bytes_per_day = gb_ld64(limits + 16)


cdef inline u32 gb_policy_grant(const gb_policy* pol, gb_span grant_id) noexcept nogil:
    return gb_pol_find(pol, GB_POL_GRANTS, grant_id)


cdef inline bint gb_pol_lists_method(const gb_grant* grant, u32 method) noexcept nogil:
    cdef u32 i
    for i in range(grant.methods_n):
        if gb_ld32(grant.methods + <size_t>i * 4) == method:
            return True
    return False


cdef inline bint gb_pol_lists_purpose(const gb_policy* pol, const gb_grant* grant, gb_span purpose) noexcept nogil:
    cdef u32 i
    for i in range(grant.purposes_n):
        if gb_eq(gb_pol_string(pol, gb_pol_at(pol, GB_POL_PURPOSES, gb_ld32(grant.purposes + <size_t>i * 4))), purpose):
            return True
    return False


cdef inline bint gb_policy_permits(const gb_policy* pol, gb_span grant_id, u32 client, u32 provider, u32 method,
                                   gb_span purpose, i64 now_ms, u32* grant_index) noexcept nogil:
    """Check 8: True iff the named grant permits exactly this client, provider, method, purpose, now (bounds inclusive).

    GB_NONE for provider or method is allowed and permits nothing: an unknown service and one without a grant look alike.
    """
    cdef u32 found = gb_pol_find(pol, GB_POL_GRANTS, grant_id)
    cdef gb_grant grant
    if found == GB_NONE or client == GB_NONE or provider == GB_NONE or method == GB_NONE:
        return False
    gb_policy_grant_get(pol, found, &grant)
    if grant.client != client or grant.provider != provider:
        return False
    if now_ms < grant.not_before or now_ms > grant.not_after:
        return False
    if not gb_pol_lists_method(&grant, method) or not gb_pol_lists_purpose(pol, &grant, purpose):
        return False
    grant_index[0] = found
    return True


cdef inline bint gb_policy_agent(const gb_policy* pol, u32 agent, u32 client) noexcept nogil:
    """Check 3: True iff the tables list agent as one that may carry client's requests (same member: checked at open)."""
    cdef u8 pair[8]
    if agent == GB_NONE or client == GB_NONE:
        return False
    gb_st32(pair, agent)
    gb_st32(pair + 4, client)
    return gb_pol_find(pol, GB_POL_AGENTS, gb_make_span(pair, 8)) != GB_NONE
