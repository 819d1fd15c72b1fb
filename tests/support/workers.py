"""What one worker of a parallel run keeps together, and what is begun first.

`make test` runs the suite in several processes (pytest-xdist), since most tests wait for processes of the bus rather
than compute. A file is never divided. Files whose tests ask for the same costly fixture of the session stay together:
it is made once. This is read from the names of their arguments, and a file that asks for two goes with the first.

What is long comes first, or the last worker would be left alone with it. A run of one process has the same order.
pytest-xdist's own `--dist loadgroup` groups nothing under this pytest: it writes into a field that is no longer read.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_xdist_make_scheduler"]

TESTS = Path(__file__).resolve().parents[1]
# Below a folder: the name that tests ask for, and the group.
SHARED = {
    "integration": {
        **{name: name for name in ("live", "elsewhere", "demonstration")},
        "world": "attacks",  # one world, as it is after the test before
        "shared_world": "attacks",
        "whole_journal": "attacks",
    },
    "bus/cli": {"instance": "instance"},
    "adapters": {"services": "services"},
}
FIRST = ("integration.test_operations", "instance", "services", "adapters.test_tutorial", "demonstration", "attacks")
ROOMS = ("integration", "bus", "adapters", "clients", "architecture", "native", "benchmarks", "vectors", "pki")
_END_S = 60.0


def pytest_configure() -> None:
    """An interrupted worker has time to end what its tests started: pytest-xdist would kill it after ten seconds."""
    NodeManager.EXIT_TIMEOUT = _END_S


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the groups, and leave the order within each as it is."""
    items.sort(key=lambda item: _place(group_of(str(item.path.relative_to(TESTS)))))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Whole groups, handed out in the order of collection."""
    config.option.loadscopereorder = False
    return _Groups(config, log)


class _Groups(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0].removeprefix("tests/"))


@cache
def group_of(file: str) -> str:
    """The group of a file, given as its path below tests/."""
    for folder, shared in SHARED.items():
        if file.startswith(f"{folder}/"):
            asked = _arguments(TESTS / file)
            return next((group for name, group in shared.items() if name in asked), _name(file))
    return _name(file)


def _arguments(path: Path) -> set[str]:
    """What the functions of a file ask for and the file does not make itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    made = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.arg for node in made for each in node.args.args} - {node.name for node in made}


def _name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def _place(group: str) -> tuple[int, int, str]:
    if group in FIRST:
        return 0, FIRST.index(group), group
    shared = any(group in groups.values() for groups in SHARED.values())
    room = group.partition(".")[0]
    return 1, -1 if shared else ROOMS.index(room) if room in ROOMS else len(ROOMS), group
