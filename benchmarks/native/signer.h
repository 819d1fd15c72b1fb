/* What signing.pyx offers to the C tools. Lengths are negative on failure. */
#ifndef BENCH_SIGNER_H
#define BENCH_SIGNER_H

#include <stddef.h>
#include <sys/types.h>

enum { BATCH_MAX = 1024, HEADER_MAX = 2048, SIGNATURE_MAX = 512, B64_MAX = 2732 };

/* names: client, provider, broker, method, purpose, case, grant. */
enum { NAME_CLIENT, NAME_PROVIDER, NAME_BROKER, NAME_METHOD, NAME_PURPOSE, NAME_CASE, NAME_GRANT, NAMES };

void *bench_signer_new(const unsigned char *der, size_t n);
ssize_t bench_request(void *signer, const char **names, const unsigned char *id16, const unsigned char *salt32,
                      const unsigned char *frames, size_t frames_n, long long now_ms, long long not_after_ms,
                      unsigned char *out, size_t cap);
ssize_t bench_response(void *signer, const char *provider, const unsigned char *request, size_t request_n,
                       const unsigned char *salt32, const unsigned char *frames, size_t frames_n, long long now_ms,
                       unsigned char *out, size_t cap);
int bench_seal(void *signer);
ssize_t bench_signature(void *signer, unsigned int index, unsigned char *out, size_t cap);
size_t bench_b64_encoded(size_t n);
size_t bench_b64_encode(const unsigned char *p, size_t n, unsigned char *out);
ssize_t bench_b64_decode(const unsigned char *p, size_t n, unsigned char *out, size_t cap);
int bench_random(unsigned char *out, size_t n);
long long bench_now_ms(void);
long long bench_mono_ns(void);

#endif
