#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common.h"

enum { REFUSALS_MAX = 16, STATUSES = 17 };

struct refusal {
    int status;
    char *details;
    uint64_t count;
};

static uint32_t *latency_us;
static uint64_t room, calls, ok, lost, altered, unsigned_answers, without_receipt;
static int receipts_expected;
static struct refusal refusals[REFUSALS_MAX];
static size_t refusal_n;

void outcome_init(struct outcome *o) {
    memset(o, 0, sizeof *o);
    o->status = -1;
}

static int is(const uint8_t *name, size_t name_n, const char *text) {
    return strlen(text) == name_n && memcmp(name, text, name_n) == 0;
}

void outcome_header(struct outcome *o, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n) {
    static const char *const proofs[] = {"govbus-response-bin",  "govbus-response-signature-bin", "govbus-response-salt-bin",
                                         "govbus-receipt-bin",   "govbus-receipt-signature-bin",  "govbus-gatekey-bin",
                                         "govbus-gatekey-signature-bin"};
    if (name_n < 7 || (name[0] != 'g')) return;
    if (memcmp(name, "govbus-", 7) == 0) {
        for (int i = 0; i < 7; i++) {
            if (is(name, name_n, proofs[i])) o->seen |= 1 << i;
        }
    } else if (is(name, name_n, "grpc-status") && value_n >= 1 && value_n <= 2) {
        o->status = value_n == 1 ? value[0] - '0' : (value[0] - '0') * 10 + value[1] - '0';
    } else if (is(name, name_n, "grpc-status-details-bin") && o->details == NULL) {
        o->details = strndup((const char *)value, value_n);
    }
}

void outcome_free(struct outcome *o) { free(o->details); }

void report_init(uint64_t most, int expect_receipt) {
    latency_us = malloc(most * sizeof *latency_us);
    if (latency_us == NULL) die("no memory");
    room = most;
    receipts_expected = expect_receipt;
}

static void count_refusal(const struct outcome *o) {
    const char *details = o->details == NULL ? "" : o->details;
    size_t i = 0;
    while (i < refusal_n && (refusals[i].status != o->status || strcmp(refusals[i].details, details) != 0)) i++;
    if (i == REFUSALS_MAX) i--; /* the last one stands for the rest */
    if (i == refusal_n) {
        refusals[i].status = o->status;
        refusals[i].details = strdup(details);
        if (refusals[i].details == NULL) die("no memory");
        refusal_n++;
    }
    refusals[i].count++;
}

void report_call(const struct outcome *o, uint32_t stream_error, long long latency_ns) {
    if (calls < room) latency_us[calls] = (uint32_t)(latency_ns / 1000);
    calls++;
    if (o->status < 0 || stream_error != 0) {
        lost++;
    } else if (o->status != 0) {
        count_refusal(o);
    } else if (o->altered) {
        altered++;
    } else {
        ok++;
        if ((o->seen & SEEN_ANSWER) != SEEN_ANSWER) unsigned_answers++;
        if (receipts_expected && o->seen != SEEN_ALL) without_receipt++;
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double share_ms(uint64_t n, double share) {
    return n == 0 ? 0 : (double)latency_us[(uint64_t)(share * (double)(n - 1))] / 1e3;
}

void report_print(double elapsed_seconds, int corpus_exhausted) {
    uint64_t n = calls < room ? calls : room;
    double sum = 0;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    qsort(latency_us, n, sizeof *latency_us, ascending);
    for (uint64_t i = 0; i < n; i++) sum += latency_us[i];
    printf("{\"calls\": %llu, \"ok\": %llu, \"lost\": %llu, \"altered\": %llu, \"unsigned\": %llu, \"without_receipt\": %llu, ",
           (unsigned long long)calls, (unsigned long long)ok, (unsigned long long)lost, (unsigned long long)altered,
           (unsigned long long)unsigned_answers, (unsigned long long)without_receipt);
    printf("\"elapsed_seconds\": %.6f, \"corpus_exhausted\": %s, \"cpu_seconds\": %.6f, ", elapsed_seconds,
           corpus_exhausted ? "true" : "false",
           (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec));
    printf("\"latency_ms\": {\"mean\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f}, ",
           n == 0 ? 0 : sum / (double)n / 1e3, share_ms(n, 0.5), share_ms(n, 0.9), share_ms(n, 0.99), share_ms(n, 0.999),
           share_ms(n, 1));
    printf("\"refusals\": [");
    for (size_t i = 0; i < refusal_n; i++) {
        printf("%s{\"status\": %d, \"count\": %llu, \"details\": \"", i ? ", " : "", refusals[i].status,
               (unsigned long long)refusals[i].count);
        for (const char *p = refusals[i].details; *p; p++) {
            if (*p != '"' && *p != '\\' && *p >= ' ' && *p < 127) putchar(*p);
        }
        printf("\"}");
    }
    puts("]}");
}
