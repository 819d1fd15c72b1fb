"""A birth as a clerk tells it to the citizens' portal, over the portal's socket, and what came back of it."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, PartialDate, PersonName
from vn.portal.v1 import portal_pb2 as pb
from vn.portal.v1.portal_pb2_grpc import PortalServiceStub

from bus.demo.families import Family
from bus.demo.report import DemoError
from bus.nation.places import portal_address, portal_metadata

if TYPE_CHECKING:
    from vn.portal.v1.portal_pb2_grpc import PortalServiceAsyncStub

__all__ = ["Told", "birth_of", "new_notice", "tell_portal"]

_TIMEOUT_S: Final = 110.0


@dataclass(slots=True, repr=False)
class Told:
    """What the portal told of one run."""

    case_id: str = ""
    steps: list[pb.StepEnded] = field(default_factory=list)
    question: pb.WardQuestion | None = None
    result: pb.BirthResult | None = None
    refused: bool = False

    @property
    def papers(self) -> list[tuple[pb.PaperReplaced, pb.StepEnded]]:
        """Those that it replaced, each with the step that did."""
        return [(paper, step) for step in self.steps for paper in step.papers]

    def certificate(self, home: Path) -> BirthCertificate | None:
        """As the portal keeps it in its home."""
        if self.result is None or not self.result.certificate_file:
            return None
        return BirthCertificate.FromString((home / self.result.certificate_file).read_bytes())


def new_notice() -> str:
    """Number of a birth notice that no hospital has written."""
    return f"BV-{secrets.token_hex(6).upper()}"


def birth_of(
    family: Family, ward: tuple[str, str], notice: str, *, home_list: str, civil_status: str = ""
) -> pb.RegisterBirthRequest:
    """What the portal is told: a child of `family`, born in `ward` (its list and code) two days ago."""
    born = datetime.now(UTC) - timedelta(days=2)
    mother, father = family.numbers
    return pb.RegisterBirthRequest(
        birth_notice_number=notice,
        child_name=PersonName(family=family.father["name"]["family"], middle="Demo", given="An"),
        child_sex=SEX_FEMALE,
        birth_date=PartialDate(year=born.year, month=born.month, day=born.day),
        birth_ward=AdministrativeUnitCode(code_list_version=ward[0], code=ward[1]),
        mother_number=PersonNumber(value=mother),
        father_number=PersonNumber(value=father),
        residence_ward=AdministrativeUnitCode(code_list_version=home_list, code=family.mother["ward"]),
        civil_status=civil_status,
    )


async def tell_portal(socket: Path, request: pb.RegisterBirthRequest) -> Told:
    """The whole procedure; DemoError where the portal itself cannot be met."""
    with portal_address(socket) as address:
        return await _told_at(address, request, portal_metadata(socket))


async def _told_at(address: str, request: pb.RegisterBirthRequest, metadata: tuple[tuple[str, str], ...]) -> Told:
    told = Told()
    async with grpc.aio.insecure_channel(address) as channel:
        portal: PortalServiceAsyncStub = PortalServiceStub(channel)
        try:
            async for event in portal.RegisterBirth(request, timeout=_TIMEOUT_S, metadata=metadata):
                told.case_id = event.case_id
                which = event.WhichOneof("event")
                if which == "step":
                    told.steps.append(event.step)
                elif which == "question":
                    told.question = event.question
                elif which == "result":
                    told.result = event.result
                else:
                    told.refused = True
        except grpc.aio.AioRpcError as error:
            raise DemoError(f"the portal does not answer: {error.code().name} {error.details() or ''}") from error
    return told
