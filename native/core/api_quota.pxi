# Check 9's table for tests: the questions that the gate asks, with clocks that are given. Needs quota.pxi, api_policy.pxi.

cdef class QuotaTable:
    """What grants and peers have used. Answers are GB_QUOTA_*: 0 yes, 1 rate, 2 calls, 3 bytes, 4 full. Thread-safe."""
    cdef gb_quota* table

    def __cinit__(self, u32 log2_rows, u32 id_max=64):
        self.table = gb_quota_new(log2_rows, id_max)
        if self.table == NULL:
            raise ValueError("no table of that size can be made; use at most 2^24 rows and names of 1 to 255 bytes")

    def __dealloc__(self):
        gb_quota_free(self.table)

    def take(self, str name not None, i64 mono_ns, i64 now_ms, *, int kind=GB_QUOTA_GRANT, u32 rate=0, u32 burst=0,
             u64 calls=0, u64 bytes=0):
        """(answer, nanoseconds until a token is there, the pending call where a limit by day was given)."""
        cdef object key = name.encode()
        cdef gb_span id = span_of(key)
        cdef gb_limits limits
        cdef gb_quota_row* row = NULL
        cdef i64 wait_ns = 0
        cdef int answer
        cdef TakenCall taken
        limits.rate = rate
        limits.burst = burst
        limits.calls = calls
        limits.bytes = bytes
        with nogil:
            answer = gb_quota_take(self.table, kind, id, &limits, mono_ns, now_ms, &row, &wait_ns)
        if row == NULL:
            return answer, wait_ns, None
        taken = TakenCall()
        taken.quota = self
        taken.row = row
        return answer, wait_ns, taken

    def move(self, str name not None, i64 tokens, *, int kind=GB_QUOTA_GRANT):
        """Gives tokens back, or takes them, debt included."""
        cdef object key = name.encode()
        gb_quota_move(self.table, kind, span_of(key), tokens)

    def count(self, str name not None, u64 sequence, i64 intent_time_ms, u64 calls, u64 bytes):
        """As the journal counts a durable record that no call of this table waits for; False: no row is left."""
        cdef object key = name.encode()
        cdef gb_span id = span_of(key)
        cdef u32 bucket = gb_quota_bucket(self.table, GB_QUOTA_GRANT, id)
        cdef gb_quota_stripe* stripe = gb_quota_stripe_of(self.table, bucket)
        cdef gb_quota_row* row
        gb_mutex_lock(&stripe.lock)
        row = gb_quota_make(self.table, bucket, GB_QUOTA_GRANT, id, 0, gb_day(intent_time_ms))
        if row != NULL:
            gb_quota_add(row, sequence, intent_time_ms, calls, bytes)
        gb_mutex_unlock(&stripe.lock)
        return row != NULL

    def row(self, str name not None):
        """(day, calls, bytes, pending calls, pending bytes) of a grant, or None."""
        cdef object key = name.encode()
        cdef gb_span id = span_of(key)
        cdef u32 bucket = gb_quota_bucket(self.table, GB_QUOTA_GRANT, id)
        cdef gb_quota_stripe* stripe = gb_quota_stripe_of(self.table, bucket)
        cdef gb_quota_row* row
        cdef gb_quota_row copy
        gb_mutex_lock(&stripe.lock)
        row = gb_quota_find(self.table, bucket, GB_QUOTA_GRANT, id)
        if row != NULL:
            copy = row[0]
        gb_mutex_unlock(&stripe.lock)
        return None if row == NULL else (copy.day, copy.calls, copy.bytes, copy.pending_calls, copy.pending_bytes)

    def time_take(self, list names, u32 rounds, u32 rate, u64 calls):
        """Nanoseconds for one take(), measured without Python in between, and how many were answered yes."""
        cdef u32 n = len(names), i, r, yes = 0
        cdef gb_limits limits
        cdef gb_quota_row* row
        cdef i64 wait_ns = 0
        cdef long long started
        cdef gb_span* spans = <gb_span*>malloc(n * sizeof(gb_span))
        limits.rate = rate
        limits.burst = 0
        limits.calls = calls
        limits.bytes = 0
        for i in range(n):
            spans[i] = span_of(names[i])
        with nogil:
            started = gb_mono_ns()
            for r in range(rounds):
                for i in range(n):
                    yes += gb_quota_take(self.table, GB_QUOTA_GRANT, spans[i], &limits, started, 1, &row, &wait_ns) == 0
                    if row != NULL:
                        gb_quota_give_back(self.table, row, 0)
            started = gb_mono_ns() - started
        free(spans)
        return <double>started / (<double>n * rounds), yes

    @property
    def used(self):
        """Rows ever given out."""
        return self.table.used


cdef class TakenCall:
    """A pending call: it goes to a journal's intent, or is given back, by itself when it is forgotten."""
    cdef QuotaTable quota
    cdef gb_quota_row* row
    cdef u64 request_bytes

    def __dealloc__(self):
        if self.row != NULL:
            gb_quota_give_back(self.quota.table, self.row, self.request_bytes)

    cdef gb_quota_row* let_go(self) except NULL:
        cdef gb_quota_row* row = self.row
        if row == NULL:
            raise ValueError("this call was given away already")
        self.row = NULL
        return row

    def add_bytes(self, u64 limit, u64 request_bytes, i64 now_ms):
        """The request's bytes; 0, or 3 when they pass the limit, and then none are added."""
        cdef int answer = gb_quota_add_bytes(self.quota.table, self.row, limit, request_bytes, now_ms)
        if answer == 0:
            self.request_bytes += request_bytes
        return answer

    def give_back(self):
        """The call never became an intent."""
        gb_quota_give_back(self.quota.table, self.let_go(), self.request_bytes)
