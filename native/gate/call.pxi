# One call as the gate holds it, from the stream's birth to its end, and the objects it refers to.
#
# Rules
#  1. A call belongs to one worker thread; only its tickets are seen by the journal's thread.
#  2. `state` only ever moves forward. Exactly one intent and at most one outcome are submitted for a call.
#  3. What the call keeps of a header is a copy in its own buffers: spans in `request` and `response` point there.
#  4. A policy is counted: acquired once at the first check, released when the call is destroyed.

cdef enum:
    GATE_NEW = 0                # nothing seen
    GATE_BODY = 1               # headers passed checks 1-9; the body is being read
    GATE_INTENT = 2             # the intent waits for its commit
    GATE_PROVIDER = 3           # admitted; waiting for the provider
    GATE_ANSWER = 4             # the answer has begun
    GATE_OUTCOME = 5            # the outcome waits for its commit
    GATE_CLOSED = 6             # answered or refused; nothing more is decided

    GATE_EVENT_INTENT = 1
    GATE_EVENT_OUTCOME = 2

    GATE_HEADER_LIMIT = 2048
    GATE_SIGNATURE_LIMIT = 512
    GATE_DETAILS_LIMIT = 8192
    GATE_BODY_LIMIT = 4194304
    GATE_BUFFER_LIMIT = 4718592 # what Envoy may hold for a stream: the body limit and slack, so that we refuse first
    GATE_HEADERS_MAX = 64       # entries of one header map
    GATE_STRIP_MAX = 256        # beyond what the listener and clusters let through
    GATE_STRIP_BYTES = 65536
    GATE_REFUSALS = 100         # journaled in a second for one peer
    GATE_REFUSAL_ROWS = 1024
    GATE_KEY_MARGIN_MS = 60000  # a call admitted now must be answered before the gate key ends
    GATE_SKEW_MS = 30000
    GATE_HOLD_MS = 90000
    GATE_REPLAY_LOG2 = 18       # 16 MiB, 13,000 ids a second over 90 s; GOVBUS_REPLAY_LOG2 replaces it
    GATE_GRANTS_LOG2 = 18       # grants with limits that are counted at a time; 144 bytes each once used
    GATE_LOADER_NICE = 5        # the loader's: an eighth of a second of work once in a while, beside the workers
    GATE_PEERS_LOG2 = 15        # peers' rates and budgets; 280 bytes each
    GATE_VERIFICATIONS = 10000  # of one peer in a second, and twice as many at once; GOVBUS_VERIFICATIONS replaces it
    GATE_FAILED_COST = 10       # a failed one counts so often
    GATE_LIFETIME_MS = 60000    # of a method the snapshot does not know; such a call ends at check 8

cdef struct gate_policy:
    gb_snapshot snapshot
    u8 *file                    # its bytes; spans of the snapshot point here
    size_t size
    long refs                   # changed under PROCESS.policy_lock only
    gate_policy *next           # among those that the loader is to free

cdef struct gate_metrics:
    size_t calls                # {outcome}
    size_t refusals             # {reason}
    size_t unrecorded           # refusals of checks 7-10 that were not journaled
    size_t snapshot_version     # gauge
    size_t snapshot_created_ms  # gauge

cdef struct gate_config:
    gate_metrics metrics
    u64 reported                # snapshot version last shown in the gauges

cdef struct gate_call:
    void *f
    gate_config *config
    gate_policy *policy
    int state
    bint local_reply            # Envoy, not the provider, made the answer
    u32 local_reason            # what that means
    u32 peer                    # indexes into the policy
    u32 client
    u32 provider
    u32 method
    u32 grant
    gb_quota_row *counted       # pending in its grant's day; the intent's ticket takes it over
    u64 counted_bytes           # of the request, pending with it
    i64 retry_ms                # RetryInfo of the refusal; 0: none
    u32 kind                    # 1 unary, 2 server stream
    u32 pending                 # refusal to send when the outcome is durable; 0: release the answer
    u32 trailers_only           # the verified answer stands in the headers
    bint stream_open            # stream headers went out
    const char *key             # ErrorInfo metadata of the refusal: key, NULL for none
    const char *field           # and its value
    gb_ticket *intent
    gb_ticket *outcome
    gb_frames frames            # of the request, then of the answer
    gb_request request
    gb_signature signature
    gb_response response
    size_t request_size
    size_t signature_size
    size_t response_size
    size_t response_signature_size
    u8 request_digest[32]
    u8 salt[32]
    u8 request_bytes[GATE_HEADER_LIMIT]
    u8 signature_bytes[GATE_SIGNATURE_LIMIT]
    u8 response_bytes[GATE_HEADER_LIMIT]
    u8 response_signature_bytes[GATE_SIGNATURE_LIMIT]
