# The replay table: which (client, request id) pairs were seen. Needs base.pxi, siphash.pxi, sync.pxi.
#
#  1. One table per process, shared by all workers, never part of a configuration (protocol.md 4, check 7).
#  2. A pair is held hold_ms of monotonic time from the first time it was added; seeing it again extends nothing.
#  3. Full means full: no live pair is ever dropped to make room. Expired slots are reused in passing.
#  4. Pairs are kept as 64-bit SipHash tags under a key drawn at start, so nobody outside can aim at a bucket or a tag.
#     KNOWN: two pairs with one tag are taken for a replay; with 1.2 million held that is one call in 10^13.
#
# 64-byte buckets of five (tag 8, expiry u32 in units of 64 ms after the table's birth, rounded up; 0 = empty). Two
# buckets may hold a pair; it goes to the emptier one, and when both are full others are moved to their other bucket (at
# most three moves in a chain). Measured in tests/native/test_replay.py: the first "full" comes above 90 % of the slots.
# Expiry runs out of its 32 bits after 8.7 years of uptime; from then on the table answers full.

cdef enum:
    GB_REPLAY_FRESH = 0
    GB_REPLAY_SEEN = 1
    GB_REPLAY_FULL = 2
    GB_REPLAY_SLOTS = 5
    GB_REPLAY_SHIFT = 6          # 64 ms
    GB_REPLAY_MOVES = 3          # moves tried to make room

ctypedef struct gb_replay:
    gb_mutex mutex
    u8* buckets
    u8* memory                   # what to free; buckets is it, aligned
    u64 mask
    i64 hold_ms
    i64 born_ms
    i64 last_ms
    u64 refused_full
    u8 key[16]


cdef inline void gb_replay_free(gb_replay* t) noexcept nogil:
    if t != NULL:
        gb_mutex_destroy(&t.mutex)
        free(t.memory)
        free(t)


cdef inline gb_replay* gb_replay_new(u32 log2_buckets, i64 hold_ms, i64 mono_ms) noexcept nogil:
    """A table of 5 << log2_buckets pairs; NULL when there is no memory or no randomness, or a number makes no sense."""
    cdef gb_replay* t
    cdef size_t bytes
    if log2_buckets > 28 or hold_ms <= 0:
        return NULL
    t = <gb_replay*>calloc(1, sizeof(gb_replay))
    if t == NULL:
        return NULL
    bytes = <size_t>64 << log2_buckets
    t.memory = <u8*>calloc(1, bytes + 64)
    if t.memory == NULL or not gb_random(t.key, 16):
        free(t.memory)
        free(t)
        return NULL
    t.buckets = <u8*>((<size_t>t.memory + 63) & ~<size_t>63)
    t.mask = (<u64>1 << log2_buckets) - 1
    t.hold_ms = hold_ms
    t.born_ms = mono_ms
    t.last_ms = mono_ms
    gb_mutex_init(&t.mutex)
    return t


cdef inline u8* gb_replay_slot(gb_replay* t, u64 bucket, int slot) noexcept nogil:
    """The tag of a slot, 8 bytes."""
    return t.buckets + bucket * 64 + slot * 8


cdef inline u8* gb_replay_expiry(gb_replay* t, u64 bucket, int slot) noexcept nogil:
    return t.buckets + bucket * 64 + 40 + slot * 4


cdef inline void gb_replay_put(gb_replay* t, u64 bucket, int slot, u64 tag, u32 expiry) noexcept nogil:
    gb_st64(gb_replay_slot(t, bucket, slot), tag)
    gb_st32(gb_replay_expiry(t, bucket, slot), expiry)


cdef inline int gb_replay_room(gb_replay* t, u64 bucket, u32 now) noexcept nogil:
    """A slot that is empty or expired, or -1."""
    cdef int slot
    for slot in range(GB_REPLAY_SLOTS):
        if gb_ld32(gb_replay_expiry(t, bucket, slot)) <= now:
            return slot
    return -1


cdef inline int gb_replay_load(gb_replay* t, u64 bucket, u32 now) noexcept nogil:
    """Live pairs of a bucket."""
    cdef int slot, live = 0
    for slot in range(GB_REPLAY_SLOTS):
        if gb_ld32(gb_replay_expiry(t, bucket, slot)) > now:
            live += 1
    return live


cdef inline bint gb_replay_holds(gb_replay* t, u64 bucket, u64 tag, u32 now) noexcept nogil:
    cdef int slot
    for slot in range(GB_REPLAY_SLOTS):
        if gb_ld64(gb_replay_slot(t, bucket, slot)) == tag and gb_ld32(gb_replay_expiry(t, bucket, slot)) > now:
            return True
    return False


cdef inline u64 gb_replay_first(gb_replay* t, u64 tag) noexcept nogil:
    return tag & t.mask


cdef inline u64 gb_replay_second(gb_replay* t, u64 tag) noexcept nogil:
    return (tag >> 32) & t.mask


cdef inline u64 gb_replay_other(gb_replay* t, u64 bucket, int slot) noexcept nogil:
    """The other bucket that the pair in a slot may lie in; the same one when both choices fell together."""
    cdef u64 tag = gb_ld64(gb_replay_slot(t, bucket, slot)), first = gb_replay_first(t, tag)
    return gb_replay_second(t, tag) if first == bucket else first


cdef int gb_replay_make_room(gb_replay* t, u64 bucket, u32 now, int depth) noexcept nogil:
    """Frees a slot of a full bucket by moving pairs to their other buckets, at most depth moves; the slot, or -1.

    Each move stands by itself: a pair is copied before its old slot counts as free, so giving up half way loses nothing.
    """
    cdef int slot, room
    cdef u64 other
    for slot in range(GB_REPLAY_SLOTS):
        other = gb_replay_other(t, bucket, slot)
        if other == bucket:
            continue
        room = gb_replay_room(t, other, now)
        if room < 0 and depth > 1:
            room = gb_replay_make_room(t, other, now, depth - 1)
        # Moves further down may have passed through this bucket: look again before moving.
        if room < 0 or gb_replay_other(t, bucket, slot) != other:
            continue
        gb_replay_put(t, other, room, gb_ld64(gb_replay_slot(t, bucket, slot)),
                      gb_ld32(gb_replay_expiry(t, bucket, slot)))
        return slot
    return -1


cdef inline int gb_replay_place(gb_replay* t, u64 tag, u32 expiry, u32 now) noexcept nogil:
    cdef u64 first = gb_replay_first(t, tag), second = gb_replay_second(t, tag)
    cdef int slot
    if gb_replay_holds(t, first, tag, now) or gb_replay_holds(t, second, tag, now):
        return GB_REPLAY_SEEN
    if gb_replay_load(t, second, now) < gb_replay_load(t, first, now):
        first = second
        second = gb_replay_first(t, tag)
    slot = gb_replay_room(t, first, now)
    if slot < 0:
        slot = gb_replay_make_room(t, first, now, GB_REPLAY_MOVES)
    if slot < 0:
        first = second
        slot = gb_replay_make_room(t, first, now, GB_REPLAY_MOVES)
    if slot < 0:
        t.refused_full += 1
        return GB_REPLAY_FULL
    gb_replay_put(t, first, slot, tag, expiry)
    return GB_REPLAY_FRESH


cdef inline int gb_replay_add_for(gb_replay* t, gb_span client, const u8* id16, i64 mono_ms, i64 hold_ms) noexcept nogil:
    """Adds a pair for hold_ms instead of the table's: for pairs that a recovered journal names, held the rest of their
    time. A client name longer than 200 bytes cannot come from a checked header; it is answered full."""
    cdef u8 name[216]
    cdef u64 tag, expiry
    cdef int found
    if client.n > 200 or hold_ms <= 0:
        return GB_REPLAY_FULL
    memcpy(name, id16, 16)
    memcpy(name + 16, client.p, client.n)
    tag = gb_siphash(t.key, name, 16 + client.n)
    gb_mutex_lock(&t.mutex)
    if mono_ms < t.last_ms:
        mono_ms = t.last_ms       # a worker that read the clock a moment earlier
    t.last_ms = mono_ms
    expiry = (<u64>(mono_ms - t.born_ms + hold_ms) >> GB_REPLAY_SHIFT) + 1
    if expiry >> 32:
        found = GB_REPLAY_FULL
    else:
        found = gb_replay_place(t, tag, <u32>expiry, <u32>(<u64>(mono_ms - t.born_ms) >> GB_REPLAY_SHIFT))
    gb_mutex_unlock(&t.mutex)
    return found


cdef inline int gb_replay_add(gb_replay* t, gb_span client, const u8* id16, i64 mono_ms) noexcept nogil:
    """GB_REPLAY_FRESH: first seen now and held from now. GB_REPLAY_SEEN, GB_REPLAY_FULL: nothing changed."""
    return gb_replay_add_for(t, client, id16, mono_ms, t.hold_ms)
