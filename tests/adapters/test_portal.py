"""The citizens' portal, asked on its socket: a birth with all that follows, told step by step, nothing twice."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # no stubs are locked for it
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.portal.v1 import portal_pb2 as pb
from vn.portal.v1.portal_pb2_grpc import PortalServiceStub

from adapters.administrative.table import UnitTable
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.archive import Archive
from adapters.portal.sample import Family, Kind, families
from bus.evidence.bundle import encode_bundle
from bus.evidence.export import Body, export_call
from bus.evidence.verify import verify_bundle
from bus.nation.places import portal_address, portal_metadata
from tests.adapters.births import birth_fields, unit
from tests.adapters.services import BROKER, GOOD, PEOPLE, PORTAL, SERVING, Ending, Services

if TYPE_CHECKING:
    from vn.portal.v1.portal_pb2_grpc import PortalServiceAsyncStub

STEPS = [
    *("STEP_BIRTH", "STEP_HEALTH_CARD", "STEP_MATERNITY_ALLOWANCE", "STEP_RESIDENCE", "STEP_CERTIFICATE"),
]
PAPERS = {
    *("PAPER_IDENTITY_CARDS", "PAPER_WARD_CONFIRMATION", "PAPER_BIRTH_CERTIFICATE_COPY"),
    *("PAPER_EMPLOYER_CONFIRMATION", "PAPER_RESIDENCE_CONFIRMATION", "PAPER_CERTIFICATE_EXTRACT"),
}
Events = list[pb.RegisterBirthResponse]


@dataclass(frozen=True)
class Met:
    """The portal, called with what lies beside its socket."""

    stub: PortalServiceAsyncStub
    socket: Path

    def register(self, request: pb.RegisterBirthRequest) -> AsyncIterable[pb.RegisterBirthResponse]:
        return self.stub.RegisterBirth(request, timeout=90, metadata=portal_metadata(self.socket))


@asynccontextmanager
async def meeting(services: Services) -> AsyncIterator[grpc.aio.Channel]:
    """Connected to its socket."""
    with portal_address(services.socket) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            yield channel


@pytest.fixture
async def portal(services: Services) -> AsyncIterator[Met]:
    async with meeting(services) as channel:
        yield Met(PortalServiceStub(channel), services.socket)


@pytest.fixture(scope="module")
def known(table: UnitTable) -> dict[Kind, list[Family]]:
    """From the end: other tests take theirs from the beginning."""
    found: dict[Kind, list[Family]] = {kind: [] for kind in Kind}
    for family in families(table, DEFAULT_SEED, PEOPLE):
        found[family.kind].insert(0, family)
    return found


def birth(family: Family, **said: Any) -> pb.RegisterBirthRequest:
    fields = birth_fields(family) | {"residence_ward": unit(family.mother.ward)} | said
    return pb.RegisterBirthRequest(**fields)


async def told(portal: Met, request: pb.RegisterBirthRequest) -> Events:
    events = [event async for event in portal.register(request)]
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.case_id for event in events}) == 1
    return events


def steps(events: Events) -> dict[str, pb.StepEnded]:
    return {pb.Step.Name(event.step.step): event.step for event in events if event.HasField("step")}


def outcome(step: pb.StepEnded) -> str:
    return pb.StepOutcome.Name(step.outcome).removeprefix("STEP_OUTCOME_")


def home(services: Services) -> Path:
    return services.instance.config(PORTAL).parent


async def test_a_birth_is_registered_with_all_that_follows_and_no_paper_is_brought(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    events = await told(portal, birth(known[Kind.GRANTED][0]))
    found, result = steps(events), events[-1].result
    assert list(found) == STEPS
    assert {outcome(step) for step in found.values()} == {"DONE"}
    papers = [pb.Paper.Name(each.paper) for step in found.values() for each in step.papers]
    assert (set(papers), len(papers), result.papers_replaced) == (PAPERS, 6, 6)
    assert (result.allowance_granted, result.residence_confirmed) == (True, True)
    for step in found.values():
        assert step.text.vi
        assert step.text.en
        assert (step.call.client, step.call.status, step.call.reason) == (PORTAL, "OK", "")
        assert step.call.receipt_sequence > 0
    asked = [SERVING[name] for name in ("civilstatus", "socialinsurance", "socialinsurance", "land", "store")]
    assert [step.call.provider for step in found.values()] == asked
    certificate = BirthCertificate.FromString((home(services) / result.certificate_file).read_bytes())
    assert result.registration_number_masked.endswith(certificate.registration_number[-4:])


async def test_a_split_ward_is_asked_back_and_answered_by_calling_again(
    portal: Met, known: dict[Kind, list[Family]]
) -> None:
    request = birth(known[Kind.GRANTED][1], birth_ward=unit("00019", old=True))
    asked = await told(portal, request)
    assert [outcome(step) for step in steps(asked).values()] == ["ASKED"]
    question = asked[-1].question
    assert [choice.code.code for choice in question.choices] == ["00004", "00070", "00190", "00226"]
    request.birth_ward.CopyFrom(question.choices[1].code)
    assert (await told(portal, request))[-1].HasField("result")


async def test_the_same_notice_again_repeats_nothing(portal: Met, known: dict[Kind, list[Family]]) -> None:
    request = birth(known[Kind.GRANTED][2])
    first, again = [(await told(portal, request))[-1].result for _ in range(2)]
    for field in ("registration_number_masked", "child_number_masked", "card_number_masked", "papers_replaced"):
        assert getattr(first, field) == getattr(again, field)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.EMPLOYER_NOT_OPERATING, "EMPLOYER_NOT_OPERATING"), (Kind.NOT_INSURED, "NOT_INSURED")],
)
async def test_a_step_that_is_refused_says_why_and_stops_no_other(
    portal: Met, known: dict[Kind, list[Family]], kind: Kind, reason: str
) -> None:
    events = await told(portal, birth(known[kind][0]))
    found = steps(events)
    refused = found.pop("STEP_MATERNITY_ALLOWANCE")
    assert (outcome(refused), refused.call.status, refused.call.reason) == ("REFUSED", "FAILED_PRECONDITION", reason)
    assert not refused.papers
    assert {outcome(step) for step in found.values()} == {"DONE"}
    assert not events[-1].result.allowance_granted


async def test_what_is_not_asked_for_is_skipped_and_another_ward_is_no_proof(
    portal: Met, known: dict[Kind, list[Family]]
) -> None:
    family = known[Kind.GRANTED][3]
    request = birth(family, residence_ward=None)
    request.ClearField("mother_number")
    found = steps(await told(portal, request))
    for name in ("STEP_MATERNITY_ALLOWANCE", "STEP_RESIDENCE"):
        assert (outcome(found[name]), found[name].HasField("call")) == ("SKIPPED", False)
    other = next(each.mother.ward for each in known[Kind.GRANTED] if each.mother.ward != family.mother.ward)
    events = await told(portal, birth(family, residence_ward=unit(other)))
    assert not events[-1].result.residence_confirmed
    assert not steps(events)["STEP_RESIDENCE"].papers


async def test_without_a_registration_nothing_else_is_tried(portal: Met, known: dict[Kind, list[Family]]) -> None:
    stranger = birth(known[Kind.GRANTED][4])
    stranger.mother_number.value = "096399999999"
    nowhere = birth(known[Kind.GRANTED][4], civil_status="gov/nowhere/civil-status")
    for request, reason in ((stranger, "PARENT_UNKNOWN"), (nowhere, "NO_GRANT")):
        events = await told(portal, request)
        assert [step.call.reason for step in steps(events).values()] == [reason]
        assert events[-1].refused.text.en


async def test_events_hold_no_number_or_name_of_anybody(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    family = known[Kind.GRANTED][5]
    events = await told(portal, birth(family))
    file = home(services) / events[-1].result.certificate_file
    certificate = BirthCertificate.FromString(file.read_bytes())
    secret = [certificate.child_number.value, certificate.registration_number, "Thử", family.mother.name.given]
    secret += [family.mother.number, family.father.number]
    said = b"".join(event.SerializeToString() for event in events)
    assert [text for text in secret if text.encode() in said] == []
    assert all(text.encode() in file.read_bytes() for text in secret)  # the search does find them
    logs = b"".join(log.read_bytes() for log in services.logs.values())
    assert [text for text in secret if text.encode() in logs] == []


async def test_the_evidence_kept_proves_each_call_bodies_included(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    broker = services.instance.broker_home(BROKER)
    for step in steps(await told(portal, birth(known[Kind.GRANTED][6]))).values():
        folder = home(services) / step.call.evidence
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        request, response = [(folder / name).read_bytes() for name in ("request.body", "response.body")]
        bundle = export_call(
            bytes.fromhex(step.call.request_id),
            broker / "journal",
            snapshot=(broker / "snapshot.bin").read_bytes(),
            policy_key=services.instance.policy_key_point,
            request_body=Body(request[:32], request[32:]),
            response_body=Body(response[:32], response[32:]),
        )
        found = verify_bundle(encode_bundle(bundle), services.instance.policy_key_point)
        present = {each.name for each in found.steps if each.present}
        assert {"request body", "response body", "receipt signature", "provider signature"} <= present


async def test_a_request_that_breaks_a_rule_is_told_by_the_field_alone(
    portal: Met, known: dict[Kind, list[Family]]
) -> None:
    request = birth(known[Kind.GRANTED][0])
    request.mother_number.value = "12345"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told(portal, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("MESSAGE_INVALID: mother_number.value ")
    assert "12345" not in (caught.value.details() or "")


def test_the_socket_is_for_its_owner_only_and_nobody_takes_it_over(services: Services) -> None:
    found = services.socket.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(services.socket.parent.stat().st_mode) == 0o700
    command = [sys.executable, "-m", "adapters.portal", "--config", str(services.instance.config(PORTAL))]
    for path, why in ((services.socket, "another portal listens"), (services.instance.config(PORTAL), "is no socket")):
        second = subprocess.run([*command, "--socket", str(path)], capture_output=True, check=False, timeout=60)
        assert second.returncode == 1
        assert why in second.stderr.decode()


async def test_who_reaches_the_socket_and_does_not_know_the_secret_is_refused(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    secret = services.socket.with_suffix(".secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    (key, word), request = portal_metadata(services.socket)[0], birth(known[Kind.GRANTED][0])
    for said in ((), ((key, word[:-1]),), ((key, ""),), ((key, word), (key, word)), (("authorization", word),)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await portal.stub.RegisterBirth(request, timeout=90, metadata=said).read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert (caught.value.details() or "").startswith("SECRET_UNKNOWN: ")
        assert word not in (caught.value.details() or "")


async def test_the_portal_tells_of_its_health_on_its_socket(services: Services) -> None:
    async with meeting(services) as channel:
        request = health_pb2.HealthCheckRequest(service="vn.portal.v1.PortalService")
        answer = await health_pb2_grpc.HealthStub(channel).Check(request)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_no_evidence_no_procedure_and_it_goes_on_when_the_home_is_mended(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    request, evidence, aside = birth(known[Kind.GRANTED][7]), home(services) / "evidence", home(services) / "aside"
    evidence.rename(aside)
    evidence.touch()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told(portal, request)
    finally:
        evidence.unlink()
        aside.rename(evidence)
    assert (caught.value.code(), (caught.value.details() or "")[:13]) == (grpc.StatusCode.UNAVAILABLE, "HOME_UNUSABLE")
    assert (await told(portal, request))[-1].HasField("result")


async def test_a_killed_portal_comes_back_at_its_socket(services: Services, known: dict[Kind, list[Family]]) -> None:
    services.processes["portal"].kill()
    services.stop("portal")
    assert stat.S_ISSOCK(services.socket.stat().st_mode)  # which the killed one left
    services.start("portal")
    async with meeting(services) as channel:
        events = await told(Met(PortalServiceStub(channel), services.socket), birth(known[Kind.GRANTED][8]))
    assert events[-1].HasField("result")


async def test_more_procedures_than_it_takes_at_once_are_refused_until_one_has_ended(
    services: Services, known: dict[Kind, list[Family]]
) -> None:
    services.stop("portal")
    services.start("portal", "--at-once", "1")
    civil_status = services.processes["civilstatus"]
    busy = (grpc.StatusCode.RESOURCE_EXHAUSTED, "PORTAL_BUSY")
    try:
        async with meeting(services) as channel:
            portal = Met(PortalServiceStub(channel), services.socket)
            civil_status.send_signal(signal.SIGSTOP)
            both = [asyncio.create_task(ended_as(portal, birth(known[Kind.GRANTED][each]))) for each in (9, 10)]
            (refused,), (running,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            assert refused.result() == busy
            running.cancel()  # who leaves gives its place back
            civil_status.send_signal(signal.SIGCONT)
            for _ in range(100):
                if (ended := await ended_as(portal, birth(known[Kind.GRANTED][10]))) != busy:
                    break
                await asyncio.sleep(0.1)
            assert ended == GOOD
    finally:
        civil_status.send_signal(signal.SIGCONT)
        services.stop("portal")
        services.start("portal")


async def ended_as(portal: Met, request: pb.RegisterBirthRequest) -> Ending:
    """Why the portal refused, if it did."""
    try:
        await told(portal, request)
    except grpc.aio.AioRpcError as error:
        return error.code(), (error.details() or "").partition(":")[0]
    return GOOD


async def test_a_procedure_whose_portal_was_killed_goes_on_when_the_notice_is_sent_again(
    services: Services, known: dict[Kind, list[Family]]
) -> None:
    request = birth(known[Kind.GRANTED][11])
    async with meeting(services) as channel:
        events = Met(PortalServiceStub(channel), services.socket).register(request)
        async for event in events:
            assert event.step.step == pb.STEP_BIRTH  # registered, and nothing else told yet
            services.processes["portal"].kill()
            break
        services.stop("portal")
    services.start("portal")
    with psycopg.connect(services.databases["civilstatus"]) as connection:
        asked = "SELECT count(*) FROM birth WHERE notice = %s"
        assert connection.execute(asked, (request.birth_notice_number,)).fetchone() == (1,)
        async with meeting(services) as channel:
            again = await told(Met(PortalServiceStub(channel), services.socket), request)
        assert {outcome(step) for step in steps(again).values()} == {"DONE"}
        assert again[-1].result.papers_replaced == 6
        assert connection.execute(asked, (request.birth_notice_number,)).fetchone() == (1,)


async def test_evidence_that_was_deleted_breaks_no_proof_that_others_hold(
    portal: Met, services: Services, known: dict[Kind, list[Family]]
) -> None:
    step = steps(await told(portal, birth(known[Kind.GRANTED][12])))["STEP_BIRTH"]
    folder, broker = home(services) / step.call.evidence, services.instance.broker_home(BROKER)
    asked, snapshot = bytes.fromhex(step.call.request_id), (broker / "snapshot.bin").read_bytes()
    key = services.instance.policy_key_point
    kept = [(folder / name).read_bytes() for name in ("request.body", "response.body")]
    bodies = [Body(each[:32], each[32:]) for each in kept]
    whole = export_call(
        *(asked, broker / "journal"),
        snapshot=snapshot,
        policy_key=key,
        request_body=bodies[0],
        response_body=bodies[1],
    )
    before = verify_bundle(encode_bundle(whole), key)
    assert Archive(home(services)).tidy(time.time() + 31 * 86_400) > 12  # all that there is, a month later
    assert not folder.exists()
    assert verify_bundle(encode_bundle(whole), key) == before  # what was exported
    bare = export_call(asked, broker / "journal", snapshot=snapshot, policy_key=key)
    found = verify_bundle(encode_bundle(bare), key)  # and what is exported after: all but what the bodies said
    assert {one.name for one in before.steps if one.present} - {one.name for one in found.steps if one.present} == {
        *("request body", "response body"),
    }
    assert (await told(portal, birth(known[Kind.GRANTED][13])))[-1].HasField("result")
