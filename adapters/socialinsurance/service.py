"""SocialInsuranceService: a card or an allowance, decided by what other registers say instead of by papers.

1. A number that was decided on already: what was decided.
2. What insurance knows itself (who is employed, for how long).
3. What population knows of the child; then, for an allowance, whether the employer operates.
4. The decision, durable; then the answer.

A crash or a silent register after any step leaves nothing half done: the client repeats, step 4 decides once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

import grpc
from vn.common.v1.identifiers_pb2 import PersonNumber, TaxCode
from vn.common.v1.person_pb2 import PartialDate
from vn.population.v1.population_pb2 import LIFE_STATUS_ALIVE
from vn.socialinsurance.v1 import socialinsurance_pb2 as pb
from vn.socialinsurance.v1.socialinsurance_pb2_grpc import SocialInsuranceServiceServicer

from adapters.asking import Cannot
from adapters.refusals import Refusal, refuse
from adapters.socialinsurance.book import Book, ChildDecided, Decision, Entry, Found, Kind, NumberConflict
from adapters.socialinsurance.registers import Registers
from adapters.socialinsurance.rules import (
    CARD_YEARS,
    CLAIM_YEARS,
    LEAST_MONTHS,
    LEAVE_MONTHS,
    ONE_OFF_VND,
    SIBLING_MONTHS,
)
from adapters.source import Context

__all__ = ["SocialInsurance"]

VIET_NAM: Final = timezone(timedelta(hours=7))  # no summer time; "today" is the day there

NUMBER_CONFLICT = Refusal(
    grpc.StatusCode.ALREADY_EXISTS,
    "NUMBER_CONFLICT",
    "this application or claim number was used with other content; compare the two before anything else",
)
CHILD_DECIDED = Refusal(
    grpc.StatusCode.ALREADY_EXISTS,
    "CHILD_DECIDED",
    "this was decided for the child under another number; ask with that number",
)
CHILD_UNFIT = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "CHILD_UNFIT",
    "this card is for living children below six whose day of birth is known; apply for another kind of card",
)
NOT_INSURED = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_INSURED",
    "nobody pays contributions for the mother, or not for six months yet; ask for what those not insured are paid",
)
CLAIM_LATE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "CLAIM_LATE",
    "the child was born more than a year ago, or nobody knows the day; claim at the insurance office in person",
)
EMPLOYMENT_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND, "EMPLOYMENT_UNKNOWN", "nobody pays contributions for this person; check the number"
)

Scope = Callable[[Context], AbstractContextManager[None]]
Decide = Callable[[], Awaitable[Decision]]
"""Asks what is needed."""


class SocialInsurance(SocialInsuranceServiceServicer):
    """The servicer.

    `scope` makes the calls to other registers carry the purpose and case of the call being served; `now` is the time
    in UTC.
    """

    def __init__(self, book: Book, registers: Registers, scope: Scope, now: Callable[[], datetime]) -> None:
        self._book = book
        self._registers = registers
        self._scope = scope
        self._now = now

    async def GetEmployment(self, request: pb.GetEmploymentRequest, context: Context) -> pb.GetEmploymentResponse:
        found = await self._book.employment(context, request.person_number.value)
        if found is None:
            await refuse(context, EMPLOYMENT_UNKNOWN)
        employment = pb.Employment(employer=TaxCode(base=found.employer), contribution_months=found.months)
        return pb.GetEmploymentResponse(employment=employment)

    async def IssueHealthCard(self, request: pb.IssueHealthCardRequest, context: Context) -> pb.IssueHealthCardResponse:
        child = request.child_number
        entry = Entry(Kind.CARD, request.application_number, child.value, child.value)

        async def decide() -> Decision:
            return await self._card(child)

        decided = await self._decided(entry, decide, context)
        return pb.IssueHealthCardResponse(card=pb.HealthCard.FromString(decided))

    async def ClaimMaternityAllowance(
        self, request: pb.ClaimMaternityAllowanceRequest, context: Context
    ) -> pb.ClaimMaternityAllowanceResponse:
        mother, child = request.mother_number, request.child_number
        entry = Entry(Kind.ALLOWANCE, request.claim_number, child.value, f"{mother.value} {child.value}")

        async def decide() -> Decision:
            return await self._allowance(request, context)

        decided = await self._decided(entry, decide, context)
        return pb.ClaimMaternityAllowanceResponse(allowance=pb.MaternityAllowance.FromString(decided))

    async def _decided(self, entry: Entry, decide: Decide, context: Context) -> bytes:
        try:
            found = await self._book.find(context, entry)  # (1)
            if found is None:
                with self._scope(context):
                    decision = await decide()  # (2) (3)
                found = await self._book.enter(context, entry, decision)  # (4)
            return found
        except NumberConflict:
            await refuse(context, NUMBER_CONFLICT)
        except ChildDecided:
            await refuse(context, CHILD_DECIDED)
        except Cannot as no:
            await refuse(context, no.refusal)

    async def _card(self, child: PersonNumber) -> Decision:
        found, now = await self._registers.child(child), self._now()
        born = found.birth_date
        if found.life_status != LIFE_STATUS_ALIVE or not (born.month and born.day):
            raise Cannot(CHILD_UNFIT)
        last = _birthday(born, CARD_YEARS) - timedelta(days=1)
        if last < now.astimezone(VIET_NAM).date():
            raise Cannot(CHILD_UNFIT)

        def issue(found: Found) -> bytes:
            return pb.HealthCard(
                card_number=found.fresh_number,
                holder_number=child,
                valid_from=born,
                valid_until=PartialDate(year=last.year, month=last.month, day=last.day),
                issued_at_ms=_milliseconds(now),
            ).SerializeToString()

        return Decision(issue)

    async def _allowance(self, request: pb.ClaimMaternityAllowanceRequest, context: Context) -> Decision:
        employment = await self._book.employment(context, request.mother_number.value)
        if employment is None or employment.months < LEAST_MONTHS:
            raise Cannot(NOT_INSURED)
        employer, salary_vnd = TaxCode(base=employment.employer), employment.salary_vnd
        now = self._now()
        born = (await self._registers.child_of(request.mother_number, request.child_number)).birth_date
        if not (born.month and born.day) or _birthday(born, CLAIM_YEARS) < now.astimezone(VIET_NAM).date():
            raise Cannot(CLAIM_LATE)
        await self._registers.verify_operating(employer)

        def issue(found: Found) -> bytes:
            months = SIBLING_MONTHS if found.sibling else LEAVE_MONTHS
            return pb.MaternityAllowance(
                claim_number=request.claim_number,
                employer=employer,
                leave_months=months,
                amount_vnd=months * salary_vnd + ONE_OFF_VND,
                decided_at_ms=_milliseconds(now),
            ).SerializeToString()

        return Decision(issue, request.mother_number.value, date(born.year, born.month, born.day))


def _birthday(born: PartialDate, years: int) -> date:
    """The day on which so many years are full; of who was born on 29 February, the day after the 28th."""
    try:
        return date(born.year + years, born.month, born.day)
    except ValueError:
        return date(born.year + years, 3, 1)


def _milliseconds(now: datetime) -> int:
    return int(now.astimezone(UTC).timestamp() * 1000)
