/*
 * A corpus: signed requests in the order of their use, each used once. One file in the machine's byte order, written by
 * corpus.c and mapped by load.c:
 *
 *   struct corpus_head, then per request: struct corpus_record, then the base64 text of request header, signature and
 *   salt, then the body as one gRPC frame; each record padded to 8 bytes.
 */
#ifndef BENCH_CORPUS_H
#define BENCH_CORPUS_H

#include <stdint.h>

#define CORPUS_MAGIC "GVBLOAD1"

struct corpus_head {
    char magic[8];
    uint64_t count;
    uint64_t batch;
    char path[208];
};

struct corpus_record {
    uint32_t size; /* of the whole record, itself and padding included */
    uint16_t request_n, signature_n, salt_n, reserved;
    uint32_t body_n;
};

#endif
