"""make bench: what a call costs on the bus, beside bare Envoy and beside the same checks in plain Python.

One run, slices interleaved (A B C D, A B C D, ...), so that whatever else the machine does falls on all alike. Ends
with status 1 when any call was refused, lost, altered, unsigned or without its receipt; a missed target is shown, not
failed: it is a figure of this machine at this moment.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.build import build_tools
from benchmarks.machine import machine_facts
from benchmarks.measure import Bench, Slice, Variant
from benchmarks.planes import BareEnvoy, Govbus, Plane, PythonForwarder
from benchmarks.results import Ratio, Results
from benchmarks.tools import Provider
from benchmarks.world import World, make_world

_RESULTS = Path(__file__).parent / "results"
_ALL = ("bare", "batched", "single", "python", "compiled")
_RATIOS = (
    Ratio("batched", "bare", at_most=2.0),
    Ratio("single", "bare"),
    Ratio("python", "batched", at_least=6.0),
    Ratio("compiled", "batched"),
)
_PAGE = 130
_FIRST_GUESS = {"bare": 15_000.0, "batched": 10_000.0, "single": 8_000.0, "python": 1_500.0, "compiled": 1_500.0}


def main(arguments: list[str] | None = None) -> int:
    """Run and report."""
    options = _options(arguments)
    console = Console(stderr=True, soft_wrap=True)
    try:
        results = _run(options, console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    output = Console()
    results.print(output if output.is_terminal else Console(width=_PAGE))
    path = options.json or _RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    console.print(f"every slice: {path}")
    return 0 if results.clean else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="CPU and latency of a call")
    parser.add_argument("--quick", action="store_true", help="under 30 seconds, for a first look")
    parser.add_argument("--only", nargs="+", choices=_ALL, default=list(_ALL), metavar="PLANE", help=", ".join(_ALL))
    parser.add_argument("--rounds", type=int, help="default 5, quick 2")
    parser.add_argument("--seconds", type=float, help="of one slice; default 4, quick 1")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--streams", type=int, default=32, help="open calls on each connection")
    parser.add_argument("--body", type=int, default=256, help="bytes of the message, both ways")
    parser.add_argument("--rate", type=int, default=300, help="calls a second of the steady slices; 0: leave them out")
    parser.add_argument("--json", type=Path, help="where the figures go; default benchmarks/results/<time>.json")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    return options


def _run(options: argparse.Namespace, console: Console) -> Results:
    machine = machine_facts()
    console.print("compiling the load tools")
    tools = build_tools()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="govbus-bench-"))) / "state"
        world = make_world(state, now=datetime.now(UTC))
        provider = stack.enter_context(Provider(tools, world))
        console.print("starting the data planes")
        variants = _variants(options.only, world, stack)
        bench = Bench(tools, world, provider, options.connections, options.streams, options.body)
        rates = _warm_up(bench, variants, console)
        rounds = [
            [_slice(bench, one, options, rates, console, f"{number}/{options.rounds}") for one in variants]
            for number in range(1, options.rounds + 1)
        ]
        steady = []
        if options.rate:
            steady = [_steady(bench, one, options, console) for one in variants]
        console.print("ending the data planes")
    names = ("connections", "streams", "body", "seconds", "rate")
    return Results(machine, {name: getattr(options, name) for name in names}, variants, rounds, steady, _RATIOS)


def _variants(only: list[str], world: World, stack: ExitStack) -> list[Variant]:
    found: list[Variant] = []
    if "bare" in only:
        found.append(Variant("bare", "bare Envoy", stack.enter_context(BareEnvoy(world)), 64, 1024))
    if "batched" in only or "single" in only:
        govbus: Plane = stack.enter_context(Govbus(world))
        if "batched" in only:
            found.append(Variant("batched", "govbus", govbus, 64, 1024))
        if "single" in only:
            found.append(Variant("single", "govbus, 1 call a signature", govbus, 1, 1))
    if "python" in only:
        plain = stack.enter_context(PythonForwarder(world, compiled=False))
        found.append(Variant("python", "Python forwarder", plain, 64, 1024))
    if "compiled" in only:
        compiled = stack.enter_context(PythonForwarder(world, compiled=True))
        found.append(Variant("compiled", "Python, compiled crypto", compiled, 64, 1024))
    return found


def _warm_up(bench: Bench, variants: list[Variant], console: Console) -> dict[str, float]:
    """Fills caches and connection pools, and learns how many requests a slice needs. Not reported."""
    rates: dict[str, float] = {}
    for variant in variants:
        console.print(f"warming up {variant.title}")
        rates[variant.name] = bench.slice(
            variant, seconds=0.5, expected_rate=_FIRST_GUESS[variant.name]
        ).calls_per_second
    return rates


def _slice(
    bench: Bench,
    variant: Variant,
    options: argparse.Namespace,
    rates: dict[str, float],
    console: Console,
    label: str,
) -> Slice:
    one = bench.slice(variant, seconds=options.seconds, expected_rate=rates[variant.name])
    rates[variant.name] = max(rates[variant.name], one.calls_per_second)
    console.print(
        f"round {label}  {variant.title:<30} {one.calls_per_second:>9,.0f} calls/s  {one.cpu_us:>7.1f} µs CPU a call"
    )
    return one


def _steady(bench: Bench, variant: Variant, options: argparse.Namespace, console: Console) -> Slice:
    one = bench.slice(variant, seconds=options.seconds, expected_rate=options.rate, rate=options.rate)
    console.print(f"at {options.rate} calls/s  {variant.title:<30} p50 {one.latency_ms['p50']:.2f} ms")
    return one


if __name__ == "__main__":
    sys.exit(main())
