# A ticket: one record on its way into the journal, and the proof that comes back. Needs journal_recover.pxi, quota.pxi.
#
#  1. gb_ticket_new gives the caller one reference; a successful submit gives the journal another. Whoever releases last
#     frees it, so a caller may vanish (the stream is gone) before the journal answers, and the other way round.
#  2. Between submit and done the caller touches nothing but its reference.
#  3. done runs exactly once, on the journal's thread, for every ticket whose submit answered 0: with status 0 once the
#     record is on disk, else with why it will never be acknowledged. It must be short and may not wait.
#  4. Caller's copies: header and signature lie in the ticket, so no pointer into a stream outlives its hook.
#  5. An intent that is counted in its grant's day owns the grant's row from submit on: pending until its record is
#     durable, given back when it never will be, held until nobody refers to the ticket (its outcome counts there too).

ctypedef struct gb_ticket

ctypedef void (*gb_ticket_done)(gb_ticket* t) noexcept nogil

ctypedef struct gb_ticket:
    # The caller fills these.
    int kind                        # GB_J_INTENT, GB_J_OUTCOME, GB_J_REFUSAL or GB_J_SNAPSHOT
    u32 outcome                     # GB_J_OUTCOME_*
    u32 reason                      # of a refusal, or of an outcome that is not DONE; govbus.errors.v1.Reason
    i64 decided_ms                  # refusals: when it was decided; 0: when it is written
    u64 snapshot_version
    u64 log_position                # snapshots
    gb_ticket* intent               # outcomes: the intent's ticket, one reference; it may still be on its way
    u64 intent_sequence             # or, without the ticket: what it answered
    i64 intent_time_ms
    u64 messages_released
    u64 bytes_released
    gb_quota* quota                 # intents: rule 5; NULL where nothing is counted
    gb_quota_row* row
    u64 request_bytes
    bint has_released               # outcomes: released_digest = SHA-256(frames that were released)
    u32 header_n
    u32 signature_n
    gb_ticket_done done             # NULL: nobody waits
    void* opaque
    u8 request_digest[32]
    u8 request_signature_digest[32]
    u8 response_digest[32]          # outcomes that are DONE
    u8 response_signature_digest[32]
    u8 released_digest[32]
    # The journal answers with these.
    int status                      # GB_JOURNAL_*
    u64 sequence
    i64 time_ms
    u32 record_n                    # Admission, Receipt or Refusal
    u32 proof_n                     # its Signature; empty for refusals
    # The journal's own.
    u32 size                        # of the record at most
    int refs
    bint pending                    # rule 5: not durable yet
    bint paired                     # intents: an outcome was submitted, or none may be any more; under the mutex
    gb_ticket* next
    # Bytes, behind what is touched for every ticket.
    u8 record[768]
    u8 proof[512]
    u8 signature[512]
    u8 header[2048]                 # RequestHeader; ResponseHeader of an outcome


cdef inline gb_ticket* gb_ticket_new(int kind) noexcept nogil:
    """A ticket with everything but its bytes zero, or NULL."""
    cdef gb_ticket* t = <gb_ticket*>malloc(sizeof(gb_ticket))
    if t != NULL:
        memset(t, 0, <size_t>(<u8*>t.record - <u8*>t))
        t.kind = kind
        t.refs = 1
    return t


cdef inline void gb_ticket_charge(gb_ticket* t, gb_quota* q, gb_quota_row* row, u64 request_bytes) noexcept nogil:
    """Rule 5: the row, pending and held by the caller until now, goes over to the intent."""
    t.quota = q
    t.row = row
    t.request_bytes = request_bytes
    t.pending = True


cdef inline void gb_ticket_unhold(gb_ticket* t) noexcept nogil:
    if t.pending:
        gb_quota_give_back(t.quota, t.row, t.request_bytes)
    else:
        gb_quota_unhold(t.row)


cdef inline void gb_ticket_count(gb_ticket* t) noexcept nogil:
    """The record is durable: it counts. On the journal's thread, in the order of the records."""
    cdef gb_ticket* intent = t.intent
    if t.row != NULL:
        gb_quota_count(t.quota, t.row, t.sequence, t.time_ms, 1, t.request_bytes, 1)
        t.pending = False
    elif intent != NULL and intent.row != NULL and t.bytes_released:
        gb_quota_count(intent.quota, intent.row, t.sequence, t.intent_time_ms, 0, t.bytes_released, 0)


cdef inline void gb_ticket_release(gb_ticket* t) noexcept nogil:
    cdef gb_ticket* intent
    while t != NULL and gb_atomic_add(&t.refs, -1) == 0:
        intent = t.intent
        if t.row != NULL:
            gb_ticket_unhold(t)
        free(t)
        t = intent


cdef inline bint gb_ticket_carry(gb_ticket* t, gb_span header, gb_span signature) noexcept nogil:
    """Copies the travelling bytes in; False when one is longer than it may be."""
    if header.n > GB_J_HEADER_MAX or signature.n > GB_J_SIGNATURE_MAX:
        return False
    memcpy(t.header, header.p, header.n)
    memcpy(t.signature, signature.p, signature.n)
    t.header_n = <u32>header.n
    t.signature_n = <u32>signature.n
    return True


cdef inline bint gb_ticket_is_leaf(const gb_ticket* t) noexcept nogil:
    return t.kind == GB_J_INTENT or t.kind == GB_J_OUTCOME


cdef inline u32 gb_ticket_size(const gb_ticket* t) noexcept nogil:
    """Most bytes that its record takes, head included; 0 when it cannot be one."""
    if t.kind == GB_J_SNAPSHOT:
        return GB_J_HEAD + 24 if t.snapshot_version else 0
    if t.header_n > GB_J_HEADER_MAX or t.signature_n > GB_J_SIGNATURE_MAX:
        return 0
    if t.snapshot_version == 0:
        return 0
    if t.kind == GB_J_OUTCOME:
        if t.outcome < GB_J_OUTCOME_DONE or t.outcome > GB_J_OUTCOME_UNKNOWN:
            return 0
        if t.intent == NULL and (t.intent_sequence == 0 or t.intent_time_ms <= 0):
            return 0
        if (t.outcome == GB_J_OUTCOME_DONE) != (t.header_n != 0 and t.signature_n != 0):
            return 0
    elif t.kind == GB_J_INTENT or t.kind == GB_J_REFUSAL:
        if t.header_n == 0 or t.signature_n == 0 or (t.kind == GB_J_REFUSAL and t.reason == 0):
            return 0
    else:
        return 0
    return GB_J_HEAD + 8 + GB_J_RECORD_MAX + t.header_n + t.signature_n + GB_J_CHARGE


cdef inline ssize_t gb_ticket_admission(gb_ticket* t, const u8* salt32, gb_span broker) noexcept nogil:
    cdef gb_admission a
    memset(&a, 0, sizeof(a))
    a.entry_salt = gb_make_span(salt32, 32)
    a.broker = broker
    a.sequence = t.sequence
    a.intent_time_ms = t.time_ms
    a.snapshot_version = t.snapshot_version
    a.request_digest = gb_make_span(t.request_digest, 32)
    a.request_signature_digest = gb_make_span(t.request_signature_digest, 32)
    return gb_encode_admission(&a, t.record, GB_J_RECORD_MAX)


cdef inline ssize_t gb_ticket_receipt(gb_ticket* t, const u8* salt32, gb_span broker, i64 merge_delay_ms) noexcept nogil:
    cdef gb_receipt r
    cdef u8 released[32]
    memset(&r, 0, sizeof(r))
    r.entry_salt = gb_make_span(salt32, 32)
    r.broker = broker
    r.intent_sequence = t.intent_sequence
    r.outcome_sequence = t.sequence
    r.intent_time_ms = t.intent_time_ms
    r.outcome_time_ms = t.time_ms
    r.snapshot_version = t.snapshot_version
    r.request_digest = gb_make_span(t.request_digest, 32)
    if t.outcome == GB_J_OUTCOME_DONE:
        r.response_digest = gb_make_span(t.response_digest, 32)
        r.response_signature_digest = gb_make_span(t.response_signature_digest, 32)
    r.outcome = t.outcome
    r.reason = t.reason
    r.messages_released = t.messages_released
    r.bytes_released = t.bytes_released
    if t.has_released:
        gb_commitment(salt32, t.released_digest, released)
        r.released_commitment = gb_make_span(released, 32)
    r.merge_deadline_ms = t.time_ms + merge_delay_ms
    return gb_encode_receipt(&r, t.record, GB_J_RECORD_MAX)


cdef inline ssize_t gb_ticket_refusal(gb_ticket* t, const u8* salt32, gb_span broker) noexcept nogil:
    cdef gb_refusal r
    memset(&r, 0, sizeof(r))
    r.entry_salt = gb_make_span(salt32, 32)
    r.broker = broker
    r.sequence = t.sequence
    r.time_ms = t.time_ms
    r.snapshot_version = t.snapshot_version
    r.request_digest = gb_make_span(t.request_digest, 32)
    r.request_signature_digest = gb_make_span(t.request_signature_digest, 32)
    r.reason = t.reason
    return gb_encode_refusal(&r, t.record, GB_J_RECORD_MAX)


cdef inline u32 gb_ticket_payload(gb_ticket* t, const u8* salt32, gb_span broker, i64 merge_delay_ms, u8* out) noexcept nogil:
    """Encodes the record into the ticket and the whole payload to out; its length, or 0 when it cannot be encoded."""
    cdef ssize_t n
    cdef u8* end
    cdef u8 charge[8]
    if t.kind == GB_J_SNAPSHOT:
        gb_st64(out, t.snapshot_version)
        gb_st64(out + 8, t.log_position)
        gb_st64(out + 16, <u64>t.time_ms)
        return 24
    if t.kind == GB_J_INTENT:
        n = gb_ticket_admission(t, salt32, broker)
    elif t.kind == GB_J_OUTCOME:
        # The queue keeps order: the intent has been numbered, in an earlier group or earlier in this one.
        if t.intent != NULL:
            if t.intent.status != GB_JOURNAL_OK:
                return 0
            t.intent_sequence = t.intent.sequence
            t.intent_time_ms = t.intent.time_ms
        n = gb_ticket_receipt(t, salt32, broker, merge_delay_ms)
    else:
        n = gb_ticket_refusal(t, salt32, broker)
    if n <= 0:
        return 0
    t.record_n = <u32>n
    end = gb_j_put(out, t.record, t.record_n)
    end = gb_j_put(end, t.header, t.header_n)
    end = gb_j_put(end, t.signature, t.signature_n)
    if t.kind == GB_J_INTENT:
        gb_st64(charge, t.request_bytes)
        end = gb_j_put(end, charge, GB_J_CHARGE if t.row != NULL else 0)
    return <u32>(end - out)
