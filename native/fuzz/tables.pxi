# Making policy tables whole. Needs input.pxi, policy*.pxi.
#
# A file that is changed at random fails at its first digest. So the policy target may repair what is only redundant -
# sizes, offsets, key ids, indices - and what is left wrong are the records and references themselves.

cdef size_t policy_repair(u8* p, size_t n) noexcept nogil:
    """Sizes, directory, key ids and indices as they follow from the counts and records; the size of the file."""
    cdef gb_policy pol
    cdef u64 at = GB_POL_HEADER, end
    cdef int i
    cdef u32 count
    if n < GB_POL_HEADER:
        return n
    memset(&pol, 0, sizeof(pol))
    memcpy(p, b"GVBPOL03", 8)
    memset(p + 32 + 16 * GB_POL_SECTIONS, 0, GB_POL_HEADER - 32 - 16 * GB_POL_SECTIONS)
    pol.seed = p + 16
    for i in range(GB_POL_SECTIONS):
        count = gb_ld32(p + 32 + 16 * i + 8)
        if i >= GB_POL_BY_SUBSYSTEM:
            count = gb_pol_slots(pol.section[policy_indexed(i)].n)
        end = at + <u64>count * gb_pol_record_size(i)
        if end > n or ((end + 63) & ~<u64>63) > n:
            return n
        gb_st64(p + 32 + 16 * i, at)
        gb_st32(p + 32 + 16 * i + 8, count)
        gb_st32(p + 32 + 16 * i + 12, gb_pol_record_size(i))
        pol.section[i].p = p + at
        pol.section[i].n = count
        at = (end + 63) & ~<u64>63
        memset(p + end, 0, at - end)
    gb_st64(p + 8, at)
    policy_repair_keys(&pol)
    for i in range(GB_POL_BY_SUBSYSTEM, GB_POL_SECTIONS):
        policy_repair_index(&pol, policy_indexed(i))
    return at


cdef inline int policy_indexed(int index) noexcept nogil:
    """The section that an index is over."""
    cdef int i
    for i in range(GB_POL_SUBSYSTEMS, GB_POL_AGENTS + 1):
        if i != GB_POL_PURPOSES and i != GB_POL_LISTS and gb_pol_index_of(i) == index:
            return i
    return GB_POL_AGENTS


cdef void policy_repair_keys(gb_policy* pol) noexcept nogil:
    cdef u32 i
    cdef u8* record
    for i in range(pol.section[GB_POL_KEYS].n):
        record = <u8*>gb_pol_at(pol, GB_POL_KEYS, i)
        gb_key_id(record + 32, record)


cdef void policy_repair_index(gb_policy* pol, int section) noexcept nogil:
    """Every record whose name lies in the strings gets a slot."""
    cdef gb_section slots = pol.section[gb_pol_index_of(section)]
    cdef u8* p = <u8*>slots.p
    cdef u32 i, at
    cdef u64 hashed
    cdef gb_span key
    memset(p, 0, <size_t>slots.n * 8)
    for i in range(pol.section[section].n):
        if section != GB_POL_CERTIFICATES and section != GB_POL_KEYS and section != GB_POL_AGENTS:
            if gb_pol_check_string(pol, gb_pol_at(pol, section, i), 0, 4096):
                continue
        key = gb_pol_key_of(pol, section, i)
        hashed = gb_siphash(pol.seed, key.p, key.n)
        at = <u32>hashed & (slots.n - 1)
        while gb_ld32(p + 8 * <size_t>at + 4):
            at = (at + 1) & (slots.n - 1)
        gb_st32(p + 8 * <size_t>at, <u32>(hashed >> 32))
        gb_st32(p + 8 * <size_t>at + 4, i + 1)
