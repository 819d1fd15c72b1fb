"""Where what is written down about calls stands: an instance's own journals and ledger, or the ones that were named."""

from dataclasses import dataclass
from pathlib import Path

from bus.up.layout import Layout

__all__ = ["Places", "recorded_places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the call may stand, and the ledger that may have it."""

    journals: tuple[Path, ...]
    ledger: Path | None


def recorded_places(layout: Layout, journal: Path | None, ledger: Path | None) -> Places:
    """A journal that was named comes without the instance's ledger: nobody said that they belong together.

    EngineError where neither a journal was named nor an instance is. Nothing is looked for on the disk.
    """
    if journal is not None:
        return Places((journal,), ledger)
    facts = layout.expect()
    journals = tuple(layout.broker_home(path) / "journal" for path in layout.broker_paths(facts))
    return Places(journals, ledger or layout.ledger)
