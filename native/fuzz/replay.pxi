# Target: the replay table against a list that forgets nothing. Needs input.pxi, replay.pxi.
#
# Byte 0: size of the table (small, so that it fills). Then per step: who and which id, and how much time passes. The table
# keys itself at random, so places differ from run to run; what it must answer does not.

cdef enum:
    REPLAY_PAIRS = 64
    REPLAY_HOLD = 90000
    REPLAY_ROUNDING = 128      # a pair may be held that much longer


cdef void replay(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef u32 log2 = <u32>take_number(&s, 1) & 7
    cdef gb_replay* t = gb_replay_new(log2, REPLAY_HOLD, 1000)
    cdef i64 added[REPLAY_PAIRS]
    cdef i64 now = 1000
    cdef u64 choice
    cdef int i
    expect(t != NULL, b"a small table is made")
    for i in range(REPLAY_PAIRS):
        added[i] = -1
    while s.n:
        choice = take_number(&s, 1)
        if choice & 128:
            now += <i64>take_number(&s, 2) << (choice & 3)
        else:
            replay_step(t, added, <int>(choice & (REPLAY_PAIRS - 1)), now, <u64>GB_REPLAY_SLOTS << log2)
    gb_replay_free(t)


cdef void replay_step(gb_replay* t, i64* added, int pair, i64 now, u64 slots) noexcept nogil:
    """One pair: never fresh while it is held, never seen when it is not, never full while there is plenty of room."""
    cdef u8 id[16]
    cdef gb_span client = gb_literal(b"spiffe://fuzz.test/gov/one/b" if pair & 1 else b"spiffe://fuzz.test/gov/one/a")
    cdef u64 held = 0, live = 0        # surely held; held or in the rounding
    cdef int i, answer
    memset(id, pair >> 1, 16)
    for i in range(REPLAY_PAIRS):
        held += added[i] >= 0 and now - added[i] < REPLAY_HOLD
        live += added[i] >= 0 and now - added[i] <= REPLAY_HOLD + REPLAY_ROUNDING
    answer = gb_replay_add(t, client, id, now)
    if added[pair] >= 0 and now - added[pair] < REPLAY_HOLD:
        expect(answer == GB_REPLAY_SEEN, b"a pair that is held is seen")
        return
    expect(answer != GB_REPLAY_SEEN or (added[pair] >= 0 and now - added[pair] <= REPLAY_HOLD + REPLAY_ROUNDING),
           b"a pair that is not held is not seen")
    expect(answer != GB_REPLAY_FULL or live >= GB_REPLAY_SLOTS, b"a table with an empty bucket is not full")
    expect(held <= slots, b"a table holds no more than it has places for")
    if answer == GB_REPLAY_FRESH:
        added[pair] = now
