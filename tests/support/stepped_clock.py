"""A process whose wall clock is the machine's, shifted by the seconds in a file: a library put before libc.

Nothing in the process knows of it; monotonic clocks go on as they are. Needs gcc, which building the project needs too.
"""

import mmap
import struct
import subprocess
from pathlib import Path

__all__ = ["SteppedClock"]

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static const volatile long *shift;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) shift = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    if (!real) begin();
    int failed = real(id, t);
    if (!failed && id == CLOCK_REALTIME && shift) t->tv_sec += *shift;
    return failed;
}
"""


class SteppedClock:
    """The library and its file in a folder of their own, whose path must hold neither a colon nor a semicolon."""

    def __init__(self, folder: Path) -> None:
        self._library, self._shift = folder / "stepped.so", folder / "shift"
        source = folder / "stepped.c"
        source.write_text(_SOURCE, encoding="ascii")
        command = ["gcc", "-shared", "-fPIC", "-O1", str(source), "-o", str(self._library), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        self._shift.write_bytes(bytes(8))

    @property
    def environment(self) -> dict[str, str]:
        """What the process is to be started with."""
        return {
            "LD_PRELOAD": self._library.name,  # a list that spaces part
            "LD_LIBRARY_PATH": str(self._library.parent),
            "CLOCK_SHIFT": str(self._shift),
        }

    def step(self, seconds: int) -> None:
        """The process's wall clock is ahead of the machine's by so much, from now on, in one store."""
        with self._shift.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            struct.pack_into("<q", shared, 0, seconds)
