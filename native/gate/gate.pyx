# The Envoy gate: placeholder that answers the version string and nothing else.
cdef public const char *envoy_dynamic_module_on_program_init() noexcept nogil:
    return b"v0.2.0"
