"""Other languages' tools for tests: on PATH, or in build/clients as `make clients` leaves them.

Nothing is downloaded here: what is missing is named in the reason for which a test is skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["CLIENTS", "GO_ENVIRONMENT", "KEPT", "NODE_MODULES", "environment", "need", "recipe", "run"]

TOP = Path(__file__).resolve().parents[2]
KEPT = TOP / "build" / "clients"
CLIENTS = TOP / "tests" / "clients"
NODE_MODULES = KEPT / "node" / "node_modules"
_PATH = os.pathsep.join((str(KEPT / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
GO_ENVIRONMENT = {
    "GOMODCACHE": str(KEPT / "go" / "modules"),
    "GOCACHE": str(KEPT / "go" / "built"),
    "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "GOTOOLCHAIN": "local",
}
CAP_S = 240.0
"""For one compiler; some ten seconds on an idle machine."""


def environment(**other: str) -> dict[str, str]:
    """With what `make clients` installed first on PATH."""
    return os.environ | {"PATH": _PATH} | other


def need(*names: str | Path) -> None:
    """Skip, saying what is not here: programs by name, what `make clients` leaves by path."""
    for name in names:
        here = name.exists() if isinstance(name, Path) else shutil.which(name, path=_PATH)
        if not here:
            shown = name.relative_to(TOP) if isinstance(name, Path) else name
            pytest.skip(f"no {shown} here; with Go, Java and Node installed, `make clients` fetches it")


def recipe(language: str) -> str:
    """The commands that docs/contracts.md gives for a language."""
    text = (TOP / "docs" / "contracts.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {language}\n.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert found, language
    return found[1]


def run(command: str | Sequence[str], folder: Path, **other: str) -> str:
    """What it printed; text is given to a shell, as a reader of the documents would."""
    words = ["bash", "-euo", "pipefail", "-c", command] if isinstance(command, str) else list(command)
    done = subprocess.run(
        words, cwd=folder, env=environment(**other), capture_output=True, text=True, check=False, timeout=CAP_S
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout
