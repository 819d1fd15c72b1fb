#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common.h"

enum { OUT_CAP = 64 * 1024, IN_CAP = 16 * 1024 };

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned int in_n,
                     void *unused) {
    (void)ssl;
    (void)unused;
    static const unsigned char h2[] = {2, 'h', '2'};
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_n, h2, sizeof h2, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *tls_context(int server, const char *chain, const char *key, const char *trust) {
    static const unsigned char h2[] = {2, 'h', '2'};
    SSL_CTX *tls = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1)
        die("no TLS 1.3");
    if (SSL_CTX_use_certificate_chain_file(tls, chain) != 1) die("%s is no certificate chain", chain);
    if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) die("%s is no key of that chain", key);
    if (SSL_CTX_load_verify_locations(tls, trust, NULL) != 1) die("%s holds no trust anchor", trust);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_num_tickets(tls, 0);
    SSL_CTX_set_read_ahead(tls, 1);
    if (server)
        SSL_CTX_set_alpn_select_cb(tls, choose_h2, NULL);
    else
        SSL_CTX_set_alpn_protos(tls, h2, sizeof h2);
    return tls;
}

int split_address(const char *text, char *host, size_t cap) {
    const char *colon = strrchr(text, ':');
    int port = colon == NULL ? -1 : atoi(colon + 1);
    if (port < 0 || port > 65535 || (size_t)(colon - text) >= cap) die("%s: an address is host:port", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    return port;
}

static void watch(struct connection *c, int operation, int writable) {
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(c->epoll, operation, c->fd, &event) != 0) die("epoll: %s", strerror(errno));
    c->waits_to_write = writable;
}

static void prepare(struct connection *c, SSL_CTX *tls, int fd, int epoll) {
    int one = 1;
    memset(c, 0, sizeof *c);
    c->fd = fd;
    c->epoll = epoll;
    c->ssl = SSL_new(tls);
    c->out = malloc(OUT_CAP);
    if (c->ssl == NULL || c->out == NULL || SSL_set_fd(c->ssl, fd) != 1) die("no memory");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void connection_connect(struct connection *c, SSL_CTX *tls, const char *host, int port, const char *name, int epoll) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const unsigned char *alpn;
    unsigned int alpn_n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1) die("%s is no IPv4 address", host);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("%s:%d: %s", host, port, strerror(errno));
    prepare(c, tls, fd, epoll);
    if (SSL_set1_host(c->ssl, name) != 1 || SSL_set_tlsext_host_name(c->ssl, name) != 1) die("no memory");
    if (SSL_connect(c->ssl) != 1) die("%s:%d refused our TLS, or is not %s", host, port, name);
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_n);
    if (alpn_n != 2) die("%s:%d does not speak h2", host, port);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLL_CTL_ADD, 0);
}

void connection_accept(struct connection *c, SSL_CTX *tls, int fd, int epoll) {
    prepare(c, tls, fd, epoll);
    SSL_set_accept_state(c->ssl);
    c->handshaking = 1;
    watch(c, EPOLL_CTL_ADD, 0);
}

/* After a failed SSL call: the connection goes on when the socket was merely empty or full. */
static void judge(struct connection *c, int result) {
    int error = SSL_get_error(c->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) c->closed = 1;
}

void connection_read(struct connection *c) {
    static unsigned char in[IN_CAP];
    if (c->handshaking) {
        int result = SSL_do_handshake(c->ssl);
        if (result != 1) {
            judge(c, result);
            return;
        }
        c->handshaking = 0;
    }
    while (!c->closed) {
        int n = SSL_read(c->ssl, in, sizeof in);
        if (n <= 0) {
            judge(c, n);
            return;
        }
        if (nghttp2_session_mem_recv(c->session, in, (size_t)n) < 0) c->closed = 1;
    }
}

/* Fills the buffer from the session; 0 when there is nothing to write. */
static int collect(struct connection *c) {
    const uint8_t *frame;
    if (c->out_at < c->out_n) return 1;
    c->out_at = c->out_n = 0;
    /* A piece is at most a frame and its header: 16 KiB and 9 bytes. */
    while (c->out_n + 16 * 1024 + 9 <= OUT_CAP) {
        ssize_t n = nghttp2_session_mem_send(c->session, &frame);
        if (n < 0) c->closed = 1;
        if (n <= 0) break;
        memcpy(c->out + c->out_n, frame, (size_t)n);
        c->out_n += (size_t)n;
    }
    return c->out_n > 0;
}

void connection_flush(struct connection *c) {
    int full = 0;
    while (!c->handshaking && !c->closed && !full && collect(c)) {
        int n = SSL_write(c->ssl, c->out + c->out_at, (int)(c->out_n - c->out_at));
        if (n > 0) {
            c->out_at += (size_t)n;
        } else {
            judge(c, n);
            full = 1;
        }
    }
    if (!c->closed && full != c->waits_to_write) watch(c, EPOLL_CTL_MOD, full);
}

void connection_free(struct connection *c) {
    nghttp2_session_del(c->session);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->out);
}

nghttp2_nv header_once(const char *name, const void *value, size_t n) {
    nghttp2_nv nv = {(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), n,
                     NGHTTP2_NV_FLAG_NO_INDEX | NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    return nv;
}

nghttp2_nv header_constant(const char *name, const char *value) {
    nghttp2_nv nv = header_once(name, value, strlen(value));
    nv.flags &= (uint8_t)~NGHTTP2_NV_FLAG_NO_INDEX;
    return nv;
}
