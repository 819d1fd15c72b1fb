# Writing the part that policy_cut.pxi has chosen. Needs policy_cut.pxi.

cdef struct gb_cut_pen:
    gb_cut* cut
    u32 strings                     # bytes and entries written so far
    u32 lists


cdef inline u8* gb_cut_room(gb_cut* cut, int section, u32 number) noexcept nogil:
    return <u8*>cut.part.section[section].p + <size_t>number * gb_pol_record_size(section)


cdef inline void gb_cut_string(gb_cut_pen* pen, u8* to, const u8* ref) noexcept nogil:
    """Copies a string of the whole and writes the reference to the copy."""
    cdef gb_span text = gb_pol_string(pen.cut.whole, ref)
    memcpy(<u8*>pen.cut.part.section[GB_POL_STRINGS].p + pen.strings, text.p, text.n)
    gb_st32(to, pen.strings)
    gb_st32(to + 4, <u32>text.n)
    pen.strings += <u32>text.n


cdef inline void gb_cut_list(gb_cut_pen* pen, u8* to, const u8* ref, const u32* numbers) noexcept nogil:
    cdef const u8* entries = pen.cut.whole.section[GB_POL_LISTS].p + <size_t>gb_ld32(ref) * 4
    cdef u32 count = gb_ld32(ref + 4), i
    gb_st32(to, pen.lists)
    gb_st32(to + 4, count)
    for i in range(count):
        gb_st32(gb_cut_room(pen.cut, GB_POL_LISTS, pen.lists + i), numbers[gb_ld32(entries + <size_t>i * 4)])
    pen.lists += count


cdef inline void gb_cut_named(gb_cut_pen* pen, int section, const u32* taken, u32 n) noexcept nogil:
    """Records that begin with their name and hold nothing else that changes."""
    cdef u32 i, size = gb_pol_record_size(section)
    cdef u8* to
    cdef const u8* record
    for i in range(n):
        to = gb_cut_room(pen.cut, section, i)
        record = gb_pol_at(pen.cut.whole, section, taken[i])
        memcpy(to, record, size)
        gb_cut_string(pen, to, record)


cdef inline void gb_cut_owned(gb_cut_pen* pen, int section, const gb_lists* lists, u32 owner_at, bint connecting) noexcept nogil:
    """Records that name their subsystem at an offset: certificates and keys."""
    cdef gb_cut* cut = pen.cut
    cdef u32 i, j, s, n = 0, size = gb_pol_record_size(section)
    cdef u8* to
    for i in range(cut.subsystems_n):
        s = cut.subsystems[i]
        if connecting and not cut.connects[s]:
            continue
        for j in range(lists.at[s], lists.at[s + 1]):
            to = gb_cut_room(cut, section, n)
            memcpy(to, gb_pol_at(cut.whole, section, lists.list[j]), size)
            gb_st32(to + owner_at, i)
            n += 1


cdef inline void gb_cut_grants(gb_cut_pen* pen, u32 reader) noexcept nogil:
    cdef gb_cut* cut = pen.cut
    cdef u32 i, first = cut.grants.at[reader]
    cdef u8* to
    cdef const u8* record
    for i in range(first, cut.grants.at[reader + 1]):
        to = gb_cut_room(cut, GB_POL_GRANTS, i - first)
        record = gb_pol_at(cut.whole, GB_POL_GRANTS, cut.grants.list[i])
        memcpy(to, record, 56)
        gb_cut_string(pen, to, record)
        gb_st32(to + 8, cut.subsystem[gb_ld32(record + 8)])
        gb_st32(to + 12, cut.subsystem[gb_ld32(record + 12)])
        gb_cut_list(pen, to + 16, record + 16, cut.method)
        gb_cut_list(pen, to + 24, record + 24, cut.purpose)
        gb_st32(to + 52, cut.limit[gb_ld32(record + 52)])


cdef inline void gb_cut_agents(gb_cut_pen* pen, u32 reader) noexcept nogil:
    cdef gb_cut* cut = pen.cut
    cdef u32 i, first = cut.agents.at[reader]
    cdef u8* to
    cdef const u8* record
    for i in range(first, cut.agents.at[reader + 1]):
        to = gb_cut_room(cut, GB_POL_AGENTS, i - first)
        record = gb_pol_at(cut.whole, GB_POL_AGENTS, cut.agents.list[i])
        gb_st32(to, cut.subsystem[gb_ld32(record)])
        gb_st32(to + 4, cut.subsystem[gb_ld32(record + 4)])


cdef inline void gb_cut_index(gb_cut* cut, int section) noexcept nogil:
    cdef u32 mask = cut.part.section[gb_pol_index_of(section)].n - 1, i, at
    cdef u8* slots = gb_cut_room(cut, gb_pol_index_of(section), 0)
    cdef gb_span key
    cdef u64 hashed
    for i in range(cut.part.section[section].n):
        key = gb_pol_key_of(&cut.part, section, i)
        hashed = gb_siphash(cut.part.seed, key.p, key.n)
        at = <u32>hashed & mask
        while gb_ld32(slots + <size_t>at * 8 + 4):
            at = (at + 1) & mask
        gb_st32(slots + <size_t>at * 8, <u32>(hashed >> 32))
        gb_st32(slots + <size_t>at * 8 + 4, i + 1)


cdef inline void gb_cut_write(gb_cut* cut, u32 reader, u8* out, size_t size, const u8* seed16) noexcept nogil:
    """Writes `size` bytes, which gb_cut_plan gave."""
    cdef gb_cut_pen pen
    cdef size_t at = GB_POL_HEADER
    cdef int section
    cdef u32 i
    memset(out, 0, size)
    memcpy(out, b"GVBPOL03", 8)
    gb_st64(out + 8, size)
    memcpy(out + 16, seed16, 16)
    cut.part.base = out
    cut.part.size = size
    cut.part.seed = out + 16
    for section in range(GB_POL_SECTIONS):
        cut.part.section[section].p = out + at
        gb_st64(out + 32 + 16 * section, at)
        gb_st32(out + 40 + 16 * section, cut.part.section[section].n)
        gb_st32(out + 44 + 16 * section, gb_pol_record_size(section))
        at += <size_t>cut.part.section[section].n * gb_pol_record_size(section)
        at = (at + 63) & ~<size_t>63
    pen.cut = cut
    pen.strings = pen.lists = 0
    gb_cut_named(&pen, GB_POL_SUBSYSTEMS, cut.subsystems, cut.subsystems_n)
    for i in range(cut.subsystems_n):
        gb_cut_string(&pen, gb_cut_room(cut, GB_POL_SUBSYSTEMS, i) + 8,
                      gb_pol_at(cut.whole, GB_POL_SUBSYSTEMS, cut.subsystems[i]) + 8)
    gb_cut_owned(&pen, GB_POL_CERTIFICATES, &cut.certificates, 40, True)
    gb_cut_owned(&pen, GB_POL_KEYS, &cut.keys, 100, False)
    gb_cut_named(&pen, GB_POL_METHODS, cut.methods, cut.methods_n)
    gb_cut_named(&pen, GB_POL_PURPOSES, cut.purposes, cut.purposes_n)
    gb_cut_grants(&pen, reader)
    gb_cut_agents(&pen, reader)
    for i in range(cut.limits_n):
        memcpy(gb_cut_room(cut, GB_POL_LIMITS, i), gb_pol_at(cut.whole, GB_POL_LIMITS, cut.limits[i]), 24)
    for section in range(GB_POL_SUBSYSTEMS, GB_POL_AGENTS + 1):
        if section != GB_POL_PURPOSES and section != GB_POL_LISTS:
            gb_cut_index(cut, section)
