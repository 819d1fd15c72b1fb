/* What became of the calls: one outcome a call, counted and timed, printed as JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stddef.h>
#include <stdint.h>

enum { SEEN_RESPONSE = 1, SEEN_RESPONSE_SIGNATURE = 2, SEEN_RESPONSE_SALT = 4, SEEN_RECEIPT = 8, SEEN_RECEIPT_SIGNATURE = 16,
       SEEN_GATE_KEY = 32, SEEN_GATE_KEY_SIGNATURE = 64, SEEN_ANSWER = 7, SEEN_ALL = 127 };

struct outcome {
    int status; /* grpc-status; -1 until it came */
    int seen, altered;
    char *details; /* grpc-status-details-bin of a refusal, base64 */
};

void outcome_init(struct outcome *o);
void outcome_header(struct outcome *o, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n);
void outcome_free(struct outcome *o);

/* Room for that many calls; with expect_receipt an answer without all of the broker's proofs counts as missing. */
void report_init(uint64_t calls, int expect_receipt);
void report_call(const struct outcome *o, uint32_t stream_error, long long latency_ns);
void report_print(double elapsed_seconds, int corpus_exhausted);

#endif
