# One group of records: gathered, sealed, signed, written, synced. Needs journal_ticket.pxi, batch.pxi.
#
#  1. Sequence, time and salt are given here and nowhere else: ascending, never behind the last record, fresh. A refusal
#     alone bears an earlier time, that of its decision: it waits longest, and nobody counts or recovers by it.
#  2. Intents and outcomes are the leaves of the group's tree, in order of sequence; its root is signed by the gate key.
#     A group without leaves signs (size 0, chain of the record before the commit): no batch has size 0.
#  3. Nothing of a group is told to anybody before its one write and its fdatasync both succeeded.

cdef enum:
    GB_J_GROUP = 1024                # tickets in a group
    GB_J_BUFFER = 1 << 20
    GB_J_SPARES = 16
    GB_J_LOADED = 16                 # records in a group that mean load

ctypedef struct gb_journal_options:
    u64 segment_bytes                # 0: 64 MiB
    i64 merge_delay_ms               # 0: 60 s; what receipts promise
    i64 interval_us                  # 0: 1,000; least time between two groups, twice that under load

ctypedef struct gb_journal_stats:
    u64 records
    u64 leaves
    u64 groups
    u64 bytes
    u64 queued
    u64 open_intents
    u64 room                         # bytes for new intents and their outcomes
    u64 refused_full
    i64 sync_ns                      # of all fdatasyncs together
    i64 last_commit_ns               # write and sync of the last group
    i64 cpu_ns                       # of the journal's threads
    int last_errno                   # of what made the journal broken, or of the last failed reserve
    u32 spares

ctypedef struct gb_journal:
    # Fixed after open.
    int dir
    int lock
    const gb_privkey* key
    gb_journal_options options
    u32 broker_n
    u8 broker[200]
    gb_thread writer
    gb_thread maker                  # of spares
    gb_thread copier                 # of counters
    gb_quota* quota                  # what grants use up is counted here; NULL: nobody asks
    # Read anywhere, written by the writer (gb_atomic_*).
    int state
    i64 time_ms                      # of the last record
    # Under the mutex.
    gb_mutex mutex
    gb_cond wake                     # the writer
    gb_cond wake_maker
    gb_cond wake_copier
    gb_jcopy copy                    # the copy of the counters to be made next
    i64 copy_ms                      # its time
    bint copy_due
    gb_ticket* head
    gb_ticket* tail
    u64 queued
    u64 urgent                       # queued ones that somebody waits for
    u64 free                         # bytes in the segment and the spares that records may use
    u64 owed                         # of these, promised: queued records, outcomes of open intents
    u64 open                         # intents whose outcome was not submitted yet
    int spare_fd[16]
    u64 spare_number[16]
    u32 spares
    bint idle
    bint stopping
    gb_journal_stats stats
    # The writer's own.
    int fd
    u64 pos
    gb_jhead segment
    u64 next
    u8 chain[32]
    u64 snapshot_version
    u64 log_position
    gb_jsegment* segments            # that a recovery would have to read, oldest first
    size_t segments_n
    size_t segments_cap
    i64 last_commit_ns
    bint loaded                      # the last group was large
    i64 refusal_due_ns
    # The maker's own.
    u64 next_spare
    # The group that is being built.
    gb_ticket* group[1024]
    u32 group_n
    u32 group_records
    u32 group_leaves
    size_t used
    u8* buffer
    u8* leaves
    u8* tree
    u8* salts


cdef inline gb_span gb_j_broker(gb_journal* j) noexcept nogil:
    return gb_make_span(j.broker, j.broker_n)


cdef inline bint gb_j_fits(gb_journal* j, size_t size) noexcept nogil:
    """True if a record of that size and the commit still go into the group and the segment."""
    cdef size_t with_commit = j.used + size + GB_J_COMMIT_SIZE
    return j.pos + with_commit <= j.segment.size and with_commit <= GB_J_BUFFER and j.group_n < GB_J_GROUP


cdef inline void gb_j_append(gb_journal* j, int kind, u32 length) noexcept nogil:
    """Seals the record whose payload was put behind a gap for its head at the end of the buffer."""
    gb_j_seal(j.buffer + j.used, length, j.next, kind, j.segment.salt, j.chain)
    j.used += GB_J_HEAD + length
    j.next += 1
    j.group_records += 1


cdef inline u8* gb_j_payload(gb_journal* j) noexcept nogil:
    return j.buffer + j.used + GB_J_HEAD


cdef inline gb_jsegment* gb_j_segment_of(gb_journal* j, u64 sequence) noexcept nogil:
    cdef size_t i = j.segments_n
    while i > 0:
        i -= 1
        if j.segments[i].first <= sequence:
            return &j.segments[i]
    return NULL


cdef inline bint gb_j_add_ticket(gb_journal* j, gb_ticket* t, i64 now_ms, const u8* salt32) noexcept nogil:
    """Makes the ticket a record of the group; False when it cannot be encoded (nothing is appended then)."""
    cdef u32 length
    cdef gb_jsegment* segment
    t.sequence = j.next
    t.time_ms = now_ms
    if t.kind == GB_J_REFUSAL and 0 < t.decided_ms < now_ms:
        t.time_ms = t.decided_ms
    length = gb_ticket_payload(t, salt32, gb_j_broker(j), j.options.merge_delay_ms, gb_j_payload(j))
    if length == 0:
        return False
    gb_j_append(j, t.kind, length)
    if t.kind == GB_J_INTENT:
        gb_leaf(gb_literal(b"govbus/admission/v1"), gb_make_span(t.record, t.record_n), j.leaves + j.group_leaves * 32)
        j.segments[j.segments_n - 1].open += 1
    elif t.kind == GB_J_OUTCOME:
        gb_leaf(gb_literal(b"govbus/receipt/v1"), gb_make_span(t.record, t.record_n), j.leaves + j.group_leaves * 32)
        segment = gb_j_segment_of(j, t.intent_sequence)
        if segment != NULL and segment.open > 0:
            segment.open -= 1
    elif t.kind == GB_J_SNAPSHOT:
        if t.snapshot_version > j.snapshot_version:
            j.snapshot_version = t.snapshot_version
        if t.log_position > j.log_position:
            j.log_position = t.log_position
    if gb_ticket_is_leaf(t):
        j.group_leaves += 1
    return True


cdef inline bint gb_j_sign(gb_journal* j, gb_merkle_tree* tree, u8* root32, u8* value64) noexcept nogil:
    """Rule 2."""
    cdef u8 message[63]
    if j.group_leaves:
        if gb_merkle_tree_build(tree, j.leaves, j.group_leaves, j.tree) != 0:
            return False
        memcpy(root32, gb_merkle_tree_root(tree), 32)
    else:
        memcpy(root32, j.chain, 32)
    gb_batch_message(j.group_leaves, root32, message)
    return gb_sign(j.key, message, GB_BATCH_MESSAGE, value64) == 1


cdef inline void gb_j_count_group(gb_journal* j, i64 started_ns, i64 written_ns) noexcept nogil:
    gb_mutex_lock(&j.mutex)
    j.stats.sync_ns += j.last_commit_ns - written_ns
    j.stats.last_commit_ns = j.last_commit_ns - started_ns
    j.stats.groups += 1
    j.stats.records += j.group_records
    j.stats.leaves += j.group_leaves
    j.stats.bytes += j.used
    gb_mutex_unlock(&j.mutex)


cdef inline bint gb_j_commit(gb_journal* j, i64 now_ms, gb_merkle_tree* tree, u8* value64) noexcept nogil:
    """Signs, writes and syncs the group in the buffer. False: the journal is broken, stats.last_errno says why."""
    cdef u8* p = gb_j_payload(j)
    cdef i64 started, written
    gb_st32(p, j.group_records)
    gb_st32(p + 4, j.group_leaves)
    gb_st64(p + 8, <u64>now_ms)
    memcpy(p + 16, j.key.id, 32)
    if not gb_j_sign(j, tree, p + 48, value64):
        j.stats.last_errno = 0
        return False
    memcpy(p + 80, value64, 64)
    gb_j_append(j, GB_J_COMMIT, GB_J_COMMIT_PAYLOAD)
    started = gb_mono_ns()
    if gb_j_write(j.fd, j.buffer, j.used, <i64>j.pos) != 0:
        j.stats.last_errno = gb_errno()
        return False
    written = gb_mono_ns()
    if gb_j_sync(j.fd) != 0:
        j.stats.last_errno = gb_errno()
        return False
    j.last_commit_ns = gb_mono_ns()
    j.pos += j.used
    j.loaded = j.group_records >= GB_J_LOADED
    j.segments[j.segments_n - 1].last_ms = now_ms
    gb_atomic_store64(&j.time_ms, now_ms)
    gb_j_count_group(j, started, written)
    return True


cdef inline void gb_j_clear_group(gb_journal* j) noexcept nogil:
    j.group_n = 0
    j.group_records = 0
    j.group_leaves = 0
    j.used = 0


cdef inline i64 gb_j_time(gb_journal* j) noexcept nogil:
    """Time of a new group: the wall clock, but never behind the last record."""
    cdef i64 now = gb_now_ms()
    return now if now > j.time_ms else j.time_ms
