# The maker of spares: reserves segments ahead of the writer, off its path. Needs journal_room.pxi.
#
#  1. While less than one segment is unpromised, it makes another: allocated first (that is what a full disk refuses), then
#     written with zeros a megabyte at a time. Overwriting written blocks needs no metadata, which halves what each of the
#     writer's syncs costs; pausing between pieces keeps the disk free for them. What opening makes itself is only
#     allocated, so that a start is quick.
#  2. If the disk is full it tries again every second, or at once when an intent was refused for want of room, but no more
#     than ten times a second. Until then new intents are refused, outcomes still fit.

cdef enum:
    GB_J_PIECE = 1 << 20

cdef extern from *:
    """
    static const unsigned char gb_j_zeros[1 << 20] = {0};
    """
    const u8* gb_j_zeros


cdef inline bint gb_j_fill(gb_journal* j, int fd) noexcept nogil:
    """Zeros over the whole file; True also when it gave up because the journal stops: allocated is enough then."""
    cdef u64 at = 0, n
    while at < j.options.segment_bytes and not j.stopping:
        n = j.options.segment_bytes - at
        if n > GB_J_PIECE:
            n = GB_J_PIECE
        if gb_j_write(fd, gb_j_zeros, n, <i64>at) != 0 or gb_j_sync(fd) != 0:
            return False
        at += n
        gb_sleep_until(gb_mono_ns() + 1000000)
    return True


cdef inline bint gb_j_make_spare(gb_journal* j, bint filled) noexcept nogil:
    """One more spare; False with stats.last_errno and nothing left behind."""
    cdef char name[40]
    cdef int fd
    gb_j_name(name, b"reserve", j.next_spare)
    fd = gb_j_create(j.dir, name, <i64>j.options.segment_bytes)
    if fd >= 0 and ((filled and not gb_j_fill(j, fd)) or gb_j_sync_all(fd, j.dir) != 0):
        j.stats.last_errno = gb_errno()
        gb_close(fd)
        gb_j_remove(j.dir, name)
        return False
    if fd < 0:
        j.stats.last_errno = gb_errno()
        return False
    gb_mutex_lock(&j.mutex)
    j.spare_fd[j.spares] = fd
    j.spare_number[j.spares] = j.next_spare
    j.spares += 1
    j.stats.last_errno = 0
    gb_j_count_room(j)
    gb_mutex_unlock(&j.mutex)
    j.next_spare += 1
    return True


cdef void* gb_j_maker_main(void* opaque) noexcept nogil:
    cdef gb_journal* j = <gb_journal*>opaque
    cdef bint stopping = False, made
    gb_block_signals()
    while not stopping:
        gb_mutex_lock(&j.mutex)
        while not j.stopping and not gb_j_is_low(j):
            gb_cond_wait(&j.wake_maker, &j.mutex)
        stopping = j.stopping
        gb_mutex_unlock(&j.mutex)
        if stopping:
            break
        made = gb_j_make_spare(j, True)
        gb_mutex_lock(&j.mutex)
        if not made and not j.stopping:
            gb_cond_wait_until(&j.wake_maker, &j.mutex, gb_mono_ns() + 1000000000)
        stopping = j.stopping
        gb_mutex_unlock(&j.mutex)
        if not made and not stopping:
            gb_sleep_until(gb_mono_ns() + 100000000)
    return NULL
