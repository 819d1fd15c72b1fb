# The counters' file: what quota.pxi's rows had counted when a segment began. Needs quota.pxi, journal_files.pxi.
#
#  1. Derived: all of it follows from the journal. Where it is missing, damaged or of another history, recovery reads the
#     whole of today instead (journal_recover.pxi); nothing but the time of a start depends on it.
#  2. It names the sequence S it reflects - always the last record of a segment, whose chain it repeats - and the segment
#     at which the reading after it begins. Every record up to S is in it. Rows are copied one after another while the
#     journal goes on, so a row may be ahead; each says which record it counted last, and no record counts twice.
#  3. Only what is durable is in it: rows are changed after the sync (gb_j_answer).
#  4. Written beside and renamed, by a thread of its own: a start never meets half of it, the writer never waits for it.
#
# `counters`: magic 8, S u64, from u64, chain of S 32; rows (u8 id length 1-64, id, day u32, calls u64, bytes u64,
# sequence u64); u8 0, number of rows u64, CRC32C u32 of everything before it.

cdef extern from *:
    """
    #include <fcntl.h>
    #include <unistd.h>
    static int gb_jc_create(int dir) {
        return openat(dir, "counters.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    static int gb_jc_open(int dir) { return openat(dir, "counters", O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }
    """
    int gb_jc_create(int dir) nogil
    int gb_jc_open(int dir) nogil

cdef enum:
    GB_JC_HEAD = 56
    GB_JC_END = 13
    GB_JC_ROW_MAX = 93
    GB_JC_BUFFER = 65536
    GB_JC_MOST = 1 << 30

ctypedef struct gb_jcopy:
    u64 sequence               # S
    u64 from_                  # first sequence of the segment at which reading begins
    u8 chain[32]

ctypedef struct gb_jc_out:
    int fd
    i64 at
    u32 crc
    size_t n
    u64 rows
    bint bad
    u8 buffer[65536]


cdef inline void gb_jc_flush(gb_jc_out* out) noexcept nogil:
    out.crc = gb_crc_update(out.crc, out.buffer, out.n)
    if gb_j_write(out.fd, out.buffer, out.n, out.at) != 0:
        out.bad = True
    out.at += <i64>out.n
    out.n = 0


cdef inline void gb_jc_put_row(gb_jc_out* out, gb_quota_row* row) noexcept nogil:
    cdef u8* p = out.buffer + out.n
    p[0] = <u8>row.id_n
    memcpy(p + 1, gb_quota_id(row), row.id_n)
    p += 1 + row.id_n
    gb_st32(p, row.day)
    gb_st64(p + 4, row.calls)
    gb_st64(p + 12, row.bytes)
    gb_st64(p + 20, row.sequence)
    out.n += 29 + row.id_n
    out.rows += 1


cdef inline void gb_jc_put_bucket(gb_jc_out* out, gb_quota* q, u32 bucket, u32 today) noexcept nogil:
    """The rows of one bucket that count something; no disk is waited for under the lock."""
    cdef gb_quota_stripe* stripe = gb_quota_stripe_of(q, bucket)
    cdef gb_quota_row* row
    cdef u32 next_
    gb_mutex_lock(&stripe.lock)
    next_ = q.heads[bucket]
    while next_:
        row = gb_quota_at(q, next_ - 1)
        if row.kind == GB_QUOTA_GRANT and row.sequence and row.day >= today and row.id_n <= 64:
            if out.n + GB_JC_ROW_MAX > GB_JC_BUFFER:
                out.bad = True     # hundreds of names in one bucket of a keyed hash: never seen
                break
            gb_jc_put_row(out, row)
        next_ = row.next
    gb_mutex_unlock(&stripe.lock)


cdef inline bint gb_jc_write(gb_jc_out* out, const gb_jcopy* copy, gb_quota* q, u32 today) noexcept nogil:
    cdef u32 bucket = 0
    memcpy(out.buffer, b"GVBCNTR1", 8)
    gb_st64(out.buffer + 8, copy.sequence)
    gb_st64(out.buffer + 16, copy.from_)
    memcpy(out.buffer + 24, copy.chain, 32)
    out.n = GB_JC_HEAD
    while bucket <= q.mask and not out.bad:
        if q.heads[bucket]:
            gb_jc_put_bucket(out, q, bucket, today)
            if out.n > GB_JC_BUFFER / 2:
                gb_jc_flush(out)
        bucket += 1
    out.buffer[out.n] = 0
    gb_st64(out.buffer + out.n + 1, out.rows)
    out.n += 9
    gb_jc_flush(out)
    gb_st32(out.buffer, ~out.crc)
    out.n = 4
    gb_jc_flush(out)
    return not out.bad


cdef inline bint gb_jc_save(int dir, const gb_jcopy* copy, gb_quota* q, u32 today) noexcept nogil:
    """Replaces the file; False: the old one stays, nothing is lost but time at the next start."""
    cdef gb_jc_out* out = <gb_jc_out*>malloc(sizeof(gb_jc_out))
    cdef bint good
    if out == NULL:
        return False
    memset(out, 0, <size_t>(<u8*>out.buffer - <u8*>out))
    out.crc = ~<u32>0
    out.fd = gb_jc_create(dir)
    good = out.fd >= 0 and gb_jc_write(out, copy, q, today) and gb_j_sync(out.fd) == 0
    gb_close(out.fd)
    free(out)
    return good and gb_j_promote(dir, b"counters.new", b"counters") == 0


# --- Reading it back --------------------------------------------------------------------------------------------------

cdef inline u8* gb_jc_read(int dir, size_t* n) noexcept nogil:
    """The whole file, to be freed; NULL: there is none that can be read."""
    cdef int fd = gb_jc_open(dir)
    cdef i64 size = gb_j_size(fd) if fd >= 0 else -1
    cdef u8* p = NULL
    if GB_JC_HEAD + GB_JC_END <= size <= GB_JC_MOST:
        p = <u8*>malloc(<size_t>size)
        if p != NULL and gb_j_read(fd, p, <size_t>size, 0) != 0:
            free(p)
            p = NULL
        n[0] = <size_t>size
    gb_close(fd)
    return p


cdef inline bint gb_jc_row(const u8* p, size_t n, size_t* at) noexcept nogil:
    """Whether a row lies at `at`, which goes behind it; False at the end and at what is no row."""
    cdef size_t id_n
    if at[0] >= n:
        return False
    id_n = p[at[0]]
    if id_n < 1 or id_n > 64 or n - at[0] < 29 + id_n:
        return False
    at[0] += 29 + id_n
    return True


cdef inline bint gb_jc_check(const u8* p, size_t n, gb_jcopy* copy) noexcept nogil:
    """Whether the bytes are a whole file."""
    cdef size_t at = GB_JC_HEAD
    cdef u64 rows = 0
    if memcmp(p, b"GVBCNTR1", 8) != 0 or gb_ld32(p + n - 4) != gb_crc32c(p, n - 4):
        return False
    copy.sequence = gb_ld64(p + 8)
    copy.from_ = gb_ld64(p + 16)
    memcpy(copy.chain, p + 24, 32)
    while gb_jc_row(p, n - GB_JC_END, &at):
        rows += 1
    return at + GB_JC_END == n and p[at] == 0 and gb_ld64(p + at + 1) == rows


cdef inline bint gb_jc_load(const u8* p, size_t n, gb_quota* q, u32 today, u64* newest) noexcept nogil:
    """The rows of a whole file that still count; False: more than the table holds. newest: the last record counted."""
    cdef size_t at = GB_JC_HEAD, start = GB_JC_HEAD
    cdef gb_span id
    cdef const u8* tail
    cdef gb_quota_row* row
    while gb_jc_row(p, n - GB_JC_END, &at):
        id = gb_make_span(p + start + 1, p[start])
        tail = p + start + 1 + id.n
        start = at
        if gb_ld64(tail + 20) > newest[0]:
            newest[0] = gb_ld64(tail + 20)
        if gb_ld32(tail) < today:
            continue
        row = gb_quota_make(q, gb_quota_bucket(q, GB_QUOTA_GRANT, id), GB_QUOTA_GRANT, id, 0, today)
        if row == NULL:
            return False
        row.day = gb_ld32(tail)
        row.calls = gb_ld64(tail + 4)
        row.bytes = gb_ld64(tail + 12)
        row.sequence = gb_ld64(tail + 20)
    return True
