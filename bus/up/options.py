"""What a start may be told; light, for those who only start one."""

from dataclasses import dataclass, field
from pathlib import Path

from bus.edge.endpoint import Endpoint
from bus.up.layout import Facts

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a start may be told; None leaves it as it is, or as is usual at a first start."""

    facts: Facts | None = None
    listen: Endpoint | None = None
    database_url: str | None = field(default=None, repr=False)
    clock_was_ahead: bool = False
    """The operator says that the registry's last event was recorded by a clock that was ahead."""
    collector: Endpoint | None = None
    """Where spans go, by OTLP over gRPC in the clear; for this start only."""
    nation: bool = False
    """Members beside the instance (bus.nation); later starts remember it."""
    people: int | None = None
    """How many live in it, at its first start."""
    metrics: Endpoint | None = None
    """Where Prometheus finds what the instance measures, in the clear; for this start only."""
    enrolment: Endpoint | None = None
    """Where newcomers come to enrol; for this start only."""
    envoy_share: Path | None = None
    """Where the first broker's Envoy is another container's: what both see; for this start only."""
    stays: bool = False
    """What calls need goes on without the supervisor; it otherwise ends with it, by the kernel."""
