"""What the documents say about commands and dependencies is what the files say."""

import re
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = sorted({*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]})
LOCK = (TOP / "requirements.lock").read_text(encoding="utf-8")


def normal(name: str) -> str:
    """Name of a distribution as the lock spells it (PEP 503), extras dropped."""
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_in_the_documents_is_a_target(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(
        re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", (TOP / document).read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named
    assert {first or second for first, second in named} - targets == set()


def test_the_imports_in_the_readme_work() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own README, which is what is tested


@pytest.mark.parametrize("requirement", DIRECT)
def test_every_direct_dependency_is_locked_and_has_its_reason(requirement: str) -> None:
    name, _, version = requirement.partition("==")
    assert version, "pin it"
    assert re.search(rf"^{re.escape(normal(name))}=={re.escape(version)} ", LOCK, re.MULTILINE), "run: make lock"
    reasons = (TOP / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reasons), "give its reason in docs/dependencies.md"


def test_the_lock_has_a_digest_for_everything_and_names_no_index() -> None:
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.search(r"https?://|--index|--extra-index|--find-links|--trusted-host", LOCK) is None
