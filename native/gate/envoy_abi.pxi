# Envoy 1.40's dynamic module ABI (version string "v0.2.0"), exactly the part the gate uses.
#
# Decides nothing: names, types, numbers. Facts come from source/extensions/dynamic_modules/abi/abi.h of
# envoyproxy/envoy, checked against `nm -D` of the pinned binary; behaviour is in ENVOY_FACTS.md.
#
# Rules that hold everywhere below
#  1. Threads. W = the worker that runs the stream, inside a hook of that stream (its `scheduled` included).
#     M = the main thread. A = any thread. What is marked W from another thread is memory corruption, not an error.
#  2. A `buf` that Envoy fills points into Envoy's memory: valid until the current hook returns or until the next
#     setter on the same header map or body, whichever is first. Keep bytes, never the pointer.
#  3. A `buf` we pass is copied before the callback returns (send_response, set_header, tags, labels, log).
#  4. bool results: true = done. On false the output is not to be read.
#  5. After `send_response` or `reset_stream` the stream may already be destroyed: return, touch nothing.
#
# The C prototypes are weak under GATE_WEAK, so the same source imports into Python, where no Envoy answers.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdbool.h>
    #include <stddef.h>
    #include <stdint.h>
    #ifdef GATE_WEAK
    #define GATE_ENVOY extern __attribute__((weak))
    #else
    #define GATE_ENVOY extern
    #endif
    #define GATE_CB(name) envoy_dynamic_module_callback_##name

    typedef struct { const char *ptr; size_t length; } envoy_buf;
    typedef struct { const char *key; size_t key_length; const char *value; size_t value_length; } envoy_header;
    typedef void (*envoy_done_fn)(void *context);

    GATE_ENVOY void GATE_CB(log)(unsigned level, envoy_buf message);
    GATE_ENVOY bool GATE_CB(log_enabled)(unsigned level);
    GATE_ENVOY uint32_t GATE_CB(get_concurrency)(void);
    GATE_ENVOY bool GATE_CB(is_validation_mode)(void);

    GATE_ENVOY bool GATE_CB(http_get_header)(void *f, unsigned map, envoy_buf key, envoy_buf *out, size_t index, size_t *count);
    GATE_ENVOY size_t GATE_CB(http_get_headers_size)(void *f, unsigned map);
    GATE_ENVOY bool GATE_CB(http_get_headers)(void *f, unsigned map, envoy_header *out);
    GATE_ENVOY bool GATE_CB(http_set_header)(void *f, unsigned map, envoy_buf key, envoy_buf value);
    GATE_ENVOY bool GATE_CB(http_add_header)(void *f, unsigned map, envoy_buf key, envoy_buf value);
    GATE_ENVOY void GATE_CB(http_send_response)(void *f, uint32_t status, envoy_header *headers, size_t n, envoy_buf body, envoy_buf details);
    GATE_ENVOY size_t GATE_CB(http_get_body_size)(void *f, unsigned body);
    GATE_ENVOY size_t GATE_CB(http_get_body_chunks_size)(void *f, unsigned body);
    GATE_ENVOY bool GATE_CB(http_get_body_chunks)(void *f, unsigned body, envoy_buf *out);
    GATE_ENVOY bool GATE_CB(http_append_body)(void *f, unsigned body, envoy_buf data);
    GATE_ENVOY bool GATE_CB(http_drain_body)(void *f, unsigned body, size_t bytes);
    GATE_ENVOY bool GATE_CB(http_received_buffered_request_body)(void *f);
    GATE_ENVOY bool GATE_CB(http_received_buffered_response_body)(void *f);
    GATE_ENVOY uint64_t GATE_CB(http_get_buffer_limit)(void *f);
    GATE_ENVOY void GATE_CB(http_set_buffer_limit)(void *f, uint64_t bytes);
    GATE_ENVOY bool GATE_CB(http_filter_get_attribute_string)(void *f, unsigned attribute, envoy_buf *out);
    GATE_ENVOY bool GATE_CB(http_filter_get_attribute_int)(void *f, unsigned attribute, uint64_t *out);
    GATE_ENVOY bool GATE_CB(http_filter_get_attribute_bool)(void *f, unsigned attribute, bool *out);
    GATE_ENVOY uint32_t GATE_CB(http_filter_get_worker_index)(void *f);
    GATE_ENVOY void GATE_CB(http_clear_route_cache)(void *f);
    GATE_ENVOY bool GATE_CB(http_get_cluster_name)(void *f, envoy_buf *out);
    GATE_ENVOY void GATE_CB(http_filter_continue_decoding)(void *f);
    GATE_ENVOY void GATE_CB(http_filter_continue_encoding)(void *f);
    GATE_ENVOY void GATE_CB(http_filter_reset_stream)(void *f, unsigned reason, envoy_buf details);
    GATE_ENVOY void *GATE_CB(http_filter_scheduler_new)(void *f);
    GATE_ENVOY void GATE_CB(http_filter_scheduler_commit)(void *scheduler, uint64_t event);
    GATE_ENVOY void GATE_CB(http_filter_scheduler_delete)(void *scheduler);
    GATE_ENVOY void *GATE_CB(http_filter_config_scheduler_new)(void *config);
    GATE_ENVOY void GATE_CB(http_filter_config_scheduler_commit)(void *scheduler, uint64_t event);
    GATE_ENVOY void GATE_CB(http_filter_config_scheduler_delete)(void *scheduler);
    GATE_ENVOY void *GATE_CB(http_get_active_span)(void *f);
    GATE_ENVOY void GATE_CB(http_span_set_tag)(void *span, envoy_buf key, envoy_buf value);
    GATE_ENVOY void GATE_CB(http_span_set_operation)(void *span, envoy_buf operation);
    GATE_ENVOY bool GATE_CB(http_span_get_trace_id)(void *span, envoy_buf *out);

    GATE_ENVOY unsigned GATE_CB(http_filter_config_define_counter)(void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id);
    GATE_ENVOY unsigned GATE_CB(http_filter_config_define_gauge)(void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id);
    GATE_ENVOY unsigned GATE_CB(http_filter_config_define_histogram)(void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id);
    GATE_ENVOY unsigned GATE_CB(http_filter_increment_counter)(void *f, size_t id, envoy_buf *values, size_t n, uint64_t by);
    GATE_ENVOY unsigned GATE_CB(http_filter_set_gauge)(void *f, size_t id, envoy_buf *values, size_t n, uint64_t to);
    GATE_ENVOY unsigned GATE_CB(http_filter_record_histogram_value)(void *f, size_t id, envoy_buf *values, size_t n, uint64_t value);
    GATE_ENVOY unsigned GATE_CB(http_filter_config_increment_counter)(void *config, size_t id, envoy_buf *values, size_t n, uint64_t by);
    GATE_ENVOY unsigned GATE_CB(http_filter_config_set_gauge)(void *config, size_t id, envoy_buf *values, size_t n, uint64_t to);

    GATE_ENVOY void GATE_CB(bootstrap_extension_config_signal_init_complete)(void *config);
    GATE_ENVOY void *GATE_CB(bootstrap_extension_config_scheduler_new)(void *config);
    GATE_ENVOY void GATE_CB(bootstrap_extension_config_scheduler_commit)(void *scheduler, uint64_t event);
    GATE_ENVOY void GATE_CB(bootstrap_extension_config_scheduler_delete)(void *scheduler);
    GATE_ENVOY void *GATE_CB(bootstrap_extension_timer_new)(void *config);
    GATE_ENVOY void GATE_CB(bootstrap_extension_timer_enable)(void *timer, uint64_t milliseconds);
    GATE_ENVOY void GATE_CB(bootstrap_extension_timer_delete)(void *timer);
    GATE_ENVOY unsigned GATE_CB(bootstrap_extension_config_define_counter)(void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id);
    GATE_ENVOY unsigned GATE_CB(bootstrap_extension_config_define_gauge)(void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id);
    GATE_ENVOY unsigned GATE_CB(bootstrap_extension_config_increment_counter)(void *config, size_t id, envoy_buf *values, size_t n, uint64_t by);
    GATE_ENVOY unsigned GATE_CB(bootstrap_extension_config_set_gauge)(void *config, size_t id, envoy_buf *values, size_t n, uint64_t to);
    """
    ctypedef bint cbool "_Bool"                      # hooks take and callbacks give C's bool: one byte, not an int

    ctypedef struct envoy_buf:                       # by value in every signature
        const char *ptr
        size_t length

    ctypedef struct envoy_header:
        const char *key
        size_t key_length
        const char *value
        size_t value_length

    ctypedef void (*envoy_done_fn)(void *context) noexcept nogil

    # --- process (A) -------------------------------------------------------------------------------------------
    void envoy_log "envoy_dynamic_module_callback_log" (unsigned int level, envoy_buf message) noexcept nogil
    cbool envoy_log_enabled "envoy_dynamic_module_callback_log_enabled" (unsigned int level) noexcept nogil
    # M only. Workers = 0 .. concurrency-1.
    uint32_t envoy_concurrency "envoy_dynamic_module_callback_get_concurrency" () noexcept nogil
    # M only. True under `--mode validate`: config_new runs, so open no file and start no thread.
    cbool envoy_is_validation_mode "envoy_dynamic_module_callback_is_validation_mode" () noexcept nogil

    # --- headers and trailers (W); `map` is a HEADERS_* below ----------------------------------------------------
    # Value number `index` of a key (lower case). `count` (may be NULL) = how many values. False: none, or map absent.
    cbool envoy_get_header "envoy_dynamic_module_callback_http_get_header" (
        void *f, unsigned int map, envoy_buf key, envoy_buf *out, size_t index, size_t *count) noexcept nogil
    # Entries, pseudo headers included; 0 also when the map does not exist (yet).
    size_t envoy_headers_size "envoy_dynamic_module_callback_http_get_headers_size" (void *f, unsigned int map) noexcept nogil
    # `out` has room for headers_size entries.
    cbool envoy_get_headers "envoy_dynamic_module_callback_http_get_headers" (
        void *f, unsigned int map, envoy_header *out) noexcept nogil
    # Replaces all values of the key. A value with ptr NULL removes the key. False: the map does not exist.
    cbool envoy_set_header "envoy_dynamic_module_callback_http_set_header" (
        void *f, unsigned int map, envoy_buf key, envoy_buf value) noexcept nogil
    # Adds one more value, keeps those there.
    cbool envoy_add_header "envoy_dynamic_module_callback_http_add_header" (
        void *f, unsigned int map, envoy_buf key, envoy_buf value) noexcept nogil

    # --- answering and ending (W); rule 5; never inside on_http_filter_local_reply: Envoy crashes ------------------
    # `details` becomes response.code_details: ASCII without spaces, never personal data.
    void envoy_send_response "envoy_dynamic_module_callback_http_send_response" (
        void *f, uint32_t status, envoy_header *headers, size_t n, envoy_buf body, envoy_buf details) noexcept nogil
    # reason: RESET_*.
    void envoy_reset_stream "envoy_dynamic_module_callback_http_filter_reset_stream" (
        void *f, unsigned int reason, envoy_buf details) noexcept nogil

    # --- bodies (W); `body` is a BODY_*; RECEIVED ones exist only inside the matching body hook ------------------
    size_t envoy_body_size "envoy_dynamic_module_callback_http_get_body_size" (void *f, unsigned int body) noexcept nogil
    size_t envoy_body_chunks_size "envoy_dynamic_module_callback_http_get_body_chunks_size" (void *f, unsigned int body) noexcept nogil
    # `out` has room for body_chunks_size entries.
    cbool envoy_body_chunks "envoy_dynamic_module_callback_http_get_body_chunks" (
        void *f, unsigned int body, envoy_buf *out) noexcept nogil
    cbool envoy_append_body "envoy_dynamic_module_callback_http_append_body" (
        void *f, unsigned int body, envoy_buf data) noexcept nogil
    cbool envoy_drain_body "envoy_dynamic_module_callback_http_drain_body" (
        void *f, unsigned int body, size_t count) noexcept nogil
    # True inside a body hook that is handed what another filter had buffered (BODY_*_RECEIVED is then that buffer).
    cbool envoy_request_body_was_buffered "envoy_dynamic_module_callback_http_received_buffered_request_body" (void *f) noexcept nogil
    cbool envoy_response_body_was_buffered "envoy_dynamic_module_callback_http_received_buffered_response_body" (void *f) noexcept nogil
    # Bytes one stream may hold for us before Envoy answers 413 (request) or 500 (response) itself. 0 = no limit.
    uint64_t envoy_buffer_limit "envoy_dynamic_module_callback_http_get_buffer_limit" (void *f) noexcept nogil
    void envoy_set_buffer_limit "envoy_dynamic_module_callback_http_set_buffer_limit" (void *f, uint64_t limit) noexcept nogil

    # --- facts about stream and connection (W); False: not known (yet), or of another type -----------------------
    cbool envoy_attribute_string "envoy_dynamic_module_callback_http_filter_get_attribute_string" (
        void *f, unsigned int attribute, envoy_buf *out) noexcept nogil
    cbool envoy_attribute_int "envoy_dynamic_module_callback_http_filter_get_attribute_int" (
        void *f, unsigned int attribute, uint64_t *out) noexcept nogil
    cbool envoy_attribute_bool "envoy_dynamic_module_callback_http_filter_get_attribute_bool" (
        void *f, unsigned int attribute, cbool *out) noexcept nogil
    uint32_t envoy_worker_index "envoy_dynamic_module_callback_http_filter_get_worker_index" (void *f) noexcept nogil
    # The cluster the current route leads to.
    cbool envoy_cluster_name "envoy_dynamic_module_callback_http_get_cluster_name" (void *f, envoy_buf *out) noexcept nogil

    # --- going on (W) --------------------------------------------------------------------------------------------
    # Forgets the route: call after setting the routing header, before continuing.
    void envoy_clear_route_cache "envoy_dynamic_module_callback_http_clear_route_cache" (void *f) noexcept nogil
    void envoy_continue_decoding "envoy_dynamic_module_callback_http_filter_continue_decoding" (void *f) noexcept nogil
    void envoy_continue_encoding "envoy_dynamic_module_callback_http_filter_continue_encoding" (void *f) noexcept nogil

    # --- waking a stream: new W, commit A, delete A; we own the object -------------------------------------------
    void *envoy_scheduler_new "envoy_dynamic_module_callback_http_filter_scheduler_new" (void *f) noexcept nogil
    # Runs on_http_filter_scheduled(event) on the stream's worker; nothing if the filter is gone by then.
    void envoy_scheduler_commit "envoy_dynamic_module_callback_http_filter_scheduler_commit" (void *s, uint64_t event) noexcept nogil
    void envoy_scheduler_delete "envoy_dynamic_module_callback_http_filter_scheduler_delete" (void *s) noexcept nogil
    # The same for a filter configuration: new M, commit A; on_http_filter_config_scheduled runs on M.
    void *envoy_config_scheduler_new "envoy_dynamic_module_callback_http_filter_config_scheduler_new" (void *config) noexcept nogil
    void envoy_config_scheduler_commit "envoy_dynamic_module_callback_http_filter_config_scheduler_commit" (void *s, uint64_t event) noexcept nogil
    void envoy_config_scheduler_delete "envoy_dynamic_module_callback_http_filter_config_scheduler_delete" (void *s) noexcept nogil

    # --- tracing (W) ---------------------------------------------------------------------------------------------
    # NULL when no tracer is configured. Envoy's object, lives as long as the stream.
    void *envoy_active_span "envoy_dynamic_module_callback_http_get_active_span" (void *f) noexcept nogil
    void envoy_span_set_tag "envoy_dynamic_module_callback_http_span_set_tag" (void *span, envoy_buf key, envoy_buf value) noexcept nogil
    void envoy_span_set_operation "envoy_dynamic_module_callback_http_span_set_operation" (void *span, envoy_buf operation) noexcept nogil
    # Hex; valid until the next tracing callback on this thread.
    cbool envoy_span_trace_id "envoy_dynamic_module_callback_http_span_get_trace_id" (void *span, envoy_buf *out) noexcept nogil

    # --- metrics: define only inside config_new (M); afterwards METRIC_FROZEN. Return METRIC_*. ------------------
    # `n` label values must be as many as label names were. labels may be NULL with n = 0.
    unsigned int envoy_define_counter "envoy_dynamic_module_callback_http_filter_config_define_counter" (
        void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id) noexcept nogil
    unsigned int envoy_define_gauge "envoy_dynamic_module_callback_http_filter_config_define_gauge" (
        void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id) noexcept nogil
    unsigned int envoy_define_histogram "envoy_dynamic_module_callback_http_filter_config_define_histogram" (
        void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id) noexcept nogil
    unsigned int envoy_increment_counter "envoy_dynamic_module_callback_http_filter_increment_counter" (
        void *f, size_t id, envoy_buf *values, size_t n, uint64_t by) noexcept nogil
    unsigned int envoy_set_gauge "envoy_dynamic_module_callback_http_filter_set_gauge" (
        void *f, size_t id, envoy_buf *values, size_t n, uint64_t to) noexcept nogil
    unsigned int envoy_record_histogram "envoy_dynamic_module_callback_http_filter_record_histogram_value" (
        void *f, size_t id, envoy_buf *values, size_t n, uint64_t value) noexcept nogil
    # The same by configuration, outside a stream (M, or W while the configuration lives).
    unsigned int envoy_config_increment_counter "envoy_dynamic_module_callback_http_filter_config_increment_counter" (
        void *config, size_t id, envoy_buf *values, size_t n, uint64_t by) noexcept nogil
    unsigned int envoy_config_set_gauge "envoy_dynamic_module_callback_http_filter_config_set_gauge" (
        void *config, size_t id, envoy_buf *values, size_t n, uint64_t to) noexcept nogil

    # --- bootstrap extension: what belongs to the process --------------------------------------------------------
    # M, exactly once: until it is called no listener opens.
    void envoy_boot_init_complete "envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete" (void *config) noexcept nogil
    # new M, commit A, delete A; on_bootstrap_extension_config_scheduled runs on M.
    void *envoy_boot_scheduler_new "envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_new" (void *config) noexcept nogil
    void envoy_boot_scheduler_commit "envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_commit" (void *s, uint64_t event) noexcept nogil
    void envoy_boot_scheduler_delete "envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_delete" (void *s) noexcept nogil
    # All M; on_bootstrap_extension_timer_fired runs on M, once for each enable.
    void *envoy_boot_timer_new "envoy_dynamic_module_callback_bootstrap_extension_timer_new" (void *config) noexcept nogil
    void envoy_boot_timer_enable "envoy_dynamic_module_callback_bootstrap_extension_timer_enable" (
        void *timer, uint64_t milliseconds) noexcept nogil
    void envoy_boot_timer_delete "envoy_dynamic_module_callback_bootstrap_extension_timer_delete" (void *timer) noexcept nogil
    # Metrics that survive every filter configuration: define in on_bootstrap_extension_config_new. Without labels the
    # increment is an atomic add (A); with labels it leaks and races: M only, and seldom.
    unsigned int envoy_boot_define_counter "envoy_dynamic_module_callback_bootstrap_extension_config_define_counter" (
        void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id) noexcept nogil
    unsigned int envoy_boot_define_gauge "envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge" (
        void *config, envoy_buf name, envoy_buf *labels, size_t n, size_t *id) noexcept nogil
    unsigned int envoy_boot_increment_counter "envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter" (
        void *config, size_t id, envoy_buf *values, size_t n, uint64_t by) noexcept nogil
    unsigned int envoy_boot_set_gauge "envoy_dynamic_module_callback_bootstrap_extension_config_set_gauge" (
        void *config, size_t id, envoy_buf *values, size_t n, uint64_t to) noexcept nogil

cdef enum:
    # header maps
    HEADERS_REQUEST = 0
    TRAILERS_REQUEST = 1
    HEADERS_RESPONSE = 2
    TRAILERS_RESPONSE = 3
    # bodies
    BODY_REQUEST_RECEIVED = 0
    BODY_REQUEST_BUFFERED = 1
    BODY_RESPONSE_RECEIVED = 2
    BODY_RESPONSE_BUFFERED = 3
    # what a headers hook returns
    ENVOY_HEADERS_CONTINUE = 0
    ENVOY_HEADERS_STOP = 1                       # body hooks still run
    ENVOY_HEADERS_CONTINUE_NO_END = 2
    ENVOY_HEADERS_STOP_ALL_BUFFER = 3            # body hooks wait too, until continue
    ENVOY_HEADERS_STOP_ALL_WATERMARK = 4
    # what a body hook returns
    ENVOY_BODY_CONTINUE = 0
    ENVOY_BODY_STOP_BUFFER = 1
    ENVOY_BODY_STOP_WATERMARK = 2
    ENVOY_BODY_STOP_NO_BUFFER = 3
    # what a trailers hook returns
    ENVOY_TRAILERS_CONTINUE = 0
    ENVOY_TRAILERS_STOP = 1
    # what on_http_filter_local_reply returns
    ENVOY_LOCAL_REPLY_CONTINUE = 0
    ENVOY_LOCAL_REPLY_RESET = 1
    # reset_stream reasons
    ENVOY_RESET_LOCAL = 0
    ENVOY_RESET_REFUSED = 1
    # log levels
    ENVOY_LOG_TRACE = 0
    ENVOY_LOG_DEBUG = 1
    ENVOY_LOG_INFO = 2
    ENVOY_LOG_WARN = 3
    ENVOY_LOG_ERROR = 4
    ENVOY_LOG_CRITICAL = 5
    # metric results
    METRIC_OK = 0
    METRIC_NOT_FOUND = 1
    METRIC_INVALID_LABELS = 2
    METRIC_FROZEN = 3
    # attributes: s = string, i = integer, b = bool
    ATTR_REQUEST_PATH = 0                        # s
    ATTR_REQUEST_HOST = 2                        # s
    ATTR_REQUEST_METHOD = 4                      # s
    ATTR_REQUEST_ID = 9                          # s
    ATTR_REQUEST_PROTOCOL = 10                   # s, "HTTP/2"
    ATTR_REQUEST_DURATION = 12                   # i
    ATTR_REQUEST_SIZE = 13                       # i
    ATTR_RESPONSE_CODE = 15                      # i
    ATTR_RESPONSE_CODE_DETAILS = 16              # s
    ATTR_RESPONSE_FLAGS = 17                     # i, bit set
    ATTR_RESPONSE_GRPC_STATUS = 18               # i
    ATTR_SOURCE_ADDRESS = 24                     # s
    ATTR_CONNECTION_ID = 28                      # i
    ATTR_CONNECTION_MTLS = 29                    # b
    ATTR_CONNECTION_SNI = 30                     # s
    ATTR_CONNECTION_TLS_VERSION = 31             # s
    ATTR_CONNECTION_SUBJECT_PEER = 33            # s
    ATTR_CONNECTION_DNS_SAN_PEER = 35            # s
    ATTR_CONNECTION_URI_SAN_PEER = 37            # s
    ATTR_CONNECTION_SHA256_PEER = 38             # s, hex
    ATTR_CONNECTION_TRANSPORT_FAILURE = 39       # s
    ATTR_CONNECTION_TERMINATION_DETAILS = 40     # s
    ATTR_UPSTREAM_ADDRESS = 41                   # s
    ATTR_UPSTREAM_SHA256_PEER = 50               # s
    ATTR_UPSTREAM_TRANSPORT_FAILURE = 52         # s
    ATTR_UPSTREAM_ATTEMPTS = 53                  # i

# The hooks we write (`cdef public`, name `envoy_dynamic_module_on_` + the one here). `c` = what config_new returned,
# `m` = what http_filter_new returned (neither may be NULL: NULL means refused), `f` = Envoy's filter, `b`/`x` likewise
# for the bootstrap extension. Those not listed are in envoy_unused_hooks.pxi.
#   const char *program_init()                                        M   the ABI version string; NULL = refuse to load
#   const void *http_filter_config_new(void *cfg, envoy_buf name, envoy_buf config)   M
#   void http_filter_config_destroy(const void *c)                    M or W (the last stream that used it)
#   const void *http_filter_new(const void *c, void *f)               W
#   unsigned http_filter_request_headers(void *f, const void *m, cbool end)           W
#   unsigned http_filter_request_body(void *f, const void *m, cbool end)              W
#   unsigned http_filter_request_trailers(void *f, const void *m)                     W
#   unsigned http_filter_response_headers / _body / _trailers         the same shapes
#   unsigned http_filter_local_reply(void *f, const void *m, uint32_t status, envoy_buf details, cbool reset_imminent)
#   void http_filter_scheduled(void *f, const void *m, uint64_t event)                W
#   void http_filter_stream_complete(void *f, const void *m)          W   attributes are final, `f` still usable
#   void http_filter_destroy(const void *m)                           W   `f` is gone
#   void http_filter_config_scheduled(void *cfg, const void *c, uint64_t event)       M
#   const void *bootstrap_extension_config_new(void *cfg, envoy_buf name, envoy_buf config)   M
#   void bootstrap_extension_config_destroy(const void *b)            M
#   const void *bootstrap_extension_new(const void *b, void *ext)     M
#   void bootstrap_extension_destroy(const void *x)                   M   last: join threads, close files here
#   void bootstrap_extension_server_initialized(void *ext, const void *x)             M
#   void bootstrap_extension_worker_thread_initialized(void *ext, const void *x)      M, once
#   void bootstrap_extension_drain_started(void *ext, const void *x)  M
#   void bootstrap_extension_shutdown(void *ext, const void *x, envoy_done_fn done, void *context)   M; call done once;
#        streams still live and end after it; not called if start-up failed
#   void bootstrap_extension_config_scheduled(void *cfg, const void *b, uint64_t event)       M
