# Hooks that Envoy 1.40 looks up when it loads a filter or a bootstrap extension, and that the gate has no use for.
#
# A module that lacks one of them is refused; the gate makes no callouts, opens no side streams and registers no
# watches or admin paths, so none of these ever runs. Included once, in the gate's one compilation unit.

cdef public void envoy_dynamic_module_on_http_filter_http_callout_done(
        void *f, const void *m, uint64_t callout, unsigned int result, envoy_header *headers, size_t n,
        envoy_buf *chunks, size_t chunk_count) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_http_stream_headers(
        void *f, const void *m, uint64_t stream, envoy_header *headers, size_t n, cbool end) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_http_stream_data(
        void *f, const void *m, uint64_t stream, const envoy_buf *data, size_t n, cbool end) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_http_stream_trailers(
        void *f, const void *m, uint64_t stream, envoy_header *trailers, size_t n) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_http_stream_complete(
        void *f, const void *m, uint64_t stream) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_http_stream_reset(
        void *f, const void *m, uint64_t stream, unsigned int reason) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
        void *f, const void *m) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
        void *f, const void *m) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_http_callout_done(
        void *config, const void *b, uint64_t callout, unsigned int result, envoy_header *headers, size_t n,
        envoy_buf *chunks, size_t chunk_count) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_file_changed(
        void *config, const void *b, envoy_buf path, uint32_t events) noexcept nogil:
    pass

cdef public uint32_t envoy_dynamic_module_on_bootstrap_extension_admin_request(
        void *config, const void *b, envoy_buf method, envoy_buf path, envoy_buf body) noexcept nogil:
    return 404

cdef public void envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update(
        void *config, const void *b, envoy_buf name) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_cluster_removal(
        void *config, const void *b, envoy_buf name) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update(
        void *config, const void *b, envoy_buf name) noexcept nogil:
    pass

cdef public void envoy_dynamic_module_on_bootstrap_extension_listener_removal(
        void *config, const void *b, envoy_buf name) noexcept nogil:
    pass
