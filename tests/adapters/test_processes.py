"""A birth over the bus: three processes with separate keys, every call signed, permitted and checked on both sides."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from vn.civilstatus.v1 import civilstatus_pb2 as pb
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_MALE, PartialDate, PersonName

from adapters.administrative.table import NEW_LIST, OLD_LIST
from adapters.population.records import PersonRecord
from adapters.runtime import CannotStart, load_database
from bus.engines.postgres import Postgres
from bus.exchange import ProviderError, exceptions
from pki.files import write_atomic
from tests.adapters.nation import ADAPTERS, PURPOSE, Running, running

if TYPE_CHECKING:
    from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceAsyncStub

Couple = tuple[PersonRecord, PersonRecord]
CASE = "2026-0117"


@pytest.fixture
async def nation(tmp_path: Path, postgres_server: Postgres) -> AsyncIterator[Running]:
    async with running(tmp_path, postgres_server) as found:
        yield found


def births(nation: Running) -> CivilStatusServiceAsyncStub:
    return CivilStatusServiceStub(nation.portal.using(purpose=PURPOSE, case_id=CASE, official="officer-7"))


def birth(couple: Couple, ward: str = "00013", notice: str = "BV-HN-000031") -> Any:
    return pb.RegisterBirthRequest(
        birth_notice_number=notice,
        child_name=PersonName(family="Trần", middle="Minh", given="Khôi"),
        child_sex=SEX_MALE,
        birth_date=PartialDate(year=2026, month=1, day=2),
        birth_ward=AdministrativeUnitCode(code_list_version=OLD_LIST, code=ward),
        mother_number=PersonNumber(value=couple[0].number),
        father_number=PersonNumber(value=couple[1].number),
    )


async def test_birth_is_registered_over_the_bus_and_survives_kill_and_restart(nation: Running, couple: Couple) -> None:
    asked = await births(nation).RegisterBirth(birth(couple, ward="00019"), timeout=10)
    assert [choice.code.code for choice in asked.ward_question.choices] == ["00004", "00070", "00190", "00226"]

    first = await births(nation).RegisterBirth(birth(couple), timeout=10)
    assert first.certificate.birth_ward.code.code_list_version == NEW_LIST
    assert first.certificate.mother.name.given == couple[0].name.given

    for name in ("civilstatus", "population"):
        assert await nation.stop(name, signal.SIGKILL) == -signal.SIGKILL
        await nation.start(name)
    again = await births(nation).RegisterBirth(birth(couple), timeout=10)
    assert again == first
    number = pb.GetBirthCertificateRequest(registration_number=first.certificate.registration_number)
    assert (await births(nation).GetBirthCertificate(number, timeout=10)).certificate == first.certificate

    for name in ADAPTERS:
        assert await nation.stop(name) == 0


async def test_civil_status_asks_in_its_own_name_for_its_own_purpose_in_the_portals_case(
    tmp_path: Path, postgres_server: Postgres, couple: Couple
) -> None:
    async with running(tmp_path, postgres_server, watching=True) as nation:
        await births(nation).RegisterBirth(birth(couple), timeout=10)
        own = [header for header in nation.passed if header.client.endswith(ADAPTERS["civilstatus"])]
        assert {(header.purpose, header.case_id, header.official) for header in own} == {(PURPOSE, CASE, "")}
        methods = [header.method.rpartition("/")[2] for header in own]
        assert methods[:4] == ["ResolveUnit", "GetPerson", "GetPerson", "RegisterNewborn"]
        assert set(methods[4:]) <= {"Put"}  # the copy for the store goes its own way


async def test_noes_of_the_registers_reach_the_portal_as_fixed_texts(nation: Running, couple: Couple) -> None:
    unknown = birth(couple)
    unknown.mother_number.value = "001199000000"
    with pytest.raises(ProviderError) as refused:
        await births(nation).RegisterBirth(unknown, timeout=10)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details().startswith("PARENT_UNKNOWN: ")
    assert "001199000000" not in str(refused.value)

    broken = birth(couple)
    broken.father_number.value = "12"
    with pytest.raises(exceptions.MessageInvalid) as invalid:
        await births(nation).RegisterBirth(broken, timeout=10)
    assert invalid.value.metadata["field"] == "father_number.value"

    await nation.stop("population")
    with pytest.raises(ProviderError) as silent:
        await births(nation).RegisterBirth(birth(couple), timeout=10)
    assert silent.value.details().startswith("REGISTER_SILENT: ")
    assert not (await births(nation).RegisterBirth(birth(couple, ward="00019"), timeout=10)).HasField("certificate")


@pytest.mark.parametrize("name", ADAPTERS)
def test_start_without_a_usable_configuration_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    database = tmp_path / "database"
    write_atomic(database, b"postgresql://clerk:open-sesame@nowhere.invalid/births")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            f"adapters.{name}",
            "--config",
            str(tmp_path / "none.yaml"),
            "--database",
            str(database),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("cannot start: ")
    assert ran.stderr.count("\n") == 1


def test_place_of_a_database_is_read_from_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    file = tmp_path / "database"
    write_atomic(file, b"host=db.example dbname=births password=open-sesame\n")
    assert load_database(file) == "host=db.example dbname=births password=open-sesame"
    file.chmod(0o640)
    with pytest.raises(PermissionError):
        load_database(file)


@pytest.mark.parametrize(
    "said", [b"", b"\xff", b"host=db.example password=open-sesame", b"open-sesame", b"dbname='open"]
)
def test_file_that_names_no_database_is_told_without_what_it_says(tmp_path: Path, said: bytes) -> None:
    file = tmp_path / "database"
    write_atomic(file, said)
    with pytest.raises(CannotStart, match="names no database") as told:
        load_database(file)
    assert "open" not in str(told.value).replace(str(file), "").replace("opened", "")
