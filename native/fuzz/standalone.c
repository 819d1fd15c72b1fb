/*
 * The driver for any compiler: replays a corpus, then mutates it. Blind (no coverage), so it guards promises that were
 * found once; libfuzzer.c looks for new ones. The same arguments give the same inputs.
 *
 *   fuzz CORPUS RUNS [TARGET]    each file of CORPUS/TARGET once, then RUNS mutations; all targets unless one is named
 *   fuzz -1 TARGET FILE          one input once
 *   fuzz -overrun | -overflow    does what a sanitizer must stop, to show that it is there
 *
 * An input that ends the process is left in ./crash-TARGET.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "driver.h"

typedef struct { unsigned char *p; size_t n; } input;
typedef struct { input *p; size_t n; } inputs;

static unsigned long long state = 0x9e3779b97f4a7c15ULL;
static const fuzz_entry *running;
static input current;

void __sanitizer_set_death_callback(void (*callback)(void));
const char *__asan_default_options(void) { return "abort_on_error=0:exitcode=77:allocator_may_return_null=1"; }
const char *__ubsan_default_options(void) { return "print_stacktrace=1"; }

static void leave_reproducer(void) {
    char name[64];
    snprintf(name, sizeof name, "crash-%s", running ? running->name : "none");
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && write(fd, current.p, current.n) >= 0) close(fd);
    fprintf(stderr, "fuzz: the input is in %s; run it alone with: -1 %s %s\n", name, running ? running->name : "", name);
}

static void on_abort(int signal_number) {
    (void)signal_number;
    leave_reproducer();
    _exit(77);
}

static unsigned random_below(size_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return n ? (unsigned)((state >> 16) % n) : 0;
}

/* Runs one input in a block of exactly its size. */
static void run(const fuzz_entry *entry, const unsigned char *p, size_t n) {
    unsigned char *exact = malloc(n);
    if (!exact && n) exit(3);
    if (n) memcpy(exact, p, n);
    running = entry;
    current = (input){exact, n};
    entry->run(exact, n);
    free(exact);
    running = NULL;
}

static input load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) { perror(path); exit(3); }
    long n = ftell(file);
    input in = {malloc((size_t)n + 1), (size_t)n};
    rewind(file);
    if (fread(in.p, 1, in.n, file) != in.n) { perror(path); exit(3); }
    fclose(file);
    return in;
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static inputs load_all(const char *corpus, const char *target) {
    char path[4096];
    struct dirent **names;
    inputs all = {NULL, 0};
    snprintf(path, sizeof path, "%s/%s", corpus, target);
    int count = scandir(path, &names, visible, alphasort);
    if (count < 0) { perror(path); exit(3); }
    all.p = calloc((size_t)count + 1, sizeof *all.p);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", corpus, target, names[i]->d_name);
        all.p[all.n++] = load(path);
        free(names[i]);
    }
    free(names);
    return all;
}

/* Moves the end of an input: bytes go away, come twice, or come from another one. Returns the new length. */
static size_t reshape(unsigned char *p, size_t n, size_t cap, const input *other) {
    size_t at = random_below(n + 1), from, take;
    switch (random_below(4)) {
    case 0:
        return at;
    case 1:
        take = random_below(n - at + 1) / (1 + random_below(16));
        memmove(p + at, p + at + take, n - at - take);
        return n - take;
    case 2:
        take = 1 + random_below(8);
        if (n + take > cap) return n;
        memmove(p + at + take, p + at, n - at);
        while (take--) p[at + take] = (unsigned char)random_below(256), n++;
        return n;
    default:
        from = random_below(other->n + 1);
        take = random_below(other->n - from + 1);
        if (take > cap - at) take = cap - at;
        if (take) memcpy(p + at, other->p + from, take);
        return at + take > n ? at + take : n;
    }
}

/* Changes bytes in place: a bit, a byte, a number of 1, 2, 4 or 8 bytes near a border, a copy from elsewhere. */
static void disturb(unsigned char *p, size_t n) {
    static const unsigned long long borders[] = {0, 1, 127, 128, 255, 1023, 1024, 65535, 0x7fffffff, 0xffffffff, 1ULL << 63, ~0ULL};
    size_t at = random_below(n), width = (size_t)1 << random_below(4), from = random_below(n);
    unsigned long long value = borders[random_below(sizeof borders / sizeof *borders)] + random_below(3) - 1;
    if (!n) return;
    if (width > n - at) width = n - at;
    switch (random_below(4)) {
    case 0: p[at] ^= (unsigned char)(1 << random_below(8)); break;
    case 1: p[at] = (unsigned char)random_below(256); break;
    case 2: memcpy(p + at, &value, width); break;
    default: memmove(p + at, p + from, width > n - from ? n - from : width);
    }
}

static void mutate(const fuzz_entry *entry, const inputs *all, unsigned char *p) {
    const input *base = &all->p[random_below(all->n)], *other = &all->p[random_below(all->n)];
    size_t n = base->n < entry->longest ? base->n : entry->longest;
    if (n) memcpy(p, base->p, n);
    for (unsigned i = 1 + random_below(5); i; i--)
        if (random_below(4)) disturb(p, n);
        else n = reshape(p, n, entry->longest, other);
    run(entry, p, n);
}

static void run_target(const fuzz_entry *entry, const char *corpus, long runs) {
    inputs all = load_all(corpus, entry->name);
    unsigned char *p = malloc(entry->longest);
    if (!all.n || !p) { fprintf(stderr, "fuzz: %s/%s is empty; run native/fuzz/make_seeds.py\n", corpus, entry->name); exit(3); }
    for (size_t i = 0; i < all.n; i++) run(entry, all.p[i].p, all.p[i].n);
    for (long i = 0; i < runs; i++) mutate(entry, &all, p);
    printf("%s: %zu inputs, %ld mutations\n", entry->name, all.n, runs);
    for (size_t i = 0; i < all.n; i++) free(all.p[i].p);
    free(all.p);
    free(p);
}

/* Reads a byte too many, or overflows a signed number. */
static int misbehave(const char *how) {
    volatile int n = 0x7fffffff;
    unsigned char *volatile block = calloc(1, 8);
    if (!block) return 3;
    int answer = strcmp(how, "-overrun") == 0 ? block[8 + (n & 0)] : n + 1;
    free(block);
    return answer & 1 ? 4 : 0;
}

int main(int argc, char **argv) {
    const fuzz_entry *named = fuzz_find(argc == 4 ? argv[strcmp(argv[1], "-1") ? 3 : 2] : NULL);
    signal(SIGABRT, on_abort);
    __sanitizer_set_death_callback(leave_reproducer);
    if (argc == 4 && named && !strcmp(argv[1], "-1")) {
        input in = load(argv[3]);
        run(named, in.p, in.n);
        free(in.p);
        return 0;
    }
    if (argc == 2 && (!strcmp(argv[1], "-overrun") || !strcmp(argv[1], "-overflow"))) return misbehave(argv[1]);
    if (argc < 3 || argc > 4 || (argc == 4 && !named)) {
        fprintf(stderr, "usage: %s CORPUS RUNS [TARGET] | -1 TARGET FILE | -overrun | -overflow\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < FUZZ_COUNT; i++)
        if (!named || named == &fuzz_entries[i]) run_target(&fuzz_entries[i], argv[1], atol(argv[2]));
    return 0;
}
