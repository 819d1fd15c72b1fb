"""Where what is written down about calls stands: an instance's own journals and ledger, or the ones that were named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from bus.cli.output import Unable
from bus.evidence.export import parse_request_id
from bus.evidence.newest import newest_request
from bus.up.layout import Layout
from native.journal import JournalDamaged

__all__ = ["LAST", "Places", "RequestId", "recorded_places", "wanted_request"]

RequestId = Annotated[str, typer.Argument(help="The request's id, as hex or UUID; or `last`: the newest call's.")]
LAST: Final = "last"
"""Instead of an id: the newest call that was written down."""


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


def wanted_request(text: str, places: Places) -> bytes:
    """The request id that is written `text`; of `last` that of the newest call. Unable for anything else."""
    try:
        if text != LAST:
            return parse_request_id(text)
        newest = newest_request(places.journals)
    except ValueError as error:
        raise Unable(f"{error}; or `{LAST}`, for the newest call") from error
    except JournalDamaged as error:
        raise Unable(str(error)) from error
    if newest is None:
        raise Unable("no call was recorded here yet; make one with `govbus call`, or `govbus birth` in a nation")
    return newest
