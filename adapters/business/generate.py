"""Make up enterprises in real current wards, deterministic for a seed: as many as so many people may need.

Synthetic from end to end. Tax codes are structurally valid, with their check digit, and unique among themselves; as
they are drawn freely, one may by chance be a real enterprise's. The first enterprises of a seed are the same, however
many people there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Final

from adapters.administrative.table import CURRENT_LIST, Level, Unit, UnitTable
from adapters.population.generate import DEFAULT_YEAR
from adapters.population.names import draw_address

__all__ = ["PEOPLE_EACH", "EnterpriseRecord", "Status", "generate", "number_of_enterprises", "tax_codes"]

PEOPLE_EACH: Final = 12.5  # 8,000 enterprises for 100,000 people

_WEIGHTS: Final = (31, 29, 23, 19, 17, 13, 7, 5, 3)  # vn.common.v1.TaxCode
_FORMS: Final = ("Công ty TNHH", "Công ty TNHH", "Công ty Cổ phần", "Doanh nghiệp tư nhân", "Hợp tác xã")
_TRADES: Final = (
    *("Xây dựng", "Thương mại", "Vận tải", "May mặc", "Thủy sản", "Chế biến gỗ", "Cơ khí", "Dược phẩm", "Du lịch"),
    *("Nông sản", "Phần mềm", "In ấn", "Điện lạnh", "Gốm sứ", "Bao bì", "Thực phẩm"),
)
_NAMES: Final = (
    *("An Phát", "Bình Minh", "Đại Nam", "Hoàng Gia", "Hồng Hà", "Hưng Thịnh", "Minh Long", "Nam Cường", "Phú Quý"),
    *("Phương Đông", "Sao Mai", "Tân Tiến", "Thành Công", "Thiên Phú", "Trường Sơn", "Việt Hưng"),
)


class Status(IntEnum):
    """As the register's table has it."""

    OPERATING = 1
    SUSPENDED = 2
    DISSOLVING = 3
    DISSOLVED = 4


_STATUSES: Final = (
    *(Status.OPERATING,) * 44,
    *(Status.SUSPENDED, Status.SUSPENDED, Status.SUSPENDED, Status.DISSOLVING, Status.DISSOLVED, Status.DISSOLVED),
)


@dataclass(frozen=True, slots=True)
class EnterpriseRecord:
    tax_code: str
    name: str
    status: Status
    ward: str  # code in the current list
    province: str  # in the same list
    address: str
    founded: int


def number_of_enterprises(people: int) -> int:
    """At least one."""
    return max(1, int(people / PEOPLE_EACH))


def tax_codes(seed: int, people: int) -> list[str]:
    """Of all enterprises, in the order of `generate`: what whoever names an employer needs of them."""
    random = Random(f"business {seed} tax codes")  # noqa: S311 - the same codes for the same seed; nothing secret
    found: dict[str, None] = {}
    while len(found) < number_of_enterprises(people):
        code = _checked(random.randrange(10_000_000, 1_000_000_000))
        if code:
            found[code] = None
    return list(found)


def generate(table: UnitTable, seed: int, people: int) -> Iterator[EnterpriseRecord]:
    """All enterprises of a nation of `people`."""
    random = Random(f"business {seed}")  # noqa: S311 - the same enterprises for the same seed; nothing secret
    wards = tuple(table.units(CURRENT_LIST, Level.WARD))
    for code in tax_codes(seed, people):
        yield _enterprise(random, random.choice(wards), code)


def _enterprise(random: Random, ward: Unit, code: str) -> EnterpriseRecord:
    return EnterpriseRecord(
        tax_code=code,
        name=f"{random.choice(_FORMS)} {random.choice(_TRADES)} {random.choice(_NAMES)} {random.randint(1, 99)}",
        status=random.choice(_STATUSES),
        ward=ward.code,
        province=ward.province_code,
        address=draw_address(random, in_town=ward.name.startswith("Phường")),
        founded=random.randint(1990, DEFAULT_YEAR),
    )


def _checked(body: int) -> str:
    """The code with its check digit; empty where the digit would be 10, which is never issued."""
    digits = f"{body:09d}"
    check = 10 - sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=True)) % 11
    return f"{digits}{check}" if check < 10 else ""
