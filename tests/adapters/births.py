"""Births and families that tests of several adapters need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, PartialDate, PersonName

from adapters.administrative.table import CURRENT_LIST, OLD_LIST
from adapters.portal.sample import Family

__all__ = ["birth_fields", "fresh_notice", "number", "today_minus", "unit"]

_notices = count(1)


def fresh_notice() -> str:
    return f"BV-TEST-{next(_notices):06d}"


def number(value: str) -> PersonNumber:
    return PersonNumber(value=value)


def today_minus(days: int) -> PartialDate:
    born = datetime.now(UTC) - timedelta(days=days)
    return PartialDate(year=born.year, month=born.month, day=born.day)


def unit(code: str, *, old: bool = False) -> AdministrativeUnitCode:
    return AdministrativeUnitCode(code_list_version=OLD_LIST if old else CURRENT_LIST, code=code)


def birth_fields(family: Family) -> dict[str, Any]:
    """What civil status and the portal both ask; the ward is one of the old list that went whole into one."""
    return {
        "birth_notice_number": fresh_notice(),
        "child_name": PersonName(family=family.father.name.family, middle="Thử", given="An"),
        "child_sex": SEX_FEMALE,
        "birth_date": today_minus(2),
        "birth_ward": unit("00013", old=True),
        "mother_number": number(family.mother.number),
        "father_number": number(family.father.number),
    }
