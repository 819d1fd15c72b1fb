"""Small lists to make up Vietnamese names and addresses from.

Ours, written for this purpose: common words only, family names weighted roughly
as they are met in the country. A name that comes out may well be somebody's;
it says nothing about anybody.
"""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Final

__all__ = ["draw_address", "draw_family", "draw_given", "draw_middle"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FAMILY: Final = {
    "Nguyễn": 380,
    "Trần": 110,
    "Lê": 95,
    "Phạm": 70,
    "Hoàng": 30,
    "Huỳnh": 25,
    "Phan": 45,
    "Vũ": 20,
    "Võ": 20,
    "Đặng": 21,
    "Bùi": 20,
    "Đỗ": 14,
    "Hồ": 13,
    "Ngô": 13,
    "Dương": 10,
    "Lý": 5,
    "Đinh": 10,
    "Trương": 12,
    "Lương": 8,
    "Mai": 8,
    "Tạ": 5,
    "Cao": 7,
    "Châu": 4,
    "Hà": 8,
    "Nông": 4,
    "Lò": 4,
    "Giàng": 3,
}
_FAMILIES: Final = tuple(_FAMILY)
_FAMILY_WEIGHTS: Final = tuple(accumulate(_FAMILY.values()))
_FEMALE_MIDDLE: Final = (
    "Thị",
    "Thị",
    "Thị",
    "Thị",
    "Ngọc",
    "Thu",
    "Thanh",
    "Minh",
    "Khánh",
    "Thị Thu",
    "Thị Ngọc",
    "Bảo",
)
_MALE_MIDDLE: Final = ("Văn", "Văn", "Văn", "Hữu", "Đức", "Minh", "Quang", "Ngọc", "Gia", "Công", "Đình", "Xuân", "Bá")
_FEMALE_GIVEN: Final = _words(
    "Anh Bích Chi Dung Diệp Giang Hà Hạnh Hằng Hiền Hoa Hồng Huệ Hương Lan Lệ Linh Loan Ly Mai My Nga Ngân Nhung Oanh "
    "Phương Quyên Quỳnh Sen Tâm Thảo Thư Thủy Trang Trinh Tuyết Uyên Vân Vy Xuân Yến"
)
_MALE_GIVEN: Final = _words(
    "An Bách Bình Chiến Cường Dũng Duy Đạt Đông Đức Hải Hậu Hiếu Hòa Hùng Huy Hưng Khải Khang Khánh Kiên Lâm Long Lộc "
    "Minh Nam Nghĩa Phong Phúc Quân Quốc Sơn Tài Tân Thành Thắng Thịnh Tiến Toàn Trung Tuấn Tùng Việt Vinh"
)
_STREETS: Final = (
    "Lê Lợi",
    "Trần Hưng Đạo",
    "Nguyễn Huệ",
    "Hai Bà Trưng",
    "Lý Thường Kiệt",
    "Quang Trung",
    "Nguyễn Trãi",
    "Hùng Vương",
    "Phan Chu Trinh",
    "Ngô Quyền",
)


def draw_family(random: Random) -> str:
    return random.choices(_FAMILIES, cum_weights=_FAMILY_WEIGHTS)[0]


def draw_middle(random: Random, female: bool) -> str:
    return random.choice(_FEMALE_MIDDLE if female else _MALE_MIDDLE)


def draw_given(random: Random, female: bool) -> str:
    return random.choice(_FEMALE_GIVEN if female else _MALE_GIVEN)


def draw_address(random: Random, in_town: bool) -> str:
    """One line as on an envelope: a street in a town ward, a hamlet elsewhere."""
    if in_town:
        return f"Số {random.randint(1, 320)}, đường {random.choice(_STREETS)}"
    return f"Thôn {random.randint(1, 18)}"
