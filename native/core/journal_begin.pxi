# Where recovery begins to read. Needs journal_recover.pxi, journal_counters.pxi.
#
#  1. For open intents and held ids: the segment that the newest segment's header names.
#  2. For what today's grants have used: the segment that `counters` names. It is used if it is whole, if the record it
#     reflects ends a segment of this journal (by sequence and chain), and if no row of it is ahead of the journal.
#  3. Without it: the segment in which today began, the last one whose header's time lies before. If that one was removed,
#     nobody knows what was used, and nothing is opened.
#  4. The earliest of these.

cdef inline bint gb_jscan_head(gb_jscan* s, u64 number, gb_jhead* head) noexcept nogil:
    """The header of a segment; False with s.error."""
    cdef char name[40]
    cdef u8 bytes_[128]
    cdef int fd
    gb_j_name(name, b"journal", number)
    fd = gb_j_open(s.dir, name)
    if fd < 0 or gb_j_size(fd) < GB_J_SEGMENT_HEAD or gb_j_read(fd, bytes_, GB_J_SEGMENT_HEAD, 0) != 0:
        s.error = GB_JOURNAL_IO if fd < 0 else GB_JOURNAL_CORRUPT
        s.error_number = gb_errno()
    elif not gb_jhead_parse(bytes_, GB_J_SEGMENT_HEAD, head):
        s.error = GB_JOURNAL_CORRUPT
    gb_close(fd)
    return s.error == 0


cdef inline size_t gb_jscan_place(const gb_j_numbers* files, u64 first) noexcept nogil:
    """Index of the segment with that first sequence; files.n: there is none."""
    cdef size_t i = 0
    while i < files.n and files.p[i] != first:
        i += 1
    return i


cdef inline bint gb_jscan_fits(gb_jscan* s, const gb_j_numbers* files, const gb_jcopy* copy) noexcept nogil:
    """Rule 2, but for the rows."""
    cdef gb_jhead head
    if copy.sequence == <u64>-1 or gb_jscan_place(files, copy.sequence + 1) == files.n or copy.from_ > copy.sequence + 1:
        return False
    if gb_jscan_place(files, copy.from_) == files.n or not gb_jscan_head(s, copy.sequence + 1, &head):
        return False
    return gb_eq32(head.chain, copy.chain)


cdef inline bint gb_jscan_copy(gb_jscan* s, const gb_j_numbers* files, size_t* start) noexcept nogil:
    """Rule 2: loads `counters`; False: it cannot be used, and s.error when that is not its own fault."""
    cdef gb_jcopy copy
    cdef size_t n = 0
    cdef u8* p = gb_jc_read(s.dir, &n)
    cdef bint good = p != NULL and gb_jc_check(p, n, &copy) and gb_jscan_fits(s, files, &copy)
    if good:
        s.counted = copy.sequence
        start[0] = gb_jscan_place(files, copy.from_)
        if not gb_jc_load(p, n, s.quota, gb_day(s.now_ms), &s.newest_counted):
            s.error = GB_JOURNAL_MEMORY
    free(p)
    return good


cdef inline size_t gb_jscan_today(gb_jscan* s, const gb_j_numbers* files) noexcept nogil:
    """Rule 3."""
    cdef gb_jhead head
    cdef size_t i = files.n
    while i > 0:
        i -= 1
        if not gb_jscan_head(s, files.p[i], &head) or head.first == 1 or gb_day(head.time_ms) < gb_day(s.now_ms):
            return i
    s.error = GB_JOURNAL_CORRUPT
    return 0


cdef inline size_t gb_jscan_start(gb_jscan* s, const gb_j_numbers* files, bint trust) noexcept nogil:
    """Index of the first segment to read; s.error when there is none to begin with."""
    cdef gb_jhead head
    cdef size_t start, other = files.n
    if not gb_jscan_head(s, files.p[files.n - 1], &head):
        return 0
    start = gb_jscan_place(files, head.recover_from)
    if start == files.n:
        s.error = GB_JOURNAL_CORRUPT      # a segment that is still needed is gone
        return 0
    if s.quota != NULL:
        if not trust or not gb_jscan_copy(s, files, &other):
            other = gb_jscan_today(s, files) if not s.error else 0
    return other if other < start else start


cdef inline void gb_jscan_read(gb_jscan* s, const gb_j_numbers* files, bint trust) noexcept nogil:
    cdef size_t i, start = gb_jscan_start(s, files, trust)
    if s.error:
        return
    s.segments = <gb_jsegment*>calloc(files.n - start, sizeof(gb_jsegment))
    if s.segments == NULL:
        s.error = GB_JOURNAL_MEMORY
    for i in range(start, files.n):
        if not s.error:
            gb_jscan_segment(s, files.p[i], i == start, i + 1 == files.n)
            s.segments[i - start].first = files.p[i]
            s.segments[i - start].last_ms = s.time_ms
            s.segments_n += 1


cdef inline int gb_jscan_run(gb_jscan* s, const gb_j_numbers* files) noexcept nogil:
    """Reads what must be read of the sorted files; 0 or GB_JOURNAL_*. The caller frees intents and segments."""
    gb_jscan_read(s, files, True)
    if not s.error and s.newest_counted >= s.next:
        # The counters know a record that the journal lost. They are what is derived: today is counted anew.
        gb_quota_clear(s.quota)
        free(s.segments)
        s.segments = NULL
        s.segments_n = 0
        s.intents_n = 0
        s.counted = 0
        s.newest_counted = 0
        gb_jscan_read(s, files, False)
    return s.error
