# The journal writer for tests and tools: the same calls the gate makes, waited for. Needs journal_open.pxi, api_policy.pxi.
#
# A call that blocks releases the interpreter; JournalError carries the reason and errno.

from native.journal_types import JournalError

_JOURNAL_REASONS = ("", "broken", "full", "stopped", "invalid", "locked", "corrupt", "io", "memory", "format")

cdef extern from *:
    """
    #include <pthread.h>
    typedef struct { pthread_mutex_t mutex; pthread_cond_t cond; long long open; } gb_waiter;
    static gb_waiter gb_waiters = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    static void gb_waiter_done(int *flag) {
        pthread_mutex_lock(&gb_waiters.mutex);
        *flag = 1;
        pthread_cond_broadcast(&gb_waiters.cond);
        pthread_mutex_unlock(&gb_waiters.mutex);
    }
    static void gb_waiter_wait(int *flag) {
        pthread_mutex_lock(&gb_waiters.mutex);
        while (!*flag) pthread_cond_wait(&gb_waiters.cond, &gb_waiters.mutex);
        pthread_mutex_unlock(&gb_waiters.mutex);
    }
    """
    void gb_waiter_done(int* flag) nogil
    void gb_waiter_wait(int* flag) nogil


cdef void api_ticket_done(gb_ticket* t) noexcept nogil:
    gb_waiter_done(<int*>t.opaque)


cdef void api_seen(void* opaque, gb_span client, const u8* request_id16, i64 remaining_ms) noexcept nogil:
    with gil:
        (<list>opaque).append((text_of(client), (<const char*>request_id16)[:16], remaining_ms))


def crc32c(bytes data not None, bint by_table=False):
    """CRC32C of data; by_table takes the way of processors without the instruction."""
    cdef gb_span d = span_of(data)
    return <u32>~gb_crc_by_table(~<u32>0, d.p, d.n) if by_table else gb_crc32c(d.p, d.n)


cdef bytes copy_of(const u8* p, size_t n):
    return (<const char*>p)[:n]


cdef class Pending:
    """One submitted record; wait() gives what the journal answered."""
    cdef gb_ticket* ticket
    cdef QuotaTable quota      # must outlive the ticket
    cdef int finished

    def __cinit__(self):
        self.ticket = NULL

    def __dealloc__(self):
        # The journal's thread writes into this object until it has answered.
        if self.ticket != NULL:
            with nogil:
                gb_waiter_wait(&self.finished)
            gb_ticket_release(self.ticket)

    def wait(self):
        """(sequence, time, record, signature); the record is the Admission, Receipt or Refusal, the signature empty for
        refusals. Raises JournalError when it will never be acknowledged."""
        with nogil:
            gb_waiter_wait(&self.finished)
        cdef gb_ticket* t = self.ticket
        if t.status:
            raise JournalError(_JOURNAL_REASONS[t.status])
        return t.sequence, t.time_ms, copy_of(t.record, t.record_n), copy_of(t.proof, t.proof_n)


cdef class JournalWriter:
    """An open journal. Methods named submit_* give a Pending at once; close() settles everything."""
    cdef gb_journal* journal
    cdef gb_privkey* key
    cdef gb_recovery recovery
    cdef QuotaTable quota
    cdef readonly list seen

    def __cinit__(self, str directory not None, str broker not None, bytes gate_private_key_der not None,
                  bytes gate_key not None, bytes gate_key_signature not None, *, u64 segment_bytes=0,
                  i64 merge_delay_ms=0, i64 interval_us=0, QuotaTable quota=None):
        cdef bytes path = directory.encode(), name = broker.encode()
        cdef gb_span der = span_of(gate_private_key_der)
        cdef gb_span spans[3]
        cdef gb_journal_options options
        cdef const char* where = path
        cdef int error = 0
        options.segment_bytes = segment_bytes
        options.merge_delay_ms = merge_delay_ms
        options.interval_us = interval_us
        self.key = gb_privkey_new_der(der.p, der.n)
        if self.key == NULL:
            raise ValueError("the gate key is no P-256 private key")
        self.seen = []
        self.quota = quota
        self.recovery.quota = NULL if quota is None else quota.table
        self.recovery.seen = api_seen
        self.recovery.opaque = <void*>self.seen
        spans[0] = span_of(name)
        spans[1] = span_of(gate_key)
        spans[2] = span_of(gate_key_signature)
        with nogil:
            self.journal = gb_journal_open(where, spans[0], self.key, spans[1], spans[2], &options, &self.recovery, &error)
        if self.journal == NULL:
            raise JournalError(_JOURNAL_REASONS[error], self.recovery.error_number)

    def __dealloc__(self):
        self.shut()
        gb_privkey_free(self.key)

    cdef void shut(self) noexcept:
        cdef gb_journal* j = self.journal
        self.journal = NULL
        if j != NULL:
            with nogil:
                gb_journal_stop(j)
                gb_journal_free(j)

    def close(self):
        """Settles what was submitted, writes the clean stop, releases the directory."""
        self.shut()

    cdef gb_journal* opened(self) except NULL:
        if self.journal == NULL:
            raise JournalError("stopped")
        return self.journal

    cdef Pending submit(self, gb_ticket* t, bytes header, bytes signature):
        cdef Pending pending = Pending()
        cdef gb_journal* j
        cdef int refused
        pending.finished = 1
        pending.ticket = t
        pending.quota = self.quota
        j = self.opened()
        if not gb_ticket_carry(t, span_of(header), span_of(signature)):
            raise JournalError("invalid")
        t.opaque = &pending.finished
        t.done = api_ticket_done
        pending.finished = 0
        refused = gb_journal_submit(j, t)
        if refused:
            pending.finished = 1
            raise JournalError(_JOURNAL_REASONS[refused])
        return pending

    cdef gb_ticket* ticket(self, int kind, u64 snapshot_version) except NULL:
        cdef gb_ticket* t = gb_ticket_new(kind)
        if t == NULL:
            raise MemoryError
        t.snapshot_version = snapshot_version
        return t

    def submit_intent(self, bytes request_header not None, bytes signature not None, *, u64 snapshot_version=1,
                      TakenCall counted=None):
        """`counted` is what the quota table gave for it; the record's fate decides whether it counts."""
        cdef gb_ticket* t = self.ticket(GB_J_INTENT, snapshot_version)
        gb_header_digest(gb_literal(b"govbus/request/v1"), span_of(request_header), t.request_digest)
        gb_sha256(span_of(signature).p, len(signature), t.request_signature_digest)
        if counted is not None:
            gb_ticket_charge(t, counted.quota.table, counted.let_go(), counted.request_bytes)
        return self.submit(t, request_header, signature)

    def submit_outcome(self, bytes request_header not None, u64 intent_sequence, i64 intent_time_ms, *,
                       Pending intent=None, int outcome=1, u32 reason=0, bytes response_header=b"", bytes signature=b"",
                       u64 snapshot_version=1, u64 messages=0, bytes released=None, u64 released_bytes=0):
        """`intent`, when given, counts instead of the numbers: its record may still be on its way."""
        cdef gb_ticket* t = self.ticket(GB_J_OUTCOME, snapshot_version)
        gb_header_digest(gb_literal(b"govbus/request/v1"), span_of(request_header), t.request_digest)
        gb_header_digest(gb_literal(b"govbus/response/v1"), span_of(response_header), t.response_digest)
        gb_sha256(span_of(signature).p, len(signature), t.response_signature_digest)
        if intent is not None:
            gb_atomic_add(&intent.ticket.refs, 1)
            t.intent = intent.ticket
        t.intent_sequence = intent_sequence
        t.intent_time_ms = intent_time_ms
        t.outcome = outcome
        t.reason = reason
        t.messages_released = messages
        t.bytes_released = released_bytes
        if released is not None:
            memcpy(t.released_digest, span_of(digest_of(released)).p, 32)
            t.has_released = True
        return self.submit(t, response_header, signature)

    def submit_refusal(self, bytes request_header not None, bytes signature not None, u32 reason, *, u64 snapshot_version=1,
                       i64 decided_ms=0):
        """`decided_ms` is the record's time where it lies before the group's."""
        cdef gb_ticket* t = self.ticket(GB_J_REFUSAL, snapshot_version)
        gb_header_digest(gb_literal(b"govbus/request/v1"), span_of(request_header), t.request_digest)
        gb_sha256(span_of(signature).p, len(signature), t.request_signature_digest)
        t.reason = reason
        t.decided_ms = decided_ms
        return self.submit(t, request_header, signature)

    def submit_snapshot(self, u64 version, u64 log_position):
        cdef gb_ticket* t = self.ticket(GB_J_SNAPSHOT, version)
        t.log_position = log_position
        return self.submit(t, b"", b"")

    @property
    def state(self):
        """"" when it takes records, else "full", "broken" or "stopped"."""
        return "stopped" if self.journal == NULL else _JOURNAL_REASONS[gb_journal_state(self.journal)]

    @property
    def last_time_ms(self):
        return gb_journal_time(self.opened())

    def stats(self):
        cdef gb_journal_stats s
        gb_journal_get_stats(self.opened(), &s)
        return s

    def recovered(self):
        """What opening found: next sequence, last time, snapshot floors, UNKNOWN outcomes written, torn bytes cut."""
        r = self.recovery
        return {
            "next_sequence": r.next_sequence, "last_time_ms": r.last_time_ms, "snapshot_version": r.snapshot_version,
            "log_position": r.log_position, "unknown": r.unknown, "torn_bytes": r.torn_bytes,
        }
