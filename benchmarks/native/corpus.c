/*
 * Writes a corpus of signed requests (corpus.h). Requests are fresh for 30 seconds and an id counts once, so a corpus is
 * made right before it is used.
 *
 *   corpus --out FILE --count N --batch N --body BYTES --lifetime-ms N --signing-key PEM
 *          --client ID --provider ID --broker ID --method PATH --purpose P --case C --grant G
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "corpus.h"
#include "signer.h"

struct made {
    unsigned char header[HEADER_MAX], salt[32];
    size_t header_n;
};

static const char *names[NAMES];
static unsigned char *frame;
static size_t frame_n;
static long long lifetime_ms;
static void *signer;

/* UUIDv7: 48 bits of milliseconds, version, variant, 74 random bits. */
static void make_id(unsigned char *id, long long now_ms) {
    random_bytes(id, 16);
    for (int i = 0; i < 6; i++) id[i] = (unsigned char)(now_ms >> (40 - 8 * i));
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x70);
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
}

static void make_frame(size_t body) {
    frame_n = body + 5;
    frame = malloc(frame_n);
    if (frame == NULL) die("no memory");
    frame[0] = 0;
    for (int i = 0; i < 4; i++) frame[1 + i] = (unsigned char)(body >> (24 - 8 * i));
    for (size_t at = 5; at < frame_n; at += 32) random_bytes(frame + at, frame_n - at < 32 ? frame_n - at : 32);
}

static void make_header(struct made *m) {
    unsigned char id[16];
    long long now = bench_now_ms();
    make_id(id, now);
    random_bytes(m->salt, 32);
    ssize_t n = bench_request(signer, names, id, m->salt, frame, frame_n, now, now + lifetime_ms, m->header, HEADER_MAX);
    if (n < 0) die("these names make no request header: codec error %zd", -n);
    m->header_n = (size_t)n;
}

static void write_record(FILE *file, const struct made *m, unsigned int index) {
    static const unsigned char zero[8];
    unsigned char text[3 * B64_MAX], signature[SIGNATURE_MAX];
    struct corpus_record r = {0};
    ssize_t n = bench_signature(signer, index, signature, sizeof signature);
    if (n < 0) die("no signature");
    size_t at = bench_b64_encode(m->header, m->header_n, text);
    r.request_n = (uint16_t)at;
    r.signature_n = (uint16_t)bench_b64_encode(signature, (size_t)n, text + at);
    at += r.signature_n;
    r.salt_n = (uint16_t)bench_b64_encode(m->salt, 32, text + at);
    at += r.salt_n;
    r.body_n = (uint32_t)frame_n;
    size_t size = sizeof r + at + frame_n, padding = (8 - size % 8) % 8;
    r.size = (uint32_t)(size + padding);
    fwrite(&r, sizeof r, 1, file);
    fwrite(text, 1, at, file);
    fwrite(frame, 1, frame_n, file);
    fwrite(zero, 1, padding, file);
}

static void write_corpus(FILE *file, long count, long batch) {
    struct made *made = malloc((size_t)batch * sizeof *made);
    struct corpus_head head = {.count = (uint64_t)count, .batch = (uint64_t)batch};
    if (made == NULL) die("no memory");
    memcpy(head.magic, CORPUS_MAGIC, 8);
    snprintf(head.path, sizeof head.path, "%s", names[NAME_METHOD]);
    fwrite(&head, sizeof head, 1, file);
    for (long done = 0; done < count;) {
        long n = count - done < batch ? count - done : batch;
        for (long i = 0; i < n; i++) make_header(&made[i]);
        if (bench_seal(signer) != 0) die("libcrypto did not sign");
        for (long i = 0; i < n; i++) write_record(file, &made[i], (unsigned int)i);
        done += n;
    }
    free(made);
}

int main(int argc, char **argv) {
    static const char *const options[NAMES] = {"--client",  "--provider", "--broker", "--method",
                                               "--purpose", "--case",     "--grant"};
    for (int i = 0; i < NAMES; i++) names[i] = option(argc, argv, options[i], NULL);
    signer = load_signer(option(argc, argv, "--signing-key", NULL));
    lifetime_ms = option_number(argc, argv, "--lifetime-ms", "30000", 1, 300000);
    make_frame((size_t)option_number(argc, argv, "--body", "256", 0, 1 << 20));
    const char *path = option(argc, argv, "--out", NULL);
    FILE *file = fopen(path, "wb");
    if (file == NULL) die("%s cannot be written", path);
    write_corpus(file, option_number(argc, argv, "--count", NULL, 1, 10000000),
                 option_number(argc, argv, "--batch", "64", 1, BATCH_MAX));
    if (fclose(file) != 0) die("%s could not be written whole", path);
    return 0;
}
