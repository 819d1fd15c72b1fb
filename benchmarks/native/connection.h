/*
 * One non-blocking HTTP/2 connection over TLS 1.3, client or server side: bytes between an SSL and an nghttp2_session.
 * The owner sets the session and its callbacks; frames are collected and written by connection_flush, so that one turn
 * of the event loop is a few TLS records, not one a frame.
 */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdint.h>

struct connection {
    int fd, epoll;
    SSL *ssl;
    nghttp2_session *session;
    unsigned char *out;
    size_t out_n, out_at;
    int handshaking, closed, waits_to_write;
};

/* Mutual TLS 1.3 with ALPN h2 for either side; dies when a file is unusable. */
SSL_CTX *tls_context(int server, const char *chain, const char *key, const char *trust);

/* Client: connects, verifies the name, blocks until the handshake is done. */
void connection_connect(struct connection *c, SSL_CTX *tls, const char *host, int port, const char *name, int epoll);

/* Server: takes an accepted descriptor; the handshake goes on in connection_read. */
void connection_accept(struct connection *c, SSL_CTX *tls, int fd, int epoll);

/* Reads all there is into the session. On failure, or when the peer is gone, c->closed is set. */
void connection_read(struct connection *c);

/* Writes what the session has to say; what the socket does not take waits for the next call. */
void connection_flush(struct connection *c);

void connection_free(struct connection *c);

/* Address "host:port", host an IPv4 address. */
int split_address(const char *text, char *host, size_t cap);

/* One header for nghttp2, neither copied nor put into the compression table: its value is used once. */
nghttp2_nv header_once(const char *name, const void *value, size_t n);
/* One header whose name and value stay the same for the whole run. */
nghttp2_nv header_constant(const char *name, const char *value);

#endif
