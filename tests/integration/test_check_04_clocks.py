"""Check 4, the broker's own part: a clock that steps, a journal ahead of the clock, a policy grown too old.

The clock is stepped by a library put before libc in the gate's process; nothing in the gate knows of it.
"""

import mmap
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.broker import Broker
from bus.exchange.reasons import Reason
from tests.support.gate_world import World, eventually, running_world, verify_refusal

STEPPED = r"""
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


class SteppedBroker(Broker):
    """Its Envoy's wall clock is the machine's, shifted by the seconds in a file."""

    def __init__(self, directory: Path) -> None:
        self.library = Path(tempfile.mkdtemp(prefix="govbus-clock-")) / "stepped.so"
        super().__init__(directory)

    @property
    def shift(self) -> Path:
        return self.config.directory / "shift"

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "LD_PRELOAD": self.library.name,  # a list that spaces part, so the folder, which may have one, stands apart
            "LD_LIBRARY_PATH": str(self.library.parent),
            "CLOCK_SHIFT": str(self.shift),
        }

    def start(self, timeout: float = 20.0) -> None:
        compiler = ["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(self.library), "-ldl"]
        subprocess.run(compiler, input=STEPPED, text=True, check=True)
        self.shift.write_bytes(bytes(8))
        super().start(timeout)

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.library.parent, ignore_errors=True)

    def step(self, seconds: int) -> None:
        with self.shift.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            shared[:8] = struct.pack("@l", seconds)


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("stepped") / "a state", make_broker=SteppedBroker) as world:
        yield world
        world.settle()


def step(world: World, seconds: int) -> None:
    assert isinstance(world.broker, SteppedBroker)
    world.broker.step(seconds)


@pytest.mark.parametrize("seconds", [-3600, -4, 4, 3600])
def test_clock_that_stepped_is_not_trusted_until_it_steps_back(stepped: World, seconds: int) -> None:
    stepped.answers(stepped.request())
    step(stepped, seconds)
    stepped.refuses(stepped.request(), Reason.CLOCK_UNTRUSTED)
    step(stepped, 0)
    stepped.answers(stepped.request())


def test_clock_behind_the_journal_is_not_trusted_after_a_restart_either(stepped: World) -> None:
    stepped.answers(stepped.request())
    step(stepped, -20)
    stepped.kill()
    now = time.time_ns() // 1_000_000 - 20_000
    request = stepped.request(issued_at_ms=now, not_after_ms=now + 10_000)
    stepped.refuses(request, Reason.CLOCK_UNTRUSTED)
    step(stepped, 0)
    stepped.kill()
    stepped.answers(stepped.request())


def test_policy_too_old_refuses_until_the_next_one(tmp_path: Path) -> None:
    with running_world(tmp_path / "a state", alarm_after="1s", refuse_after="5s") as world:
        world.answers(world.request())
        eventually(lambda: world.send(world.request()).code != 0)
        verify_refusal(world.send(world.request()), Reason.POLICY_STALE, {})
        touched = world.provider.calls
        world.refuses(world.request(), Reason.POLICY_STALE)
        assert world.provider.calls == touched
        world.publish()
        world.answers(world.request())
        world.settle()
