# Check 9: how much a grant and a peer may. The table is native/core/quota.pxi; its limits are those of the policy that
# judges the call.
#
# Rules
#  1. What is refused uses nothing up. A token that a later check wastes is spent; the day's call is given back.
#  2. The day is UTC's, of the intent time. A call is pending from here on, so that many at once cannot pass the limit
#     together; its request's bytes are added when the body is whole, the answer's with its outcome.
#  3. The budget of verifications is asked before check 6 spends CPU, and only when the signature is not remembered. Who
#     asks is the peer, proven by its certificate, not the client that an unverified header names.
#     10,000 a second is most of a processor's time at 0.07 ms each, three times what one client makes that signs every
#     call by itself; 1,000 failed ones a second are a tenth of that.
#  4. A peer's rate counts all its calls, whosever they are.

cdef i64 to_wait_ms(i64 wait_ns) noexcept nogil:
    # Rounded up: who comes back then finds a token.
    return <i64> ((<u64> wait_ns + 999999) / 1000000) if wait_ns > 0 else 1

cdef i64 to_midnight_ms(i64 now) noexcept nogil:
    return (<i64> gb_day(now) + 1) * GB_DAY_MS - now

cdef u32 volume_reason(gate_call *c, int answer, i64 wait_ns, i64 now, const char *whose) noexcept nogil:
    if answer == GB_QUOTA_FULL:
        return GB_R_OVERLOADED
    c.key = b"limit"
    if answer == GB_QUOTA_RATE:
        c.field = whose
        c.retry_ms = to_wait_ms(wait_ns)
        return GB_R_RATE_LIMITED
    c.field = b"calls" if answer == GB_QUOTA_CALLS else b"bytes"
    c.retry_ms = to_midnight_ms(now)
    return GB_R_QUOTA_EXCEEDED

cdef void give_back(gate_call *c) noexcept nogil:
    # A call that never became an intent.
    if c.counted != NULL:
        gb_quota_give_back(PROCESS.grants, c.counted, c.counted_bytes)
        c.counted = NULL

cdef void grant_limits(gate_call *c, gb_limits *limits) noexcept nogil:
    cdef gb_grant grant
    gb_policy_grant_get(&c.policy.snapshot.policy, c.grant, &grant)
    limits.rate = grant.calls_per_second
    limits.burst = grant.burst
    limits.calls = grant.calls_per_day
    limits.bytes = grant.bytes_per_day

cdef u32 check_9_volume(gate_call *c, i64 now) noexcept nogil:
    cdef gb_limits limits
    cdef gb_limits peer
    cdef gb_subsystem record
    cdef gb_quota_row *none
    cdef i64 mono_ns
    cdef i64 wait_ns = 0
    cdef int answer = GB_QUOTA_OK
    grant_limits(c, &limits)
    gb_policy_subsystem_get(&c.policy.snapshot.policy, c.peer, &record)
    if limits.rate == 0 and limits.calls == 0 and limits.bytes == 0 and record.calls_per_second == 0:
        return 0
    mono_ns = gb_mono_ns()
    if limits.rate or limits.calls or limits.bytes:
        answer = gb_quota_take(PROCESS.grants, GB_QUOTA_GRANT, c.request.grant_id, &limits, mono_ns, now, &c.counted, &wait_ns)
        if answer != GB_QUOTA_OK:
            return volume_reason(c, answer, wait_ns, now, b"grant")
    if record.calls_per_second:
        memset(&peer, 0, sizeof(peer))
        peer.rate = record.calls_per_second
        peer.burst = record.burst
        answer = gb_quota_take(PROCESS.peers, GB_QUOTA_PEER, record.id, &peer, mono_ns, now, &none, &wait_ns)
        if answer != GB_QUOTA_OK:
            if limits.rate:
                gb_quota_move(PROCESS.grants, GB_QUOTA_GRANT, c.request.grant_id, 1)
            give_back(c)
            return volume_reason(c, answer, wait_ns, now, b"peer")
    return 0

cdef u32 check_9_bytes(gate_call *c, i64 now) noexcept nogil:
    # The body is whole, its size known. A policy that came into force meanwhile may have brought the first limit by day.
    cdef gb_limits limits
    cdef i64 wait_ns = 0
    cdef int answer = GB_QUOTA_OK
    grant_limits(c, &limits)
    if limits.calls == 0 and limits.bytes == 0 and c.counted == NULL:
        return 0
    if c.counted == NULL:
        limits.rate = 0
        answer = gb_quota_take(PROCESS.grants, GB_QUOTA_GRANT, c.request.grant_id, &limits, gb_mono_ns(), now,
                               &c.counted, &wait_ns)
    if answer == GB_QUOTA_OK:
        answer = gb_quota_add_bytes(PROCESS.grants, c.counted, limits.bytes, c.frames.bytes, now)
    if answer != GB_QUOTA_OK:
        return volume_reason(c, answer, wait_ns, now, b"grant")
    c.counted_bytes = c.frames.bytes
    return 0

cdef u32 check_9_verification(gate_call *c, i64 now) noexcept nogil:
    # (rule 3)
    cdef gb_subsystem record
    cdef gb_limits budget
    cdef gb_quota_row *none
    cdef i64 wait_ns = 0
    cdef int answer
    gb_policy_subsystem_get(&c.policy.snapshot.policy, c.peer, &record)
    memset(&budget, 0, sizeof(budget))
    budget.rate = PROCESS.verifications
    budget.burst = 2 * PROCESS.verifications
    answer = gb_quota_take(PROCESS.peers, GB_QUOTA_VERIFICATIONS, record.id, &budget, gb_mono_ns(), now, &none, &wait_ns)
    if answer == GB_QUOTA_OK:
        return 0
    if answer == GB_QUOTA_FULL:
        return GB_R_OVERLOADED
    c.retry_ms = to_wait_ms(wait_ns)
    return GB_R_VERIFICATION_BUDGET

cdef void charge_failure(gate_call *c) noexcept nogil:
    # Its one token was taken before; the rest may be debt.
    cdef gb_subsystem record
    gb_policy_subsystem_get(&c.policy.snapshot.policy, c.peer, &record)
    gb_quota_move(PROCESS.peers, GB_QUOTA_VERIFICATIONS, record.id, 1 - GATE_FAILED_COST)
