"""The numbers that insurance decides by."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CARD_YEARS",
    "CLAIM_YEARS",
    "LEAST_MONTHS",
    "LEAVE_MONTHS",
    "ONE_BIRTH_DAYS",
    "ONE_OFF_VND",
    "SIBLING_MONTHS",
]

CARD_YEARS: Final = 6  # of age, below which a child has a card without contributions
CLAIM_YEARS: Final = 1  # after the birth, within which an allowance is claimed
LEAST_MONTHS: Final = 6  # of contributions, before an allowance is paid
LEAVE_MONTHS: Final = 6
SIBLING_MONTHS: Final = 1  # more, for each further child of one birth
ONE_BIRTH_DAYS: Final = 120  # children of one mother born no further apart are of one birth
ONE_OFF_VND: Final = 4_680_000  # for each child, beside the salary of the leave
