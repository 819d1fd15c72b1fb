# Opening a journal: lock, recover, cut the tail, find room, write the start. Needs journal.pxi.
#
# The order is the promise: nothing is written before the old records were read and found whole; the start record and the
# UNKNOWN outcomes are on disk before the writer takes its first ticket.

cdef inline gb_journal* gb_j_alloc(gb_span broker, const gb_privkey* key, const gb_journal_options* options) noexcept nogil:
    cdef gb_journal* j
    if broker.n == 0 or broker.n > 200:
        return NULL
    j = <gb_journal*>calloc(1, sizeof(gb_journal))
    if j == NULL:
        return NULL
    j.dir = -1
    j.lock = -1
    j.fd = -1
    j.key = key
    j.next = 1
    memcpy(j.broker, broker.p, broker.n)
    j.broker_n = <u32>broker.n
    if options != NULL:
        j.options = options[0]
    if j.options.segment_bytes == 0:
        j.options.segment_bytes = <u64>64 << 20
    if j.options.merge_delay_ms == 0:
        j.options.merge_delay_ms = 60000
    if j.options.interval_us == 0:
        j.options.interval_us = 1000
    gb_mutex_init(&j.mutex)
    gb_cond_init(&j.wake)
    gb_cond_init(&j.wake_maker)
    gb_cond_init(&j.wake_copier)
    j.buffer = <u8*>malloc(GB_J_BUFFER)
    j.leaves = <u8*>malloc(GB_J_GROUP * 32)
    j.tree = <u8*>malloc(GB_TREE_BYTES)
    j.salts = <u8*>malloc(GB_J_GROUP * 32)
    if j.buffer == NULL or j.leaves == NULL or j.tree == NULL or j.salts == NULL:
        gb_journal_free(j)
        return NULL
    return j


cdef inline int gb_j_adopt_spares(gb_journal* j) noexcept nogil:
    """Takes over reserves of the right size that an earlier process left; others are removed."""
    cdef gb_j_numbers files
    cdef char name[40]
    cdef size_t i
    cdef int fd
    memset(&files, 0, sizeof(files))
    if gb_j_list(j.dir, b"reserve", gb_j_numbers_add, &files) != 0:
        free(files.p)
        return GB_JOURNAL_IO
    gb_j_sort(files.p, files.n)
    for i in range(files.n):
        gb_j_name(name, b"reserve", files.p[i])
        j.next_spare = files.p[i] + 1
        fd = gb_j_open(j.dir, name) if j.spares < GB_J_SPARES else -1
        if fd >= 0 and gb_j_size(fd) == <i64>j.options.segment_bytes:
            j.spare_fd[j.spares] = fd
            j.spare_number[j.spares] = files.p[i]
            j.spares += 1
        else:
            gb_close(fd)
            gb_j_remove(j.dir, name)
    free(files.p)
    return 0


cdef inline int gb_j_cut(gb_journal* j, size_t bytes_) noexcept nogil:
    """Overwrites a torn tail with zeros, so that the next recovery finds the end where this one did."""
    cdef size_t done = 0, n
    memset(j.buffer, 0, GB_J_BUFFER)
    while done < bytes_:
        n = bytes_ - done if bytes_ - done < GB_J_BUFFER else GB_J_BUFFER
        if gb_j_write(j.fd, j.buffer, n, <i64>(j.pos + done)) != 0:
            return GB_JOURNAL_IO
        done += n
    return 0 if bytes_ == 0 or gb_j_sync(j.fd) == 0 else GB_JOURNAL_IO


cdef inline int gb_j_continue(gb_journal* j, gb_jscan* s) noexcept nogil:
    """Takes over where recovery ended, in the newest segment."""
    cdef char name[40]
    gb_j_name(name, b"journal", s.head.first)
    j.fd = gb_j_open(j.dir, name)
    if j.fd < 0:
        return GB_JOURNAL_IO
    j.segment = s.head
    j.pos = s.end
    j.next = s.next
    memcpy(j.chain, s.chain, 32)
    j.time_ms = s.time_ms
    j.snapshot_version = s.snapshot_version
    j.log_position = s.log_position
    j.segments = s.segments
    j.segments_n = s.segments_n
    j.segments_cap = s.segments_n
    s.segments = NULL
    return gb_j_cut(j, s.dirty)


cdef inline int gb_j_recover(gb_journal* j, gb_jscan* s) noexcept nogil:
    cdef gb_j_numbers files
    cdef int bad
    memset(&files, 0, sizeof(files))
    bad = 0 if gb_j_list(j.dir, b"journal", gb_j_numbers_add, &files) == 0 else GB_JOURNAL_IO
    gb_j_sort(files.p, files.n)
    if not bad:
        bad = gb_j_adopt_spares(j)
    if not bad and files.n:
        bad = gb_jscan_run(s, &files)
        if not bad:
            bad = gb_j_continue(j, s)
    elif not bad:
        # The first segment of a new journal.
        if not gb_j_make_spare(j, False) or not gb_j_roll(j, gb_now_ms()):
            bad = GB_JOURNAL_FULL
    free(files.p)
    return bad


cdef inline int gb_j_flush(gb_journal* j, i64 now_ms) noexcept nogil:
    cdef gb_merkle_tree tree
    cdef u8 value[64]
    cdef bint good = gb_j_commit(j, now_ms, &tree, value)
    gb_j_clear_group(j)
    return 0 if good else GB_JOURNAL_BROKEN


cdef inline int gb_j_make_place(gb_journal* j, size_t size, i64 now_ms) noexcept nogil:
    """Ends the group or the segment if a record of that size does not fit."""
    cdef int bad
    if gb_j_fits(j, size) and j.group_records < GB_J_GROUP:
        return 0
    if j.group_records:
        bad = gb_j_flush(j, now_ms)
        if bad or gb_j_fits(j, size):
            return bad
    if j.spares == 0 and not gb_j_make_spare(j, False):
        return GB_JOURNAL_FULL
    return 0 if gb_j_roll(j, now_ms) else GB_JOURNAL_FULL


cdef inline int gb_j_write_start(gb_journal* j, gb_span gate_key, gb_span signature, i64 now_ms) noexcept nogil:
    cdef u8* p
    cdef int bad = gb_j_make_place(j, GB_J_HEAD + 28 + gate_key.n + signature.n, now_ms)
    if bad:
        return bad
    p = gb_j_put(gb_j_payload(j), gate_key.p, <u32>gate_key.n)
    p = gb_j_put(p, signature.p, <u32>signature.n)
    gb_st64(p, j.snapshot_version)
    gb_st64(p + 8, j.log_position)
    gb_st64(p + 16, <u64>now_ms)
    gb_j_append(j, GB_J_START, <u32>(p + 24 - gb_j_payload(j)))
    return 0


cdef inline int gb_j_write_unknown(gb_journal* j, const gb_jintent* intent, i64 now_ms) noexcept nogil:
    """The outcome of an intent whose process ended before it was known."""
    cdef gb_ticket t
    cdef u8 salt[32]
    cdef int bad = gb_j_make_place(j, GB_J_HEAD + 8 + GB_J_RECORD_MAX, now_ms)
    if bad:
        return bad
    memset(&t, 0, sizeof(t))
    t.kind = GB_J_OUTCOME
    t.outcome = GB_J_OUTCOME_UNKNOWN
    t.snapshot_version = intent.snapshot_version
    t.intent_sequence = intent.sequence
    t.intent_time_ms = intent.time_ms
    memcpy(t.request_digest, intent.digest, 32)
    if not gb_random(salt, 32) or not gb_j_add_ticket(j, &t, now_ms, salt):
        return GB_JOURNAL_INVALID
    return 0


cdef inline int gb_j_settle(gb_journal* j, gb_jscan* s, gb_span gate_key, gb_span signature, gb_recovery* out) noexcept nogil:
    """Start record and UNKNOWN outcomes, on disk."""
    cdef i64 now = gb_j_time(j)
    cdef size_t i
    cdef int bad = gb_j_write_start(j, gate_key, signature, now)
    for i in range(s.intents_n):
        if not bad and not s.intents[i].closed:
            bad = gb_j_write_unknown(j, &s.intents[i], now)
            out.unknown += 1
    return bad if bad else gb_j_flush(j, now)


cdef inline int gb_j_start(gb_journal* j, const char* directory, gb_span gate_key, gb_span signature, gb_recovery* out) noexcept nogil:
    cdef gb_jscan s
    cdef int bad
    memset(&s, 0, sizeof(s))
    j.dir = gb_open_dir(directory)
    if j.dir < 0:
        return GB_JOURNAL_IO
    j.lock = gb_lock_file(j.dir)
    if j.lock < 0:
        return GB_JOURNAL_LOCKED if gb_errno() == GB_EWOULDBLOCK else GB_JOURNAL_IO
    s.dir = j.dir
    s.now_ms = gb_now_ms()
    s.seen = out.seen
    s.opaque = out.opaque
    s.quota = out.quota
    j.quota = out.quota
    bad = gb_j_recover(j, &s)
    if not bad and j.spares == 0:
        gb_j_make_spare(j, False)      # a full disk is no reason not to start: what is open can still be settled
    if not bad:
        bad = gb_j_settle(j, &s, gate_key, signature, out)
    out.torn_bytes = s.dirty
    if s.error_number:
        out.error_number = s.error_number
    free(s.intents)
    free(s.segments)
    return bad


cdef inline int gb_j_launch(gb_journal* j) noexcept nogil:
    gb_j_ask_copy(j)      # what recovery took long to count, the next one need not
    if gb_thread_create(&j.maker, NULL, gb_j_maker_main, j) != 0:
        return GB_JOURNAL_MEMORY
    if j.quota != NULL and gb_thread_create(&j.copier, NULL, gb_j_copier_main, j) != 0:
        j.quota = NULL
    elif gb_thread_create(&j.writer, NULL, gb_j_main, j) == 0:
        return 0
    gb_mutex_lock(&j.mutex)
    j.stopping = True
    gb_cond_signal(&j.wake_maker)
    gb_cond_signal(&j.wake_copier)
    gb_mutex_unlock(&j.mutex)
    gb_thread_join(j.maker, NULL)
    if j.quota != NULL:
        gb_thread_join(j.copier, NULL)
    return GB_JOURNAL_MEMORY


cdef inline gb_journal* gb_journal_open(const char* directory, gb_span broker, const gb_privkey* key, gb_span gate_key,
                                        gb_span signature, const gb_journal_options* options, gb_recovery* recovery,
                                        int* error) noexcept nogil:
    """
    Opens the journal in an existing directory, recovers it and starts its writer.

    key is the gate key; it must outlive the journal. gate_key and signature are the encoded GateKey and the Signature over
    it. options may be NULL. NULL is answered with error set to GB_JOURNAL_LOCKED, _CORRUPT, _FULL, _IO, _FORMAT, _MEMORY,
    _BROKEN or _INVALID; recovery.error_number is errno where there was one. Nothing acknowledged is ever cut off.
    """
    cdef gb_journal* j
    error[0] = GB_JOURNAL_INVALID
    if gate_key.n > GB_J_SIGNATURE_MAX or signature.n > GB_J_SIGNATURE_MAX:
        return NULL
    if options != NULL and options.segment_bytes:
        if options.segment_bytes < GB_J_SEGMENT_LEAST or options.segment_bytes > GB_J_SEGMENT_MOST:
            return NULL
    j = gb_j_alloc(broker, key, options)
    if j == NULL:
        error[0] = GB_JOURNAL_MEMORY
        return NULL
    error[0] = gb_j_start(j, directory, gate_key, signature, recovery)
    if error[0] == 0:
        gb_j_count_room(j)
        recovery.next_sequence = j.next
        recovery.last_time_ms = j.time_ms
        recovery.snapshot_version = j.snapshot_version
        recovery.log_position = j.log_position
        error[0] = gb_j_launch(j)
    if error[0] == GB_JOURNAL_FULL and not gb_no_space(j.stats.last_errno):
        error[0] = GB_JOURNAL_IO
    if error[0] != 0:
        if recovery.error_number == 0:
            recovery.error_number = j.stats.last_errno if j.stats.last_errno else gb_errno()
        gb_journal_free(j)
        return NULL
    return j
