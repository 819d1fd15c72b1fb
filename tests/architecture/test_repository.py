"""What must never enter the repository: private keys, and paths of the machine someone happened to work on."""

import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
# A marker alone is a fair bad input of a test; with key material behind it (in a file or a string literal) it is a key.
PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\s|\\n|[\"'])*(?:[\w-]+: [^\n]*\s+)*[A-Za-z0-9+/=]{32,}"
)
MACHINE_PATH = re.compile(rb"(?<![\w.:/-])/(?:root|work|farm|home|Users)/[A-Za-z.][\w./-]*")


def tracked() -> list[Path]:
    """Every file git knows; the safe.directory switch lets root test a clone that another user owns."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True
    ).stdout
    return [TOP / name for name in listing.decode().split("\0") if name and (TOP / name).is_file()]


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    """file:line of every match; the match itself is not repeated."""
    found = []
    for path in tracked():
        content = path.read_bytes()
        for match in pattern.finditer(content):
            line = content.count(b"\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(TOP)}:{line}")
    return found


def test_no_private_key_is_in_the_repository() -> None:
    assert lines_with(PRIVATE_KEY) == []


def test_no_path_of_one_machine_is_in_the_repository() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_a_key_behind_its_marker_is_found() -> None:
    marker, material = b"-----BEGIN " + b"EC PRIVATE KEY-----", b"A" * 64
    assert PRIVATE_KEY.search(marker + b"\n" + material)
    assert PRIVATE_KEY.search(b'"' + marker + b'\\n"\n    "' + material)
    assert PRIVATE_KEY.search(marker + b"\nProc-Type: 4,ENCRYPTED\n\n" + material)
    assert not PRIVATE_KEY.search(marker + b"\n")
