"""The portal's archive forgets by age and by number, whole folders at a time, and nothing that it did not write."""

from __future__ import annotations

import adapters.portal.asking  # noqa: F401  # isort: skip - before gRPC

import os
from pathlib import Path

import pytest

from adapters.portal.archive import Archive

NOW = 1_800_000_000.0
DAY = 86_400


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def kept(archive: Path, number: int, days_ago: float) -> Path:
    """As the archive keeps one call's evidence."""
    folder = archive / "evidence" / f"{number:032x}"
    folder.mkdir(mode=0o700)
    (folder / "request.body").write_bytes(b"a person")
    os.utime(folder, (NOW, NOW - days_ago * DAY))
    return folder


def test_what_is_older_than_its_days_is_deleted(home: Path) -> None:
    archive = Archive(home, days=30, calls=100)
    old, young = kept(home, 1, 30.1), kept(home, 2, 29.9)
    certificate = home / archive.keep_certificate("BIRTH-0123456789ab", b"a person")
    os.utime(certificate, (NOW, NOW))
    assert archive.tidy(NOW) == 1
    assert not old.exists()
    assert young.exists()
    assert certificate.exists()
    assert archive.tidy(NOW + 31 * DAY) == 2
    assert list((home / "evidence").iterdir()) == list((home / "certificates").iterdir()) == []


def test_of_more_than_its_number_the_oldest_are_deleted(home: Path) -> None:
    archive = Archive(home, days=30, calls=3)
    folders = [kept(home, number, days_ago=number) for number in range(7)]
    assert archive.tidy(NOW) == 4
    assert [folder.exists() for folder in folders] == [True] * 3 + [False] * 4
    assert archive.tidy(NOW) == 0


def test_what_a_killed_portal_left_half_written_or_half_deleted_goes_and_what_is_being_written_stays(
    home: Path,
) -> None:
    archive = Archive(home)
    names = [f".{1:032x}.00112233aabbccdd", f".{2:032x}.gone", ".BIRTH-0123456789ab.bin.0011"]
    for name in names:
        place = home / "evidence" / name
        place.mkdir(mode=0o700)
        (place / "request.body").touch()
        os.utime(place, (NOW, NOW - 60))
    assert archive.tidy(NOW) == 0
    assert archive.tidy(NOW + 3_600) == 3


def test_what_is_not_the_archives_is_let_be(home: Path, tmp_path: Path) -> None:
    archive, other = Archive(home), tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    (home / "evidence" / "notes").mkdir()
    (home / "evidence" / f"{1:032x}").symlink_to(other)
    assert archive.tidy(NOW * 2) == 1  # the link, not what it leads to
    assert (other / "file").exists()
    assert (home / "evidence" / "notes").exists()


def test_what_cannot_be_deleted_keeps_nothing_else(home: Path) -> None:
    archive = Archive(home, days=30, calls=100)
    stuck, old = kept(home, 1, 31), kept(home, 2, 31)
    certificate = home / archive.keep_certificate("BIRTH-0123456789ab", b"a person")
    os.utime(certificate, (NOW - 31 * DAY, NOW - 31 * DAY))
    in_the_way = stuck.with_name(f".{stuck.name}.gone")
    in_the_way.mkdir()
    (in_the_way / "request.body").touch()
    os.utime(in_the_way, (NOW, NOW))
    with pytest.raises(OSError, match="not empty"):
        archive.tidy(NOW)
    assert (stuck.exists(), old.exists(), certificate.exists()) == (True, False, False)
