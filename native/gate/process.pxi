# What belongs to the process and never to a configuration: the broker's identity, the pinned policy key, the gate key,
# the journal, the replay table, what grants and peers have used, the cache of verified signatures, the policy in force.
#
# Rules
#  1. Made once, on the main thread, by the bootstrap extension and before any listener opens; never under
#     `--mode validate`. A process that cannot be made whole refuses to start and says why.
#  2. Settings come from the environment, not from dynamic configuration: what may change the pinned key must be able to
#     restart the process.
#  3. Ended in two steps: from the shutdown hook on no stream is woken any more (its worker may be going), but outcomes of
#     the streams that Envoy now cuts are still journaled; when the extension is destroyed, after the last stream, the
#     journal is flushed and its thread joined. Both steps may run without the other.

cdef struct gate_refusals:
    i64 second
    u32 count                       # journaled in that second

cdef struct gate_process:
    bint ready
    const char *broker              # SPIFFE ID of this instance
    size_t broker_size
    const char *trust_domain
    gb_pubkey *policy_key           # signs snapshots; pinned
    gb_journal *journal
    gb_replay *replay
    gb_sigcache *signatures
    gb_keycache *keys
    gb_quota *grants                # check 9
    gb_quota *peers
    u32 verifications               # of one peer in a second
    char gatekey_text[1032]         # base64, as every answer carries it
    size_t gatekey_text_size
    char gatekey_proof_text[1032]
    size_t gatekey_proof_text_size
    i64 clock_offset_ms             # wall minus boot time, at start
    u64 floor_version               # no snapshot below is ever served
    u64 floor_position
    bint closing                    # wakes nobody; under wake_lock
    gb_mutex wake_lock
    i64 gatekey_end_ms              # last moment of the gate key's validity
    gate_refusals refusals[GATE_REFUSAL_ROWS]   # under refusal_lock
    gb_mutex refusal_lock
    gate_policy *policy             # in force; under policy_lock
    gb_mutex policy_lock

cdef gate_process PROCESS

cdef void say(unsigned int level, const char *text) noexcept nogil:
    envoy_log(level, buf_text(text))

cdef i64 boot_ms() noexcept nogil:
    # CLOCK_BOOTTIME: goes on while the machine sleeps, so waking up is not a clock step.
    return gb_clock_ms(CLOCK_BOOTTIME)

cdef bint clock_trusted(i64 now) noexcept nogil:
    # Wall and monotonic agree within 2 s since the start, and the wall is not behind the journal.
    cdef i64 drift = now - boot_ms() - PROCESS.clock_offset_ms
    if drift > 2000 or drift < -2000:
        return False
    return now + 2000 >= gb_journal_time(PROCESS.journal)

cdef void remember_id(void *nothing, gb_span client, const u8 *request_id, i64 remaining_ms) noexcept nogil:
    # Recovery hands over the ids that are still held.
    gb_replay_add_for(PROCESS.replay, client, request_id, gb_mono_ms(), remaining_ms)

cdef const char *journal_refusal(int error) noexcept nogil:
    if error == GB_JOURNAL_LOCKED:
        return b"govbus: another process writes this journal; stop it first"
    if error == GB_JOURNAL_CORRUPT:
        return b"govbus: the journal is damaged; keep its directory and restore it before starting"
    if error == GB_JOURNAL_FORMAT:
        return b"govbus: the journal was written by another version"
    if error == GB_JOURNAL_FULL:
        return b"govbus: no room on the journal's disk"
    if error == GB_JOURNAL_MEMORY:
        return b"govbus: no memory for the journal"
    return b"govbus: the journal's directory cannot be read or written; check GOVBUS_JOURNAL_DIR and its permissions"

cdef bint take_block(const u8 *p, size_t size, size_t *at, gb_span *out) noexcept nogil:
    cdef size_t n
    if size - at[0] < 2:
        return False
    n = (<size_t> p[at[0]] << 8) | p[at[0] + 1]
    at[0] += 2
    if size - at[0] < n:
        return False
    out.p = p + at[0]
    out.n = n
    at[0] += n
    return True

cdef bint parse_gate_key(const u8 *file, size_t size, gb_span *private_key, gb_span *certified, gb_span *proof) noexcept nogil:
    # Three blocks of u16 big-endian length and bytes: the key (DER), GateKey, its Signature.
    cdef size_t at = 0
    if not take_block(file, size, &at, private_key) or not take_block(file, size, &at, certified):
        return False
    if not take_block(file, size, &at, proof) or at != size:
        return False
    return certified.n <= 512 and proof.n <= 512

cdef bint open_policy_key(const char *text) noexcept nogil:
    cdef u8 point[65]
    cdef int high, low
    cdef size_t i
    if text == NULL or strlen(text) != 130:
        return False
    for i in range(65):
        high = hex_digit(text[2 * i])
        low = hex_digit(text[2 * i + 1])
        if high < 0 or low < 0:
            return False
        point[i] = <u8> (high * 16 + low)
    PROCESS.policy_key = gb_pubkey_new(point)
    return PROCESS.policy_key != NULL

cdef bint open_process() noexcept nogil:
    cdef const char *journal_dir = getenv(b"GOVBUS_JOURNAL_DIR")
    cdef const char *key_path = getenv(b"GOVBUS_GATE_KEY")
    cdef const char *buckets = getenv(b"GOVBUS_REPLAY_LOG2")
    cdef const char *budget = getenv(b"GOVBUS_VERIFICATIONS")
    cdef u64 log2_buckets = GATE_REPLAY_LOG2
    cdef u64 verifications = GATE_VERIFICATIONS
    PROCESS.broker = getenv(b"GOVBUS_BROKER")
    PROCESS.trust_domain = getenv(b"GOVBUS_TRUST_DOMAIN")
    if journal_dir == NULL or key_path == NULL or PROCESS.broker == NULL or PROCESS.trust_domain == NULL:
        say(ENVOY_LOG_CRITICAL, b"govbus: set GOVBUS_BROKER, GOVBUS_TRUST_DOMAIN, GOVBUS_JOURNAL_DIR and GOVBUS_GATE_KEY")
        return False
    PROCESS.broker_size = strlen(PROCESS.broker)
    if not open_policy_key(getenv(b"GOVBUS_POLICY_KEY")):
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_POLICY_KEY is not 130 hex digits of a P-256 point")
        return False
    if buckets != NULL and (not parse_decimal(buckets, strlen(buckets), &log2_buckets) or log2_buckets < 10 or log2_buckets > 26):
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_REPLAY_LOG2 is not a number from 10 to 26")
        return False
    if budget != NULL and (not parse_decimal(budget, strlen(budget), &verifications) or not 1 <= verifications <= 1000000):
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_VERIFICATIONS is not a number from 1 to 1000000")
        return False
    PROCESS.verifications = <u32> verifications
    PROCESS.replay = gb_replay_new(<u32> log2_buckets, GATE_HOLD_MS, gb_mono_ms())
    PROCESS.signatures = gb_sigcache_new(10)
    PROCESS.keys = gb_keycache_new(10)
    PROCESS.grants = gb_quota_new(GATE_GRANTS_LOG2, 64)
    PROCESS.peers = gb_quota_new(GATE_PEERS_LOG2, 200)
    if (PROCESS.replay == NULL or PROCESS.signatures == NULL or PROCESS.keys == NULL or PROCESS.grants == NULL
            or PROCESS.peers == NULL):
        say(ENVOY_LOG_CRITICAL, b"govbus: no memory for the tables of the process")
        return False
    PROCESS.clock_offset_ms = gb_now_ms() - boot_ms()
    gb_mutex_init(&PROCESS.policy_lock)
    gb_mutex_init(&PROCESS.wake_lock)
    gb_mutex_init(&PROCESS.refusal_lock)
    return open_journal(journal_dir, key_path)

cdef bint open_journal(const char *journal_dir, const char *key_path) noexcept nogil:
    cdef u8 file[2048]
    cdef gb_span private_key, certified, proof
    cdef gb_privkey *key
    cdef gb_recovery recovery
    cdef gb_gate_key gate_key
    cdef int field = 0
    cdef int error = 0
    cdef ssize_t size = read_gate_key(key_path, file, sizeof(file))
    if size < 0:
        return False
    if not parse_gate_key(file, <size_t> size, &private_key, &certified, &proof):
        OPENSSL_cleanse(file, sizeof(file))
        say(ENVOY_LOG_CRITICAL, b"govbus: what GOVBUS_GATE_KEY gave is no gate key")
        return False
    if gb_parse_gate_key(certified.p, certified.n, &gate_key, &field) != 0:
        say(ENVOY_LOG_CRITICAL, b"govbus: the certified gate key in GOVBUS_GATE_KEY is damaged")
        return False
    PROCESS.gatekey_end_ms = gate_key.not_after_ms
    PROCESS.gatekey_text_size = gb_b64_encode(certified.p, certified.n, <u8 *> PROCESS.gatekey_text)
    PROCESS.gatekey_proof_text_size = gb_b64_encode(proof.p, proof.n, <u8 *> PROCESS.gatekey_proof_text)
    key = gb_privkey_new_der(private_key.p, private_key.n)
    OPENSSL_cleanse(<void *> private_key.p, private_key.n)
    if key == NULL:
        say(ENVOY_LOG_CRITICAL, b"govbus: the gate key in GOVBUS_GATE_KEY is not a P-256 key")
        return False
    memset(&recovery, 0, sizeof(recovery))
    recovery.seen = remember_id
    recovery.quota = PROCESS.grants
    PROCESS.journal = gb_journal_open(journal_dir, gb_make_span(<const u8 *> PROCESS.broker, PROCESS.broker_size), key,
                                      certified, proof, NULL, &recovery, &error)
    if PROCESS.journal == NULL:
        gb_privkey_free(key)
        say(ENVOY_LOG_CRITICAL, journal_refusal(error))
        return False
    PROCESS.floor_version = recovery.snapshot_version
    PROCESS.floor_position = recovery.log_position
    PROCESS.ready = True
    return True

cdef void close_wakes() noexcept nogil:
    gb_mutex_lock(&PROCESS.wake_lock)
    PROCESS.closing = True
    gb_mutex_unlock(&PROCESS.wake_lock)

# --- Envoy's bootstrap extension: start and end of the process --------------------------------------------------------

cdef public const void *envoy_dynamic_module_on_bootstrap_extension_config_new(
        void *config, envoy_buf name, envoy_buf settings) noexcept nogil:
    if envoy_is_validation_mode():
        envoy_boot_init_complete(config)
        return &PROCESS
    if PROCESS.ready or not open_process():
        return NULL
    define_measures(config)
    envoy_boot_init_complete(config)
    return &PROCESS

cdef public void envoy_dynamic_module_on_bootstrap_extension_config_destroy(const void *b) noexcept nogil:
    pass

cdef public const void *envoy_dynamic_module_on_bootstrap_extension_new(const void *b, void *extension) noexcept nogil:
    return &PROCESS

cdef public void envoy_dynamic_module_on_bootstrap_extension_destroy(const void *x) noexcept nogil:
    if PROCESS.ready:
        PROCESS.ready = False
        stop_measures()
        close_wakes()
        stop_loader()
        gb_journal_stop(PROCESS.journal)

cdef public void envoy_dynamic_module_on_bootstrap_extension_server_initialized(
        void *extension, const void *x) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized(
        void *extension, const void *x) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_drain_started(
        void *extension, const void *x) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_shutdown(
        void *extension, const void *x, envoy_done_fn done, void *context) noexcept nogil:
    if PROCESS.ready:
        close_wakes()
    done(context)

cdef public void envoy_dynamic_module_on_bootstrap_extension_config_scheduled(
        void *config, const void *b, uint64_t event) noexcept nogil:
    pass
