/*
 * The targets by name, and the longest input that is worth trying on each. Those of targets.pyx are one program; the gate
 * (gate_script.pyx), which is a process of its own with threads and files, is another.
 */
#ifndef GOVBUS_FUZZ_DRIVER_H
#define GOVBUS_FUZZ_DRIVER_H

#include <stddef.h>
#include <string.h>

#ifdef FUZZ_GATE
#define FUZZ_TARGETS(X) X(gate, 600)
#else
#define FUZZ_TARGETS(X) \
    X(codec, 2100) X(base64, 1200) X(frames, 1200) X(values, 300) X(merkle, 500) X(batch, 1000) X(policy, 8000) \
    X(snapshot, 4000) X(journal, 6000) X(replay, 1000)
#endif

typedef void (*fuzz_target)(const unsigned char *p, size_t n);
typedef struct { const char *name; fuzz_target run; size_t longest; } fuzz_entry;

#define FUZZ_DECLARE(name, longest) void fuzz_##name(const unsigned char *p, size_t n);
FUZZ_TARGETS(FUZZ_DECLARE)
#define FUZZ_ENTRY(name, longest) {#name, fuzz_##name, longest},
static const fuzz_entry fuzz_entries[] = {FUZZ_TARGETS(FUZZ_ENTRY)};
enum { FUZZ_COUNT = sizeof fuzz_entries / sizeof *fuzz_entries };

static const fuzz_entry *fuzz_find(const char *name) {
    for (size_t i = 0; i < FUZZ_COUNT; i++)
        if (name && strcmp(fuzz_entries[i].name, name) == 0) return &fuzz_entries[i];
    return NULL;
}
#endif
