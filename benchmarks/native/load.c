/*
 * A load client: plays a corpus of signed requests over mutual TLS, each request once, and measures every call.
 *
 *   load --connect HOST:PORT --name DNS --chain PEM --key PEM --trust PEM --corpus FILE --milliseconds N
 *        [--connections N] [--streams N] [--rate N] [--header name=value] [--expect-receipt]
 *
 * Closed loop: each connection keeps --streams calls open. With --rate, that many calls a second begin on a fixed
 * schedule, and a call's latency counts from its scheduled time, so a slow server cannot hide its queue.
 * When all connections are up it prints "ready" and waits for a line; at the end it prints one JSON object. Bodies must
 * come back as sent; receipts are looked for, not verified.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "connection.h"
#include "corpus.h"
#include "report.h"
#include "signer.h"

enum { EVENTS = 256, CONSTANTS_MAX = 12 };

struct lane {
    struct connection c; /* first: epoll hands it back */
    long active;
};

struct call {
    const struct corpus_record *record;
    long long begin_ns;
    size_t echoed, sent;
    struct outcome outcome;
};

static struct lane *lanes;
static long lane_count, streams, rate;
static const unsigned char *corpus_at;
static uint64_t corpus_left;
static nghttp2_nv headers[CONSTANTS_MAX + 3];
static size_t constant_n;
static long long start_ns, stop_ns, last_ns;
static uint64_t begun;
static long open_calls;

/* --- one call ----------------------------------------------------------------------------------------------------- */

static const unsigned char *record_text(const struct corpus_record *r) { return (const unsigned char *)(r + 1); }

static const unsigned char *record_body(const struct corpus_record *r) {
    return record_text(r) + r->request_n + r->signature_n + r->salt_n;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *owner) {
    (void)session;
    (void)stream;
    (void)owner;
    struct call *call = source->ptr;
    size_t n = call->record->body_n - call->sent < cap ? call->record->body_n - call->sent : cap;
    memcpy(out, record_body(call->record) + call->sent, n);
    call->sent += n;
    if (call->sent == call->record->body_n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void begin(struct lane *lane, long long begin_ns) {
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) die("no memory");
    const struct corpus_record *r = call->record = (const struct corpus_record *)corpus_at;
    call->begin_ns = begin_ns;
    outcome_init(&call->outcome);
    corpus_at += r->size;
    corpus_left--;
    const unsigned char *text = record_text(r);
    headers[constant_n] = header_once("govbus-request-bin", text, r->request_n);
    headers[constant_n + 1] = header_once("govbus-signature-bin", text + r->request_n, r->signature_n);
    headers[constant_n + 2] = header_once("govbus-salt-bin", text + r->request_n + r->signature_n, r->salt_n);
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
    if (nghttp2_submit_request(lane->c.session, NULL, headers, constant_n + 3, &body, call) < 0) die("no request possible");
    lane->active++;
    open_calls++;
    begun++;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *owner) {
    (void)flags;
    (void)owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call != NULL) outcome_header(&call->outcome, name, name_n, value, value_n);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *owner) {
    (void)flags;
    (void)owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL) return 0;
    const struct corpus_record *r = call->record;
    if (call->echoed + n > r->body_n || memcmp(data, record_body(r) + call->echoed, n) != 0)
        call->outcome.altered = 1;
    call->echoed += n;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *owner) {
    struct lane *lane = owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL) return 0;
    if (call->outcome.status == 0 && call->echoed != call->record->body_n) call->outcome.altered = 1;
    last_ns = bench_mono_ns();
    report_call(&call->outcome, error, last_ns - call->begin_ns);
    lane->active--;
    open_calls--;
    outcome_free(&call->outcome);
    free(call);
    return 0;
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void fill(struct lane *lane, long long now_ns) {
    while (rate == 0 && lane->active < streams && corpus_left > 0 && now_ns < stop_ns) begin(lane, now_ns);
}

/* Begins every call that is due, on the next lane that has room; nanoseconds until the following one. */
static long long begin_due(void) {
    static long next = 0;
    for (;;) {
        long long due_ns = start_ns + (long long)((double)begun * 1e9 / (double)rate);
        long long now_ns = bench_mono_ns();
        if (corpus_left == 0 || due_ns >= stop_ns) return 100000000;
        if (due_ns > now_ns) return due_ns - now_ns;
        long tried = 0;
        while (tried < lane_count && lanes[next].active >= streams) next = (next + 1) % lane_count, tried++;
        if (tried == lane_count) return 1000000;
        begin(&lanes[next], due_ns);
        connection_flush(&lanes[next].c);
        next = (next + 1) % lane_count;
    }
}

static void run(int epoll) {
    struct epoll_event events[EVENTS];
    struct timespec wait = {0, 100000000};
    for (long i = 0; i < lane_count; i++) {
        fill(&lanes[i], start_ns);
        connection_flush(&lanes[i].c);
    }
    while (open_calls > 0 || (corpus_left > 0 && bench_mono_ns() < stop_ns)) {
        if (rate > 0) wait.tv_nsec = begin_due();
        int n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct lane *lane = events[i].data.ptr;
            connection_read(&lane->c);
            if (lane->c.closed) die("the other side closed a connection");
            fill(lane, bench_mono_ns());
            connection_flush(&lane->c);
        }
        if (bench_mono_ns() > stop_ns + 15000000000LL) die("%ld calls never ended", open_calls);
    }
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

static const struct corpus_head *map_corpus(const char *path) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0 || (size_t)info.st_size < sizeof(struct corpus_head)) die("%s is no corpus", path);
    const struct corpus_head *head = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (head == MAP_FAILED || memcmp(head->magic, CORPUS_MAGIC, 8) != 0) die("%s is no corpus", path);
    close(fd);
    corpus_at = (const unsigned char *)(head + 1);
    corpus_left = head->count;
    return head;
}

static void make_headers(int argc, char **argv, const char *path, const char *name) {
    headers[constant_n++] = header_constant(":method", "POST");
    headers[constant_n++] = header_constant(":scheme", "https");
    headers[constant_n++] = header_constant(":path", path);
    headers[constant_n++] = header_constant(":authority", name);
    headers[constant_n++] = header_constant("content-type", "application/grpc");
    headers[constant_n++] = header_constant("te", "trailers");
    headers[constant_n++] = header_constant("user-agent", "govbus-load");
    headers[constant_n++] = header_constant("grpc-timeout", "10S");
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--header") != 0) continue;
        char *equals = strchr(argv[i + 1], '=');
        if (equals == NULL || constant_n == CONSTANTS_MAX) die("--header: name=value, at most %d", CONSTANTS_MAX - 8);
        *equals = 0;
        headers[constant_n++] = header_constant(argv[i + 1], equals + 1);
    }
}

static void open_lanes(int argc, char **argv, const char *name, int epoll) {
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4 * 1024 * 1024 + 5}};
    char host[64];
    int port = split_address(option(argc, argv, "--connect", NULL), host, sizeof host);
    SSL_CTX *tls = tls_context(0, option(argc, argv, "--chain", NULL), option(argc, argv, "--key", NULL),
                               option(argc, argv, "--trust", NULL));
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    lanes = calloc((size_t)lane_count, sizeof *lanes);
    if (lanes == NULL) die("no memory");
    for (long i = 0; i < lane_count; i++) {
        struct connection *c = &lanes[i].c;
        connection_connect(c, tls, host, port, name, epoll);
        if (nghttp2_session_client_new(&c->session, callbacks, &lanes[i]) != 0) die("no memory");
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 64 * 1024 * 1024);
        connection_flush(c);
    }
    nghttp2_session_callbacks_del(callbacks); /* each session has its copy */
}

int main(int argc, char **argv) {
    const struct corpus_head *head = map_corpus(option(argc, argv, "--corpus", NULL));
    const char *name = option(argc, argv, "--name", NULL);
    double seconds = (double)option_number(argc, argv, "--milliseconds", NULL, 1, 3600000) / 1e3;
    lane_count = option_number(argc, argv, "--connections", "8", 1, 1024);
    streams = option_number(argc, argv, "--streams", "32", 1, 1024);
    rate = option_number(argc, argv, "--rate", "0", 0, 10000000);
    report_init(head->count, option_flag(argc, argv, "--expect-receipt"));
    make_headers(argc, argv, head->path, name);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    open_lanes(argc, argv, name, epoll);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    start_ns = bench_mono_ns();
    stop_ns = start_ns + (long long)(seconds * 1e9);
    run(epoll);
    report_print((double)(last_ns - start_ns) / 1e9, corpus_left == 0);
    return 0;
}
