"""What policy costs at a country's size: python -m benchmarks.policy_scale [--quick].

A registry of 200,000 grants and 5,000 subsystems on a real PostgreSQL, its publisher, and a real broker under a steady
trickle of calls. Each figure stands beside the same at 1,000 grants, and the project's targets beside both; nothing
fails because of a slow machine. Ends with status 1 when a call was refused or lost while policies were swapped.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.build import build_tools
from benchmarks.machine import machine_facts
from benchmarks.policy_report import Figures, print_figures
from benchmarks.policy_stage import Stage, open_stage
from benchmarks.policy_world import Scale

_RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run and report."""
    options = _options(arguments)
    console = Console(stderr=True, soft_wrap=True)
    try:
        figures = _run(options, console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    output = Console()
    print_figures(figures, output if output.is_terminal else Console(width=120))
    path = options.json or _RESULTS / f"policy-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(figures), indent=1) + "\n")
    console.print(f"every figure: {path}")
    return 0 if figures.clean else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy_scale", description="Policy at a country's size")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, for a first look")
    parser.add_argument("--grants", type=int, help="default 200000")
    parser.add_argument("--subsystems", type=int, help="default 5000")
    parser.add_argument("--changes", type=int, default=10, help="changes one by one, and swaps under load")
    parser.add_argument("--rate", type=int, default=200, help="calls a second while policies are swapped")
    parser.add_argument("--rounds", type=int, default=9, help="of whole calls at full load: small, large, small")
    parser.add_argument("--json", type=Path, help="where the figures go; default benchmarks/results/policy-<time>.json")
    options = parser.parse_args(arguments)
    options.grants = options.grants or (20_000 if options.quick else 200_000)
    options.subsystems = options.subsystems or (500 if options.quick else 5_000)
    return options


def _run(options: argparse.Namespace, console: Console) -> Figures:
    machine = machine_facts()
    console.print("compiling the load tools")
    tools = build_tools()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="govbus-policy-")))
        sizes = (Scale(1_000, min(100, options.subsystems)), Scale(options.grants, options.subsystems))
        small, large = (
            stack.enter_context(open_stage(tools, directory / f"{size.grants}", size, console.print)) for size in sizes
        )
        found: dict[str, dict[str, object]] = {}
        for name, stage in (("small", small), ("large", large)):
            console.print(f"{stage.scale.grants} grants: start, compile, one change")
            found[name] = _control(stage, options)
        console.print("lookups")
        found["small"]["lookup_ns"], found["large"]["lookup_ns"] = small.lookup_ns(), large.lookup_ns()
        for name, stage in (("small", small), ("large", large)):
            console.print(f"{stage.scale.grants} grants: calls while policies are swapped")
            found[name] |= stage.swaps(options.changes, options.rate)
        console.print("whole calls, large between small")
        small.call_cpu_us(), large.call_cpu_us()  # connections, buffers and caches are warm from here on
        rounds = [(small.call_cpu_us(), large.call_cpu_us(), small.call_cpu_us()) for _ in range(options.rounds)]
    machine["load_average_after"] = round(os.getloadavg()[0], 2)
    names = ("grants", "subsystems", "changes", "rate", "rounds")
    return Figures(machine, {name: getattr(options, name) for name in names}, found["small"], found["large"], rounds)


def _control(stage: Stage, options: argparse.Namespace) -> dict[str, object]:
    found: dict[str, object] = {"events": stage.events}
    found |= stage.start()
    found |= stage.compile()
    found |= stage.changes(options.changes)
    return found


if __name__ == "__main__":
    sys.exit(main())
