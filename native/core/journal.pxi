# The journal as the gate uses it: open, submit, ask, stop. Needs journal_writer.pxi.
#
#  1. gb_journal_open recovers, writes the process's start and an UNKNOWN outcome for every intent left open, syncs, and
#     starts the writer: when it returns, everything before it is settled (protocol.md 4, 10).
#  2. gb_journal_submit never waits for the disk: a short lock, then done is called from the writer's thread.
#  3. gb_journal_stop settles what was submitted; gb_journal_free only after that, when no thread submits any more.
#  4. What a caller must not forget: exactly one outcome for every intent that was answered 0.

# What recovery found. seen, opaque and quota are the caller's, the rest is answered.
ctypedef struct gb_recovery:
    gb_j_seen seen
    void* opaque
    gb_quota* quota        # grants' counters, rebuilt here; NULL: nothing is counted. Outlives the journal
    u64 next_sequence
    i64 last_time_ms
    u64 snapshot_version
    u64 log_position
    u64 unknown            # outcomes written for intents that were open
    u64 torn_bytes         # cut off behind the last whole group
    int error_number       # errno, where the answer was GB_JOURNAL_IO, GB_JOURNAL_FULL or GB_JOURNAL_BROKEN


cdef inline int gb_journal_state(gb_journal* j) noexcept nogil:
    """GB_JOURNAL_OK, GB_JOURNAL_FULL (no room for one more intent of the largest size), _BROKEN or _STOPPED."""
    cdef int state = gb_atomic_load(&j.state)
    if state == GB_JOURNAL_OK:
        gb_mutex_lock(&j.mutex)
        if j.owed + GB_J_KEEP + GB_J_SIZE_MAX + GB_J_OUTCOME_SIZE + 2 * GB_J_COMMIT_SIZE > j.free:
            state = GB_JOURNAL_FULL
        if j.stopping:
            state = GB_JOURNAL_STOPPED
        gb_mutex_unlock(&j.mutex)
    return state


cdef inline bint gb_journal_healthy(gb_journal* j) noexcept nogil:
    return gb_journal_state(j) == GB_JOURNAL_OK


cdef inline i64 gb_journal_time(gb_journal* j) noexcept nogil:
    """Time of the last record, milliseconds since the epoch. A wall clock behind it is not to be trusted (check 4)."""
    return gb_atomic_load64(&j.time_ms)


cdef inline void gb_journal_get_stats(gb_journal* j, gb_journal_stats* out) noexcept nogil:
    gb_mutex_lock(&j.mutex)
    out[0] = j.stats
    out.queued = j.queued
    out.open_intents = j.open
    out.room = j.free - j.owed - GB_J_KEEP if j.free > j.owed + GB_J_KEEP else 0
    out.spares = j.spares
    out.cpu_ns = 0 if j.stopping else gb_thread_cpu_ns(j.writer) + gb_thread_cpu_ns(j.maker)
    if j.quota != NULL and not j.stopping:
        out.cpu_ns += gb_thread_cpu_ns(j.copier)
    gb_mutex_unlock(&j.mutex)


cdef inline int gb_j_pair(gb_journal* j, const gb_ticket* outcome) noexcept nogil:
    """An outcome takes the place that was promised to its intent, once."""
    if j.open == 0 or (outcome.intent != NULL and outcome.intent.paired):
        return GB_JOURNAL_INVALID
    j.open -= 1
    if outcome.intent != NULL:
        outcome.intent.paired = True
    return 0


cdef inline int gb_j_admit(gb_journal* j, const gb_ticket* t) noexcept nogil:
    """Room for a ticket, under the mutex."""
    cdef u64 need = gb_j_need(t)
    if j.stopping:
        return GB_JOURNAL_STOPPED
    if t.kind == GB_J_OUTCOME:
        return gb_j_pair(j, t)
    # Refusals leave the last quarter of a segment to intents.
    if t.kind == GB_J_REFUSAL:
        need += j.options.segment_bytes >> 2
    if j.owed + need + GB_J_KEEP > j.free:
        j.stats.refused_full += 1
        gb_cond_signal(&j.wake_maker)
        return GB_JOURNAL_FULL
    j.owed += gb_j_need(t)
    if t.kind == GB_J_INTENT:
        j.open += 1
    return 0


cdef inline int gb_journal_submit(gb_journal* j, gb_ticket* t) noexcept nogil:
    """0: done will be called. Else GB_JOURNAL_BROKEN, _FULL, _STOPPED or _INVALID, and the ticket was not taken."""
    cdef int refused
    t.size = gb_ticket_size(t)
    if t.size == 0:
        return GB_JOURNAL_INVALID
    gb_mutex_lock(&j.mutex)
    # Under the lock: whoever is queued before the journal breaks is answered by it, whoever comes later is refused here.
    refused = gb_atomic_load(&j.state)
    if refused == 0:
        refused = gb_j_admit(j, t)
    if refused == 0:
        gb_atomic_add(&t.refs, 1)
        t.next = NULL
        if j.tail != NULL:
            j.tail.next = t
        else:
            j.head = t
        j.tail = t
        if j.queued == 0:
            j.refusal_due_ns = gb_mono_ns() + GB_J_REFUSAL_WAIT_NS
        j.queued += 1
        if t.kind != GB_J_REFUSAL:
            j.urgent += 1
        if j.idle and (j.urgent == 1 or j.queued == 1 or j.queued >= GB_J_GROUP):
            gb_cond_signal(&j.wake)
    gb_mutex_unlock(&j.mutex)
    return refused


cdef inline void gb_journal_stop(gb_journal* j) noexcept nogil:
    """Settles everything submitted, writes the clean stop, ends the thread. Later submits are refused. Call it once."""
    gb_mutex_lock(&j.mutex)
    j.stopping = True
    gb_cond_signal(&j.wake)
    gb_cond_signal(&j.wake_maker)
    gb_cond_signal(&j.wake_copier)
    gb_mutex_unlock(&j.mutex)
    gb_thread_join(j.writer, NULL)
    gb_thread_join(j.maker, NULL)
    if j.quota != NULL:
        gb_thread_join(j.copier, NULL)
    if gb_atomic_load(&j.state) == GB_JOURNAL_OK:
        gb_atomic_store(&j.state, GB_JOURNAL_STOPPED)


cdef inline void gb_journal_free(gb_journal* j) noexcept nogil:
    cdef u32 i
    if j == NULL:
        return
    for i in range(j.spares):
        gb_close(j.spare_fd[i])
    gb_close(j.fd)
    gb_close(j.lock)
    gb_close(j.dir)
    gb_mutex_destroy(&j.mutex)
    gb_cond_destroy(&j.wake)
    gb_cond_destroy(&j.wake_maker)
    gb_cond_destroy(&j.wake_copier)
    free(j.segments)
    free(j.buffer)
    free(j.leaves)
    free(j.tree)
    free(j.salts)
    free(j)
