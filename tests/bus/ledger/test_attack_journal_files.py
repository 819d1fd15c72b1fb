"""What a gate that strangers have taken over puts in a segment's place: whoever reads its journal neither hangs there,
nor follows a link out of it, nor reads what has no end."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.ledger.journal_source import JournalSource
from bus.ledger.journal_tail import JournalTail
from bus.ledger.source import SourceUnavailable
from bus.up.journals import journal_use
from native.journal import load_segments, segment_name


def terabyte(path: Path) -> None:
    with path.open("xb") as file:
        file.truncate(1 << 40)


PLACES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link to a file": lambda path: path.symlink_to("/etc/passwd"),
    "link to what has no end": lambda path: path.symlink_to("/dev/zero"),
    "directory": Path.mkdir,
    "file of a terabyte": terabyte,
}


@pytest.mark.parametrize("put", PLACES.values(), ids=PLACES.keys())
def test_is_no_segment(put: Callable[[Path], object], tmp_path: Path) -> None:
    put(tmp_path / segment_name(1))
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        JournalSource(tmp_path, "spiffe://gov.example/ndc/broker-1", lambda _: None, time.monotonic).read(None)
    with pytest.raises(OSError, match="segment"):
        JournalTail(tmp_path).newest()
    with pytest.raises(OSError, match="segment"):
        next(load_segments(tmp_path))


def test_link_to_nowhere_costs_no_figures(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).symlink_to(tmp_path / "nowhere")
    assert journal_use(tmp_path).files == 1
