# One reader's part of policy tables, cut out of the whole without a Python object. Needs policy_layout.pxi, policy_check.pxi.
#
# A subsystem's part holds what it needs to call and to serve, and nobody else's business (protocol.md 9):
#  1. itself, the brokers, and its member's agents that it is or has, with certificates and keys;
#  2. the grants that name it, and the subsystem at the other end of each with its keys, no certificates;
#  3. whom an agent of these pairs carries for, with keys; the methods, purposes and limits of those grants.
# Records keep the order that they have in the whole; certificates and keys lie by subsystem. The whole was checked; what
# is cut from it needs no check. The readable definition is native/_policy_cut_py.py.
# Who needs what is found by lists over the whole, made once (gb_cut_open), so a part costs what it holds.

cdef extern from "<stdlib.h>" nogil:
    void qsort(void* first, size_t n, size_t size, int (*compare)(const void*, const void*) noexcept nogil)

cdef struct gb_lists:               # for each subsystem the records that name it: at[s] .. at[s + 1] of list
    u32* at
    u32* list

cdef struct gb_cut:
    const gb_policy* whole
    gb_lists grants
    gb_lists keys
    gb_lists certificates
    gb_lists agents
    u32* subsystem                  # new number, or GB_NONE: of subsystems, methods, purposes, limits
    u32* method
    u32* purpose
    u32* limit
    u8* connects                    # of a subsystem in the part: its certificates belong to it too
    u32* subsystems                 # in the part, ascending; so are the following
    u32* methods
    u32* purposes
    u32* limits
    u32 subsystems_n
    u32 methods_n
    u32 purposes_n
    u32 limits_n
    u8* out
    gb_policy part


cdef inline bint gb_cut_lists(gb_lists* out, const gb_policy* pol, int section, int first, int second) noexcept nogil:
    """Lists over the records of a section that hold subsystem numbers at these offsets (-1: no second one)."""
    cdef u32 subsystems = pol.section[GB_POL_SUBSYSTEMS].n, records = pol.section[section].n, i, s, total = 0, n
    cdef const u8* record
    out.at = <u32*>calloc(<size_t>subsystems + 2, 4)
    out.list = <u32*>malloc((<size_t>records * 2 + 1) * 4)
    if out.at == NULL or out.list == NULL:
        return False
    for i in range(records):
        record = gb_pol_at(pol, section, i)
        out.at[gb_ld32(record + first) + 1] += 1
        if second >= 0 and gb_ld32(record + second) != gb_ld32(record + first):
            out.at[gb_ld32(record + second) + 1] += 1
    for s in range(subsystems + 1):
        n = out.at[s]
        out.at[s] = total = total + n
    # at[s] is where s begins; filling moves it to where s ends, which is where s + 1 begins.
    for i in range(records):
        record = gb_pol_at(pol, section, i)
        out.list[out.at[gb_ld32(record + first)]] = i
        out.at[gb_ld32(record + first)] += 1
        if second >= 0 and gb_ld32(record + second) != gb_ld32(record + first):
            out.list[out.at[gb_ld32(record + second)]] = i
            out.at[gb_ld32(record + second)] += 1
    for s in range(subsystems, 0, -1):
        out.at[s] = out.at[s - 1]
    out.at[0] = 0
    return True


cdef inline void gb_cut_free_lists(gb_lists* lists) noexcept nogil:
    free(lists.at)
    free(lists.list)


cdef inline u32* gb_cut_marks(u32 n) noexcept nogil:
    """n new numbers, none given yet."""
    cdef u32* marks = <u32*>malloc((<size_t>n + 1) * 4)
    if marks != NULL:
        memset(marks, 0xff, (<size_t>n + 1) * 4)
    return marks


cdef inline void gb_cut_close(gb_cut* cut) noexcept nogil:
    gb_cut_free_lists(&cut.grants)
    gb_cut_free_lists(&cut.keys)
    gb_cut_free_lists(&cut.certificates)
    gb_cut_free_lists(&cut.agents)
    free(cut.subsystem)
    free(cut.method)
    free(cut.purpose)
    free(cut.limit)
    free(cut.connects)
    free(cut.subsystems)
    free(cut.methods)
    free(cut.purposes)
    free(cut.limits)
    memset(cut, 0, sizeof(gb_cut))


cdef inline bint gb_cut_open(gb_cut* cut, const gb_policy* whole) noexcept nogil:
    """True, or False when there is no memory, and then nothing to close. `whole` outlives cut."""
    cdef u32 subsystems = whole.section[GB_POL_SUBSYSTEMS].n
    cdef u32 methods = whole.section[GB_POL_METHODS].n, purposes = whole.section[GB_POL_PURPOSES].n
    cdef u32 limits = whole.section[GB_POL_LIMITS].n
    memset(cut, 0, sizeof(gb_cut))
    cut.whole = whole
    cut.subsystem = gb_cut_marks(subsystems)
    cut.method = gb_cut_marks(methods)
    cut.purpose = gb_cut_marks(purposes)
    cut.limit = gb_cut_marks(limits)
    cut.connects = <u8*>calloc(<size_t>subsystems + 1, 1)
    cut.subsystems = gb_cut_marks(subsystems)
    cut.methods = gb_cut_marks(methods)
    cut.purposes = gb_cut_marks(purposes)
    cut.limits = gb_cut_marks(limits)
    if (cut.subsystem != NULL and cut.method != NULL and cut.purpose != NULL and cut.connects != NULL
            and cut.subsystems != NULL and cut.methods != NULL and cut.purposes != NULL
            and cut.limit != NULL and cut.limits != NULL
            and gb_cut_lists(&cut.grants, whole, GB_POL_GRANTS, 8, 12)
            and gb_cut_lists(&cut.keys, whole, GB_POL_KEYS, 100, -1)
            and gb_cut_lists(&cut.certificates, whole, GB_POL_CERTIFICATES, 40, -1)
            and gb_cut_lists(&cut.agents, whole, GB_POL_AGENTS, 0, 4)):
        return True
    gb_cut_close(cut)
    return False


cdef inline void gb_cut_take(u32* marks, u32* taken, u32* n, u32 index) noexcept nogil:
    """Puts a record among those taken, once."""
    if marks[index] == GB_NONE:
        marks[index] = 0
        taken[n[0]] = index
        n[0] += 1


cdef int gb_cut_ascending(const void* a, const void* b) noexcept nogil:
    cdef u32 x = (<const u32*>a)[0], y = (<const u32*>b)[0]
    return (x > y) - (x < y)


cdef inline void gb_cut_number(u32* marks, u32* taken, u32 n) noexcept nogil:
    """Gives those taken their new numbers, in the order of the whole."""
    cdef u32 i
    qsort(taken, n, 4, gb_cut_ascending)
    for i in range(n):
        marks[taken[i]] = i


cdef inline void gb_cut_take_subsystem(gb_cut* cut, u32 index, bint connects) noexcept nogil:
    gb_cut_take(cut.subsystem, cut.subsystems, &cut.subsystems_n, index)
    if connects:
        cut.connects[index] = 1


cdef inline void gb_cut_take_grant(gb_cut* cut, const u8* record) noexcept nogil:
    cdef const u8* lists = cut.whole.section[GB_POL_LISTS].p
    cdef u32 i
    gb_cut_take_subsystem(cut, gb_ld32(record + 8), False)
    gb_cut_take_subsystem(cut, gb_ld32(record + 12), False)
    gb_cut_take(cut.limit, cut.limits, &cut.limits_n, gb_ld32(record + 52))
    for i in range(gb_ld32(record + 20)):
        gb_cut_take(cut.method, cut.methods, &cut.methods_n, gb_ld32(lists + (<size_t>gb_ld32(record + 16) + i) * 4))
    for i in range(gb_ld32(record + 28)):
        gb_cut_take(cut.purpose, cut.purposes, &cut.purposes_n, gb_ld32(lists + (<size_t>gb_ld32(record + 24) + i) * 4))


cdef inline void gb_cut_choose(gb_cut* cut, u32 reader, const u32* brokers, u32 brokers_n) noexcept nogil:
    """Rules 1 to 3."""
    cdef u32 i
    cdef const u8* record
    gb_cut_take_subsystem(cut, reader, True)
    for i in range(brokers_n):
        gb_cut_take_subsystem(cut, brokers[i], True)
    for i in range(cut.agents.at[reader], cut.agents.at[reader + 1]):
        record = gb_pol_at(cut.whole, GB_POL_AGENTS, cut.agents.list[i])
        gb_cut_take_subsystem(cut, gb_ld32(record), True)
        gb_cut_take_subsystem(cut, gb_ld32(record + 4), False)
    for i in range(cut.grants.at[reader], cut.grants.at[reader + 1]):
        gb_cut_take_grant(cut, gb_pol_at(cut.whole, GB_POL_GRANTS, cut.grants.list[i]))
    gb_cut_number(cut.subsystem, cut.subsystems, cut.subsystems_n)
    gb_cut_number(cut.method, cut.methods, cut.methods_n)
    gb_cut_number(cut.purpose, cut.purposes, cut.purposes_n)
    gb_cut_number(cut.limit, cut.limits, cut.limits_n)


cdef inline void gb_cut_forget(gb_cut* cut) noexcept nogil:
    """Ready for the next reader."""
    cdef u32 i
    for i in range(cut.subsystems_n):
        cut.subsystem[cut.subsystems[i]] = GB_NONE
        cut.connects[cut.subsystems[i]] = 0
    for i in range(cut.methods_n):
        cut.method[cut.methods[i]] = GB_NONE
    for i in range(cut.purposes_n):
        cut.purpose[cut.purposes[i]] = GB_NONE
    for i in range(cut.limits_n):
        cut.limit[cut.limits[i]] = GB_NONE
    cut.subsystems_n = cut.methods_n = cut.purposes_n = cut.limits_n = 0


cdef inline u32 gb_cut_count(const gb_cut* cut, const gb_lists* lists, bint connecting) noexcept nogil:
    """Records of the subsystems taken: all of them, or those that connect."""
    cdef u32 i, s, n = 0
    for i in range(cut.subsystems_n):
        s = cut.subsystems[i]
        if cut.connects[s] or not connecting:
            n += lists.at[s + 1] - lists.at[s]
    return n


cdef inline size_t gb_cut_plan(gb_cut* cut, u32 reader) noexcept nogil:
    """Counts and places of the part's sections; the size of it all."""
    cdef const gb_policy* whole = cut.whole
    cdef const u8* record
    cdef size_t at = GB_POL_HEADER
    cdef u32 strings = 0, lists = 0, i
    cdef int section
    for i in range(cut.subsystems_n):
        record = gb_pol_at(whole, GB_POL_SUBSYSTEMS, cut.subsystems[i])
        strings += gb_ld32(record + 4) + gb_ld32(record + 12)
    for i in range(cut.methods_n):
        strings += gb_ld32(gb_pol_at(whole, GB_POL_METHODS, cut.methods[i]) + 4)
    for i in range(cut.purposes_n):
        strings += gb_ld32(gb_pol_at(whole, GB_POL_PURPOSES, cut.purposes[i]) + 4)
    for i in range(cut.grants.at[reader], cut.grants.at[reader + 1]):
        record = gb_pol_at(whole, GB_POL_GRANTS, cut.grants.list[i])
        strings += gb_ld32(record + 4)
        lists += gb_ld32(record + 20) + gb_ld32(record + 28)
    cut.part.section[GB_POL_STRINGS].n = strings
    cut.part.section[GB_POL_SUBSYSTEMS].n = cut.subsystems_n
    cut.part.section[GB_POL_CERTIFICATES].n = gb_cut_count(cut, &cut.certificates, True)
    cut.part.section[GB_POL_KEYS].n = gb_cut_count(cut, &cut.keys, False)
    cut.part.section[GB_POL_METHODS].n = cut.methods_n
    cut.part.section[GB_POL_PURPOSES].n = cut.purposes_n
    cut.part.section[GB_POL_GRANTS].n = cut.grants.at[reader + 1] - cut.grants.at[reader]
    cut.part.section[GB_POL_LISTS].n = lists
    cut.part.section[GB_POL_LIMITS].n = cut.limits_n
    cut.part.section[GB_POL_AGENTS].n = cut.agents.at[reader + 1] - cut.agents.at[reader]
    for section in range(GB_POL_SUBSYSTEMS, GB_POL_AGENTS + 1):
        if section != GB_POL_PURPOSES and section != GB_POL_LISTS:
            cut.part.section[gb_pol_index_of(section)].n = gb_pol_slots(cut.part.section[section].n)
    for section in range(GB_POL_SECTIONS):
        at += <size_t>cut.part.section[section].n * gb_pol_record_size(section)
        at = (at + 63) & ~<size_t>63
    return at
