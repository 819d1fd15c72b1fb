#include "common.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signer.h"

_Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

const char *option(int argc, char **argv, const char *name, const char *fallback) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    }
    if (fallback == NULL) die("%s: give %s", argv[0], name);
    return fallback;
}

long option_number(int argc, char **argv, const char *name, const char *fallback, long least, long most) {
    char *end;
    const char *text = option(argc, argv, name, fallback);
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < least || value > most) die("%s: a number from %ld to %ld", name, least, most);
    return value;
}

int option_flag(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) return 1;
    }
    return 0;
}

void *load_signer(const char *path) {
    unsigned char *der = NULL;
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);
    int n = key == NULL ? -1 : i2d_PrivateKey(key, &der);
    void *signer = n > 0 ? bench_signer_new(der, (size_t)n) : NULL;
    if (file != NULL) fclose(file);
    EVP_PKEY_free(key);
    if (n > 0) OPENSSL_clear_free(der, (size_t)n);
    if (signer == NULL) die("%s holds no P-256 private key", path);
    return signer;
}

void random_bytes(unsigned char *out, size_t n) {
    static unsigned char pool[16384];
    static size_t left = 0;
    if (left < n) {
        if (!bench_random(pool, sizeof pool)) die("no randomness");
        left = sizeof pool;
    }
    left -= n;
    memcpy(out, pool + left, n);
}
