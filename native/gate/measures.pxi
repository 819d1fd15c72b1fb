# What the gate's own threads and tables count, told to Envoy's statistics once a second (docs/metrics.md).
#
# Rules
#  1. A call pays nothing for it: the journal and the cache of signatures count anyway; a timer on the main thread reads
#     that and gives Envoy the difference.
#  2. Unlabelled statistics of the bootstrap extension: they live through every swap of policy (ENVOY_FACTS.md h).
#  3. Numbers of things, bytes and microseconds; nothing of a call, of who makes it, or of whom it is about.

cdef enum:
    MEASURE_EVERY_MS = 1000

cdef enum:
    # counters
    MEASURE_GROUPS
    MEASURE_RECORDS
    MEASURE_LEAVES
    MEASURE_BYTES
    MEASURE_FULL
    MEASURE_SYNC
    MEASURE_CPU
    MEASURE_VERIFIED
    MEASURE_REMEMBERED
    # gauges
    MEASURE_QUEUED
    MEASURE_OPEN
    MEASURE_ROOM
    MEASURE_COMMIT
    MEASURE_BROKEN
    MEASURES_N
    MEASURE_GAUGES = MEASURE_QUEUED

cdef struct gate_measures:
    void *config            # of the bootstrap extension
    void *timer
    size_t ids[14]
    u64 told[14]            # counters: what Envoy was given so far

cdef gate_measures MEASURES

cdef const char *measure_name(int which) noexcept nogil:
    if which == MEASURE_GROUPS:
        return b"journal_groups"
    if which == MEASURE_RECORDS:
        return b"journal_records"
    if which == MEASURE_LEAVES:
        return b"journal_leaves"
    if which == MEASURE_BYTES:
        return b"journal_bytes"
    if which == MEASURE_FULL:
        return b"journal_refused_full"
    if which == MEASURE_SYNC:
        return b"journal_sync_us"
    if which == MEASURE_CPU:
        return b"journal_cpu_us"
    if which == MEASURE_VERIFIED:
        return b"signatures_verified"
    if which == MEASURE_REMEMBERED:
        return b"signatures_remembered"
    if which == MEASURE_QUEUED:
        return b"journal_queued"
    if which == MEASURE_OPEN:
        return b"journal_open_intents"
    if which == MEASURE_ROOM:
        return b"journal_room_bytes"
    if which == MEASURE_COMMIT:
        return b"journal_commit_us"
    return b"journal_broken"

cdef void define_measures(void *config) noexcept nogil:
    # In the bootstrap extension's config_new, and nowhere else: later Envoy takes none.
    cdef int i
    cdef envoy_buf name
    MEASURES.config = config
    for i in range(MEASURES_N):
        name = buf_text(measure_name(i))
        if i < MEASURE_GAUGES:
            envoy_boot_define_counter(config, name, NULL, 0, &MEASURES.ids[i])
        else:
            envoy_boot_define_gauge(config, name, NULL, 0, &MEASURES.ids[i])
    MEASURES.timer = envoy_boot_timer_new(config)
    if MEASURES.timer != NULL:
        envoy_boot_timer_enable(MEASURES.timer, 1)

cdef void stop_measures() noexcept nogil:
    # Before the journal goes.
    if MEASURES.timer != NULL:
        envoy_boot_timer_delete(MEASURES.timer)
        MEASURES.timer = NULL

cdef void tell_count(int which, u64 now) noexcept nogil:
    if now > MEASURES.told[which]:
        envoy_boot_increment_counter(MEASURES.config, MEASURES.ids[which], NULL, 0, now - MEASURES.told[which])
        MEASURES.told[which] = now

cdef void tell_state(int which, u64 now) noexcept nogil:
    envoy_boot_set_gauge(MEASURES.config, MEASURES.ids[which], NULL, 0, now)

cdef void tell_measures() noexcept nogil:
    cdef gb_journal_stats journal
    cdef u64 remembered = 0
    cdef u64 verified = 0
    gb_journal_get_stats(PROCESS.journal, &journal)
    gb_sigcache_counts(PROCESS.signatures, &remembered, &verified)
    tell_count(MEASURE_GROUPS, journal.groups)
    tell_count(MEASURE_RECORDS, journal.records)
    tell_count(MEASURE_LEAVES, journal.leaves)
    tell_count(MEASURE_BYTES, journal.bytes)
    tell_count(MEASURE_FULL, journal.refused_full)
    tell_count(MEASURE_SYNC, <u64> journal.sync_ns / 1000)
    tell_count(MEASURE_CPU, <u64> journal.cpu_ns / 1000)
    tell_count(MEASURE_VERIFIED, verified)
    tell_count(MEASURE_REMEMBERED, remembered)
    tell_state(MEASURE_QUEUED, journal.queued)
    tell_state(MEASURE_OPEN, journal.open_intents)
    tell_state(MEASURE_ROOM, journal.room)
    tell_state(MEASURE_COMMIT, <u64> journal.last_commit_ns / 1000)
    tell_state(MEASURE_BROKEN, 1 if gb_journal_state(PROCESS.journal) == GB_JOURNAL_BROKEN else 0)

cdef public void envoy_dynamic_module_on_bootstrap_extension_timer_fired(
        void *config, const void *b, void *timer) noexcept nogil:
    if PROCESS.ready and timer == MEASURES.timer:
        tell_measures()
        envoy_boot_timer_enable(timer, MEASURE_EVERY_MS)
