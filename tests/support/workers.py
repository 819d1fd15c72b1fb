"""What one worker of a parallel run keeps together, and what is begun first.

`make test` runs the suite in several processes (pytest-xdist, `--dist loadgroup`), since most tests wait for processes
of the bus rather than compute. A file is never divided. Files that share an instance for the whole session stay with
the worker that has it, so that it is started once. Groups are handed out in the order of collection: what is long comes
first, or the last worker would be left alone with it. In a run of one process only the order is different.
"""

from collections import defaultdict
from pathlib import Path

import pytest
from xdist.workermanage import NodeManager

__all__ = ["pytest_collection_modifyitems", "pytest_configure"]

# Fixtures of the session that cost seconds, each with the files that use it; a file that uses two goes with the first.
SHARED = ("live", "shared_world", "elsewhere", "demonstration", "instance", "services")
ROOMS = ("integration", "bus", "adapters", "architecture", "clients", "native", "vectors", "benchmarks", "pki")


_END_S = 60.0


def pytest_configure() -> None:
    """An interrupted worker has time to end what its tests started: pytest-xdist would kill it after ten seconds."""
    NodeManager.EXIT_TIMEOUT = _END_S


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its group; order the groups, and leave the order within each as it is."""
    groups = _groups(items)
    rank = {group: place for place, group in enumerate(sorted(set(groups.values()), key=_place))}
    items.sort(key=lambda item: rank[groups[item.path]])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))


def _groups(items: list[pytest.Item]) -> dict[Path, str]:
    """The group of each file."""
    asked: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        asked[item.path].update(fixture for fixture in SHARED if _of_the_session(item, fixture))
    return {path: next((each for each in SHARED if each in asked[path]), _name(path)) for path in asked}


def _of_the_session(item: pytest.Item, fixture: str) -> bool:
    """Whether that is what `item` means by the name: some files have an `instance` of their own."""
    if not isinstance(item, pytest.Function):
        return False
    definitions = item._fixtureinfo.name2fixturedefs.get(fixture, ())
    return any(each.scope == "session" for each in definitions[-1:])


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[parts.index("tests") + 1 :])


def _place(group: str) -> tuple[int, int, str]:
    if group in SHARED:
        return 0, SHARED.index(group), group
    room = group.partition(".")[0]
    return 1, ROOMS.index(room) if room in ROOMS else len(ROOMS), group
