# Names of the fields that a refusal may name; numbers are those of govbus.exchange.v1.RequestHeader.

cdef extern from *:
    """
    static const char *const gate_request_fields[16] = {
        "", "request_id", "client", "provider", "broker", "method", "body_commitment", "issued_at_ms", "not_after_ms",
        "purpose", "case_id", "grant_id", "official", "on_behalf_of", "official_token_digest", "idempotency_key"};
    """
    const char *const gate_request_fields[16]

cdef inline const char *request_field_name(int field) noexcept nogil:
    return gate_request_fields[field if 0 <= field <= 15 else 0]
