# Target: what recovery makes of a journal segment. Needs input.pxi, journal_format.pxi, journal_tail.pxi, journal_recover.pxi,
# quota.pxi.
#
# Byte 0: 0 as it is; 1 sealed anew (checksums, chain, sequences); 2 likewise, and commits count their groups anew.
# Byte 1: whether it is the newest segment. The rest is the file. No file system: the scan is given the bytes.

cdef enum:
    JOURNAL_NOW = 1800000001000


cdef gb_quota* the_quota = NULL


cdef void journal(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef u64 repair = take_number(&s, 1)
    cdef bint newest = take_number(&s, 1) & 1
    cdef u8* file = block_of(gb_make_span(s.p, s.n))
    expect(gb_crc_update(0, s.p, s.n) == gb_crc_by_table(0, s.p, s.n), b"processor and table give one checksum")
    journal_parts(s.p, s.n)
    if repair and s.n >= GB_J_SEGMENT_HEAD:
        journal_repair(file, s.n, repair > 1)
    journal_apply(file, s.n)
    journal_scan(file, s.n, newest)
    free(file)


cdef void journal_parts(const u8* p, size_t n) noexcept nogil:
    """The input as a payload: its parts lie in it, one behind the other."""
    cdef gb_span rest = gb_make_span(p, n), part
    cdef size_t left = n
    while gb_j_take(&rest, &part):
        expect(inside(part, p, n) and inside(rest, p, n), b"parts lie in their payload")
        expect(rest.n + part.n + 2 == left, b"a part takes its length and its bytes")
        left = rest.n


cdef void journal_repair(u8* p, size_t n, bint counts) noexcept nogil:
    """Every record from the first on, as far as lengths lead, belongs to the file again."""
    cdef gb_jhead head
    cdef u8 chain[32]
    cdef size_t at = GB_J_SEGMENT_HEAD
    cdef u64 sequence
    cdef u32 length, kind, records = 0, leaves = 0
    memcpy(p, b"GVBJRNL1", 8)
    gb_st32(p + 124, gb_crc32c(p, 124))
    if not gb_jhead_parse(p, n, &head):
        return
    sequence = head.first
    memcpy(chain, head.chain, 32)
    while n - at >= GB_J_HEAD:
        length = gb_ld32(p + at)
        kind = gb_ld32(p + at + 16)
        if length > n - at - GB_J_HEAD or (length == 0 and kind == 0):
            return
        if kind == GB_J_COMMIT and counts and length >= 8:
            gb_st32(p + at + GB_J_HEAD, records)
            gb_st32(p + at + GB_J_HEAD + 4, leaves)
        records = 0 if kind == GB_J_COMMIT else records + 1
        leaves = 0 if kind == GB_J_COMMIT else leaves + (1 if kind == GB_J_INTENT or kind == GB_J_OUTCOME else 0)
        gb_j_seal(p + at, length, sequence, <int>kind, head.salt, chain)
        at += GB_J_HEAD + length
        sequence += 1


cdef bint journal_begin(gb_jscan* scan, gb_jhead* head, const u8* file, size_t n) noexcept nogil:
    """As gb_jscan_segment begins with its first file."""
    memset(scan, 0, sizeof(gb_jscan))
    if not gb_jhead_parse(file, n, head):
        return False
    scan.head = head[0]
    scan.next = head.first
    scan.time_ms = head.time_ms
    scan.snapshot_version = head.snapshot_version
    scan.log_position = head.log_position
    scan.now_ms = JOURNAL_NOW
    scan.seen = journal_seen
    scan.quota = journal_quota()
    memcpy(scan.chain, head.chain, 32)
    return True


cdef gb_quota* journal_quota() noexcept nogil:
    """An empty table."""
    global the_quota
    if the_quota == NULL:
        the_quota = gb_quota_new(8, 64)
    else:
        gb_quota_clear(the_quota)
    return the_quota


cdef gb_quota_row journal_counted() noexcept nogil:
    """What all grants together have used."""
    cdef gb_quota_row sum_
    cdef gb_quota_row* row
    cdef u32 i
    memset(&sum_, 0, sizeof(sum_))
    for i in range(the_quota.used):
        row = gb_quota_at(the_quota, i)
        sum_.calls += row.calls
        sum_.bytes += row.bytes
        sum_.sequence += row.sequence
    return sum_


cdef void journal_seen(void* opaque, gb_span client, const u8* request_id16, i64 remaining_ms) noexcept nogil:
    cdef u8 id[16]
    memcpy(id, request_id16, 16)
    expect(client.n >= 10 and client.n <= 200 and gb_text_spiffe(client), b"a pair to be held names a client")
    expect(remaining_ms > 0 and remaining_ms <= GB_J_HOLD_MS, b"a pair is held for what is left of its time")


cdef void journal_apply(const u8* file, size_t n) noexcept nogil:
    """Each intact record by itself, its payload in a block of its own: nothing behind it is read."""
    cdef gb_jscan scan
    cdef gb_jhead head
    cdef gb_jrecord r
    cdef u8* payload
    cdef size_t at = GB_J_SEGMENT_HEAD
    if not journal_begin(&scan, &head, file, n):
        return
    while gb_j_parse(file + at, n - at, head.salt, &r):
        at += GB_J_HEAD + r.length
        payload = block_of(gb_make_span(r.payload, r.length))
        r.payload = payload
        if r.kind != GB_J_COMMIT or r.length == GB_J_COMMIT_PAYLOAD:
            gb_jscan_apply(&scan, &r)
        free(payload)
    free(scan.intents)


cdef void journal_scan(u8* file, size_t n, bint newest) noexcept nogil:
    """A scan stays in the file; cut back to what it calls whole, the same journal is found again."""
    cdef gb_jscan scan
    cdef gb_jscan again
    cdef gb_jhead head
    cdef gb_quota_row counted, found
    if not journal_begin(&scan, &head, file, n):
        return
    gb_jscan_records(&scan, file, n, &head, newest)
    counted = journal_counted()
    expect(scan.error == 0 or scan.error == GB_JOURNAL_CORRUPT, b"a segment is read, or called damaged")
    expect(scan.end >= GB_J_SEGMENT_HEAD and scan.end <= n and scan.dirty <= n - scan.end, b"the end lies in the file")
    if scan.error == 0:
        expect(scan.dirty == 0 or newest, b"only the newest segment may have a torn tail")
        memset(file + scan.end, 0, n - scan.end)
        journal_begin(&again, &head, file, n)
        gb_jscan_records(&again, file, n, &head, newest)
        found = journal_counted()
        expect(again.error == 0 and again.dirty == 0 and again.end == scan.end, b"a journal that was cut back is whole")
        expect(again.next == scan.next and gb_eq32(again.chain, scan.chain), b"cutting back loses no whole group")
        expect(again.intents_n == scan.intents_n and again.time_ms == scan.time_ms, b"cutting back loses no intent")
        expect(found.calls == counted.calls and found.bytes == counted.bytes and found.sequence == counted.sequence,
               b"cutting back counts the same")
        expect(again.snapshot_version == scan.snapshot_version and again.log_position == scan.log_position,
               b"floors stay where they were")
        free(again.intents)
    free(scan.intents)
