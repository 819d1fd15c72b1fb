# The policy in force and how it is replaced: filter configurations arrive from ECDS and name a snapshot file, its
# version and its digest; nothing else of a policy passes through Envoy.
#
# Rules
#  1. The first snapshot is loaded on the main thread, before anything listens: a gate without policy does not start.
#  2. Every later one is read, verified and swapped by the loader's own thread; no worker and not the main thread waits.
#  3. A version or a log position below the highest ever served is refused, after a restart too: the floor is in the
#     journal, durable before the snapshot is served.
#  4. A refused snapshot leaves the one in force; the gauge of its version tells.
#  5. Whoever uses a policy last hands it to the loader, which frees it: no worker gives back megabytes.

cdef struct gate_request:               # what a configuration asks for
    char path[512]
    u64 version
    u8 digest[32]

cdef struct gate_loader:
    bint running
    bint stop
    gate_policy *used               # by nobody any more
    bint pending
    gate_request wanted
    gb_thread thread
    gb_mutex lock
    gb_cond wake

cdef gate_loader LOADER

cdef gate_policy *policy_acquire() noexcept nogil:
    cdef gate_policy *policy
    gb_mutex_lock(&PROCESS.policy_lock)
    policy = PROCESS.policy
    if policy != NULL:
        policy.refs += 1
    gb_mutex_unlock(&PROCESS.policy_lock)
    return policy

cdef void policy_release(gate_policy *policy) noexcept nogil:
    cdef long left
    if policy == NULL:
        return
    gb_mutex_lock(&PROCESS.policy_lock)
    policy.refs -= 1
    left = policy.refs
    gb_mutex_unlock(&PROCESS.policy_lock)
    if left == 0:
        discard(policy)

cdef void discard(gate_policy *policy) noexcept nogil:
    # (rule 5)
    cdef bint left_to_loader
    gb_mutex_lock(&LOADER.lock)
    left_to_loader = LOADER.running
    if left_to_loader:
        policy.next = LOADER.used
        LOADER.used = policy
        gb_cond_signal(&LOADER.wake)
    gb_mutex_unlock(&LOADER.lock)
    if not left_to_loader:
        policy_free(policy)

cdef void policy_free(gate_policy *policy) noexcept nogil:
    gb_pages_free(policy.file, policy.size)
    free(policy)

cdef const char *snapshot_refusal(int error) noexcept nogil:
    if error == GB_SNAPSHOT_SIGNATURE:
        return b"govbus: snapshot refused: not signed by the pinned policy key"
    if error == GB_SNAPSHOT_DOMAIN or error == GB_SNAPSHOT_SCOPE:
        return b"govbus: snapshot refused: made for another instance or another reader"
    if error == GB_SNAPSHOT_VERSION or error == GB_SNAPSHOT_LOG_POSITION:
        return b"govbus: snapshot refused: older than one that was served"
    if error == GB_SNAPSHOT_FUTURE:
        return b"govbus: snapshot refused: made in the future; check the clocks"
    if error == GB_SNAPSHOT_STALE:
        return b"govbus: snapshot refused: past its refuse-after; compile a new one"
    return b"govbus: snapshot refused: damaged"

cdef bint read_whole(int fd, u8 *out, size_t size) noexcept nogil:
    cdef size_t total = 0
    cdef ssize_t n
    while total < size:
        n = read(fd, out + total, size - total)
        if n <= 0:
            return False
        total += <size_t> n
    return True

cdef gate_policy *read_policy(gate_request *wanted) noexcept nogil:
    # Reads the file whose digest the configuration names; NULL: not there, or not that file. Read, not mapped: a file
    # that somebody truncates later must not take the process down.
    cdef gate_policy *policy
    cdef stat_t info
    cdef u8 digest[32]
    cdef int fd = open(wanted.path, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return NULL
    policy = <gate_policy *> calloc(1, sizeof(gate_policy))
    if policy == NULL or fstat(fd, &info) != 0 or info.st_size <= 0:
        close(fd)
        free(policy)
        return NULL
    policy.size = <size_t> info.st_size
    policy.file = gb_pages_new(policy.size)
    if policy.file == NULL or not read_whole(fd, policy.file, policy.size):
        close(fd)
        policy_free(policy)
        return NULL
    close(fd)
    gb_sha256(policy.file, policy.size, digest)
    if memcmp(digest, wanted.digest, 32) != 0:
        policy_free(policy)
        return NULL
    policy.refs = 1
    return policy

cdef struct gate_waiter:
    gb_mutex lock
    gb_cond wake
    bint done

cdef void end_wait(gb_ticket *ticket) noexcept nogil:
    cdef gate_waiter *waiter = <gate_waiter *> ticket.opaque
    gb_mutex_lock(&waiter.lock)
    waiter.done = True
    gb_cond_signal(&waiter.wake)
    gb_mutex_unlock(&waiter.lock)

cdef bint record_policy(const gb_snapshot_header *header) noexcept nogil:
    # (rule 3) Waits for the commit: on the loader's thread, or on the main thread before anything listens.
    cdef gate_waiter waiter
    cdef bint durable = False
    cdef gb_ticket *ticket = gb_ticket_new(GB_J_SNAPSHOT)
    if ticket == NULL:
        return False
    memset(&waiter, 0, sizeof(waiter))
    gb_mutex_init(&waiter.lock)
    gb_cond_init(&waiter.wake)
    ticket.snapshot_version = header.version
    ticket.log_position = header.log_position
    ticket.done = end_wait
    ticket.opaque = &waiter
    if gb_journal_submit(PROCESS.journal, ticket) == 0:
        gb_mutex_lock(&waiter.lock)
        while not waiter.done:
            gb_cond_wait(&waiter.wake, &waiter.lock)
        gb_mutex_unlock(&waiter.lock)
        durable = ticket.status == 0
    gb_ticket_release(ticket)
    return durable

cdef bint load_policy(gate_request *wanted) noexcept nogil:
    cdef gate_policy *policy
    cdef gate_policy *old
    cdef gb_snapshot_pins pins
    cdef int error
    policy = read_policy(wanted)
    if policy == NULL:
        say(ENVOY_LOG_ERROR, b"govbus: snapshot refused: the file is missing or differs from the digest in the configuration")
        return False
    pins.key = PROCESS.policy_key
    pins.trust_domain = gb_literal(PROCESS.trust_domain)
    pins.scope = gb_literal(b"broker")
    pins.floor_version = PROCESS.floor_version
    pins.floor_log_position = PROCESS.floor_position
    pins.now_ms = gb_now_ms()
    error = gb_snapshot_open(&policy.snapshot, policy.file, policy.size, &pins)
    if error != 0:
        say(ENVOY_LOG_ERROR, snapshot_refusal(error))
        policy_free(policy)
        return False
    if policy.snapshot.header.version != wanted.version:
        say(ENVOY_LOG_ERROR, b"govbus: snapshot refused: its version differs from the configuration's")
        policy_free(policy)
        return False
    if not record_policy(&policy.snapshot.header):
        say(ENVOY_LOG_ERROR, b"govbus: snapshot refused: its version cannot be recorded in the journal")
        policy_free(policy)
        return False
    PROCESS.floor_version = policy.snapshot.header.version
    PROCESS.floor_position = policy.snapshot.header.log_position
    gb_mutex_lock(&PROCESS.policy_lock)
    old = PROCESS.policy
    PROCESS.policy = policy
    gb_mutex_unlock(&PROCESS.policy_lock)
    policy_release(old)
    say(ENVOY_LOG_INFO, b"govbus: snapshot in force")
    return True

cdef void *run_loader(void *nothing) noexcept nogil:
    cdef gate_request wanted
    cdef gate_policy *used
    setpriority(PRIO_PROCESS, 0, GATE_LOADER_NICE)      # Linux: of this thread; calls come first
    gb_mutex_lock(&LOADER.lock)
    while not LOADER.stop:
        while LOADER.used != NULL:
            used = LOADER.used
            LOADER.used = used.next
            gb_mutex_unlock(&LOADER.lock)
            policy_free(used)
            gb_mutex_lock(&LOADER.lock)
        if LOADER.stop:
            break
        if not LOADER.pending:
            gb_cond_wait(&LOADER.wake, &LOADER.lock)
            continue
        memcpy(&wanted, &LOADER.wanted, sizeof(wanted))
        LOADER.pending = False
        gb_mutex_unlock(&LOADER.lock)
        load_policy(&wanted)
        gb_mutex_lock(&LOADER.lock)
    gb_mutex_unlock(&LOADER.lock)
    return NULL

cdef bint start_loader() noexcept nogil:
    gb_mutex_init(&LOADER.lock)
    gb_cond_init(&LOADER.wake)
    LOADER.running = gb_thread_create(&LOADER.thread, NULL, run_loader, NULL) == 0
    return LOADER.running

cdef void stop_loader() noexcept nogil:
    cdef gate_policy *used
    if not LOADER.running:
        return
    gb_mutex_lock(&LOADER.lock)
    LOADER.stop = True
    gb_cond_signal(&LOADER.wake)
    gb_mutex_unlock(&LOADER.lock)
    gb_thread_join(LOADER.thread, NULL)
    gb_mutex_lock(&LOADER.lock)
    LOADER.running = False
    gb_mutex_unlock(&LOADER.lock)
    while LOADER.used != NULL:
        used = LOADER.used
        LOADER.used = used.next
        policy_free(used)

cdef void ask_loader(gate_request *wanted) noexcept nogil:
    gb_mutex_lock(&LOADER.lock)
    memcpy(&LOADER.wanted, wanted, sizeof(wanted[0]))
    LOADER.pending = True
    gb_cond_signal(&LOADER.wake)
    gb_mutex_unlock(&LOADER.lock)

# --- Envoy's filter configuration ----------------------------------------------------------------------------------------

cdef bint parse_setting(const char *line, size_t n, gate_request *out, int *seen) noexcept nogil:
    if text_starts(line, n, b"snapshot=") and n - 9 < sizeof(out.path) and n > 9:
        memcpy(out.path, line + 9, n - 9)
        out.path[n - 9] = 0
        seen[0] |= 1
        return True
    if text_starts(line, n, b"version="):
        seen[0] |= 2
        return parse_decimal(line + 8, n - 8, &out.version)
    if text_starts(line, n, b"digest="):
        seen[0] |= 4
        return parse_hex32(line + 7, n - 7, out.digest)
    return n == 0

cdef bint parse_settings(const char *text, size_t n, gate_request *out) noexcept nogil:
    # Lines `snapshot=PATH`, `version=N`, `digest=HEX`, each once.
    cdef size_t start = 0
    cdef size_t at
    cdef int seen = 0
    for at in range(n + 1):
        if at == n or text[at] == c'\n':
            if not parse_setting(text + start, at - start, out, &seen):
                return False
            start = at + 1
    return seen == 7

cdef void touch_counters(void *config, gate_metrics *metrics) noexcept nogil:
    # A labelled counter is kept across configurations only if the new one has touched it.
    cdef u32 reason
    cdef envoy_buf label
    cdef gb_span name
    for reason in range(1, 256):
        name = gb_reason_name(reason)
        if name.n != 0:
            label = buf_of(name.p, name.n)
            envoy_config_increment_counter(config, metrics.refusals, &label, 1, 0)
    label = buf_text(b"done")
    envoy_config_increment_counter(config, metrics.calls, &label, 1, 0)
    label = buf_text(b"failed")
    envoy_config_increment_counter(config, metrics.calls, &label, 1, 0)
    label = buf_text(b"cancelled")
    envoy_config_increment_counter(config, metrics.calls, &label, 1, 0)

cdef void define_metrics(void *config, gate_metrics *metrics) noexcept nogil:
    cdef envoy_buf reason = buf_text(b"reason")
    cdef envoy_buf outcome = buf_text(b"outcome")
    envoy_define_counter(config, buf_text(b"calls"), &outcome, 1, &metrics.calls)
    envoy_define_counter(config, buf_text(b"refusals"), &reason, 1, &metrics.refusals)
    envoy_define_counter(config, buf_text(b"refusals_unrecorded"), NULL, 0, &metrics.unrecorded)
    envoy_define_gauge(config, buf_text(b"snapshot_version"), NULL, 0, &metrics.snapshot_version)
    envoy_define_gauge(config, buf_text(b"snapshot_created_ms"), NULL, 0, &metrics.snapshot_created_ms)
    touch_counters(config, metrics)

cdef public const void *envoy_dynamic_module_on_http_filter_config_new(
        void *config, envoy_buf name, envoy_buf settings) noexcept nogil:
    cdef gate_request wanted
    cdef gate_config *made
    memset(&wanted, 0, sizeof(wanted))
    if not parse_settings(settings.ptr, settings.length, &wanted):
        say(ENVOY_LOG_ERROR, b"govbus: the gate's configuration needs lines snapshot=, version= and digest=")
        return NULL
    if not envoy_is_validation_mode():
        if not PROCESS.ready:
            say(ENVOY_LOG_ERROR, b"govbus: the gate needs its bootstrap extension")
            return NULL
        if PROCESS.policy == NULL:
            if not load_policy(&wanted) or not start_loader():
                return NULL
        else:
            ask_loader(&wanted)
    made = <gate_config *> calloc(1, sizeof(gate_config))
    if made != NULL:
        define_metrics(config, &made.metrics)
    return made

cdef public void envoy_dynamic_module_on_http_filter_config_destroy(const void *c) noexcept nogil:
    free(<void *> c)

cdef public void envoy_dynamic_module_on_http_filter_config_scheduled(
        void *config, const void *c, uint64_t event) noexcept nogil:
    pass
