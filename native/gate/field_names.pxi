# From the codec's errors to reasons and field names; numbers are those of govbus.exchange.v1.RequestHeader.

cdef extern from *:
    """
    static const char *const gate_request_fields[16] = {
        "", "request_id", "client", "provider", "broker", "method", "body_commitment", "issued_at_ms", "not_after_ms",
        "purpose", "case_id", "grant_id", "official", "on_behalf_of", "official_token_digest", "idempotency_key"};
    """
    const char *const gate_request_fields[16]

cdef inline const char *request_field_name(int field) noexcept nogil:
    return gate_request_fields[field if 0 <= field <= 15 else 0]

cdef inline u32 codec_reason(int error) noexcept nogil:
    if error == GB_E_LENGTH or error == GB_E_RANGE or error == GB_E_CHARSET or error == GB_E_REQUIRED:
        return GB_R_FIELD_INVALID
    if error == GB_E_NOT_SUPPORTED:
        return GB_R_FIELD_NOT_SUPPORTED
    if error == GB_E_PERSONAL:
        return GB_R_IDENTIFIER_PERSONAL
    return GB_R_HEADER_NOT_CANONICAL
