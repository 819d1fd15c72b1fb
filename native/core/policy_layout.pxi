# The policy tables in memory: sections, records, how a name is found. Needs base.pxi, siphash.pxi, ecdsa.pxi.
#
# The bytes are docs/formats.md, "Policy tables". Nothing here checks: policy_check.pxi does, once, when tables are
# opened, and every function below may then rely on it. Records are read in place from the mapped file.

cdef enum:
    # Sections, in the order in which they lie in the file.
    GB_POL_STRINGS = 0
    GB_POL_SUBSYSTEMS = 1
    GB_POL_CERTIFICATES = 2
    GB_POL_KEYS = 3
    GB_POL_METHODS = 4
    GB_POL_PURPOSES = 5
    GB_POL_GRANTS = 6
    GB_POL_LISTS = 7
    GB_POL_AGENTS = 8
    GB_POL_LIMITS = 9
    GB_POL_BY_SUBSYSTEM = 10
    GB_POL_BY_CERTIFICATE = 11
    GB_POL_BY_KEY = 12
    GB_POL_BY_METHOD = 13
    GB_POL_BY_GRANT = 14
    GB_POL_BY_AGENT = 15
    GB_POL_SECTIONS = 16

    GB_POL_HEADER = 320        # magic 8, size 8, seed 16, 16 x (offset u64, count u32, record size u32), zeros
    GB_POL_KINDS_OF_INDEX = 6

    GB_SUBSYSTEM_ACTIVE = 1
    GB_SUBSYSTEM_BROKER = 2
    GB_METHOD_IDEMPOTENT = 1
    GB_GRANT_OPERATOR_MADE = 1

    GB_METHOD_UNARY = 1
    GB_METHOD_SERVER_STREAM = 2
    GB_METHOD_CLIENT_STREAM = 3   # client or bidirectional streams: refused by the gate

# "No such record": what every lookup answers when it finds nothing.
cdef enum:
    GB_NONE = 0xffffffff

ctypedef struct gb_section:
    const u8* p
    u32 n

ctypedef struct gb_policy:
    const u8* base
    size_t size
    const u8* seed
    gb_section section[GB_POL_SECTIONS]

ctypedef struct gb_subsystem:
    gb_span id
    gb_span member               # prefix of id, up to and with the slash before the subsystem's own name
    gb_span cluster              # Envoy's cluster for it; empty when it provides nothing
    bint active
    bint is_broker
    u32 calls_per_second         # of the subsystem as a peer, over all grants; 0 = no limit
    u32 burst                    # 0 = max(1, calls_per_second)

ctypedef struct gb_key_record:
    u32 subsystem
    i64 not_before               # valid from, inclusive
    i64 not_after                # valid to, inclusive: the earlier of end and revocation
    const u8* id32
    const u8* point65

ctypedef struct gb_method:
    gb_span path
    u32 kind
    bint idempotent
    i64 max_lifetime_ms

ctypedef struct gb_grant:
    gb_span id
    u32 client
    u32 provider
    u32 methods_n
    u32 purposes_n
    const u8* methods            # u32 each: indices of methods
    const u8* purposes           # u32 each: indices of purposes
    i64 not_before
    i64 not_after
    bint operator_made
    u32 calls_per_second
    u32 burst
    u64 calls_per_day
    u64 bytes_per_day


cdef inline u32 gb_pol_record_size(int section) noexcept nogil:
    """Size of one record; index slots are tag u32, record + 1 as u32 (0 = empty)."""
    if section == GB_POL_STRINGS:
        return 1
    if section == GB_POL_SUBSYSTEMS:
        return 32
    if section == GB_POL_CERTIFICATES:
        return 48
    if section == GB_POL_KEYS:
        return 120
    if section == GB_POL_METHODS or section == GB_POL_LIMITS:
        return 24
    if section == GB_POL_GRANTS:
        return 56
    return 4 if section == GB_POL_LISTS else 8


cdef inline const u8* gb_pol_at(const gb_policy* pol, int section, u32 index) noexcept nogil:
    return pol.section[section].p + <size_t>index * gb_pol_record_size(section)


cdef inline gb_span gb_pol_string(const gb_policy* pol, const u8* ref) noexcept nogil:
    """The string that an (offset u32, length u32) pair names."""
    return gb_make_span(pol.section[GB_POL_STRINGS].p + gb_ld32(ref), gb_ld32(ref + 4))


cdef inline gb_span gb_pol_key_of(const gb_policy* pol, int section, u32 index) noexcept nogil:
    """What a record is found by: its name, its 32-byte digest, or the 8 bytes of an agent pair."""
    cdef const u8* record = gb_pol_at(pol, section, index)
    if section == GB_POL_CERTIFICATES or section == GB_POL_KEYS:
        return gb_make_span(record, 32)
    if section == GB_POL_AGENTS:
        return gb_make_span(record, 8)
    return gb_pol_string(pol, record)


cdef inline int gb_pol_index_of(int section) noexcept nogil:
    if section == GB_POL_SUBSYSTEMS:
        return GB_POL_BY_SUBSYSTEM
    if section == GB_POL_CERTIFICATES:
        return GB_POL_BY_CERTIFICATE
    if section == GB_POL_KEYS:
        return GB_POL_BY_KEY
    if section == GB_POL_METHODS:
        return GB_POL_BY_METHOD
    return GB_POL_BY_GRANT if section == GB_POL_GRANTS else GB_POL_BY_AGENT


cdef inline u32 gb_pol_find(const gb_policy* pol, int section, gb_span key) noexcept nogil:
    """Index of the record with that key, or GB_NONE. Ends because at least half of the slots are empty."""
    cdef gb_section slots = pol.section[gb_pol_index_of(section)]
    cdef u64 hashed = gb_siphash(pol.seed, key.p, key.n)
    cdef u32 mask = slots.n - 1, tag = <u32>(hashed >> 32), at = <u32>hashed & mask, found
    cdef const u8* slot
    while True:
        slot = slots.p + <size_t>at * 8
        found = gb_ld32(slot + 4)
        if found == 0:
            return GB_NONE
        if gb_ld32(slot) == tag and gb_eq(gb_pol_key_of(pol, section, found - 1), key):
            return found - 1
        at = (at + 1) & mask
