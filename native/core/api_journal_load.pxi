# A load on the journal without Python in it, for measuring: one thread that does what Envoy's workers do. Needs
# api_journal.pxi.

cdef void api_load_done(gb_ticket* t) noexcept nogil:
    gb_atomic_store(<int*>t.opaque, 1)


cdef gb_ticket* api_load_ticket(int kind, gb_span header, gb_span signature, int* flag) noexcept nogil:
    cdef gb_ticket* t = gb_ticket_new(kind)
    if t == NULL:
        return NULL
    t.snapshot_version = 1
    t.opaque = flag
    t.done = api_load_done
    gb_ticket_carry(t, header, signature)
    flag[0] = 0
    return t


cdef gb_ticket* api_load_outcome(const gb_ticket* intent, gb_span header, gb_span signature, int* flag) noexcept nogil:
    cdef gb_ticket* t = api_load_ticket(GB_J_OUTCOME, header, signature, flag)
    if t != NULL:
        t.outcome = GB_J_OUTCOME_DONE
        t.intent_sequence = intent.sequence
        t.intent_time_ms = intent.time_ms
    return t


cdef i64 api_load_run(gb_journal* j, gb_span request, gb_span response, gb_span signature, u32 calls, i64 interval_ns,
                      gb_ticket** tickets, int* flags) noexcept nogil:
    """Submits an intent every interval and its outcome once it is durable; nanoseconds taken, or -1."""
    cdef i64 started = gb_mono_ns(), now
    cdef u32 sent = 0, answered = 0, settled = 0
    cdef gb_ticket* t
    while settled < calls:
        now = gb_mono_ns()
        while sent < calls and started + sent * interval_ns <= now:
            tickets[sent] = api_load_ticket(GB_J_INTENT, request, signature, &flags[sent])
            if tickets[sent] == NULL or gb_journal_submit(j, tickets[sent]) != 0:
                return -1
            sent += 1
        while answered < sent and gb_atomic_load(&flags[answered]):
            t = api_load_outcome(tickets[answered], response, signature, &flags[answered])
            gb_ticket_release(tickets[answered])
            tickets[answered] = t
            if t == NULL or gb_journal_submit(j, t) != 0:
                return -1
            answered += 1
        while settled < answered and gb_atomic_load(&flags[settled]):
            gb_ticket_release(tickets[settled])
            settled += 1
        gb_sleep_until(now + 100000)
    return gb_mono_ns() - started


def run_journal_load(JournalWriter writer not None, bytes request not None, bytes response not None,
                     bytes signature not None, u32 calls, u32 per_second):
    """Seconds that so many calls (an intent, then an outcome) took at that rate; the journal's stats say what they cost."""
    cdef gb_journal* j = writer.opened()
    cdef gb_span spans[3]
    cdef gb_ticket** tickets = <gb_ticket**>calloc(calls, sizeof(gb_ticket*))
    cdef int* flags = <int*>calloc(calls, sizeof(int))
    cdef i64 taken, interval = 1000000000 / per_second
    spans[0] = span_of(request)
    spans[1] = span_of(response)
    spans[2] = span_of(signature)
    if tickets == NULL or flags == NULL:
        raise MemoryError
    with nogil:
        taken = api_load_run(j, spans[0], spans[1], spans[2], calls, interval, tickets, flags)
    if taken < 0:
        # Tickets still on their way point at the flags: settle them first.
        writer.close()
        raise JournalError("full")
    free(tickets)
    free(flags)
    return taken / 1e9
