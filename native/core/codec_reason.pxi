# Which refusal a decoding error is. Needs codec.pxi, reasons.pxi.

cdef inline u32 gb_codec_reason(int error) noexcept nogil:
    """The reason of a GB_E_*; those that have a field name it in ErrorInfo's metadata."""
    if error == GB_E_LENGTH or error == GB_E_RANGE or error == GB_E_CHARSET or error == GB_E_REQUIRED:
        return GB_R_FIELD_INVALID
    if error == GB_E_NOT_SUPPORTED:
        return GB_R_FIELD_NOT_SUPPORTED
    if error == GB_E_PERSONAL:
        return GB_R_IDENTIFIER_PERSONAL
    return GB_R_HEADER_NOT_CANONICAL
