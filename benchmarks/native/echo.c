/*
 * A provider that answers every call with the bytes it got, signed as the protocol asks: request digest, fresh salt,
 * commitment; one signature for what one turn of the event loop finished, at most --batch at a time. It verifies nothing:
 * the measured party does. Brokers connect to it by mutual TLS.
 *
 *   echo --listen HOST:PORT --chain PEM --key PEM --trust PEM --id SPIFFE --signing-key PEM [--batch N] [--unsigned]
 *
 * Prints {"port": N}. Then one command a line on standard input: "batch N" changes the limit, "stats" prints and clears
 * the counters; the end of input ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "connection.h"
#include "signer.h"

enum { BODY_MAX = 4 * 1024 * 1024 + 5, PENDING_MAX = 8192, EVENTS = 256, FIELD_MAX = 1024 };

struct peer {
    struct connection c; /* first: epoll hands it back */
    struct call *calls;
};

struct call {
    struct peer *peer; /* NULL once the stream is gone */
    struct call *next, **link;
    int32_t stream;
    int pending;
    unsigned char request[HEADER_MAX];
    size_t request_n;
    unsigned char *body;
    size_t body_n, body_cap, body_at;
    char header[FIELD_MAX], signature[FIELD_MAX], salt[48];
    size_t header_n, signature_n, salt_n;
};

static SSL_CTX *tls;
static void *signer;
static const char *identity;
static long batch_limit;
static int is_unsigned, epoll, listener;
static nghttp2_session_callbacks *callbacks;
static struct call *pending[PENDING_MAX];
static size_t pending_n;
static struct { unsigned long long calls, batches, connections; } counters;

/* --- a stream from its first header to its end ------------------------------------------------------------------- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *owner) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
    call->peer = owner;
    call->stream = frame->hd.stream_id;
    call->link = &call->peer->calls;
    call->next = call->peer->calls;
    if (call->next != NULL) call->next->link = &call->next;
    call->peer->calls = call;
    return nghttp2_session_set_stream_user_data(session, call->stream, call);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *owner) {
    (void)flags;
    (void)owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL || name_n != 18 || memcmp(name, "govbus-request-bin", 18) != 0) return 0;
    ssize_t n = bench_b64_decode(value, value_n, call->request, sizeof call->request);
    call->request_n = n > 0 ? (size_t)n : 0;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *owner) {
    (void)flags;
    (void)owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL || call->body_n + n > BODY_MAX) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (call->body_n + n > call->body_cap) {
        size_t cap = (call->body_n + n) * 2;
        unsigned char *grown = realloc(call->body, cap);
        if (grown == NULL) return NGHTTP2_ERR_CALLBACK_FAILURE;
        call->body = grown;
        call->body_cap = cap;
    }
    memcpy(call->body + call->body_n, data, n);
    call->body_n += n;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner) {
    (void)owner;
    int carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS; /* elsewhere the bit means ACK */
    if (!carries || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL || call->pending || pending_n == PENDING_MAX) return NGHTTP2_ERR_CALLBACK_FAILURE;
    call->pending = 1;
    pending[pending_n++] = call;
    return 0;
}

/* The stream is gone. A pending call is still listed for an answer: it is freed there. */
static void forget(struct call *call) {
    *call->link = call->next;
    if (call->next != NULL) call->next->link = call->link;
    call->peer = NULL;
    if (call->pending) return;
    free(call->body);
    free(call);
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *owner) {
    (void)error;
    (void)owner;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call != NULL) forget(call);
    return 0;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *out, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *owner) {
    (void)owner;
    struct call *call = source->ptr;
    size_t n = call->body_n - call->body_at < cap ? call->body_n - call->body_at : cap;
    if (n > 0) memcpy(out, call->body + call->body_at, n);
    call->body_at += n;
    if (call->body_at == call->body_n) {
        nghttp2_nv trailers[4] = {header_constant("grpc-status", "0")};
        size_t count = 1;
        if (!is_unsigned) {
            trailers[count++] = header_once("govbus-response-bin", call->header, call->header_n);
            trailers[count++] = header_once("govbus-response-signature-bin", call->signature, call->signature_n);
            trailers[count++] = header_once("govbus-response-salt-bin", call->salt, call->salt_n);
        }
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, stream, trailers, count);
    }
    return (ssize_t)n;
}

static void sign_headers(struct call **calls, size_t n) {
    unsigned char bytes[HEADER_MAX], salt[32];
    long long now = bench_now_ms();
    for (size_t i = 0; i < n; i++) {
        struct call *c = calls[i];
        random_bytes(salt, 32);
        ssize_t size = bench_response(signer, identity, c->request, c->request_n, salt, c->body, c->body_n, now, bytes,
                                      sizeof bytes);
        if (size < 0 || bench_b64_encoded((size_t)size) > sizeof c->header) die("no response header: codec %zd", -size);
        c->header_n = bench_b64_encode(bytes, (size_t)size, (unsigned char *)c->header);
        c->salt_n = bench_b64_encode(salt, 32, (unsigned char *)c->salt);
    }
    if (bench_seal(signer) != 0) die("libcrypto did not sign");
    for (size_t i = 0; i < n; i++) {
        ssize_t size = bench_signature(signer, (unsigned int)i, bytes, sizeof bytes);
        if (size < 0) die("no signature");
        calls[i]->signature_n = bench_b64_encode(bytes, (size_t)size, (unsigned char *)calls[i]->signature);
    }
    counters.batches++;
}

static void answer(struct call *call) {
    call->pending = 0;
    if (call->peer == NULL) {
        free(call->body);
        free(call);
        return;
    }
    const nghttp2_nv headers[2] = {header_constant(":status", "200"), header_constant("content-type", "application/grpc")};
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
    if (nghttp2_submit_response(call->peer->c.session, call->stream, headers, 2, &body) != 0) die("no answer possible");
    counters.calls++;
}

static void answer_pending(void) {
    for (size_t at = 0; at < pending_n;) {
        size_t n = pending_n - at < (size_t)batch_limit ? pending_n - at : (size_t)batch_limit;
        if (!is_unsigned) sign_headers(pending + at, n);
        for (size_t i = 0; i < n; i++) answer(pending[at + i]);
        at += n;
    }
    pending_n = 0;
}

/* --- connections and commands ------------------------------------------------------------------------------------- */

static void accept_one(void) {
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 4096},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, BODY_MAX}};
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) die("no memory");
    struct connection *c = &peer->c;
    connection_accept(c, tls, fd, epoll);
    if (nghttp2_session_server_new(&c->session, callbacks, peer) != 0) die("no memory");
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 64 * 1024 * 1024);
    counters.connections++;
}

static void end_connection(struct peer *peer) {
    while (peer->calls != NULL) forget(peer->calls); /* nghttp2 closes streams silently when a session goes */
    connection_free(&peer->c);
    free(peer);
}

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static int command(void) {
    char line[64];
    long n;
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    if (sscanf(line, "batch %ld", &n) == 1 && n >= 1 && n <= BATCH_MAX) {
        batch_limit = n;
        printf("{\"batch\": %ld}\n", n);
    } else {
        printf("{\"calls\": %llu, \"batches\": %llu, \"connections\": %llu, \"cpu_seconds\": %.6f}\n", counters.calls,
               counters.batches, counters.connections, cpu_seconds());
        counters.calls = counters.batches = 0;
    }
    return 1;
}

static void open_listener(const char *address) {
    char host[64];
    int one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)split_address(address, host, sizeof host))};
    socklen_t size = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1) die("%s is no IPv4 address", host);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1024) != 0)
        die("%s: %s", address, strerror(errno));
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("{\"port\": %d}\n", ntohs(at.sin_port));
}

static void watch_plain(int fd, void *tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll: %s", strerror(errno));
}

static void serve(void) {
    struct epoll_event events[EVENTS];
    watch_plain(listener, &listener);
    watch_plain(STDIN_FILENO, &epoll);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &listener) {
                accept_one();
            } else if (events[i].data.ptr == &epoll) {
                if (!command()) return;
            } else {
                connection_read(events[i].data.ptr);
            }
        }
        answer_pending();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].data.ptr == &listener || events[i].data.ptr == &epoll) continue;
            if (!c->closed) connection_flush(c);
            if (c->closed) end_connection(events[i].data.ptr);
        }
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0); /* epoll must see every unread line */
    identity = option(argc, argv, "--id", NULL);
    signer = load_signer(option(argc, argv, "--signing-key", NULL));
    batch_limit = option_number(argc, argv, "--batch", "1024", 1, BATCH_MAX);
    is_unsigned = option_flag(argc, argv, "--unsigned");
    tls = tls_context(1, option(argc, argv, "--chain", NULL), option(argc, argv, "--key", NULL),
                      option(argc, argv, "--trust", NULL));
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    open_listener(option(argc, argv, "--listen", "127.0.0.1:0"));
    serve();
    return 0;
}
