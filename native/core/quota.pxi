# Check 9's table: what grants and peers have used up of their rates and days. Needs base.pxi, siphash.pxi, sync.pxi.
#
#  1. One table per process for each kind of name, shared by all workers, never part of a configuration or a snapshot:
#     the limits come with each question, so a new snapshot changes them and keeps what was used.
#  2. A row is found by its whole name; the keyed hash only chooses the bucket. Names without limits never get a row.
#  3. Rate: a token bucket in integers, 10^-9 of a token for each nanosecond and call per second, on the monotonic clock.
#     A row that nobody asked yet is full. Nothing is taken by what is refused.
#  4. Day: calls and bytes that are durable in the journal, on the UTC day of their intent time; only the journal's thread
#     and recovery change them (gb_quota_count), so they follow from the journal alone. What is on its way to it is
#     *pending* and counts against the limit as well.
#  5. Full means full: a row is given to another name only when forgetting it changes no answer: its bucket is full,
#     nothing of today is counted, no call refers to it.
#
# A row belongs to one of 64 stripes, each with a lock; `held` alone is changed without it. Rows lie one behind another
# in memory that is touched only when they are used.

cdef enum:
    GB_QUOTA_OK = 0
    GB_QUOTA_RATE = 1            # no token; the answer says when there is one
    GB_QUOTA_CALLS = 2           # the day's calls are used up
    GB_QUOTA_BYTES = 3           # the day's bytes
    GB_QUOTA_FULL = 4            # no row is left in this stripe

    GB_QUOTA_GRANT = 1           # kinds of names
    GB_QUOTA_PEER = 2
    GB_QUOTA_VERIFICATIONS = 3   # a peer's, apart from its rate

    GB_QUOTA_STRIPES = 64
    GB_QUOTA_TOKEN = 1000000000
    GB_QUOTA_REST_NS = 100000000 # a full stripe is searched for room no more often than that
    GB_DAY_MS = 86400000

ctypedef struct gb_limits:
    u32 rate                     # calls per second; 0 = no limit
    u32 burst                    # 0 = max(1, rate)
    u64 calls                    # a day; 0 = no limit
    u64 bytes

ctypedef struct gb_quota_row:
    u32 next                     # in its bucket: row + 1, 0 = last
    int held                     # calls and tickets that refer to it
    u16 id_n
    u8 kind
    u8 stripe
    u32 day                      # of calls and bytes, days since the epoch
    u32 pending_calls
    u32 rate                     # as last asked; 0 = never
    u32 burst
    i64 level                    # tokens / 10^9 at `at_ns`; below 0 is debt
    i64 at_ns
    u64 calls
    u64 bytes
    u64 pending_bytes
    u64 sequence                 # last record that is counted

ctypedef struct gb_quota_stripe:
    gb_mutex lock
    u32 hand                     # bucket at which the search for room goes on
    i64 rest_until_ns

ctypedef struct gb_quota:
    u8* rows
    u32* heads                   # row + 1 of each bucket's first
    u32 mask
    u32 capacity
    u32 used                     # rows ever given out; under `alloc`
    u32 id_max
    size_t stride
    gb_mutex alloc
    u8 key[16]
    gb_quota_stripe stripes[64]


cdef inline void gb_quota_free(gb_quota* q) noexcept nogil:
    cdef int i
    if q != NULL:
        for i in range(GB_QUOTA_STRIPES):
            gb_mutex_destroy(&q.stripes[i].lock)
        gb_mutex_destroy(&q.alloc)
        gb_pages_free(q.rows, <size_t>q.capacity * q.stride)
        gb_pages_free(q.heads, <size_t>q.capacity * sizeof(u32))
        free(q)


cdef inline gb_quota* gb_quota_new(u32 log2_rows, u32 id_max) noexcept nogil:
    """A table of 1 << log2_rows names of at most id_max bytes; NULL without memory or randomness."""
    cdef gb_quota* q
    cdef int i
    if log2_rows > 24 or id_max == 0 or id_max > 255:
        return NULL
    q = <gb_quota*>calloc(1, sizeof(gb_quota))
    if q == NULL:
        return NULL
    for i in range(GB_QUOTA_STRIPES):
        gb_mutex_init(&q.stripes[i].lock)
        q.stripes[i].hand = <u32>i
    gb_mutex_init(&q.alloc)
    q.capacity = <u32>1 << log2_rows
    q.mask = q.capacity - 1
    q.id_max = id_max
    q.stride = (sizeof(gb_quota_row) + id_max + 7) & ~<size_t>7
    q.rows = gb_pages_new(<size_t>q.capacity * q.stride)
    q.heads = <u32*>gb_pages_new(<size_t>q.capacity * sizeof(u32))
    if q.rows == NULL or q.heads == NULL or not gb_random(q.key, 16):
        gb_quota_free(q)
        return NULL
    return q


cdef inline void gb_quota_clear(gb_quota* q) noexcept nogil:
    """Forgets everything; for recovery, while nobody else has the table."""
    memset(q.heads, 0, <size_t>q.capacity * sizeof(u32))
    memset(q.rows, 0, q.used * q.stride)
    q.used = 0


cdef inline gb_quota_row* gb_quota_at(gb_quota* q, u32 index) noexcept nogil:
    return <gb_quota_row*>(q.rows + <size_t>index * q.stride)


cdef inline u8* gb_quota_id(gb_quota_row* row) noexcept nogil:
    return <u8*>row + sizeof(gb_quota_row)


cdef inline u32 gb_quota_bucket(const gb_quota* q, int kind, gb_span id) noexcept nogil:
    return <u32>(gb_siphash(q.key, id.p, id.n) + <u64>kind * <u64>0x9e3779b97f4a7c15) & q.mask


cdef inline gb_quota_stripe* gb_quota_stripe_of(gb_quota* q, u32 bucket) noexcept nogil:
    return &q.stripes[bucket & (GB_QUOTA_STRIPES - 1)]


cdef inline u32 gb_day(i64 time_ms) noexcept nogil:
    return <u32>(<u64>time_ms / <u64>GB_DAY_MS) if time_ms > 0 else 0


# --- Rule 3 -----------------------------------------------------------------------------------------------------------

cdef inline i64 gb_bucket_size(u32 rate, u32 burst) noexcept nogil:
    return <i64>(burst if burst else (rate if rate else 1)) * GB_QUOTA_TOKEN


cdef inline void gb_bucket_refill(gb_quota_row* row, u32 rate, u32 burst, i64 mono_ns) noexcept nogil:
    """The level at that moment under these limits. rate > 0. Exact: no rounding is ever carried on."""
    cdef i64 size = gb_bucket_size(rate, burst)
    if row.rate == 0:
        row.level = size
        row.at_ns = mono_ns
    elif mono_ns > row.at_ns:      # workers read the clock before they take the lock
        if row.level < size:
            if <u64>(mono_ns - row.at_ns) > <u64>(size - row.level) / rate:
                row.level = size
            else:
                row.level += (mono_ns - row.at_ns) * rate
        row.at_ns = mono_ns
    if row.level > size:
        row.level = size
    row.rate = rate
    row.burst = burst


cdef inline i64 gb_bucket_wait(const gb_quota_row* row) noexcept nogil:
    """Nanoseconds until a whole token is there; 0: now."""
    if row.level >= GB_QUOTA_TOKEN:
        return 0
    return <i64>((<u64>(GB_QUOTA_TOKEN - row.level) + row.rate - 1) / row.rate)


# --- Rows, under the lock of their stripe -----------------------------------------------------------------------------

cdef inline gb_quota_row* gb_quota_find(gb_quota* q, u32 bucket, int kind, gb_span id) noexcept nogil:
    cdef u32 next_ = q.heads[bucket]
    cdef gb_quota_row* row
    while next_:
        row = gb_quota_at(q, next_ - 1)
        if row.kind == kind and row.id_n == id.n and memcmp(gb_quota_id(row), id.p, id.n) == 0:
            return row
        next_ = row.next
    return NULL


cdef inline bint gb_quota_idle(gb_quota_row* row, i64 mono_ns, u32 today) noexcept nogil:
    """Rule 5."""
    if gb_atomic_load(&row.held) or row.pending_calls or (row.day >= today and (row.calls or row.bytes)):
        return False
    if row.rate == 0:
        return True
    gb_bucket_refill(row, row.rate, row.burst, mono_ns)
    return row.level == gb_bucket_size(row.rate, row.burst)


cdef inline gb_quota_row* gb_quota_unlink_idle(gb_quota* q, u32 bucket, i64 mono_ns, u32 today) noexcept nogil:
    """Takes an idle row out of a bucket, or NULL."""
    cdef u32* link = &q.heads[bucket]
    cdef gb_quota_row* row
    while link[0]:
        row = gb_quota_at(q, link[0] - 1)
        if gb_quota_idle(row, mono_ns, today):
            link[0] = row.next
            return row
        link = &row.next
    return NULL


cdef inline gb_quota_row* gb_quota_recycle(gb_quota* q, u32 bucket, i64 mono_ns, u32 today) noexcept nogil:
    """A row of this stripe that nothing is lost with, or NULL."""
    cdef gb_quota_stripe* stripe = gb_quota_stripe_of(q, bucket)
    cdef gb_quota_row* row
    cdef u32 tried = 0
    if mono_ns < stripe.rest_until_ns:
        return NULL
    while tried <= q.mask:
        row = gb_quota_unlink_idle(q, stripe.hand & q.mask, mono_ns, today)
        stripe.hand += GB_QUOTA_STRIPES
        if row != NULL:
            return row
        tried += GB_QUOTA_STRIPES
    stripe.rest_until_ns = mono_ns + GB_QUOTA_REST_NS
    return NULL


cdef inline gb_quota_row* gb_quota_make(gb_quota* q, u32 bucket, int kind, gb_span id, i64 mono_ns, u32 today) noexcept nogil:
    """The row of that name, new where there was none; NULL: full."""
    cdef gb_quota_row* row = gb_quota_find(q, bucket, kind, id)
    if row != NULL or id.n > q.id_max:
        return row
    gb_mutex_lock(&q.alloc)
    if q.used < q.capacity:
        row = gb_quota_at(q, q.used)
        q.used += 1
    gb_mutex_unlock(&q.alloc)
    if row == NULL:
        row = gb_quota_recycle(q, bucket, mono_ns, today)
    if row == NULL:
        return NULL
    memset(row, 0, sizeof(gb_quota_row))
    row.kind = <u8>kind
    row.stripe = <u8>(bucket & (GB_QUOTA_STRIPES - 1))
    row.id_n = <u16>id.n
    memcpy(gb_quota_id(row), id.p, id.n)
    row.next = q.heads[bucket]
    q.heads[bucket] = <u32>(<size_t>(<u8*>row - q.rows) / q.stride) + 1
    return row


# --- What the gate asks -----------------------------------------------------------------------------------------------

cdef inline int gb_quota_judge(gb_quota_row* row, const gb_limits* limits, i64 mono_ns, u32 today, i64* wait_ns) noexcept nogil:
    """What stands in the way of one call more; takes nothing."""
    # A row whose day is over counts nothing; one ahead of a clock that went back goes on counting.
    cdef bint counts = row.day >= today
    if limits.calls and row.pending_calls + (row.calls if counts else 0) >= limits.calls:
        return GB_QUOTA_CALLS
    if limits.bytes and row.pending_bytes + (row.bytes if counts else 0) >= limits.bytes:
        return GB_QUOTA_BYTES
    if limits.rate:
        gb_bucket_refill(row, limits.rate, limits.burst, mono_ns)
        if row.level < GB_QUOTA_TOKEN:
            wait_ns[0] = gb_bucket_wait(row)
            return GB_QUOTA_RATE
    return GB_QUOTA_OK


cdef inline int gb_quota_take(gb_quota* q, int kind, gb_span id, const gb_limits* limits, i64 mono_ns, i64 now_ms,
                              gb_quota_row** taken, i64* wait_ns) noexcept nogil:
    """
    One call of that name: GB_QUOTA_OK, or what stands in its way, and then nothing was taken.

    With a limit by day the call is pending: `taken` is its row, to be given to the intent's ticket or to
    gb_quota_give_back; else NULL. wait_ns is set with GB_QUOTA_RATE.
    """
    cdef u32 bucket = gb_quota_bucket(q, kind, id), today = gb_day(now_ms)
    cdef gb_quota_stripe* stripe = gb_quota_stripe_of(q, bucket)
    cdef gb_quota_row* row
    cdef int answer = GB_QUOTA_FULL
    taken[0] = NULL
    gb_mutex_lock(&stripe.lock)
    row = gb_quota_make(q, bucket, kind, id, mono_ns, today)
    if row != NULL:
        answer = gb_quota_judge(row, limits, mono_ns, today, wait_ns)
        if answer == GB_QUOTA_OK:
            if limits.rate:
                row.level -= GB_QUOTA_TOKEN
            if limits.calls or limits.bytes:
                row.pending_calls += 1
                gb_atomic_add(&row.held, 1)
                taken[0] = row
    gb_mutex_unlock(&stripe.lock)
    return answer


cdef inline void gb_quota_move(gb_quota* q, int kind, gb_span id, i64 tokens) noexcept nogil:
    """Gives tokens back, or takes more than there are, of a name whose bucket was asked before."""
    cdef u32 bucket = gb_quota_bucket(q, kind, id)
    cdef gb_quota_stripe* stripe = gb_quota_stripe_of(q, bucket)
    cdef gb_quota_row* row
    gb_mutex_lock(&stripe.lock)
    row = gb_quota_find(q, bucket, kind, id)
    if row != NULL:
        row.level += tokens * GB_QUOTA_TOKEN
    gb_mutex_unlock(&stripe.lock)


cdef inline int gb_quota_add_bytes(gb_quota* q, gb_quota_row* row, u64 limit, u64 bytes_, i64 now_ms) noexcept nogil:
    """The request's bytes, once they are known; GB_QUOTA_BYTES: they pass the day's limit, nothing was added."""
    cdef gb_quota_stripe* stripe = &q.stripes[row.stripe]
    cdef int answer = GB_QUOTA_OK
    gb_mutex_lock(&stripe.lock)
    if limit and row.pending_bytes + (row.bytes if row.day >= gb_day(now_ms) else 0) + bytes_ > limit:
        answer = GB_QUOTA_BYTES
    else:
        row.pending_bytes += bytes_
    gb_mutex_unlock(&stripe.lock)
    return answer


cdef inline void gb_quota_unhold(gb_quota_row* row) noexcept nogil:
    gb_atomic_add(&row.held, -1)


cdef inline void gb_quota_give_back(gb_quota* q, gb_quota_row* row, u64 bytes_) noexcept nogil:
    """A pending call that never became a record."""
    cdef gb_quota_stripe* stripe = &q.stripes[row.stripe]
    gb_mutex_lock(&stripe.lock)
    row.pending_calls -= 1
    row.pending_bytes -= bytes_
    gb_mutex_unlock(&stripe.lock)
    gb_quota_unhold(row)


# --- What the journal counts ------------------------------------------------------------------------------------------

cdef inline void gb_quota_add(gb_quota_row* row, u64 sequence, i64 intent_time_ms, u64 calls, u64 bytes_) noexcept nogil:
    """Rule 4: one record, once however often it is told, on the day of its intent. Records come in their order."""
    cdef u32 day = gb_day(intent_time_ms)
    if sequence <= row.sequence:
        return
    row.sequence = sequence
    if day > row.day:
        row.day = day
        row.calls = 0
        row.bytes = 0
    if day == row.day:
        row.calls += calls
        row.bytes += bytes_


cdef inline void gb_quota_count(gb_quota* q, gb_quota_row* row, u64 sequence, i64 intent_time_ms, u64 calls, u64 bytes_,
                                u32 settled) noexcept nogil:
    """A durable record: an intent is pending no longer (settled 1, its bytes with it), an outcome adds what was released."""
    cdef gb_quota_stripe* stripe = &q.stripes[row.stripe]
    gb_mutex_lock(&stripe.lock)
    gb_quota_add(row, sequence, intent_time_ms, calls, bytes_)
    if settled:
        row.pending_calls -= 1
        row.pending_bytes -= bytes_
    gb_mutex_unlock(&stripe.lock)
