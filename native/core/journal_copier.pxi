# The copier of counters: at each new segment, what grants had used before it, off the writer's path. Needs
# journal_counters.pxi, journal_group.pxi, journal_writer.pxi (gb_block_signals).
#
# A copy that cannot be written is left out: the one before it stays, and the next start reads further back.

cdef void* gb_j_copier_main(void* opaque) noexcept nogil:
    cdef gb_journal* j = <gb_journal*>opaque
    cdef gb_jcopy copy
    cdef i64 at_ms
    cdef bint stopping = False
    gb_block_signals()
    while not stopping:
        gb_mutex_lock(&j.mutex)
        while not j.stopping and not j.copy_due:
            gb_cond_wait(&j.wake_copier, &j.mutex)
        stopping = j.stopping
        copy = j.copy
        at_ms = j.copy_ms
        j.copy_due = False
        gb_mutex_unlock(&j.mutex)
        if not stopping:
            gb_jc_save(j.dir, &copy, j.quota, gb_day(at_ms))
    return NULL
