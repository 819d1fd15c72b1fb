"""The procedure "a child was born", one step after another, each told when it has ended.

1. Civil status registers the birth, or asks back which ward is meant. Without a registration nothing else is tried.
2. Social insurance issues the child's card.
3. Social insurance decides on the mother's allowance, if a mother is named.
4. The land register confirms where the parent lives whom the child joins, if a ward is named.
5. The certificate comes back out of the central store, where civil status brings it in its own time, and is the one of
   step 1.

A step that is refused stops no other. Every number that is sent is made from the birth notice's, so that the whole
procedure may be repeated: nothing happens twice.
"""

from __future__ import annotations

from adapters.portal.asking import Asked, Asking  # isort: skip - first, before anything that imports gRPC

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import grpc
from vn.civilstatus.v1 import civilstatus_pb2
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub
from vn.common.v1.identifiers_pb2 import PersonNumber
from vn.land.v1.land_pb2 import ProveResidenceRequest, ProveResidenceResponse
from vn.land.v1.land_pb2_grpc import LandServiceStub
from vn.portal.v1 import portal_pb2 as pb
from vn.socialinsurance.v1 import socialinsurance_pb2
from vn.socialinsurance.v1.socialinsurance_pb2_grpc import SocialInsuranceServiceStub
from vn.store.v1.store_pb2 import GetRequest, GetResponse, RecordName
from vn.store.v1.store_pb2_grpc import StoreServiceStub

from adapters.portal.archive import Archive
from adapters.portal.texts import CALL_AGAIN, NOT_REGISTERED, STEPS, WHICH_WARD, paper
from adapters.registration import parse_registration_number

__all__ = ["Birth"]

BIRTH: Final = "civil.birth"
INSURANCE: Final = "insurance.birth"
RESIDENCE: Final = "residence.proof"

_REGISTER: Final = "/vn.civilstatus.v1.CivilStatusService/RegisterBirth"
_CARD: Final = "/vn.socialinsurance.v1.SocialInsuranceService/IssueHealthCard"
_CLAIM: Final = "/vn.socialinsurance.v1.SocialInsuranceService/ClaimMaternityAllowance"
_PROVE: Final = "/vn.land.v1.LandService/ProveResidence"
_GET: Final = "/vn.store.v1.StoreService/Get"

_LONG_S: Final = 25.0  # civil status and insurance ask others
_SHORT_S: Final = 8.0
_LOOKS_S: Final = (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0)  # pauses before each look for the certificate
_DONE: Final = pb.STEP_OUTCOME_DONE
_AGAIN: Final = frozenset({grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Birth:
    """One run."""

    def __init__(self, request: pb.RegisterBirthRequest, asking: Asking, archive: Archive) -> None:
        self._request = request
        self._asking = asking
        self._archive = archive
        self._position = 0
        self._result = pb.BirthResult()

    async def events(self) -> AsyncIterator[pb.RegisterBirthResponse]:
        """The last one is a question, a result or a refusal."""
        asked = await self._register()
        answer = asked.answer
        if answer is None:
            yield self._ended(pb.STEP_BIRTH, pb.STEP_OUTCOME_REFUSED, asked.told)
            text = CALL_AGAIN if asked.code in _AGAIN else NOT_REGISTERED
            yield self._event(refused=pb.BirthRefused(text=text))
            return
        if answer.HasField("ward_question"):
            question = answer.ward_question
            yield self._ended(pb.STEP_BIRTH, pb.STEP_OUTCOME_ASKED, asked.told)
            yield self._event(question=pb.WardQuestion(text=WHICH_WARD, asked=question.asked, choices=question.choices))
            return
        certificate = answer.certificate
        yield self._ended(pb.STEP_BIRTH, _DONE, asked.told, *self._papers_of_birth(certificate))
        yield await self._card(certificate.child_number)
        yield await self._allowance(certificate.child_number)
        yield await self._residence()
        yield await self._certificate(certificate, asked.told.provider)
        self._result.registration_number_masked = _masked(certificate.registration_number)
        self._result.child_number_masked = _masked(certificate.child_number.value)
        yield self._event(result=self._result)

    async def _register(self) -> Asked[civilstatus_pb2.RegisterBirthResponse]:
        given = self._request
        birth = civilstatus_pb2.RegisterBirthRequest(
            birth_notice_number=given.birth_notice_number,
            child_name=given.child_name,
            child_sex=given.child_sex,
            birth_date=given.birth_date,
            birth_ward=given.birth_ward,
            mother_number=given.mother_number if given.HasField("mother_number") else None,
            father_number=given.father_number if given.HasField("father_number") else None,
        )
        return await self._asking.ask(
            _REGISTER,
            lambda to: CivilStatusServiceStub(to).RegisterBirth(birth, timeout=_LONG_S),
            purpose=BIRTH,
            provider=given.civil_status,
        )

    async def _card(self, child: PersonNumber) -> pb.RegisterBirthResponse:
        application = f"BHYT-{self._request.birth_notice_number}"
        request = socialinsurance_pb2.IssueHealthCardRequest(application_number=application, child_number=child)
        asked = await self._asking.ask(
            _CARD,
            lambda to: SocialInsuranceServiceStub(to).IssueHealthCard(request, timeout=_LONG_S),
            purpose=INSURANCE,
        )
        if asked.answer is None:
            return self._refused(pb.STEP_HEALTH_CARD, asked.told)
        self._result.card_number_masked = _masked(asked.answer.card.card_number)
        return self._ended(pb.STEP_HEALTH_CARD, _DONE, asked.told, pb.PAPER_BIRTH_CERTIFICATE_COPY)

    async def _allowance(self, child: PersonNumber) -> pb.RegisterBirthResponse:
        given = self._request
        if not given.HasField("mother_number"):
            return self._ended(pb.STEP_MATERNITY_ALLOWANCE, pb.STEP_OUTCOME_SKIPPED)
        request = socialinsurance_pb2.ClaimMaternityAllowanceRequest(
            claim_number=f"TS-{given.birth_notice_number}", mother_number=given.mother_number, child_number=child
        )
        asked = await self._asking.ask(
            _CLAIM,
            lambda to: SocialInsuranceServiceStub(to).ClaimMaternityAllowance(request, timeout=_LONG_S),
            purpose=INSURANCE,
        )
        if asked.answer is None:
            return self._refused(pb.STEP_MATERNITY_ALLOWANCE, asked.told)
        self._result.allowance_granted = True
        return self._ended(pb.STEP_MATERNITY_ALLOWANCE, _DONE, asked.told, pb.PAPER_EMPLOYER_CONFIRMATION)

    async def _residence(self) -> pb.RegisterBirthResponse:
        given = self._request
        if not given.HasField("residence_ward"):
            return self._ended(pb.STEP_RESIDENCE, pb.STEP_OUTCOME_SKIPPED)
        parent = given.mother_number if given.HasField("mother_number") else given.father_number
        request = ProveResidenceRequest(person_number=parent, ward=given.residence_ward)
        asked: Asked[ProveResidenceResponse] = await self._asking.ask(
            _PROVE, lambda to: LandServiceStub(to).ProveResidence(request, timeout=_SHORT_S), purpose=RESIDENCE
        )
        if asked.answer is None:
            return self._refused(pb.STEP_RESIDENCE, asked.told)
        self._result.residence_confirmed = asked.answer.registered
        papers = (pb.PAPER_RESIDENCE_CONFIRMATION,) if asked.answer.registered else ()
        return self._ended(pb.STEP_RESIDENCE, _DONE, asked.told, *papers)

    async def _certificate(self, issued: BirthCertificate, source: str) -> pb.RegisterBirthResponse:
        name = RecordName(
            record_type=BirthCertificate.DESCRIPTOR.full_name,
            source=source,
            key=parse_registration_number(issued.registration_number).in_book,
        )
        asked = await self._look(GetRequest(name=name))
        if asked.answer is None:
            return self._refused(pb.STEP_CERTIFICATE, asked.told)
        body = asked.answer.record.body
        if BirthCertificate.FromString(body) != issued:
            asked.told.reason = "CERTIFICATE_DIFFERS"
            return self._refused(pb.STEP_CERTIFICATE, asked.told)
        kept = await asyncio.to_thread(self._archive.keep_certificate, self._asking.case_id, body)
        self._result.certificate_file = kept
        return self._ended(pb.STEP_CERTIFICATE, _DONE, asked.told, pb.PAPER_CERTIFICATE_EXTRACT)

    async def _look(self, request: GetRequest) -> Asked[GetResponse]:
        """As soon as it is there; the last look is the one that is told."""
        for pause in _LOOKS_S:
            await asyncio.sleep(pause)
            asked: Asked[GetResponse] = await self._asking.ask(
                _GET, lambda to: StoreServiceStub(to).Get(request, timeout=_SHORT_S), purpose=BIRTH
            )
            self._result.calls += 1
            if asked.code is not grpc.StatusCode.NOT_FOUND:
                break
        self._result.calls -= 1  # the one that is told is counted there
        return asked

    def _papers_of_birth(self, certificate: BirthCertificate) -> list[pb.Paper.ValueType]:
        papers: list[pb.Paper.ValueType] = [pb.PAPER_IDENTITY_CARDS]
        if certificate.birth_ward.code != self._request.birth_ward:
            papers.append(pb.PAPER_WARD_CONFIRMATION)
        return papers

    def _refused(self, step: pb.Step.ValueType, told: pb.BusCall) -> pb.RegisterBirthResponse:
        return self._ended(step, pb.STEP_OUTCOME_REFUSED, told)

    def _ended(
        self,
        step: pb.Step.ValueType,
        outcome: pb.StepOutcome.ValueType,
        told: pb.BusCall | None = None,
        *papers: pb.Paper.ValueType,
    ) -> pb.RegisterBirthResponse:
        self._result.calls += told is not None
        self._result.papers_replaced += len(papers)
        replaced = [paper(each) for each in papers]
        return self._event(step=pb.StepEnded(step=step, outcome=outcome, text=STEPS[step], call=told, papers=replaced))

    def _event(
        self,
        *,
        step: pb.StepEnded | None = None,
        question: pb.WardQuestion | None = None,
        result: pb.BirthResult | None = None,
        refused: pb.BirthRefused | None = None,
    ) -> pb.RegisterBirthResponse:
        self._position += 1
        return pb.RegisterBirthResponse(
            case_id=self._asking.case_id,
            position=self._position,
            step=step,
            question=question,
            result=result,
            refused=refused,
        )


def _masked(number: str) -> str:
    """A number of a person as it may be shown."""
    return "*" * (len(number) - 4) + number[-4:]
