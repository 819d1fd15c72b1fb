# The eight flat messages as C structs and field tables. Needs base.pxi.
#
# protos/govbus/{exchange,edge}/v1 is the declaration; native/_codec_py.py states the same independently, and a test
# holds both against the compiled descriptors. Field number = place in the table + 1. Every bytes or string field is a
# gb_span, every number eight bytes wide.

cdef extern from *:
    """
    enum { GB_ANY, GB_SPIFFE, GB_METHOD, GB_PURPOSE, GB_TOKEN, GB_PSEUDONYM, GB_DOMAIN, GB_SCOPE, GB_NODES };
    enum { GB_REQUIRED = 1, GB_RESERVED = 2, GB_NUMBER = 4, GB_SIGNED = 8 };

    /* Times end with the year 9999, so that sums of two never overflow. */
    #define GB_TIME_MAX 253402300799999ULL
    #define GB_U32_MAX 4294967295ULL
    #define GB_U64_MAX 18446744073709551615ULL

    typedef struct {
        unsigned short offset;
        unsigned char text, flags;
        unsigned int min;
        unsigned long long max;
    } gb_field;
    typedef struct { const gb_field *fields; unsigned int count, size; } gb_message;

    typedef struct {
        gb_span request_id, client, provider, broker, method, body_commitment;
        long long issued_at_ms, not_after_ms;
        gb_span purpose, case_id, grant_id, official, on_behalf_of, official_token_digest, idempotency_key;
    } gb_request;
    typedef struct {
        gb_span request_digest, provider, body_commitment;
        unsigned long long message_count, grpc_status;
        gb_span grpc_message_digest, details_digest;
        long long time_ms;
        gb_span subject_handles;
        unsigned long long subject_count;
    } gb_response;
    typedef struct {
        gb_span key_id;
        unsigned long long algorithm, size, index;
        gb_span path, value;
    } gb_signature;
    typedef struct {
        gb_span entry_salt, broker;
        unsigned long long sequence;
        long long intent_time_ms;
        unsigned long long snapshot_version;
        gb_span request_digest, request_signature_digest;
    } gb_admission;
    typedef struct {
        gb_span entry_salt, broker;
        unsigned long long intent_sequence, outcome_sequence;
        long long intent_time_ms, outcome_time_ms;
        unsigned long long snapshot_version;
        gb_span request_digest, response_digest, response_signature_digest;
        unsigned long long outcome, reason, messages_released, bytes_released;
        gb_span released_commitment;
        long long merge_deadline_ms;
    } gb_receipt;
    typedef struct {
        gb_span broker, public_key;
        long long not_before_ms, not_after_ms;
    } gb_gate_key;
    typedef struct {
        gb_span entry_salt, broker;
        unsigned long long sequence;
        long long time_ms;
        unsigned long long snapshot_version;
        gb_span request_digest, request_signature_digest;
        unsigned long long reason;
    } gb_refusal;
    typedef struct {
        gb_span trust_domain;
        unsigned long long version, log_position;
        long long created_at_ms, alarm_after_ms, refuse_after_ms;
        gb_span scope, tables_digest;
        unsigned long long tables_size;
    } gb_snapshot_header;

    #define GB_T(m, text, flags, min, max) {offsetof(GB_S, m), text, flags, min, max},
    #define GB_B(m, flags, n) GB_T(m, GB_ANY, flags, n, n)
    #define GB_N(m, flags, max) GB_T(m, GB_ANY, (flags) | GB_NUMBER, 0, max)
    #define GB_TIME(m) GB_T(m, GB_ANY, GB_REQUIRED | GB_NUMBER | GB_SIGNED, 0, GB_TIME_MAX)
    #define GB_ID(m) GB_T(m, GB_SPIFFE, GB_REQUIRED, 10, 200)
    #define GB_COUNT(a) (sizeof a / sizeof *a)
    #define GB_DECLARE(name, S) static const gb_message name = {name##_fields, GB_COUNT(name##_fields), sizeof(S)};

    #define GB_S gb_request
    static const gb_field gb_request_message_fields[] = {
        GB_B(request_id, GB_REQUIRED, 16)
        GB_ID(client) GB_ID(provider) GB_ID(broker)
        GB_T(method, GB_METHOD, GB_REQUIRED, 4, 200)
        GB_B(body_commitment, GB_REQUIRED, 32)
        GB_TIME(issued_at_ms) GB_TIME(not_after_ms)
        GB_T(purpose, GB_PURPOSE, GB_REQUIRED, 1, 64)
        GB_T(case_id, GB_PSEUDONYM, GB_REQUIRED, 1, 64)
        GB_T(grant_id, GB_TOKEN, GB_REQUIRED, 1, 64)
        GB_T(official, GB_PSEUDONYM, 0, 1, 64)
        GB_T(on_behalf_of, GB_SPIFFE, GB_RESERVED, 10, 200)
        GB_B(official_token_digest, GB_RESERVED, 32)
        GB_T(idempotency_key, GB_PSEUDONYM, 0, 1, 64)
    };
    #undef GB_S
    #define GB_S gb_response
    static const gb_field gb_response_message_fields[] = {
        GB_B(request_digest, GB_REQUIRED, 32)
        GB_ID(provider)
        GB_B(body_commitment, GB_REQUIRED, 32)
        GB_N(message_count, 0, GB_U64_MAX)
        GB_N(grpc_status, 0, 16)
        GB_B(grpc_message_digest, 0, 32) GB_B(details_digest, 0, 32)
        GB_TIME(time_ms)
        GB_T(subject_handles, GB_ANY, GB_RESERVED, 32, 2048)
        GB_N(subject_count, GB_RESERVED, GB_U32_MAX)
    };
    #undef GB_S
    #define GB_S gb_signature
    static const gb_field gb_signature_message_fields[] = {
        GB_B(key_id, GB_REQUIRED, 32)
        GB_N(algorithm, GB_REQUIRED, 1)
        GB_N(size, GB_REQUIRED, 1024)
        GB_N(index, 0, 1023)
        GB_T(path, GB_NODES, 0, 32, 320)
        GB_B(value, GB_REQUIRED, 64)
    };
    #undef GB_S
    #define GB_S gb_admission
    static const gb_field gb_admission_message_fields[] = {
        GB_B(entry_salt, GB_REQUIRED, 32)
        GB_ID(broker)
        GB_N(sequence, GB_REQUIRED, GB_U64_MAX)
        GB_TIME(intent_time_ms)
        GB_N(snapshot_version, GB_REQUIRED, GB_U64_MAX)
        GB_B(request_digest, GB_REQUIRED, 32) GB_B(request_signature_digest, GB_REQUIRED, 32)
    };
    #undef GB_S
    #define GB_S gb_receipt
    static const gb_field gb_receipt_message_fields[] = {
        GB_B(entry_salt, GB_REQUIRED, 32)
        GB_ID(broker)
        GB_N(intent_sequence, GB_REQUIRED, GB_U64_MAX) GB_N(outcome_sequence, GB_REQUIRED, GB_U64_MAX)
        GB_TIME(intent_time_ms) GB_TIME(outcome_time_ms)
        GB_N(snapshot_version, GB_REQUIRED, GB_U64_MAX)
        GB_B(request_digest, GB_REQUIRED, 32)
        GB_B(response_digest, 0, 32) GB_B(response_signature_digest, 0, 32)
        GB_N(outcome, GB_REQUIRED, 4)
        GB_N(reason, 0, GB_U32_MAX)
        GB_N(messages_released, 0, GB_U64_MAX) GB_N(bytes_released, 0, GB_U64_MAX)
        GB_B(released_commitment, 0, 32)
        GB_TIME(merge_deadline_ms)
    };
    #undef GB_S
    #define GB_S gb_gate_key
    static const gb_field gb_gate_key_message_fields[] = {
        GB_ID(broker)
        GB_B(public_key, GB_REQUIRED, 65)
        GB_TIME(not_before_ms) GB_TIME(not_after_ms)
    };
    #undef GB_S
    #define GB_S gb_refusal
    static const gb_field gb_refusal_message_fields[] = {
        GB_B(entry_salt, GB_REQUIRED, 32)
        GB_ID(broker)
        GB_N(sequence, GB_REQUIRED, GB_U64_MAX)
        GB_TIME(time_ms)
        GB_N(snapshot_version, GB_REQUIRED, GB_U64_MAX)
        GB_B(request_digest, GB_REQUIRED, 32) GB_B(request_signature_digest, GB_REQUIRED, 32)
        GB_N(reason, GB_REQUIRED, GB_U32_MAX)
    };
    #undef GB_S
    #define GB_S gb_snapshot_header
    static const gb_field gb_snapshot_message_fields[] = {
        GB_T(trust_domain, GB_DOMAIN, GB_REQUIRED, 1, 100)
        GB_N(version, GB_REQUIRED, GB_U64_MAX)
        GB_N(log_position, 0, GB_U64_MAX)
        GB_TIME(created_at_ms) GB_TIME(alarm_after_ms) GB_TIME(refuse_after_ms)
        GB_T(scope, GB_SCOPE, GB_REQUIRED, 1, 200)
        GB_B(tables_digest, GB_REQUIRED, 32)
        GB_N(tables_size, GB_REQUIRED, GB_U64_MAX)
    };
    #undef GB_S

    GB_DECLARE(gb_request_message, gb_request)
    GB_DECLARE(gb_response_message, gb_response)
    GB_DECLARE(gb_signature_message, gb_signature)
    GB_DECLARE(gb_admission_message, gb_admission)
    GB_DECLARE(gb_receipt_message, gb_receipt)
    GB_DECLARE(gb_gate_key_message, gb_gate_key)
    GB_DECLARE(gb_refusal_message, gb_refusal)
    GB_DECLARE(gb_snapshot_message, gb_snapshot_header)
    """
    enum:
        GB_ANY
        GB_SPIFFE
        GB_METHOD
        GB_PURPOSE
        GB_TOKEN
        GB_PSEUDONYM
        GB_DOMAIN
        GB_SCOPE
        GB_NODES
        GB_REQUIRED
        GB_RESERVED
        GB_NUMBER
        GB_SIGNED

    ctypedef struct gb_field:
        unsigned short offset
        unsigned char text
        unsigned char flags
        unsigned int min
        unsigned long long max
    ctypedef struct gb_message:
        const gb_field* fields
        unsigned int count
        unsigned int size

    ctypedef struct gb_request:
        gb_span request_id, client, provider, broker, method, body_commitment
        long long issued_at_ms, not_after_ms
        gb_span purpose, case_id, grant_id, official, on_behalf_of, official_token_digest, idempotency_key
    ctypedef struct gb_response:
        gb_span request_digest, provider, body_commitment
        unsigned long long message_count, grpc_status
        gb_span grpc_message_digest, details_digest
        long long time_ms
        gb_span subject_handles
        unsigned long long subject_count
    ctypedef struct gb_signature:
        gb_span key_id
        unsigned long long algorithm, size, index
        gb_span path, value
    ctypedef struct gb_admission:
        gb_span entry_salt, broker
        unsigned long long sequence
        long long intent_time_ms
        unsigned long long snapshot_version
        gb_span request_digest, request_signature_digest
    ctypedef struct gb_receipt:
        gb_span entry_salt, broker
        unsigned long long intent_sequence, outcome_sequence
        long long intent_time_ms, outcome_time_ms
        unsigned long long snapshot_version
        gb_span request_digest, response_digest, response_signature_digest
        unsigned long long outcome, reason, messages_released, bytes_released
        gb_span released_commitment
        long long merge_deadline_ms
    ctypedef struct gb_gate_key:
        gb_span broker, public_key
        long long not_before_ms, not_after_ms
    ctypedef struct gb_refusal:
        gb_span entry_salt, broker
        unsigned long long sequence
        long long time_ms
        unsigned long long snapshot_version
        gb_span request_digest, request_signature_digest
        unsigned long long reason
    ctypedef struct gb_snapshot_header:
        gb_span trust_domain
        unsigned long long version, log_position
        long long created_at_ms, alarm_after_ms, refuse_after_ms
        gb_span scope, tables_digest
        unsigned long long tables_size

    const gb_message gb_request_message
    const gb_message gb_response_message
    const gb_message gb_signature_message
    const gb_message gb_admission_message
    const gb_message gb_receipt_message
    const gb_message gb_gate_key_message
    const gb_message gb_refusal_message
    const gb_message gb_snapshot_message
