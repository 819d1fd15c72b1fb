"""Where a data plane's CPU goes: microseconds a call by thread and library, and the gate's own functions.

    python -m benchmarks.profile bare govbus        # or: govbus-single

Needs Linux perf and the right to sample one's own processes (kernel.perf_event_paranoid <= 2). Samples the CPU clock,
so it works in virtual machines. Envoy's binary has no symbols of its own: its share is one line.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.build import build_tools
from benchmarks.measure import Bench, Slice, Variant
from benchmarks.planes import BareEnvoy, Govbus
from benchmarks.tools import Provider
from benchmarks.world import make_world

_FREQUENCY = 1999
_PLANES = ("bare", "govbus", "govbus-single")


def main() -> int:
    """Profile each plane named; print one table each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("planes", nargs="+", choices=_PLANES)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    for plane in options.planes:
        with tempfile.TemporaryDirectory(prefix="govbus-profile-") as directory:
            one = _record(plane, Path(directory), options.seconds)
            _print(plane, one, Path(directory) / "perf.data")
    return 0


def _record(name: str, directory: Path, seconds: float) -> Slice:
    tools = build_tools()
    world = make_world(directory / "state", now=datetime.now(UTC))
    with Provider(tools, world) as provider, BareEnvoy(world) if name == "bare" else Govbus(world) as plane:
        batch = (1, 1) if name == "govbus-single" else (64, 1024)
        variant = Variant(name, name, plane, *batch)
        bench = Bench(tools, world, provider, connections=8, streams=32, body=256)
        warm = bench.slice(variant, seconds=1.0, expected_rate=15_000)
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_FREQUENCY), "-p", str(plane.pid)]
        with subprocess.Popen([*command, "-o", str(directory / "perf.data")]) as perf:
            try:
                return bench.slice(variant, seconds=seconds, expected_rate=warm.calls_per_second)
            finally:
                perf.send_signal(signal.SIGINT)


def _print(plane: str, one: Slice, data: Path) -> None:
    script = ["perf", "script", "-i", str(data), "-F", "comm,ip,sym,dso"]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    places: Counter[tuple[str, str]] = Counter()
    functions: Counter[str] = Counter()
    for line in lines:
        thread, _, rest = line.strip().rpartition("  ")
        symbol, _, library = rest.rpartition(" (")
        library = Path(library.rstrip(")")).name
        places[thread.strip(), library] += 1
        if "govbus_gate" in library:
            functions[symbol.split()[-1].rpartition("libgovbus_gate_")[2]] += 1
    console = Console()
    console.print(f"{plane}: {one.cpu_us:.1f} µs CPU a call by the clock, {one.calls_per_second:,.0f} calls/s")
    micro = 1e6 / _FREQUENCY / one.calls
    table = Table("thread", "library or function of the gate", "µs a call")
    for (thread, library), samples in places.most_common(12):
        table.add_row(thread, escape(library), f"{samples * micro:.2f}")
    table.add_section()
    for function, samples in functions.most_common(12):
        table.add_row("", function, f"{samples * micro:.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
