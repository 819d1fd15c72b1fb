# Opening policy tables: every offset, count, string and reference is judged here, once. Needs policy_layout.pxi, ecdsa.pxi.
#
# The steps, in this order (native/_policy_py.py takes the same ones):
#  1. header, magic, size                        GB_POLICY_TRUNCATED, GB_POLICY_MAGIC
#  2. sections lie one after another, 64-byte aligned, zeros between, record sizes and index sizes as they must be
#                                                GB_POLICY_LAYOUT
#  3. strings are visible ASCII; then each section in file order: lengths and values (GB_POLICY_VALUE), references
#     (GB_POLICY_REFERENCE), a key id that is its point's (GB_POLICY_KEY)
#  4. each index finds every record of its section and holds nothing else, so no name stands twice (GB_POLICY_INDEX)
#  5. every key is a point of the curve          GB_POLICY_KEY
# KNOWN: reserved bytes inside records are required to be zero, so a reader of a later layout refuses here: the magic
# changes with the layout.

cdef enum:
    GB_POLICY_TRUNCATED = 1
    GB_POLICY_MAGIC = 2
    GB_POLICY_LAYOUT = 3
    GB_POLICY_VALUE = 4
    GB_POLICY_REFERENCE = 5
    GB_POLICY_KEY = 6
    GB_POLICY_INDEX = 7
    GB_POLICY_MEMORY = 8


cdef inline bint gb_pol_zero(const u8* p, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if p[i] != 0:
            return False
    return True


cdef inline u32 gb_pol_slots(u32 records) noexcept nogil:
    """Slots of an index over that many records: the smallest power of two >= max(2, 2 * records); 0 past 2^30."""
    cdef u32 slots = 2
    if records > <u32>1 << 30:
        return 0
    while slots < 2 * records:
        slots = slots << 1
    return slots


cdef inline int gb_pol_layout(gb_policy* pol) noexcept nogil:
    """Steps 1 and 2."""
    cdef u64 at = GB_POL_HEADER, end
    cdef u32 count, records
    cdef int i
    cdef const u8* entry
    if pol.size < GB_POL_HEADER:
        return GB_POLICY_TRUNCATED
    if memcmp(pol.base, b"GVBPOL03", 8) != 0:
        return GB_POLICY_MAGIC
    if gb_ld64(pol.base + 8) != pol.size:
        return GB_POLICY_TRUNCATED
    pol.seed = pol.base + 16
    for i in range(GB_POL_SECTIONS):
        entry = pol.base + 32 + 16 * i
        count = gb_ld32(entry + 8)
        if gb_ld64(entry) != at or gb_ld32(entry + 12) != gb_pol_record_size(i):
            return GB_POLICY_LAYOUT
        end = at + <u64>count * gb_pol_record_size(i)
        if end > pol.size:
            return GB_POLICY_LAYOUT
        pol.section[i].p = pol.base + at
        pol.section[i].n = count
        at = (end + 63) & ~<u64>63
        if at > pol.size or not gb_pol_zero(pol.base + end, at - end):
            return GB_POLICY_LAYOUT
    if at != pol.size or not gb_pol_zero(pol.base + 32 + 16 * GB_POL_SECTIONS, GB_POL_HEADER - 32 - 16 * GB_POL_SECTIONS):
        return GB_POLICY_LAYOUT
    for i in range(GB_POL_SECTIONS):
        if GB_POL_SUBSYSTEMS <= i <= GB_POL_GRANTS and i != GB_POL_PURPOSES or i == GB_POL_AGENTS:
            records = pol.section[i].n
            if gb_pol_slots(records) == 0 or pol.section[gb_pol_index_of(i)].n != gb_pol_slots(records):
                return GB_POLICY_LAYOUT
    return 0


cdef inline int gb_pol_check_string(const gb_policy* pol, const u8* ref, u32 shortest, u32 longest) noexcept nogil:
    cdef u32 length = gb_ld32(ref + 4)
    if length < shortest or length > longest:
        return GB_POLICY_VALUE
    if <u64>gb_ld32(ref) + length > pol.section[GB_POL_STRINGS].n:
        return GB_POLICY_REFERENCE
    return 0


cdef inline int gb_pol_check_subsystem(const gb_policy* pol, const u8* record) noexcept nogil:
    cdef int bad = gb_pol_check_string(pol, record, 1, 200)
    cdef u32 member = gb_ld32(record + 16)
    if not bad:
        bad = gb_pol_check_string(pol, record + 8, 0, 255)
    if bad:
        return bad
    if member == 0 or member > gb_ld32(record + 4) or gb_pol_string(pol, record).p[member - 1] != 47:
        return GB_POLICY_VALUE
    return GB_POLICY_VALUE if gb_ld32(record + 20) > 3 else 0


cdef inline int gb_pol_check_certificate(const gb_policy* pol, const u8* record) noexcept nogil:
    if gb_ld32(record + 40) >= pol.section[GB_POL_SUBSYSTEMS].n:
        return GB_POLICY_REFERENCE
    return GB_POLICY_VALUE if gb_ld32(record + 44) else 0


cdef inline int gb_pol_check_key(const gb_policy* pol, const u8* record) noexcept nogil:
    cdef u8 digest[32]
    if not gb_pol_zero(record + 97, 3):
        return GB_POLICY_VALUE
    if gb_ld32(record + 100) >= pol.section[GB_POL_SUBSYSTEMS].n:
        return GB_POLICY_REFERENCE
    gb_key_id(record + 32, digest)
    return 0 if gb_eq32(digest, record) else GB_POLICY_KEY


cdef inline int gb_pol_check_method(const gb_policy* pol, const u8* record) noexcept nogil:
    cdef int bad = gb_pol_check_string(pol, record, 4, 200)
    cdef u32 kind = gb_ld32(record + 8)
    if bad:
        return bad
    if kind < 1 or kind > 3 or gb_ld32(record + 12) > 1 or <i64>gb_ld64(record + 16) <= 0:
        return GB_POLICY_VALUE
    return 0


cdef inline int gb_pol_check_list(const gb_policy* pol, const u8* ref, int section) noexcept nogil:
    """A (first u32, count u32) pair into the lists: not empty, and every entry a record of that section."""
    cdef u64 first = gb_ld32(ref), count = gb_ld32(ref + 4), i
    if count == 0:
        return GB_POLICY_VALUE
    if first + count > pol.section[GB_POL_LISTS].n:
        return GB_POLICY_REFERENCE
    for i in range(count):
        if gb_ld32(pol.section[GB_POL_LISTS].p + (first + i) * 4) >= pol.section[section].n:
            return GB_POLICY_REFERENCE
    return 0


cdef inline int gb_pol_check_grant(const gb_policy* pol, const u8* record) noexcept nogil:
    cdef int bad = gb_pol_check_string(pol, record, 1, 64)
    cdef u32 subsystems = pol.section[GB_POL_SUBSYSTEMS].n
    if bad:
        return bad
    if gb_ld32(record + 8) >= subsystems or gb_ld32(record + 12) >= subsystems:
        return GB_POLICY_REFERENCE
    bad = gb_pol_check_list(pol, record + 16, GB_POL_METHODS)
    if not bad:
        bad = gb_pol_check_list(pol, record + 24, GB_POL_PURPOSES)
    if bad:
        return bad
    if gb_ld32(record + 52) >= pol.section[GB_POL_LIMITS].n:
        return GB_POLICY_REFERENCE
    return GB_POLICY_VALUE if gb_ld32(record + 48) > 1 else 0


cdef inline int gb_pol_check_agent(const gb_policy* pol, const u8* record) noexcept nogil:
    cdef u32 agent = gb_ld32(record), client = gb_ld32(record + 4)
    cdef const u8* a
    cdef const u8* b
    if agent >= pol.section[GB_POL_SUBSYSTEMS].n or client >= pol.section[GB_POL_SUBSYSTEMS].n:
        return GB_POLICY_REFERENCE
    a = gb_pol_at(pol, GB_POL_SUBSYSTEMS, agent)
    b = gb_pol_at(pol, GB_POL_SUBSYSTEMS, client)
    # Same member: an agent carries requests of its own member's subsystems only (protocol.md 4, check 3).
    if not gb_eq(gb_make_span(gb_pol_string(pol, a).p, gb_ld32(a + 16)),
                 gb_make_span(gb_pol_string(pol, b).p, gb_ld32(b + 16))):
        return GB_POLICY_VALUE
    return 0


cdef inline int gb_pol_check_record(const gb_policy* pol, int section, const u8* record) noexcept nogil:
    if section == GB_POL_SUBSYSTEMS:
        return gb_pol_check_subsystem(pol, record)
    if section == GB_POL_CERTIFICATES:
        return gb_pol_check_certificate(pol, record)
    if section == GB_POL_KEYS:
        return gb_pol_check_key(pol, record)
    if section == GB_POL_METHODS:
        return gb_pol_check_method(pol, record)
    if section == GB_POL_PURPOSES:
        return gb_pol_check_string(pol, record, 1, 64)
    if section == GB_POL_GRANTS:
        return gb_pol_check_grant(pol, record)
    return gb_pol_check_agent(pol, record) if section == GB_POL_AGENTS else 0


cdef inline int gb_pol_check_records(const gb_policy* pol) noexcept nogil:
    """Step 3."""
    cdef gb_section strings = pol.section[GB_POL_STRINGS]
    cdef u32 i
    cdef int section, bad
    for i in range(strings.n):
        if strings.p[i] < 0x21 or strings.p[i] > 0x7e:
            return GB_POLICY_VALUE
    for section in range(GB_POL_SUBSYSTEMS, GB_POL_AGENTS + 1):
        for i in range(pol.section[section].n):
            bad = gb_pol_check_record(pol, section, gb_pol_at(pol, section, i))
            if bad:
                return bad
    return 0


cdef inline int gb_pol_check_index(const gb_policy* pol, int section) noexcept nogil:
    """Step 4 for one section. The fill is counted before any lookup: a full index would never end a search."""
    cdef gb_section slots = pol.section[gb_pol_index_of(section)]
    cdef u32 i, used = 0, records = pol.section[section].n
    for i in range(slots.n):
        if gb_ld32(slots.p + <size_t>i * 8 + 4) > records:
            return GB_POLICY_INDEX
        if gb_ld32(slots.p + <size_t>i * 8 + 4) == 0:
            if gb_ld32(slots.p + <size_t>i * 8) != 0:
                return GB_POLICY_INDEX
        else:
            used += 1
    if used != records:
        return GB_POLICY_INDEX
    for i in range(records):
        if gb_pol_find(pol, section, gb_pol_key_of(pol, section, i)) != i:
            return GB_POLICY_INDEX
    return 0


cdef inline int gb_pol_check_points(const gb_policy* pol) noexcept nogil:
    """Step 5."""
    cdef int bad = gb_points_bad(pol.section[GB_POL_KEYS].p + 32, gb_pol_record_size(GB_POL_KEYS), pol.section[GB_POL_KEYS].n)
    if bad < 0:
        return GB_POLICY_MEMORY
    return GB_POLICY_KEY if bad else 0


cdef inline int gb_policy_check(gb_policy* pol, const u8* p, size_t n) noexcept nogil:
    """Steps 1 to 4: tables whose keys were judged before."""
    cdef int bad, section
    memset(pol, 0, sizeof(gb_policy))
    pol.base = p
    pol.size = n
    bad = gb_pol_layout(pol)
    if not bad:
        bad = gb_pol_check_records(pol)
    for section in range(GB_POL_SUBSYSTEMS, GB_POL_AGENTS + 1):
        if not bad and section != GB_POL_PURPOSES and section != GB_POL_LISTS:
            bad = gb_pol_check_index(pol, section)
    return bad


cdef inline int gb_policy_open(gb_policy* pol, const u8* p, size_t n) noexcept nogil:
    """Opens tables over memory that outlives pol, and takes none: 0, or GB_POLICY_*. There is nothing to close."""
    cdef int bad = gb_policy_check(pol, p, n)
    return bad if bad else gb_pol_check_points(pol)
