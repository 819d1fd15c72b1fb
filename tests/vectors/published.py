"""Where the published vectors lie: beside the project (../shared/vectors), or where GOVBUS_VECTORS says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("GOVBUS_VECTORS") or Path(__file__).resolve().parents[2].parent / "shared" / "vectors")


def load(name: str) -> Any:
    """The JSON file of that name below the vectors' root; skips the test where it is missing."""
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"published vectors are missing: put {name} below {ROOT} or set GOVBUS_VECTORS")
    return json.loads(path.read_text(encoding="utf-8"))


def cases(folder: str) -> list[tuple[str, Any]]:
    """Every JSON file below a folder, by its name there; skips the test where there is none."""
    top = ROOT / folder
    found = [(str(path.relative_to(top)), json.loads(path.read_bytes())) for path in sorted(top.rglob("*.json"))]
    if not found:
        pytest.skip(f"published vectors are missing: put {folder} below {ROOT} or set GOVBUS_VECTORS")
    return found
