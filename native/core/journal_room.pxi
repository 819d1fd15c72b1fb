# Room: what is reserved on disk, what of it is promised, and how a full segment gives way to the next. Needs journal_group.pxi.
#
#  1. Room is counted in bytes of synced, allocated files. An intent is accepted only if its record, its outcome at its
#     largest, and a commit for each fit beside everything promised before. So an outcome always has its place.
#  2. The next record or commit never straddles segments; the bytes a segment may lose that way are not counted as room.
#  3. While less than one segment is unpromised another is reserved (journal_reserve.pxi).

cdef enum:
    GB_J_OUTCOME_SIZE = 52 + 6 + 768 + 2048 + 512
    GB_J_WASTE = 52 + 8 + 768 + 2048 + 512 + 64 + 52 + 144
    GB_J_KEEP = 4096                  # for the clean stop, and for the start of the next process


cdef inline u64 gb_j_unused(u64 size, u64 pos) noexcept nogil:
    return size - pos - GB_J_WASTE if size > pos + GB_J_WASTE else 0


cdef inline void gb_j_count_room(gb_journal* j) noexcept nogil:
    """Under the mutex, after whatever changed the segment or the spares."""
    j.free = gb_j_unused(j.segment.size, j.pos)
    j.free += j.spares * gb_j_unused(j.options.segment_bytes, GB_J_SEGMENT_HEAD)


cdef inline bint gb_j_is_low(gb_journal* j) noexcept nogil:
    """Rule 3. Under the mutex."""
    return j.free < j.owed + GB_J_KEEP + j.options.segment_bytes and j.spares < GB_J_SPARES


cdef inline u64 gb_j_need(const gb_ticket* t) noexcept nogil:
    """Bytes that accepting a ticket promises; an outcome's were promised with its intent."""
    if t.kind == GB_J_OUTCOME:
        return 0
    if t.kind == GB_J_INTENT:
        return t.size + GB_J_OUTCOME_SIZE + 2 * GB_J_COMMIT_SIZE
    return t.size + GB_J_COMMIT_SIZE


cdef inline u64 gb_j_settled(const gb_ticket* t, bint encoded) noexcept nogil:
    """Bytes of the promise that end with this ticket's group; all of an intent's when it never became a record."""
    if t.kind == GB_J_OUTCOME:
        return GB_J_OUTCOME_SIZE + GB_J_COMMIT_SIZE
    return t.size + GB_J_COMMIT_SIZE if encoded else gb_j_need(t)


cdef inline bint gb_j_note_segment(gb_journal* j, u64 first, i64 time_ms) noexcept nogil:
    cdef gb_jsegment* grown
    if j.segments_n == j.segments_cap:
        grown = <gb_jsegment*>realloc(j.segments, (j.segments_cap * 2 + 16) * sizeof(gb_jsegment))
        if grown == NULL:
            return False
        j.segments = grown
        j.segments_cap = j.segments_cap * 2 + 16
    j.segments[j.segments_n].first = first
    j.segments[j.segments_n].last_ms = time_ms
    j.segments[j.segments_n].open = 0
    j.segments_n += 1
    return True


cdef inline void gb_j_forget_segments(gb_journal* j, i64 now_ms) noexcept nogil:
    """Drops from the list what no recovery needs: no open intent, no id still held."""
    cdef size_t done = 0
    while done < j.segments_n and j.segments[done].open == 0 and j.segments[done].last_ms + GB_J_HOLD_MS < now_ms:
        done += 1
    if done:
        j.segments_n -= done
        memmove(j.segments, j.segments + done, j.segments_n * sizeof(gb_jsegment))


cdef inline void gb_j_ask_copy(gb_journal* j) noexcept nogil:
    """Under the mutex: the counters are to be copied as of the start of this segment; what is before it, is counted."""
    j.copy.sequence = j.segment.first - 1
    j.copy.from_ = j.segment.recover_from
    memcpy(j.copy.chain, j.segment.chain, 32)
    j.copy_ms = j.time_ms
    j.copy_due = j.copy.sequence > 0
    gb_cond_signal(&j.wake_copier)


cdef inline bint gb_j_roll(gb_journal* j, i64 now_ms) noexcept nogil:
    """Goes on in a fresh segment. False: broken."""
    cdef char old[40]
    cdef char new[40]
    cdef u8 encoded[128]
    cdef int fd = -1
    gb_j_forget_segments(j, now_ms)
    if not gb_j_note_segment(j, j.next, now_ms):
        return False
    gb_mutex_lock(&j.mutex)
    if j.spares:
        j.spares -= 1
        fd = j.spare_fd[j.spares]
        gb_j_name(old, b"reserve", j.spare_number[j.spares])
    gb_mutex_unlock(&j.mutex)
    if fd < 0:
        return False
    gb_j_name(new, b"journal", j.next)
    gb_close(j.fd)
    j.fd = fd
    j.pos = GB_J_SEGMENT_HEAD
    j.segment.size = j.options.segment_bytes
    j.segment.first = j.next
    j.segment.recover_from = j.segments[0].first
    j.segment.time_ms = j.time_ms
    j.segment.snapshot_version = j.snapshot_version
    j.segment.log_position = j.log_position
    memcpy(j.segment.chain, j.chain, 32)
    if not gb_random(j.segment.salt, 16):
        return False
    gb_jhead_encode(&j.segment, encoded)
    if gb_j_write(fd, encoded, GB_J_SEGMENT_HEAD, 0) != 0 or gb_j_sync(fd) != 0 or gb_j_promote(j.dir, old, new) != 0:
        j.stats.last_errno = gb_errno()
        return False
    gb_mutex_lock(&j.mutex)
    gb_j_count_room(j)
    gb_j_ask_copy(j)
    gb_mutex_unlock(&j.mutex)
    return True
