"""What benchmarks.policy_scale found, as a table for people: small beside large, and each target of the project."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Figures", "print_figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """One run; the names are those of the JSON."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    small: dict[str, Any]
    large: dict[str, Any]
    call_cpu_us: list[tuple[float, float, float]]
    """A round each: CPU of a whole call at 1,000 grants, at all of them, and at 1,000 again."""

    @property
    def clean(self) -> bool:
        """Nothing was refused or lost while policies were swapped."""
        runs = [size[name] for size in (self.small, self.large) for name in ("quiet", "swapped")]
        return not any(run["refusals"] or any(run["faults"].values()) for run in runs)


def print_figures(figures: Figures, console: Console) -> None:
    """The table."""
    settings, large = figures.settings, figures.large
    table = Table(title="Policy at a country's size", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("1,000 grants", f"{settings['grants']:,} grants, {settings['subsystems']:,} subsystems", "target"):
        table.add_column(name, justify="right")
    for label, values, target in _rows(figures):
        table.add_row(label, *values, target)
    console.print(table)
    sizes = sorted(2 * large_us / (first + second) for first, large_us, second in figures.call_cpu_us)
    same = sorted(second / first for first, _, second in figures.call_cpu_us)
    console.print(f"CPU of a whole call, large / small around it: {_spread(sizes)}; target 1.10")
    console.print(f"  small / small, which is what the measurement can tell: {_spread(same)}")
    machine = figures.machine
    console.print(
        f"{large['events']:,} events in the log, {large['snapshots']} snapshots of"
        f" {large['all_snapshot_bytes'] / 1e6:.0f} MB"
        f" in all; load {machine['load_average_before']} before, {machine['load_average_after']} after"
    )
    if not figures.clean:
        console.print("[red]calls were refused or lost while policies were swapped; see the JSON[/red]")


def _spread(ratios: list[float]) -> str:
    """Of sorted ratios."""
    return f"{median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"


def _rows(figures: Figures) -> list[tuple[str, tuple[str, str], str]]:
    sizes = (figures.small, figures.large)

    def row(label: str, name: str, form: str, target: str = "") -> tuple[str, tuple[str, str], str]:
        first, second = (format(_number(size[name]), form) for size in sizes)
        return label, (first, second), target

    def latency(label: str, run: str, name: str, target: str = "") -> tuple[str, tuple[str, str], str]:
        first, second = (format(size[run]["latency_ms"][name], ".1f") for size in sizes)
        return label, (first, second), target

    return [
        row("registry opens, from its log: s", "log_seconds", ".2f"),
        row("  from its checkpoint: s", "open_seconds", ".2f"),
        row("gate's tables, from state: s", "tables_seconds", ".2f", "5"),
        row("publisher's start, all readers: s", "publish_seconds", ".2f", "5"),
        row("gate's snapshot: MB", "broker_snapshot_bytes", ".1f"),
        row("one change, CPU of this process: ms", "change_cpu_ms", ".0f"),
        row("one change, recorded: ms", "record_ms", ".0f"),
        row("  commit to signed file: ms", "file_ms", ".0f"),
        row("  commit to handed to Envoy: ms", "handed_ms", ".0f", "200"),
        row("gate at start, resident: MiB", "gate_rss_mib", ".0f", "150"),
        row("  after the swaps", "gate_rss_after_mib", ".0f", "150"),
        row("  at the highest", "gate_rss_peak_mib", ".0f", "150"),
        row("lookup of any grant: ns", "lookup_ns", ".0f"),
        latency("calls, no swaps: p99.9 ms", "quiet", "p999"),
        latency("  worst", "quiet", "max"),
        latency("calls, a swap a second: p99.9 ms", "swapped", "p999"),
        latency("  worst", "swapped", "max", "50"),
    ]


def _number(value: Any) -> float:
    if isinstance(value, list):
        return float(median(value))
    if isinstance(value, int) and value > 10_000:
        return value / 1e6  # bytes, shown in MB
    return float(value)
