/* The driver for clang's libFuzzer. GOVBUS_FUZZ_TARGET names the target. */
#include <stdio.h>
#include <stdlib.h>
#include "driver.h"

static fuzz_target target;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const fuzz_entry *entry = fuzz_find(getenv("GOVBUS_FUZZ_TARGET"));
    (void)argc, (void)argv;
    if (!entry) {
        fprintf(stderr, "set GOVBUS_FUZZ_TARGET to the name of a target (native/fuzz/driver.h)\n");
        exit(2);
    }
    target = entry->run;
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n) {
    target(p, n);
    return 0;
}
