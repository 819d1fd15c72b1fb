/* The stand-in for Envoy; what it promises stands in envoy.h. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "envoy.h"

typedef struct { const char *ptr; size_t length; } buf;
typedef struct { const char *key; size_t key_length; const char *value; size_t value_length; } header;
#define CB(name) envoy_dynamic_module_callback_##name

char fe_said[256];
uint64_t fe_version;

static void expect(bool kept, const char *promise) {
    if (kept) return;
    fprintf(stderr, "fuzz: broken promise: %s\n", promise);
    abort();
}

/* Reads every byte, so that a sanitizer sees those that are not there. */
static void look_at(const void *p, size_t n) {
    static volatile unsigned char sum;
    for (size_t i = 0; i < n; i++) sum ^= ((const unsigned char *)p)[i];
}

static unsigned char *copy(const void *p, size_t n) {
    unsigned char *out = malloc(n);
    if (n && !out) abort();
    if (n) memcpy(out, p, n);
    return out;
}

/* --- streams and maps --- */

fe_stream *fe_new(const unsigned char *digest_hex, size_t n) {
    static unsigned long ids;
    fe_stream *s = calloc(1, sizeof *s);
    if (!s || n > sizeof s->digest) abort();
    s->id = ++ids;
    s->body = -1;
    memcpy(s->digest, digest_hex, n);
    s->digest_n = n;
    s->map[0].there = true;
    return s;
}

static void clear(fe_map *map) {
    for (size_t i = 0; i < map->n; i++) free(map->e[i].key), free(map->e[i].value);
    map->n = 0;
    map->there = false;
}

void fe_no_chunks(fe_stream *s) {
    for (size_t i = 0; i < s->chunks; i++) free(s->chunk[i]);
    s->chunks = 0;
    s->body = -1;
}

static void end(fe_stream *s, buf details) {
    look_at(details.ptr, details.length);
    snprintf(s->details, sizeof s->details, "%.*s", (int)details.length, details.ptr ? details.ptr : "");
    for (int i = 0; i < FE_MAPS; i++) clear(&s->map[i]);
    fe_no_chunks(s);
    s->over = true;
}

void fe_free(fe_stream *s) {
    if (getenv("GOVBUS_FUZZ_SHOW"))
        fprintf(stderr, "fuzz: %s%s%s\n", s->decoding ? "admitted " : "", s->encoding ? "answered" : s->reset ? "reset " : "", s->details);
    end(s, (buf){"", 0});
    free(s);
}

void fe_add(fe_stream *s, int map, const void *key, size_t key_n, const void *value, size_t value_n) {
    fe_map *m = &s->map[map];
    m->there = true;
    if (m->n == FE_ENTRIES) return;
    m->e[m->n++] = (fe_entry){copy(key, key_n), copy(value, value_n), key_n, value_n};
}

void fe_drop(fe_stream *s, int map, size_t index) {
    fe_map *m = &s->map[map];
    if (index >= m->n) return;
    free(m->e[index].key), free(m->e[index].value);
    memmove(&m->e[index], &m->e[index + 1], (m->n - index - 1) * sizeof *m->e);
    m->n--;
}

static bool is(const fe_entry *e, const char *key, size_t n) { return e->key_n == n && memcmp(e->key, key, n) == 0; }

fe_entry *fe_find(fe_stream *s, int map, const char *key) {
    for (size_t i = 0; i < s->map[map].n; i++)
        if (is(&s->map[map].e[i], key, strlen(key))) return &s->map[map].e[i];
    return NULL;
}

size_t fe_count(fe_stream *s, int map, const char *key) {
    size_t n = 0;
    for (size_t i = 0; i < s->map[map].n; i++) n += is(&s->map[map].e[i], key, strlen(key));
    return n;
}

void fe_chunk(fe_stream *s, int body, const void *p, size_t n) {
    if (s->chunks == FE_CHUNKS) return;
    s->chunk[s->chunks] = copy(p, n);
    s->chunk_n[s->chunks++] = n;
    s->body = body;
}

static fe_stream *live(void *f) {
    expect(f != NULL, "callbacks name a stream");
    expect(!((fe_stream *)f)->over, "a stream is not touched after its answer or reset");
    return f;
}

static fe_map *map_of(void *f, unsigned map) {
    expect(map < FE_MAPS, "a header map is one of four");
    return &live(f)->map[map];
}

bool CB(http_get_header)(void *f, unsigned map, buf key, buf *out, size_t index, size_t *count) {
    fe_map *m = map_of(f, map);
    size_t seen = 0;
    bool found = false;
    look_at(key.ptr, key.length);
    for (size_t i = 0; i < m->n; i++)
        if (is(&m->e[i], key.ptr, key.length) && seen++ == index) {
            *out = (buf){(char *)m->e[i].value, m->e[i].value_n};
            found = true;
        }
    if (count) *count = seen;
    return found;
}

size_t CB(http_get_headers_size)(void *f, unsigned map) { return map_of(f, map)->n; }

bool CB(http_get_headers)(void *f, unsigned map, header *out) {
    fe_map *m = map_of(f, map);
    for (size_t i = 0; i < m->n; i++)
        out[i] = (header){(char *)m->e[i].key, m->e[i].key_n, (char *)m->e[i].value, m->e[i].value_n};
    return m->there;
}

static void move_all(fe_map *m) {
    for (size_t i = 0; i < m->n; i++) {
        fe_entry old = m->e[i];
        m->e[i].key = copy(old.key, old.key_n), m->e[i].value = copy(old.value, old.value_n);
        free(old.key), free(old.value);
    }
}

bool CB(http_add_header)(void *f, unsigned map, buf key, buf value) {
    fe_map *m = map_of(f, map);
    if (!m->there) return false;
    fe_add(f, (int)map, key.ptr, key.length, value.ptr, value.length);
    move_all(m);
    return true;
}

bool CB(http_set_header)(void *f, unsigned map, buf key, buf value) {
    fe_map *m = map_of(f, map);
    if (!m->there) return false;
    fe_entry kept = {copy(key.ptr, key.length), copy(value.ptr, value.length), key.length, value.length};
    for (size_t i = m->n; i-- > 0;)
        if (is(&m->e[i], (char *)kept.key, kept.key_n)) fe_drop(f, (int)map, i);
    if (value.ptr) fe_add(f, (int)map, kept.key, kept.key_n, kept.value, kept.value_n);
    free(kept.key), free(kept.value);
    move_all(m);
    return true;
}

/* --- answering, bodies, facts --- */

void CB(http_send_response)(void *f, uint32_t status, header *headers, size_t n, buf body, buf details) {
    fe_stream *s = live(f);
    bool code = false, why = false;
    look_at(body.ptr, body.length);
    for (size_t i = 0; i < n; i++) {
        look_at(headers[i].key, headers[i].key_length), look_at(headers[i].value, headers[i].value_length);
        code |= headers[i].key_length == 11 && !memcmp(headers[i].key, "grpc-status", 11) && headers[i].value_length;
        why |= headers[i].key_length == 23 && !memcmp(headers[i].key, "grpc-status-details-bin", 23);
    }
    expect(status == 200 && code && why && details.length, "a refusal has a status, details and a reason");
    end(s, details);
}

void CB(http_filter_reset_stream)(void *f, unsigned reason, buf details) {
    fe_stream *s = live(f);
    expect(reason < 2, "a reset has one of the known reasons");
    s->reset = true;
    end(s, details);
}

static bool handed(fe_stream *s, unsigned body) { return s->body >= 0 && (unsigned)s->body == body; }
size_t CB(http_get_body_chunks_size)(void *f, unsigned body) { return handed(live(f), body) ? ((fe_stream *)f)->chunks : 0; }

bool CB(http_get_body_chunks)(void *f, unsigned body, buf *out) {
    fe_stream *s = live(f);
    if (!handed(s, body)) return false;
    for (size_t i = 0; i < s->chunks; i++) out[i] = (buf){(char *)s->chunk[i], s->chunk_n[i]};
    return true;
}

bool CB(http_filter_get_attribute_string)(void *f, unsigned attribute, buf *out) {
    fe_stream *s = f;
    if (attribute != 38 || !s->digest_n) return false;
    *out = (buf){(char *)s->digest, s->digest_n};
    return true;
}

void CB(http_clear_route_cache)(void *f) { live(f)->route_cleared = true; }
void CB(http_filter_continue_decoding)(void *f) {
    expect(!live(f)->decoding, "a request goes on once");
    ((fe_stream *)f)->decoding = true;
}
void CB(http_filter_continue_encoding)(void *f) {
    expect(!live(f)->encoding, "an answer goes on once");
    ((fe_stream *)f)->encoding = true;
}
void CB(http_set_buffer_limit)(void *f, uint64_t bytes) { live(f), (void)bytes; }
void *CB(http_get_active_span)(void *f) { return live(f); }
void CB(http_span_set_operation)(void *span, buf operation) { look_at(operation.ptr, operation.length), live(span); }
void CB(http_span_set_tag)(void *span, buf key, buf value) { look_at(key.ptr, key.length), look_at(value.ptr, value.length), live(span); }

/* --- events --- */

typedef struct { unsigned long stream; } scheduler;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct { unsigned long stream; uint64_t event; } queue[4096];
static size_t queued;

void *CB(http_filter_scheduler_new)(void *f) {
    scheduler *made = malloc(sizeof *made);
    if (!made) abort();
    made->stream = live(f)->id;
    ((fe_stream *)f)->waiting++;
    return made;
}

void CB(http_filter_scheduler_commit)(void *made, uint64_t event) {
    pthread_mutex_lock(&lock);
    if (queued == 4096) queued = 0; /* streams that nobody waits for any more */
    queue[queued].stream = ((scheduler *)made)->stream, queue[queued++].event = event;
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
}

void CB(http_filter_scheduler_delete)(void *made) { free(made); }

uint64_t fe_event(fe_stream *s) {
    struct timespec until;
    uint64_t event = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&lock);
    for (int late = 0; !event && !late;) {
        for (size_t i = 0; i < queued && !event; i++)
            if (queue[i].stream == s->id) event = queue[i].event, queue[i] = queue[--queued];
        if (!event) late = pthread_cond_timedwait(&wake, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
    if (event) s->waiting--;
    return event;
}

/* --- the process: log, metrics, files --- */

void CB(log)(unsigned level, buf message) {
    look_at(message.ptr, message.length);
    if (level >= 4) snprintf(fe_said, sizeof fe_said, "%.*s", (int)message.length, message.ptr);
}
bool CB(is_validation_mode)(void) { return false; }
void CB(bootstrap_extension_config_signal_init_complete)(void *config) { (void)config; }

static unsigned define(buf name, buf *labels, size_t n, size_t *id) {
    static size_t ids;
    look_at(name.ptr, name.length);
    for (size_t i = 0; i < n; i++) look_at(labels[i].ptr, labels[i].length);
    *id = ++ids;
    return 0;
}
static unsigned count(buf *values, size_t n) {
    for (size_t i = 0; i < n; i++) look_at(values[i].ptr, values[i].length);
    return 0;
}
unsigned CB(http_filter_config_define_counter)(void *c, buf name, buf *labels, size_t n, size_t *id) { (void)c; return define(name, labels, n, id); }
unsigned CB(http_filter_config_define_gauge)(void *c, buf name, buf *labels, size_t n, size_t *id) { (void)c; return define(name, labels, n, id); }
unsigned CB(http_filter_increment_counter)(void *f, size_t id, buf *values, size_t n, uint64_t by) { (void)f, (void)id, (void)by; return count(values, n); }
unsigned CB(http_filter_set_gauge)(void *f, size_t id, buf *values, size_t n, uint64_t to) {
    (void)f, (void)id;
    if (to < 1000000000000) fe_version = to; /* the other gauge is a time */
    return count(values, n);
}
unsigned CB(http_filter_config_increment_counter)(void *c, size_t id, buf *values, size_t n, uint64_t by) { (void)c, (void)id, (void)by; return count(values, n); }
unsigned CB(http_filter_config_set_gauge)(void *c, size_t id, buf *values, size_t n, uint64_t to) { (void)c, (void)id, (void)to; return count(values, n); }
unsigned CB(bootstrap_extension_config_define_counter)(void *c, buf name, buf *labels, size_t n, size_t *id) { (void)c; return define(name, labels, n, id); }
unsigned CB(bootstrap_extension_config_define_gauge)(void *c, buf name, buf *labels, size_t n, size_t *id) { (void)c; return define(name, labels, n, id); }
unsigned CB(bootstrap_extension_config_increment_counter)(void *c, size_t id, buf *values, size_t n, uint64_t by) { (void)c, (void)id, (void)by; return count(values, n); }
unsigned CB(bootstrap_extension_config_set_gauge)(void *c, size_t id, buf *values, size_t n, uint64_t to) { (void)c, (void)id, (void)to; return count(values, n); }
/* A timer that never fires: nothing here runs a main thread's loop. */
void *CB(bootstrap_extension_timer_new)(void *config) { (void)config; return malloc(1); }
void CB(bootstrap_extension_timer_enable)(void *timer, uint64_t milliseconds) { (void)timer, (void)milliseconds; }
void CB(bootstrap_extension_timer_delete)(void *timer) { free(timer); }

bool fe_broken;

void fe_break(const char *moment) {
    const char *wanted = getenv("GOVBUS_FUZZ_BREAK");
    if (!wanted || strcmp(wanted, moment)) return;
    signal(SIGXFSZ, SIG_IGN);
    fe_broken = setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, RLIM_INFINITY}) == 0;
}

void fe_pause(void) { nanosleep(&(struct timespec){0, 1000000}, NULL); }

static char folder[256];

static int segment(const struct dirent *e) { return strncmp(e->d_name, "journal-", 8) == 0; }

/* Removes all but the newest `keep` segments. */
static void sweep(int keep) {
    struct dirent **names;
    int n = scandir(folder, &names, segment, alphasort);
    char path[400];
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (i < n - keep) unlink(path);
        free(names[i]);
    }
    if (n >= 0) free(names);
}

void fe_sweep(void) { if (!getenv("GOVBUS_FUZZ_KEEP")) sweep(2); }

static void remove_folder(void) {
    DIR *d = getenv("GOVBUS_FUZZ_KEEP") ? NULL : opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(folder);
}

const char *fe_folder(void) {
    const char *parent = getenv("GOVBUS_FUZZ_FOLDER");
    if (folder[0]) return folder;
    snprintf(folder, sizeof folder, "%s/govbus-fuzz-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
    return folder;
}

void fe_write(const char *name, const void *p, size_t n, char *path, size_t cap) {
    snprintf(path, cap, "%s/%s", fe_folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd)) abort();
}

void fe_seal(const void *p, size_t n, char *path, size_t cap) {
    int fd = memfd_create("govbus-gate-key", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)) abort();
    snprintf(path, cap, "/proc/self/fd/%d", fd);
}
