/* What the three tools share: ending with a message, arguments, a signing key from a file. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stddef.h>

/* Ends the process with one line on standard error. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The value after --name, or fallback; dies when fallback is NULL and there is none. */
const char *option(int argc, char **argv, const char *name, const char *fallback);
long option_number(int argc, char **argv, const char *name, const char *fallback, long least, long most);
int option_flag(int argc, char **argv, const char *name);

/* A signer with the P-256 key of a PEM file. */
void *load_signer(const char *path);

/* Fills out from a pool of random bytes that is renewed as a whole: a system call a salt would cost more than the salt. */
void random_bytes(unsigned char *out, size_t n);

#endif
