# Reading a journal back at start. Needs journal_files.pxi, journal_tail.pxi, journal_counters.pxi, codec.pxi.
#
#  1. Begin at the segment that the newest segment's header names: older ones hold no open intent and no id younger than
#     GB_J_HOLD_MS. (native/journal.py reads everything, for evidence.)
#  2. Each record: checksum, sequence = last + 1, chain. Each group: counts of its commit.
#  3. A place where that fails is judged by journal_tail.pxi if it lies in the newest segment; in an older one it is damage.
#  4. Groups count only as a whole. From them: open intents, ids still to be held, last time, highest snapshot served.
#  5. And what today's grants have used (check 9): `counters` says how much that was at its record, what follows is added.
#     Where it cannot be used, reading begins at the segment in which today began.

cdef enum:
    GB_JOURNAL_OK = 0
    GB_JOURNAL_BROKEN = 1      # a write or sync failed: nothing is acknowledged any more
    GB_JOURNAL_FULL = 2        # no room for this record and its outcome
    GB_JOURNAL_STOPPED = 3
    GB_JOURNAL_INVALID = 4     # the ticket cannot be a record
    GB_JOURNAL_LOCKED = 5      # another process writes here
    GB_JOURNAL_CORRUPT = 6     # damaged: not opened
    GB_JOURNAL_IO = 7          # reading or making files failed, see errno
    GB_JOURNAL_MEMORY = 8
    GB_JOURNAL_FORMAT = 9      # files of another version

    GB_J_HOLD_MS = 90000
    GB_J_SEGMENT_LEAST = 32768
    GB_J_SEGMENT_MOST = 1 << 30

ctypedef void (*gb_j_seen)(void* opaque, gb_span client, const u8* request_id16, i64 remaining_ms) noexcept nogil

ctypedef struct gb_jintent:
    u64 sequence
    u64 snapshot_version
    i64 time_ms
    gb_quota_row* row      # of its grant, where it counts; see quota.pxi
    u8 digest[32]
    bint closed

ctypedef struct gb_jsegment:
    u64 first
    i64 last_ms            # time of its last commit
    u64 open               # intents in it whose outcome is not durable

ctypedef struct gb_jscan:
    int dir
    gb_jhead head          # of the newest segment
    u64 next               # sequence of the next record
    u8 chain[32]
    i64 time_ms
    u64 snapshot_version
    u64 log_position
    size_t end             # where the next record goes in the newest segment
    size_t dirty           # bytes behind it that are not zero
    u64 leaves             # in the group that is being read
    gb_jintent* intents    # ascending
    size_t intents_n
    size_t intents_cap
    gb_jsegment* segments
    size_t segments_n
    gb_j_seen seen
    void* opaque
    i64 now_ms
    gb_quota* quota        # NULL: nothing is counted
    u64 counted            # the last record that `counters` reflects
    u64 newest_counted     # the last one that any row of it does
    int error
    int error_number


cdef inline gb_jintent* gb_jscan_find(gb_jscan* s, u64 sequence) noexcept nogil:
    cdef size_t low = 0, high = s.intents_n, middle
    while low < high:
        middle = (low + high) >> 1
        if s.intents[middle].sequence < sequence:
            low = middle + 1
        else:
            high = middle
    return &s.intents[low] if low < s.intents_n and s.intents[low].sequence == sequence else NULL


cdef inline void gb_jscan_tidy(gb_jscan* s) noexcept nogil:
    """Forgets intents that are closed."""
    cdef size_t i, kept = 0
    for i in range(s.intents_n):
        if not s.intents[i].closed:
            s.intents[kept] = s.intents[i]
            kept += 1
    s.intents_n = kept


cdef inline bint gb_jscan_push(gb_jscan* s, const gb_admission* a, gb_quota_row* row) noexcept nogil:
    cdef gb_jintent* grown
    if s.intents_n == s.intents_cap:
        gb_jscan_tidy(s)
        if s.intents_n * 2 >= s.intents_cap:
            grown = <gb_jintent*>realloc(s.intents, (s.intents_cap * 2 + 256) * sizeof(gb_jintent))
            if grown == NULL:
                return False
            s.intents = grown
            s.intents_cap = s.intents_cap * 2 + 256
    grown = &s.intents[s.intents_n]
    grown.sequence = a.sequence
    grown.snapshot_version = a.snapshot_version
    grown.time_ms = a.intent_time_ms
    grown.row = row
    memcpy(grown.digest, a.request_digest.p, 32)
    grown.closed = False
    s.intents_n += 1
    return True


cdef inline void gb_jscan_seen(gb_jscan* s, const gb_request* header, i64 time_ms) noexcept nogil:
    cdef i64 remaining = GB_J_HOLD_MS - (s.now_ms - time_ms)
    if remaining > GB_J_HOLD_MS:
        remaining = GB_J_HOLD_MS      # the clock went back since: hold in full
    if remaining > 0 and s.seen != NULL:
        s.seen(s.opaque, header.client, header.request_id.p, remaining)


cdef inline bint gb_jscan_charge(gb_jscan* s, gb_span grant, i64 time_ms, u64 bytes_, gb_quota_row** row) noexcept nogil:
    """Step 5 for an intent that counts. False: more grants than the table holds."""
    cdef u32 today = gb_day(s.now_ms), bucket = gb_quota_bucket(s.quota, GB_QUOTA_GRANT, grant)
    if gb_day(time_ms) < today:
        return True
    if s.next <= s.counted:      # `counters` has it; only its outcome may be new
        row[0] = gb_quota_find(s.quota, bucket, GB_QUOTA_GRANT, grant)
        return True
    row[0] = gb_quota_make(s.quota, bucket, GB_QUOTA_GRANT, grant, 0, today)
    if row[0] != NULL:
        gb_quota_add(row[0], s.next, time_ms, 1, bytes_)
    return row[0] != NULL


cdef inline int gb_jscan_intent(gb_jscan* s, gb_span rest) noexcept nogil:
    cdef gb_span record, header, signature, charge
    cdef gb_admission a
    cdef gb_request h
    cdef gb_quota_row* row = NULL
    cdef int field = 0
    if not gb_j_take(&rest, &record) or not gb_j_take(&rest, &header):
        return GB_JOURNAL_CORRUPT
    if not gb_j_take(&rest, &signature) or not gb_j_take(&rest, &charge) or (charge.n and charge.n != GB_J_CHARGE):
        return GB_JOURNAL_CORRUPT
    if gb_parse_admission(record.p, record.n, &a, &field) or gb_parse_request(header.p, header.n, &h, &field):
        return GB_JOURNAL_CORRUPT
    gb_jscan_seen(s, &h, a.intent_time_ms)
    if charge.n and s.quota != NULL and not gb_jscan_charge(s, h.grant_id, a.intent_time_ms, gb_ld64(charge.p), &row):
        return GB_JOURNAL_MEMORY
    return 0 if gb_jscan_push(s, &a, row) else GB_JOURNAL_MEMORY


cdef inline int gb_jscan_outcome(gb_jscan* s, gb_span rest) noexcept nogil:
    cdef gb_span record
    cdef gb_receipt r
    cdef gb_jintent* intent
    cdef int field = 0
    if not gb_j_take(&rest, &record) or gb_parse_receipt(record.p, record.n, &r, &field):
        return GB_JOURNAL_CORRUPT
    intent = gb_jscan_find(s, r.intent_sequence)
    if intent != NULL:
        intent.closed = True
        if intent.row != NULL and r.bytes_released and s.next > s.counted:
            gb_quota_add(intent.row, s.next, intent.time_ms, 0, r.bytes_released)
    return 0


cdef inline int gb_jscan_refusal(gb_jscan* s, gb_span rest) noexcept nogil:
    cdef gb_span record, header
    cdef gb_refusal r
    cdef gb_request h
    cdef int field = 0
    if not gb_j_take(&rest, &record) or not gb_j_take(&rest, &header):
        return GB_JOURNAL_CORRUPT
    if gb_parse_refusal(record.p, record.n, &r, &field) or gb_parse_request(header.p, header.n, &h, &field):
        return GB_JOURNAL_CORRUPT
    gb_jscan_seen(s, &h, r.time_ms)
    return 0


cdef inline int gb_jscan_floors(gb_jscan* s, gb_span rest, bint start) noexcept nogil:
    cdef gb_span part
    if start and (not gb_j_take(&rest, &part) or not gb_j_take(&rest, &part)):
        return GB_JOURNAL_CORRUPT
    if rest.n != 24:
        return GB_JOURNAL_CORRUPT
    if gb_ld64(rest.p) > s.snapshot_version:
        s.snapshot_version = gb_ld64(rest.p)
    if gb_ld64(rest.p + 8) > s.log_position:
        s.log_position = gb_ld64(rest.p + 8)
    return 0


cdef inline int gb_jscan_apply(gb_jscan* s, const gb_jrecord* r) noexcept nogil:
    """Step 4 for one record of a whole group."""
    cdef gb_span payload = gb_make_span(r.payload, r.length)
    if r.kind == GB_J_INTENT:
        return gb_jscan_intent(s, payload)
    if r.kind == GB_J_OUTCOME:
        return gb_jscan_outcome(s, payload)
    if r.kind == GB_J_REFUSAL:
        return gb_jscan_refusal(s, payload)
    if r.kind == GB_J_START or r.kind == GB_J_SNAPSHOT:
        return gb_jscan_floors(s, payload, r.kind == GB_J_START)
    if r.kind == GB_J_COMMIT:
        s.time_ms = <i64>gb_ld64(r.payload + 8)
    return 0


cdef inline bint gb_jscan_check(gb_jscan* s, const u8* p, size_t n, const u8* salt16, u64 sequence, u8* chain32,
                                gb_jrecord* r) noexcept nogil:
    """Step 2 for one record; chain32 goes from the previous record's to this one's."""
    cdef u8 expected[32]
    if not gb_j_parse(p, n, salt16, r) or r.sequence != sequence:
        return False
    gb_j_chain(chain32, p, r.payload, r.length, expected)
    if not gb_eq32(expected, r.chain):
        return False
    memcpy(chain32, expected, 32)
    if r.kind == GB_J_INTENT or r.kind == GB_J_OUTCOME:
        s.leaves += 1
    return r.kind != GB_J_COMMIT or r.length == GB_J_COMMIT_PAYLOAD


cdef inline size_t gb_jscan_group(gb_jscan* s, const u8* segment, size_t at, size_t size, const gb_jhead* head) noexcept nogil:
    """Reads one group at `at`: the offset behind it, `at` itself at the clean end, or 0 with s.error or s.dirty set."""
    cdef gb_jrecord r
    cdef u8 chain[32]
    cdef u64 sequence = s.next
    cdef size_t p = at
    s.leaves = 0
    memcpy(chain, s.chain, 32)
    r.kind = 0
    while r.kind != GB_J_COMMIT:
        if p == at and gb_j_zero(segment + p, size - p):
            return at
        if not gb_jscan_check(s, segment + p, size - p, head.salt, sequence, chain, &r):
            if not gb_j_zero(segment + p, size - p):
                if gb_j_judge_tail(segment, p, size, head.salt, sequence) == GB_J_DAMAGED:
                    s.error = GB_JOURNAL_CORRUPT
            return 0
        p += GB_J_HEAD + r.length
        sequence += 1
    if gb_ld32(r.payload) != sequence - 1 - s.next or gb_ld32(r.payload + 4) != s.leaves:
        s.error = GB_JOURNAL_CORRUPT
        return 0
    while s.next < sequence:
        gb_j_parse(segment + at, size - at, head.salt, &r)
        s.error = gb_jscan_apply(s, &r)
        if s.error:
            return 0
        at += GB_J_HEAD + r.length
        s.next += 1
    memcpy(s.chain, chain, 32)
    return p


cdef inline void gb_jscan_records(gb_jscan* s, const u8* segment, size_t size, const gb_jhead* head, bint newest) noexcept nogil:
    cdef size_t at = GB_J_SEGMENT_HEAD, after, last
    while True:
        after = gb_jscan_group(s, segment, at, size, head)
        if s.error or after == at:
            break
        if after == 0:
            if not newest:
                s.error = GB_JOURNAL_CORRUPT
            break
        at = after
    s.end = at
    last = size
    while last > at + GB_J_SECTOR and gb_j_zero(segment + last - GB_J_SECTOR, GB_J_SECTOR):
        last -= GB_J_SECTOR
    while last > at and segment[last - 1] == 0:
        last -= 1
    s.dirty = last - at


cdef inline int gb_jscan_segment(gb_jscan* s, u64 number, bint first, bint newest) noexcept nogil:
    """One file: its header must continue where the last one ended, then its records."""
    cdef char name[40]
    cdef gb_jhead head
    cdef i64 size
    cdef u8* segment
    cdef int fd
    gb_j_name(name, b"journal", number)
    fd = gb_j_open(s.dir, name)
    size = gb_j_size(fd) if fd >= 0 else -1
    if size < 0 or size > GB_J_SEGMENT_MOST:
        s.error = GB_JOURNAL_IO if size < 0 else GB_JOURNAL_FORMAT
        s.error_number = gb_errno()
        gb_close(fd)
        return s.error
    segment = <u8*>malloc(<size_t>size + 1)
    if segment == NULL:
        s.error = GB_JOURNAL_MEMORY
    elif gb_j_read(fd, segment, <size_t>size, 0) != 0:
        s.error = GB_JOURNAL_IO
        s.error_number = gb_errno()
    elif not gb_jhead_parse(segment, <size_t>size, &head) or head.size != <u64>size or head.first != number:
        s.error = GB_JOURNAL_CORRUPT
    elif not first and (head.first != s.next or not gb_eq32(head.chain, s.chain)):
        s.error = GB_JOURNAL_CORRUPT
    gb_close(fd)
    if not s.error:
        if first:
            s.next = head.first
            s.time_ms = head.time_ms
            s.snapshot_version = head.snapshot_version
            s.log_position = head.log_position
            memcpy(s.chain, head.chain, 32)
        s.head = head
        gb_jscan_records(s, segment, <size_t>size, &head, newest)
    free(segment)
    return s.error
