"""What a nation was made with: written down before anything of it is made, and never changed.

A later start finds it, so that nobody needs to say `--nation` again. A wish for something else is refused.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

from bus.engines.supervisor import EngineError
from bus.nation.places import nation_directory
from bus.up.layout import Layout
from pki import files

__all__ = ["DEFAULT_PEOPLE", "FEWEST_PEOPLE", "MOST_PEOPLE", "Settled", "settle", "settled"]

DEFAULT_PEOPLE: Final = 100_000
FEWEST_PEOPLE: Final = 10
MOST_PEOPLE: Final = 2_000_000
_FILE: Final = "nation.json"


@dataclass(frozen=True, slots=True)
class Settled:
    """What does not change."""

    people: int = DEFAULT_PEOPLE
    """In the population register, synthetic."""


def settled(layout: Layout) -> Settled | None:
    """What it was made with; None where there is no nation. EngineError if the file is not ours."""
    path = nation_directory(layout) / _FILE
    try:
        return Settled(int(json.loads(path.read_bytes())["people"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} is damaged; restore it from a backup") from error


def settle(layout: Layout, *, wanted: bool, people: int | None) -> Settled | None:
    """What it is made with, written down where it is `wanted` and new; None where there is and shall be none."""
    found = settled(layout)
    if found is None and not wanted:
        if people is not None:
            raise EngineError("--people is how many live in a nation; give --nation, too")
        return None
    if found is None:
        found = Settled(people or DEFAULT_PEOPLE)
        directory = files.ensure_private_directory(nation_directory(layout))
        files.write_atomic(directory / _FILE, (json.dumps(asdict(found)) + "\n").encode())
    if people is not None and people != found.people:
        raise EngineError(
            f"the nation in {layout.state} has {found.people} people for ever; leave --people out, name another"
            " directory with --state, or delete this one (govbus down --wipe) and start again"
        )
    return found
