# Opening a policy snapshot file: signed by the pinned key, for this instance, not older than what was served. Needs
# codec.pxi, batch.pxi, policy_check.pxi.
#
# File: "GVBSNAP1" || u32le n || SnapshotHeader || u32le m || Signature || zeros to a multiple of 64 || tables.
# Checks, in this order (native/snapshot.py takes the same ones):
#  1. layout                                             GB_SNAPSHOT_FORMAT
#  2. header canonical                                   GB_SNAPSHOT_HEADER
#  3. signature by the pinned key                        GB_SNAPSHOT_SIGNATURE
#  4. trust domain and scope are ours                    GB_SNAPSHOT_DOMAIN, GB_SNAPSHOT_SCOPE
#  5. version and log position not below the floors      GB_SNAPSHOT_VERSION, GB_SNAPSHOT_LOG_POSITION
#  6. made neither in the future nor past refuse-after   GB_SNAPSHOT_FUTURE, GB_SNAPSHOT_STALE
#  7. tables are those of the header, and in order       GB_SNAPSHOT_DIGEST, GB_SNAPSHOT_TABLES
# Age goes on: gb_snapshot_age is asked again for every call (protocol.md 9).

cdef enum:
    GB_SNAPSHOT_FORMAT = 1
    GB_SNAPSHOT_HEADER = 2
    GB_SNAPSHOT_SIGNATURE = 3
    GB_SNAPSHOT_DOMAIN = 4
    GB_SNAPSHOT_SCOPE = 5
    GB_SNAPSHOT_VERSION = 6
    GB_SNAPSHOT_LOG_POSITION = 7
    GB_SNAPSHOT_FUTURE = 8
    GB_SNAPSHOT_STALE = 9
    GB_SNAPSHOT_DIGEST = 10
    GB_SNAPSHOT_TABLES = 11

    GB_SNAPSHOT_SKEW_MS = 30000

    GB_AGE_FRESH = 0
    GB_AGE_ALARM = 1
    GB_AGE_REFUSE = 2

ctypedef struct gb_snapshot:
    gb_snapshot_header header    # spans point into the file
    gb_policy policy
    int policy_error             # GB_POLICY_* when the answer was GB_SNAPSHOT_TABLES

# What an opened snapshot must fit: all of it comes from outside the dynamic configuration.
ctypedef struct gb_snapshot_pins:
    const gb_pubkey* key
    gb_span trust_domain
    gb_span scope
    u64 floor_version
    u64 floor_log_position
    i64 now_ms


cdef inline int gb_snapshot_part(const u8* p, size_t n, size_t* at, size_t longest, gb_span* out) noexcept nogil:
    """A u32le length and that many bytes."""
    cdef size_t length
    if n - at[0] < 4:
        return GB_SNAPSHOT_FORMAT
    length = gb_ld32(p + at[0])
    at[0] += 4
    if length > longest or length > n - at[0]:
        return GB_SNAPSHOT_FORMAT
    out[0] = gb_make_span(p + at[0], length)
    at[0] += length
    return 0


cdef inline int gb_snapshot_split(const u8* p, size_t n, gb_span* header, gb_span* signature, gb_span* tables) noexcept nogil:
    """Step 1."""
    cdef size_t at = 8, body
    if n < 8 or memcmp(p, b"GVBSNAP1", 8) != 0:
        return GB_SNAPSHOT_FORMAT
    if gb_snapshot_part(p, n, &at, 1024, header) or gb_snapshot_part(p, n, &at, 512, signature):
        return GB_SNAPSHOT_FORMAT
    body = (at + 63) & ~<size_t>63
    if body > n or not gb_pol_zero(p + at, body - at):
        return GB_SNAPSHOT_FORMAT
    tables[0] = gb_make_span(p + body, n - body)
    return 0


cdef inline int gb_snapshot_age(const gb_snapshot_header* h, i64 now_ms) noexcept nogil:
    """GB_AGE_FRESH; past alarm-after GB_AGE_ALARM; past refuse-after GB_AGE_REFUSE."""
    if now_ms - h.created_at_ms > h.refuse_after_ms:
        return GB_AGE_REFUSE
    return GB_AGE_ALARM if now_ms - h.created_at_ms > h.alarm_after_ms else GB_AGE_FRESH


cdef inline int gb_snapshot_judge(const gb_snapshot_header* h, const gb_snapshot_pins* pins) noexcept nogil:
    """Steps 4 to 6."""
    if not gb_eq(h.trust_domain, pins.trust_domain):
        return GB_SNAPSHOT_DOMAIN
    if not gb_eq(h.scope, pins.scope):
        return GB_SNAPSHOT_SCOPE
    if h.version < pins.floor_version:
        return GB_SNAPSHOT_VERSION
    if h.log_position < pins.floor_log_position:
        return GB_SNAPSHOT_LOG_POSITION
    if h.created_at_ms > pins.now_ms + GB_SNAPSHOT_SKEW_MS:
        return GB_SNAPSHOT_FUTURE
    return GB_SNAPSHOT_STALE if gb_snapshot_age(h, pins.now_ms) == GB_AGE_REFUSE else 0


cdef inline int gb_snapshot_open(gb_snapshot* s, const u8* p, size_t n, const gb_snapshot_pins* pins) noexcept nogil:
    """Opens a file image that outlives s: 0, or GB_SNAPSHOT_*. There is nothing to close."""
    cdef gb_span header, signature, tables, type_ = gb_literal(b"govbus/snapshot/v1")
    cdef gb_signature sig
    cdef u8 digest[32]
    cdef int field = 0, bad
    memset(s, 0, sizeof(gb_snapshot))
    if gb_snapshot_split(p, n, &header, &signature, &tables):
        return GB_SNAPSHOT_FORMAT
    if gb_parse_snapshot_header(header.p, header.n, &s.header, &field):
        return GB_SNAPSHOT_HEADER
    gb_leaf(type_, header, digest)
    if gb_parse_signature(signature.p, signature.n, &sig, &field) or gb_batch_verify(pins.key, &sig, digest, NULL):
        return GB_SNAPSHOT_SIGNATURE
    bad = gb_snapshot_judge(&s.header, pins)
    if bad:
        return bad
    gb_sha256(tables.p, tables.n, digest)
    if s.header.tables_size != tables.n or not gb_eq32(digest, s.header.tables_digest.p):
        return GB_SNAPSHOT_DIGEST
    s.policy_error = gb_policy_open(&s.policy, tables.p, tables.n)
    return GB_SNAPSHOT_TABLES if s.policy_error else 0
