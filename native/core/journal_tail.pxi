# Where a journal stops being whole: is it the tail of a write that never finished, or damage? Needs journal_format.pxi.
#
# A group is acknowledged only after its write is synced, and groups are written one after another. So at most the last
# group can be half there; half there means that whole sectors of 512 bytes still hold the zeros they were reserved with.
# What follows decides, for a bad place `at` behind the last whole group:
#  1. Behind `at` lies a commit and behind that another record: the damaged group was followed by a later one, hence
#     acknowledged. Damage.
#  2. Some intact record follows, and the bad one has a sector-shaped hole of zeros: torn. Without a hole: damage.
#  3. Nothing intact follows, and where a commit record would end the data ends, without a hole: damage to the last
#     acknowledged commit. Anything else: torn.
# A torn tail is cut back to the last whole group, damage refuses to open. KNOWN: a flipped bit that falls together with a
# torn sector in the same last group looks torn; that group may then have been acknowledged.

cdef enum:
    GB_J_SECTOR = 512
    GB_J_TORN = 1
    GB_J_DAMAGED = 2


cdef inline bint gb_j_zero(const u8* p, size_t n) noexcept nogil:
    # Compares a range with itself shifted by one: all bytes equal the first.
    return n == 0 or (p[0] == 0 and (n == 1 or memcmp(p, p + 1, n - 1) == 0))


cdef inline bint gb_j_hole(const u8* segment, size_t start, size_t end) noexcept nogil:
    """True if some sector of the file holds nothing but zeros within [start, end)."""
    cdef size_t to
    while start < end:
        to = (start & ~<size_t>(GB_J_SECTOR - 1)) + GB_J_SECTOR
        if to > end:
            to = end
        if gb_j_zero(segment + start, to - start):
            return True
        start = to
    return False


cdef inline size_t gb_j_next_intact(const u8* segment, size_t at, size_t size, const u8* salt16, u64 from_sequence,
                                    gb_jrecord* out) noexcept nogil:
    """Offset of the first intact record at or behind `at` whose sequence is plausible, or size."""
    while at + GB_J_HEAD <= size:
        if gb_j_is_kind(gb_ld32(segment + at + 16)) and gb_j_parse(segment + at, size - at, salt16, out):
            if out.sequence > from_sequence and out.sequence - from_sequence < <u64>1 << 32:
                return at
        at += 1
    return size


cdef inline int gb_j_judge_tail(const u8* segment, size_t at, size_t size, const u8* salt16, u64 next_sequence) noexcept nogil:
    """GB_J_TORN or GB_J_DAMAGED for the first bad place `at`; next_sequence was expected there or before."""
    cdef gb_jrecord r
    cdef size_t first = gb_j_next_intact(segment, at + 1, size, salt16, next_sequence - 1, &r), later = first
    cdef size_t end
    cdef bint committed = False
    while later < size:
        if committed:
            return GB_J_DAMAGED
        committed = r.kind == GB_J_COMMIT
        later = gb_j_next_intact(segment, later + GB_J_HEAD + r.length, size, salt16, r.sequence, &r)
    if first < size:
        return GB_J_TORN if gb_j_hole(segment, at, first) else GB_J_DAMAGED
    end = at + GB_J_COMMIT_SIZE
    if end > size or not gb_j_zero(segment + end, size - end) or gb_j_zero(segment + end - 16, 16):
        return GB_J_TORN
    if segment[at + 16] != GB_J_COMMIT and gb_ld32(segment + at) != GB_J_COMMIT_PAYLOAD:
        return GB_J_TORN
    return GB_J_TORN if gb_j_hole(segment, at, end) else GB_J_DAMAGED
