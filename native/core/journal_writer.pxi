# The writer thread: takes what waits, commits it as groups, tells those who wait. Needs journal_room.pxi.
#
#  1. Idle, it commits at once. Else it starts a group no sooner than 1 ms after the last one ended, 2 ms if that one was
#     large: a group costs CPU, and two of half the size cost twice. Refusals alone wait 50 ms: nobody waits for them.
#  2. A failed write, sync, signature or segment change breaks the journal: this group, everything queued and everything
#     submitted later is answered GB_JOURNAL_BROKEN until the process starts anew. It never tries again: after a failed
#     fsync nobody knows what the disk holds.
#  3. Stopping: what is queued is committed, a clean-stop record closes the journal.

cdef extern from *:
    """
    #include <pthread.h>
    #include <signal.h>
    #include <time.h>
    /* The host's signal handlers run on the host's threads. */
    static void gb_block_signals(void) { sigset_t all; sigfillset(&all); pthread_sigmask(SIG_SETMASK, &all, NULL); }
    static long long gb_thread_cpu_ns(pthread_t t) {
        clockid_t clock;
        struct timespec s;
        if (pthread_getcpuclockid(t, &clock) != 0 || clock_gettime(clock, &s) != 0) return 0;
        return s.tv_sec * 1000000000LL + s.tv_nsec;
    }
    """
    void gb_block_signals() nogil
    i64 gb_thread_cpu_ns(gb_thread) nogil

cdef enum:
    GB_J_REFUSAL_WAIT_NS = 50000000


cdef inline void gb_j_answer(gb_ticket* t, int status) noexcept nogil:
    if status == GB_JOURNAL_OK:
        gb_ticket_count(t)
    t.status = status
    if t.done != NULL:
        t.done(t)
    gb_ticket_release(t)


cdef inline void gb_j_break(gb_journal* j, gb_ticket* rest) noexcept nogil:
    """Rule 2, for the group, what was taken with it, and what is queued."""
    cdef gb_ticket* t
    cdef gb_ticket* queued
    cdef u32 i
    gb_atomic_store(&j.state, GB_JOURNAL_BROKEN)
    gb_mutex_lock(&j.mutex)
    queued = j.head
    j.head = NULL
    j.tail = NULL
    j.queued = 0
    j.urgent = 0
    gb_mutex_unlock(&j.mutex)
    for i in range(j.group_n):
        gb_j_answer(j.group[i], GB_JOURNAL_BROKEN)
    gb_j_clear_group(j)
    while rest != NULL or queued != NULL:
        t = rest if rest != NULL else queued
        if rest != NULL:
            rest = t.next
        else:
            queued = t.next
        gb_j_answer(t, GB_JOURNAL_BROKEN)


cdef inline gb_ticket* gb_j_gather(gb_journal* j, gb_ticket* list_) noexcept nogil:
    """Moves tickets from the list into the group while they fit; the rest of the list."""
    cdef size_t planned = 0
    while list_ != NULL and gb_j_fits(j, planned + list_.size):
        planned += list_.size
        j.group[j.group_n] = list_
        j.group_n += 1
        list_ = list_.next
    return list_


cdef inline u64 gb_j_give_up(gb_journal* j, gb_ticket* t) noexcept nogil:
    """A ticket that cannot be encoded: the bytes that its promise held."""
    if t.kind == GB_J_OUTCOME and t.intent != NULL and t.intent.status != GB_JOURNAL_OK:
        return 0                       # its intent never became a record; the promise ended with that
    if t.kind == GB_J_INTENT:
        gb_mutex_lock(&j.mutex)
        if not t.paired:
            t.paired = True
            j.open -= 1
        gb_mutex_unlock(&j.mutex)
    return gb_j_settled(t, False)


cdef inline bint gb_j_encode_group(gb_journal* j, i64 now_ms, u64* settled) noexcept nogil:
    """Makes records of the gathered tickets; those that cannot be encoded are answered and leave the group."""
    cdef u32 i, kept = 0
    cdef gb_ticket* t
    if not gb_random(j.salts, <size_t>j.group_n * 32):
        return False
    for i in range(j.group_n):
        t = j.group[i]
        if gb_j_add_ticket(j, t, now_ms, j.salts + <size_t>i * 32):
            j.group[kept] = t
            kept += 1
            settled[0] += gb_j_settled(t, True)
        else:
            settled[0] += gb_j_give_up(j, t)
            gb_j_answer(t, GB_JOURNAL_INVALID)
    j.group_n = kept
    return True


cdef inline void gb_j_publish(gb_journal* j, const gb_merkle_tree* tree, const u8* value64) noexcept nogil:
    """Proofs and answers, after the sync."""
    cdef u32 i, leaf = 0
    cdef ssize_t n
    cdef gb_ticket* t
    for i in range(j.group_n):
        t = j.group[i]
        if gb_ticket_is_leaf(t):
            n = gb_batch_encode(tree, leaf, j.key.id, value64, t.proof, GB_J_SIGNATURE_MAX)
            t.proof_n = <u32>n if n > 0 else 0
            leaf += 1
        gb_j_answer(t, GB_JOURNAL_OK)


cdef inline bint gb_j_write_group(gb_journal* j, gb_ticket** list_) noexcept nogil:
    """One group from the front of the list. False: broken, and all of the list is answered."""
    cdef gb_merkle_tree tree
    cdef u8 value[64]
    cdef i64 now = gb_j_time(j)
    cdef u64 settled = 0
    gb_j_clear_group(j)
    if not gb_j_fits(j, list_[0].size) and not gb_j_roll(j, now):
        gb_j_break(j, list_[0])
        return False
    list_[0] = gb_j_gather(j, list_[0])
    if not gb_j_encode_group(j, now, &settled):
        gb_j_break(j, list_[0])
        return False
    if j.group_n and not gb_j_commit(j, now, &tree, value):
        gb_j_break(j, list_[0])
        return False
    gb_mutex_lock(&j.mutex)
    j.owed -= settled
    gb_j_count_room(j)
    if gb_j_is_low(j):
        gb_cond_signal(&j.wake_maker)
    gb_mutex_unlock(&j.mutex)
    gb_j_publish(j, &tree, value)
    return True


cdef inline void gb_j_wait(gb_journal* j) noexcept nogil:
    """Until there is something to do. Under the mutex."""
    while not j.stopping and j.urgent == 0 and j.queued < GB_J_GROUP:
        j.idle = True
        if j.queued:
            if gb_mono_ns() >= j.refusal_due_ns:
                break
            gb_cond_wait_until(&j.wake, &j.mutex, j.refusal_due_ns)
        else:
            gb_cond_wait(&j.wake, &j.mutex)
    j.idle = False


cdef inline gb_ticket* gb_j_take_queue(gb_journal* j, bint* stopping) noexcept nogil:
    """What waits, oldest first, paced by rule 1."""
    cdef gb_ticket* list_
    cdef i64 due
    cdef bint hurry
    gb_mutex_lock(&j.mutex)
    gb_j_wait(j)
    hurry = j.stopping or j.queued >= GB_J_GROUP
    gb_mutex_unlock(&j.mutex)
    due = j.last_commit_ns + j.options.interval_us * (2000 if j.loaded else 1000)
    if not hurry and gb_mono_ns() < due:
        gb_sleep_until(due)
    gb_mutex_lock(&j.mutex)
    list_ = j.head
    j.head = NULL
    j.tail = NULL
    j.queued = 0
    j.urgent = 0
    stopping[0] = j.stopping
    gb_mutex_unlock(&j.mutex)
    return list_


cdef inline void gb_j_write_stop(gb_journal* j) noexcept nogil:
    """Rule 3. Room for it is in GB_J_KEEP; where even that is gone the journal simply ends, as after a crash."""
    cdef gb_merkle_tree tree
    cdef u8 value[64]
    cdef i64 now = gb_j_time(j)
    gb_j_clear_group(j)
    if not gb_j_fits(j, GB_J_HEAD + 8) and not gb_j_roll(j, now):
        return
    gb_st64(gb_j_payload(j), <u64>now)
    gb_j_append(j, GB_J_STOP, 8)
    gb_j_commit(j, now, &tree, value)


cdef void* gb_j_main(void* opaque) noexcept nogil:
    cdef gb_journal* j = <gb_journal*>opaque
    cdef gb_ticket* list_
    cdef bint stopping = False
    gb_block_signals()
    while not stopping:
        list_ = gb_j_take_queue(j, &stopping)
        while list_ != NULL:
            if j.state == GB_JOURNAL_BROKEN:
                gb_j_clear_group(j)
                gb_j_break(j, list_)
                break
            if not gb_j_write_group(j, &list_):
                break
    if j.state == GB_JOURNAL_OK:
        gb_j_write_stop(j)
    return NULL
