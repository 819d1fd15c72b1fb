/*
 * A stand-in for Envoy, as strict as Envoy's rules for a module are (native/gate/envoy_abi.pxi, rules 2 and 5):
 *  - keys and values lie in blocks of exactly their size, and every setter moves the whole map;
 *  - after an answer or a reset the stream's maps are gone, and touching the stream ends the process;
 *  - events come from another thread, may come after the stream, and then reach nobody.
 */
#ifndef GOVBUS_FUZZ_ENVOY_H
#define GOVBUS_FUZZ_ENVOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FE_MAPS = 4, FE_ENTRIES = 400, FE_CHUNKS = 128 };

typedef struct { unsigned char *key, *value; size_t key_n, value_n; } fe_entry;
typedef struct { fe_entry e[FE_ENTRIES]; size_t n; bool there; } fe_map;
typedef struct {
    unsigned long id;
    fe_map map[FE_MAPS];
    unsigned char *chunk[FE_CHUNKS];
    size_t chunk_n[FE_CHUNKS], chunks;
    int body;              /* kind that the running hook was handed, -1 outside body hooks */
    unsigned char digest[64];
    size_t digest_n;
    char details[64];      /* of the answer or reset */
    bool decoding, encoding, over, reset, route_cleared;
    int waiting;           /* schedulers made and not yet heard of */
} fe_stream;

fe_stream *fe_new(const unsigned char *digest_hex, size_t n);
void fe_free(fe_stream *s);
void fe_add(fe_stream *s, int map, const void *key, size_t key_n, const void *value, size_t value_n);
void fe_drop(fe_stream *s, int map, size_t index);
fe_entry *fe_find(fe_stream *s, int map, const char *key);
size_t fe_count(fe_stream *s, int map, const char *key);
void fe_chunk(fe_stream *s, int body, const void *p, size_t n);
void fe_no_chunks(fe_stream *s);
/* The next event of the stream, or 0 when none came within ten seconds. */
uint64_t fe_event(fe_stream *s);
/*
 * A folder for the journal, below GOVBUS_FUZZ_FOLDER; it goes at exit and old segments before, unless GOVBUS_FUZZ_KEEP is
 * set.
 */
const char *fe_folder(void);
void fe_sweep(void);
void fe_write(const char *name, const void *p, size_t n, char *path, size_t cap);
/* The same in sealed memory, as a supervisor hands a key down. */
void fe_seal(const void *p, size_t n, char *path, size_t cap);
/* The snapshot version that the gate showed last in its gauge. */
extern uint64_t fe_version;
void fe_pause(void);
/* Takes the journal's disk away for good, when this is the moment that GOVBUS_FUZZ_BREAK names. */
extern bool fe_broken;
void fe_break(const char *moment);
/* What the gate said last with level error or above. */
extern char fe_said[256];
#endif
