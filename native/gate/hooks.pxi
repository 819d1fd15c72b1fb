# Envoy's hooks for one stream: which step runs when. The order of the checks is the order of the lines here.

cdef u32 run_header_checks(gate_call *c) noexcept nogil:
    # 1-9; the reason of the first that fails. Sets c.state to GATE_BODY once check 7 has taken the id.
    cdef i64 now = gb_now_ms()
    cdef gb_key_record key
    cdef gb_subsystem provider
    cdef u32 reason
    reason = check_1_connection(c, now)
    if reason == 0:
        reason = check_2_metadata(c)
    if reason == 0:
        reason = check_3_addressing(c)
    if reason == 0:
        reason = check_4_time(c, now)
    if reason == 0:
        reason = check_5_key(c, now, &key)
    if reason == 0:
        reason = check_6_signature(c, now, &key)
    if reason != 0:
        return reason
    c.state = GATE_BODY                 # from here on a refusal is journaled
    reason = check_7_replay(c)
    if reason == 0:
        reason = check_8_grant(c, now, &provider)
    if reason == 0:
        reason = check_9_volume(c, now)
    return reason

cdef void report_policy(gate_call *c) noexcept nogil:
    c.config.reported = c.policy.snapshot.header.version
    envoy_set_gauge(c.f, c.config.metrics.snapshot_version, NULL, 0, c.policy.snapshot.header.version)
    envoy_set_gauge(c.f, c.config.metrics.snapshot_created_ms, NULL, 0, <u64> c.policy.snapshot.header.created_at_ms)

cdef unsigned int end_request(gate_call *c) noexcept nogil:
    # The body is whole; it may have taken its time, so what was judged at the headers must still hold. 0 or refused.
    cdef u32 reason = check_10_commitment(c)
    if reason == 0 and gb_now_ms() >= c.request.not_after_ms:
        reason = GB_R_LIFETIME_INVALID
    if reason == 0:
        reason = check_again(c)
    if reason == 0:
        reason = check_9_bytes(c, gb_now_ms())
    if reason == 0:
        reason = submit_intent(c)
    if reason != 0:
        refuse_recorded(c, reason)
    return reason

cdef public const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *f) noexcept nogil:
    cdef gate_call *c = <gate_call *> malloc(sizeof(gate_call))
    if c == NULL:
        return NULL
    memset(c, 0, <size_t> (<char *> &c.frames - <char *> c))
    c.f = f
    c.config = <gate_config *> config
    c.request_size = c.signature_size = c.response_size = c.response_signature_size = 0
    return c

cdef public unsigned int envoy_dynamic_module_on_http_filter_request_headers(
        void *f, const void *m, cbool end) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    cdef u32 reason
    c.policy = policy_acquire()
    if c.policy == NULL:
        refuse(c, GB_R_POLICY_STALE)
        return ENVOY_HEADERS_STOP
    if c.config.reported != c.policy.snapshot.header.version:
        report_policy(c)
    reason = run_header_checks(c)
    if reason != 0:
        if c.state == GATE_BODY:
            refuse_recorded(c, reason)
        else:
            refuse(c, reason)
        return ENVOY_HEADERS_STOP
    gb_frames_init(&c.frames, GATE_BODY_LIMIT, GATE_BODY_LIMIT + 5)
    c.frames.max_messages = 1
    envoy_set_buffer_limit(f, GATE_BUFFER_LIMIT)
    if end:
        end_request(c)
    return ENVOY_HEADERS_STOP

cdef public unsigned int envoy_dynamic_module_on_http_filter_request_body(
        void *f, const void *m, cbool end) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    cdef u32 reason
    if c.state != GATE_BODY:
        return ENVOY_BODY_STOP_NO_BUFFER if c.state == GATE_CLOSED else ENVOY_BODY_CONTINUE
    reason = check_10_take(c, BODY_REQUEST_RECEIVED)
    if reason != 0:
        refuse_recorded(c, reason)
        return ENVOY_BODY_STOP_NO_BUFFER
    if end and end_request(c) != 0:
        return ENVOY_BODY_STOP_NO_BUFFER
    return ENVOY_BODY_STOP_BUFFER

cdef public unsigned int envoy_dynamic_module_on_http_filter_request_trailers(void *f, const void *m) noexcept nogil:
    # gRPC requests have no trailers; an HTTP/2 client may send some. They end the body and go no further.
    cdef gate_call *c = <gate_call *> m
    if c.state == GATE_BODY:
        if strip(f, TRAILERS_REQUEST, KEEP_NOTHING):
            end_request(c)
        else:
            refuse_recorded(c, GB_R_METADATA_TOO_LARGE)
    return ENVOY_TRAILERS_STOP

cdef public void envoy_dynamic_module_on_http_filter_scheduled(void *f, const void *m, uint64_t event) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    if event == GATE_EVENT_INTENT and c.state == GATE_INTENT:
        if c.intent.status != 0:
            gb_ticket_release(c.intent)
            c.intent = NULL
            refuse(c, GB_R_JOURNAL_UNAVAILABLE)
        else:
            admit(c)
    elif event == GATE_EVENT_OUTCOME and c.state == GATE_OUTCOME:
        if c.outcome.status != 0:
            withhold(c)
        else:
            release_answer(c)

cdef u32 local_reply_reason(const char *p, size_t n) noexcept nogil:
    # Envoy's own answer, told by its details.
    if text_starts(p, n, b"upstream_response_timeout") or text_starts(p, n, b"response_timeout"):
        return GB_R_DEADLINE
    if text_starts(p, n, b"max_duration_timeout") or text_starts(p, n, b"upstream_max_stream_duration_reached"):
        return GB_R_DEADLINE
    if text_starts(p, n, b"no_healthy_upstream") or text_starts(p, n, b"cluster_not_found"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"route_not_found") or text_starts(p, n, b"no_cluster"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"upstream_reset_before_response_started{remote_connection_failure"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"upstream_reset_before_response_started{connection_timeout"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"upstream_reset_before_response_started{local_connection_failure"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"upstream_reset_before_response_started{overflow"):
        return GB_R_PROVIDER_UNREACHABLE
    if text_starts(p, n, b"upstream_reset_before_response_started{remote_refused"):
        return GB_R_PROVIDER_UNREACHABLE
    return GB_R_PROVIDER_LOST

cdef public unsigned int envoy_dynamic_module_on_http_filter_local_reply(
        void *f, const void *m, uint32_t status, envoy_buf details, cbool reset_imminent) noexcept nogil:
    # Before the provider answered, response_headers follows and replaces Envoy's text by ours. Later only this hook runs:
    # the client gets Envoy's own reply (its text is fixed in the listener's configuration), the journal the outcome.
    cdef gate_call *c = <gate_call *> m
    cdef u32 reason = local_reply_reason(details.ptr, details.length)
    if c.state == GATE_PROVIDER:
        c.local_reply = True
        c.local_reason = reason
    elif c.state != GATE_CLOSED:
        if c.intent != NULL:
            count_call(c, b"failed")
            count_refusal(c, reason)
            abandon(c, GB_J_OUTCOME_FAILED, reason)
        c.state = GATE_CLOSED
    return ENVOY_LOCAL_REPLY_CONTINUE

cdef bint is_grpc_answer(void *f) noexcept nogil:
    cdef envoy_buf text
    if not envoy_get_header(f, HEADERS_RESPONSE, buf_text(b":status"), &text, 0, NULL) or not text_is(text.ptr, text.length, b"200"):
        return False
    if not envoy_get_header(f, HEADERS_RESPONSE, buf_text(b"content-type"), &text, 0, NULL):
        return False
    return text_is(text.ptr, text.length, b"application/grpc") or text_is(text.ptr, text.length, b"application/grpc+proto")

cdef public unsigned int envoy_dynamic_module_on_http_filter_response_headers(
        void *f, const void *m, cbool end) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    if c.state != GATE_PROVIDER:
        return ENVOY_HEADERS_CONTINUE   # Envoy's answer to a request that never reached a provider
    c.state = GATE_ANSWER
    if c.local_reply:
        submit_outcome(c, c.local_reason)
        return ENVOY_HEADERS_STOP
    if not is_grpc_answer(f):
        submit_outcome(c, GB_R_PROVIDER_UNSIGNED)
        return ENVOY_HEADERS_STOP
    if end:
        c.trailers_only = True
        submit_outcome(c, check_11_response(c, HEADERS_RESPONSE))
        return ENVOY_HEADERS_STOP
    if c.kind == 2:
        if not strip(f, HEADERS_RESPONSE, KEEP_OPENING):
            submit_outcome(c, GB_R_PROVIDER_UNSIGNED)
            return ENVOY_HEADERS_STOP
        c.stream_open = True
        return ENVOY_HEADERS_CONTINUE
    return ENVOY_HEADERS_STOP

cdef public unsigned int envoy_dynamic_module_on_http_filter_response_body(
        void *f, const void *m, cbool end) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    cdef gb_frames before
    cdef u32 reason
    if c.state != GATE_ANSWER:
        return ENVOY_BODY_CONTINUE if c.state == GATE_CLOSED or c.intent == NULL else ENVOY_BODY_STOP_NO_BUFFER
    memcpy(&before, &c.frames, sizeof(gb_frames))
    reason = check_10_take(c, BODY_RESPONSE_RECEIVED)
    if reason == GB_R_BODY_TOO_LARGE:
        reason = GB_R_RESPONSE_TOO_LARGE
    elif reason != 0:
        reason = GB_R_RESPONSE_MISMATCH
    elif end:
        reason = GB_R_PROVIDER_UNSIGNED     # ended without trailers
    elif c.stream_open:
        reason = check_again(c)
    if reason == 0:
        return ENVOY_BODY_CONTINUE if c.stream_open else ENVOY_BODY_STOP_BUFFER
    if c.stream_open:
        memcpy(&c.frames, &before, sizeof(gb_frames))   # what this hook brought is not released
        end_stream(c, reason)
    else:
        submit_outcome(c, reason)
    return ENVOY_BODY_STOP_NO_BUFFER

cdef void end_stream(gate_call *c, u32 reason) noexcept nogil:
    # A begun stream that must not go on: its outcome is recorded, nobody waits for it, the client sees no seal.
    abandon(c, GB_J_OUTCOME_FAILED, reason)
    c.state = GATE_CLOSED
    count_call(c, b"failed")
    count_refusal(c, reason)
    envoy_reset_stream(c.f, ENVOY_RESET_LOCAL, buf_of(gb_reason_name(reason).p, gb_reason_name(reason).n))

cdef u32 check_again(gate_call *c) noexcept nogil:
    # Bodies that took their time and open streams are judged again (1, 5, 8) when another policy has come into force.
    cdef gate_policy *old = c.policy
    cdef gb_key_record key
    cdef gb_subsystem provider
    cdef i64 now
    cdef u32 reason
    if PROCESS.policy == old:
        return 0
    # The stream's judge stays the version in its intent; c.policy only decides from here on.
    c.policy = policy_acquire()
    policy_release(old)
    now = gb_now_ms()
    reason = check_1_connection(c, now)
    if reason != 0:
        return reason
    c.client = gb_policy_subsystem(&c.policy.snapshot.policy, c.request.client)
    c.method = gb_policy_method(&c.policy.snapshot.policy, c.request.method)
    if c.client == GB_NONE or (c.client != c.peer and not gb_policy_agent(&c.policy.snapshot.policy, c.peer, c.client)):
        return GB_R_CLIENT_MISMATCH
    if not subsystem_active(c, c.client):
        return GB_R_SUBSYSTEM_SUSPENDED
    reason = check_5_key(c, now, &key)
    return reason if reason != 0 else check_8_grant(c, now, &provider)

cdef public unsigned int envoy_dynamic_module_on_http_filter_response_trailers(void *f, const void *m) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    if c.state != GATE_ANSWER:
        return ENVOY_TRAILERS_CONTINUE if c.state == GATE_CLOSED or c.intent == NULL else ENVOY_TRAILERS_STOP
    submit_outcome(c, check_11_response(c, TRAILERS_RESPONSE))
    return ENVOY_TRAILERS_STOP

cdef void abandon(gate_call *c, u32 outcome, u32 reason) noexcept nogil:
    # Every intent gets exactly one outcome, also when nobody is left to hear it.
    cdef gb_ticket *ticket
    if c.intent == NULL or c.outcome != NULL:
        return
    ticket = outcome_ticket(c, outcome, reason)
    if ticket != NULL:
        c.outcome = ticket
        gb_journal_submit(PROCESS.journal, ticket)

cdef public void envoy_dynamic_module_on_http_filter_stream_complete(void *f, const void *m) noexcept nogil:
    # Attributes are final here: the client left (CANCELLED), or the provider broke a begun answer (FAILED).
    cdef gate_call *c = <gate_call *> m
    cdef envoy_buf details
    if c.intent == NULL or c.outcome != NULL:
        return
    if envoy_attribute_string(f, ATTR_RESPONSE_CODE_DETAILS, &details) and text_starts(details.ptr, details.length, b"upstream_"):
        count_call(c, b"failed")
        abandon(c, GB_J_OUTCOME_FAILED, local_reply_reason(details.ptr, details.length))
    else:
        count_call(c, b"cancelled")
        abandon(c, GB_J_OUTCOME_CANCELLED, 0)

cdef public void envoy_dynamic_module_on_http_filter_destroy(const void *m) noexcept nogil:
    cdef gate_call *c = <gate_call *> m
    abandon(c, GB_J_OUTCOME_CANCELLED, 0)
    give_back(c)
    if c.intent != NULL:
        gb_ticket_release(c.intent)
    if c.outcome != NULL:
        gb_ticket_release(c.outcome)
    policy_release(c.policy)
    free(c)
