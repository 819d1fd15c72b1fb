"""What the slices say: medians, ratios within a round, spread; as a table for people and as JSON for tools.

A ratio is taken between slices of the same round, which ran seconds apart on the same machine, and is reported as the
median over the rounds with the lowest and highest beside it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Slice, Variant

__all__ = ["Ratio", "Results"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """CPU per call of one variant over another's; `wanted` says which side of the bound is good."""

    over: str
    under: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def name(self) -> str:
        """As in the JSON."""
        return f"{self.over} / {self.under}"

    def met(self, value: float) -> bool:
        """Whether the target, if there is one, is reached."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def target(self) -> str:
        """In words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything one run measured. `rounds` are the slices at full load, round by round; `steady` those at one rate."""

    machine: dict[str, object]
    settings: dict[str, object]
    variants: Sequence[Variant]
    rounds: Sequence[Sequence[Slice]]
    steady: Sequence[Slice]
    ratios: Sequence[Ratio]

    @property
    def clean(self) -> bool:
        """No refusal, nothing lost, altered, unsigned or without receipt."""
        return all(one.clean for one in self._slices())

    def ratio_values(self, ratio: Ratio) -> list[float]:
        """One value a round that has both."""
        over, under = self._of(ratio.over), self._of(ratio.under)
        return [a.cpu_us / b.cpu_us for a, b in zip(over, under, strict=True) if b.cpu_us > 0]

    def as_json(self) -> dict[str, object]:
        """Every slice and every ratio."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "clean": self.clean,
            "ratios": {
                one.name: {"median": median(values), "low": min(values), "high": max(values), "target": one.target}
                for one in self._known_ratios()
                if (values := self.ratio_values(one))
            },
            "rounds": [[_flat(one) for one in slices] for slices in self.rounds],
            "steady": [_flat(one) for one in self.steady],
        }

    def print(self, console: Console) -> None:
        """The tables."""
        console.print(self._load_table())
        console.print(self._ratio_table())
        if self.steady:
            console.print(self._steady_table())
        busy = float(str(self.machine["load_average_before"]))
        if busy > 0.3:
            console.print(f"The machine was busy with other things (load {busy:.1f}): trust the ratios, if anything.")
        for one in self._slices():
            if not one.clean:
                console.print(f"[red]{one.variant}: refused {one.refused}, faults {one.faults}[/red]")

    def _load_table(self) -> Table:
        table = Table(title="Full load: median of the rounds", title_justify="left")
        table.add_column("data plane", no_wrap=True)
        table.add_column("CPU µs/call (low-high)", justify="right", no_wrap=True)
        for name in ("cores", "calls/s", "p50 ms", "p99 ms", "batch: client", "prov.", "commit", "refused"):
            table.add_column(name, justify="right")
        for variant in self.variants:
            slices = self._of(variant.name)
            commits = [one.commit_batch for one in slices if one.commit_batch is not None]
            table.add_row(
                variant.title,
                _spread([one.cpu_us for one in slices], ".1f"),
                f"{median(one.cpu_us * one.calls_per_second for one in slices) / 1e6:.2f}",
                f"{median(one.calls_per_second for one in slices):,.0f}",
                f"{median(one.latency_ms['p50'] for one in slices):.1f}",
                f"{median(one.latency_ms['p99'] for one in slices):.1f}",
                str(variant.client_batch),
                f"{median(one.provider_batch for one in slices):.1f}",
                f"{median(commits):.1f}" if commits else "-",
                str(sum(sum(one.refused.values()) for one in slices)),
            )
        return table

    def _ratio_table(self) -> Table:
        titles = {variant.name: variant.title for variant in self.variants}
        table = Table(title="CPU per call, ratios", title_justify="left")
        for name in ("", "median", "low to high", "target", ""):
            table.add_column(name, justify="left" if name in ("", "target") else "right")
        for ratio in self._known_ratios():
            values = self.ratio_values(ratio)
            middle = median(values)
            verdict = "" if not ratio.target else "met" if ratio.met(middle) else "[red]missed[/red]"
            table.add_row(
                f"{titles[ratio.over]} / {titles[ratio.under]}",
                f"{middle:.2f}",
                f"{min(values):.2f} to {max(values):.2f}",
                ratio.target,
                verdict,
            )
        return table

    def _steady_table(self) -> Table:
        titles = {variant.name: variant.title for variant in self.variants}
        table = Table(title="At a steady rate, from the scheduled start of each call", title_justify="left")
        for name in ("data plane", "calls/s", "p50 ms", "p90 ms", "p99 ms", "CPU µs/call"):
            table.add_column(name, justify="left" if name == "data plane" else "right")
        for one in self.steady:
            latency = [f"{one.latency_ms[name]:.2f}" for name in ("p50", "p90", "p99")]
            table.add_row(titles[one.variant], f"{one.calls_per_second:,.0f}", *latency, f"{one.cpu_us:.0f}")
        return table

    def _of(self, variant: str) -> list[Slice]:
        return [one for slices in self.rounds for one in slices if one.variant == variant]

    def _known_ratios(self) -> list[Ratio]:
        names = {variant.name for variant in self.variants}
        return [one for one in self.ratios if {one.over, one.under} <= names]

    def _slices(self) -> list[Slice]:
        return [*(one for slices in self.rounds for one in slices), *self.steady]


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def _flat(one: Slice) -> dict[str, object]:
    return {**asdict(one), "cpu_us": one.cpu_us, "calls_per_second": one.calls_per_second}
