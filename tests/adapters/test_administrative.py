"""The unit tables say what the source says, and the service never chooses for the citizen."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import protovalidate
import pytest
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1.administrative_pb2_grpc import (
    AdministrativeUnitServiceStub,
    add_AdministrativeUnitServiceServicer_to_server,
)
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode

from adapters.administrative.service import UNITS_PER_MESSAGE, AdministrativeUnits
from adapters.administrative.store import BY_CODE, open_units
from adapters.administrative.table import DATA, NEW_LIST, OLD_LIST, Level, UnitTable, UnknownUnit
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, unheard

if TYPE_CHECKING:
    from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceAsyncStub

    from adapters.sql import SqlStore
    from tests.adapters.conftest import Serve


def code(code_list: str, code: str) -> AdministrativeUnitCode:
    return AdministrativeUnitCode(code_list_version=code_list, code=code)


def test_both_lists_are_complete(table: UnitTable) -> None:
    old = Counter(unit.level for unit in table.units(OLD_LIST))
    new = Counter(unit.level for unit in table.units(NEW_LIST))
    assert old == {Level.PROVINCE: 63, Level.DISTRICT: 696, Level.WARD: 10_035}
    assert new == {Level.PROVINCE: 34, Level.WARD: 3_321}


def test_every_old_ward_has_a_successor_and_471_have_several(table: UnitTable) -> None:
    sizes = Counter(len(table.successors(unit)) for unit in table.units(OLD_LIST, Level.WARD))
    assert sizes == {1: 10_035 - 471, 2: 397, 3: 58, 4: 15, 5: 1}


def test_every_new_unit_comes_from_somewhere(table: UnitTable) -> None:
    assert all(table.predecessors(unit) for unit in table.units(NEW_LIST))


def test_successors_and_predecessors_are_two_views_of_one_relation(table: UnitTable) -> None:
    forward = {(old.code, new.code) for old in table.units(OLD_LIST) for new in table.successors(old)}
    backward = {(old.code, new.code) for new in table.units(NEW_LIST) for old in table.predecessors(new)}
    assert forward == backward
    assert len(forward) == 10_665


def test_same_code_in_two_lists_is_two_units(table: UnitTable) -> None:
    old, new = table.unit(OLD_LIST, "00004"), table.unit(NEW_LIST, "00004")
    assert (old.name, new.name) == ("Phường Trúc Bạch", "Phường Ba Đình")
    both = {u.code for u in table.units(OLD_LIST, Level.WARD)} & {u.code for u in table.units(NEW_LIST, Level.WARD)}
    renamed = [c for c in both if table.unit(OLD_LIST, c).name != table.unit(NEW_LIST, c).name]
    assert (len(both), len(renamed)) == (3_316, 2_145)


def test_island_district_without_wards_becomes_its_special_zone(table: UnitTable) -> None:
    (zone,) = table.successors(table.unit(OLD_LIST, "755"))
    assert zone.name == "Đặc khu Côn Đảo"
    assert zone.level is Level.WARD
    with_wards = [unit for unit in table.units(OLD_LIST, Level.DISTRICT) if not table.successors(unit)]
    assert len(with_wards) == 696 - 5


def test_names_and_parents_are_clean(table: UnitTable) -> None:
    for code_list in (OLD_LIST, NEW_LIST):
        for unit in table.units(code_list):
            assert unit.name == unicodedata.normalize("NFC", unit.name).strip()
            assert table.unit(code_list, unit.province_code).level is Level.PROVINCE
            assert unit.parent_code == "" or table.unit(code_list, unit.parent_code).level < unit.level


@pytest.mark.parametrize(("code_list", "code"), [(OLD_LIST, "99999"), (NEW_LIST, "001"), ("gso-1999-01", "00004")])
def test_code_of_another_list_is_unknown(table: UnitTable, code_list: str, code: str) -> None:
    with pytest.raises(UnknownUnit):
        table.unit(code_list, code)


@pytest.fixture
async def units(loopback: Serve, unit_store: SqlStore) -> AdministrativeUnitServiceAsyncStub:
    channel = await loopback((add_AdministrativeUnitServiceServicer_to_server, AdministrativeUnits(unit_store)))
    return AdministrativeUnitServiceStub(channel)


async def test_split_ward_is_answered_with_all_its_successors(units: AdministrativeUnitServiceAsyncStub) -> None:
    answer = await units.ResolveUnit(pb.ResolveUnitRequest(code=code(OLD_LIST, "00073")), timeout=5)
    assert answer.unit.name == "Phường Cửa Nam"
    assert answer.split
    assert [unit.code.code for unit in answer.successors] == ["00004", "00070", "00082", "00226"]
    assert {unit.code.code_list_version for unit in answer.successors} == {NEW_LIST}
    assert not answer.predecessors


async def test_current_ward_is_its_own_successor_and_knows_its_parts(units: AdministrativeUnitServiceAsyncStub) -> None:
    answer = await units.ResolveUnit(pb.ResolveUnitRequest(code=code(NEW_LIST, "00004")), timeout=5)
    assert list(answer.successors) == [answer.unit]
    assert not answer.split
    assert len(answer.predecessors) == 10
    assert {unit.code.code_list_version for unit in answer.predecessors} == {OLD_LIST}


async def test_unknown_code_is_refused_with_a_fixed_text(units: AdministrativeUnitServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await units.GetUnit(pb.GetUnitRequest(code=code(NEW_LIST, "99998")), timeout=5)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert (refused.value.details() or "").startswith("UNIT_UNKNOWN: ")
    assert "99998" not in (refused.value.details() or "")


async def test_whole_list_streams_in_pieces_within_the_limit(units: AdministrativeUnitServiceAsyncStub) -> None:
    request = pb.ListUnitsRequest(code_list_version=NEW_LIST, level=pb.UNIT_LEVEL_WARD)
    pieces = [piece async for piece in units.ListUnits(request, timeout=10)]
    assert sum(len(piece.units) for piece in pieces) == 3_321
    assert max(len(piece.units) for piece in pieces) == UNITS_PER_MESSAGE
    for piece in pieces:
        protovalidate.validate(piece)


async def test_list_within_a_district_or_province(units: AdministrativeUnitServiceAsyncStub) -> None:
    async def names(code_list: str, within: str) -> list[str]:
        request = pb.ListUnitsRequest(code_list_version=code_list, within_code=within)
        return [unit.name async for piece in units.ListUnits(request, timeout=5) for unit in piece.units]

    assert "Phường Trúc Bạch" in await names(OLD_LIST, "001")
    assert len(await names(OLD_LIST, "01")) == 30 + 526
    assert len(await names(NEW_LIST, "01")) == 126
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await names(NEW_LIST, "001")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_every_answer_keeps_the_rules_of_its_contract(
    units: AdministrativeUnitServiceAsyncStub, table: UnitTable
) -> None:
    sample = [unit for code_list in (OLD_LIST, NEW_LIST) for unit in list(table.units(code_list))[::97]]
    for unit in sample:
        answer = await units.ResolveUnit(pb.ResolveUnitRequest(code=code(unit.code_list, unit.code)), timeout=5)
        protovalidate.validate(answer)


def small_lists(folder: Path) -> Path:
    """The packaged lists, of one district of before and of what it became."""
    kept = {"01", "001", "00004", "00001", "00006", "00008"}
    for file in DATA.glob("*.csv"):
        lines = file.read_text("utf-8").splitlines(keepends=True)
        codes = [
            line.strip().split(",")[:2] if file.name.startswith("successors") else line.split(",")[:1] for line in lines
        ]
        found = [line for line, each in zip(lines, codes, strict=True) if kept.issuperset(each)]
        (folder / file.name).write_text("".join([lines[0], *found]), encoding="utf-8")
    return folder


async def test_program_with_other_lists_replaces_them_all_and_the_same_ones_are_left_alone(
    database: Database, tmp_path: Path
) -> None:
    def rows_as_loaded() -> list[tuple[object, ...]]:
        with database.connect() as connection:
            return connection.execute(
                "SELECT (SELECT min(xmin::text) FROM unit), (SELECT max(xmin::text) FROM unit),"
                " (SELECT count(*) FROM unit), (SELECT count(*) FROM succession), (SELECT count(*) FROM loaded)"
            ).fetchall()

    async def name_after_a_start(folder: Path) -> str:
        store = open_units(database.dsn, folder)
        async with store.running(unheard):
            row = await store.fetch_one(AT_LEISURE, BY_CODE, {"code_list": NEW_LIST, "code": "00004"})
        assert row is not None
        return str(row["name"])

    folder = small_lists(tmp_path)
    assert await name_after_a_start(folder) == "Phường Ba Đình"
    first = rows_as_loaded()
    assert await name_after_a_start(folder) == "Phường Ba Đình"
    assert rows_as_loaded() == first

    units, successors = folder / f"units-{NEW_LIST}.csv", folder / f"successors-{NEW_LIST}.csv"
    units.write_text(units.read_text("utf-8").replace("Phường Ba Đình", "Phường Ba Đình Mới"), encoding="utf-8")
    kept = successors.read_text("utf-8").splitlines(keepends=True)[:-1]
    successors.write_text("".join(kept), encoding="utf-8")
    assert await name_after_a_start(folder) == "Phường Ba Đình Mới"
    ((oldest, newest, wards, pairs, versions),) = rows_as_loaded()
    ((_, _, wards_before, pairs_before, _),) = first
    assert (wards, pairs, versions) == (wards_before, int(str(pairs_before)) - 1, 1)
    assert oldest == newest != first[0][0]
