"""Step 2: a birth is registered. The portal asks civil status, which asks administrative units and population.

The people are synthetic and shown by role only; a number by its last four digits.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vn.civilstatus.v1 import civilstatus_pb2 as pb
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, PartialDate, PersonName

from bus.demo.nation import BROKER, OTHER_BROKER, PORTAL, PURPOSE
from bus.demo.records import JournaledCall, read_records
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.world import World, synthetic_sample
from bus.exchange import CallEvidence, connect
from native.codec import decode_request_header

if TYPE_CHECKING:
    from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceAsyncStub

__all__ = ["Story", "masked", "register_birth", "tell_story"]

_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True, repr=False)
class Story:
    """What the later steps need: the evidence that the portal kept, and what must appear in no record or log."""

    evidence: CallEvidence
    private: tuple[str, ...]


def masked(number: str) -> str:
    """A number of a person as it may be shown."""
    return "*" * (len(number) - 4) + number[-4:]


async def tell_story(world: World, report: Report, screen: Screen) -> Story:
    """The birth, asked twice because the first ward was split, then the calls that it took."""
    before = {call.request_id for call in _journaled(world)}
    story = await register_birth(world, report, screen)
    calls = [call for call in _journaled(world) if call.request_id not in before]
    report.calls += [call.document() for call in calls]
    _show_calls(calls, screen)
    _claim_calls(calls, story, report, screen)
    return story


def _journaled(world: World) -> list[JournaledCall]:
    """Every call that a broker admitted, in the order of time: each system goes through the broker that it likes."""
    calls = [call for path in (BROKER, OTHER_BROKER) for call in read_records(world.journal(path)).calls]
    return sorted(calls, key=lambda call: call.intent_ms)


async def register_birth(world: World, report: Report, screen: Screen) -> Story:
    """The portal's part: what any client of civil status would write."""
    sample = synthetic_sample()
    couple, split, old = sample["couples"][0], sample["split_ward"], sample["old_ward"]
    case = f"BIRTH-{secrets.token_hex(4)}"
    notice = f"BV-{secrets.token_hex(6).upper()}"
    kept: list[CallEvidence] = []
    async with connect(world.client(PORTAL)) as channel:
        said = channel.using(purpose=PURPOSE, case_id=case, official="registrar-7", on_evidence=kept.append)
        births: CivilStatusServiceAsyncStub = CivilStatusServiceStub(said)
        screen.say(f"case {case}: a clerk enters a birth notice; the paper names ward {split['code']} of the old list")
        asked = await births.RegisterBirth(_birth(couple, split, notice), timeout=_TIMEOUT_S)
        choices = {choice.code.code: choice.name for choice in asked.ward_question.choices}
        screen.say(f"that ward was split; civil status asks back: {_listed(choices)}?")
        _claim_ward(
            report, screen, "split-ward-asked", "the split ward is answered by all its successors", split, choices
        )
        done = await births.RegisterBirth(_birth(couple, old, notice), timeout=_TIMEOUT_S)
        evidence = kept[-1]
        again = await births.RegisterBirth(_birth(couple, old, notice), timeout=_TIMEOUT_S)
    certificate = done.certificate
    number, ward = certificate.child_number.value, certificate.birth_ward
    screen.say(f"it was ward {old['code']} after all: today {ward.code.code} {ward.name}, by the register of units")
    _claim_ward(
        report,
        screen,
        "old-ward-translated",
        "the old code is answered by its successor",
        old,
        {ward.code.code: ward.name},
    )
    screen.say(f"population knows both parents; the newborn's number ends in {masked(number)[-4:]}; certificate issued")
    named = (certificate.mother.person_number.value, certificate.father.person_number.value)
    numbers = (couple["mother"]["person_number"], couple["father"]["person_number"])
    found = "both, by population" if named == numbers and certificate.mother.name.given else "others"
    screen.claim(report.claim("parents-found", "the certificate names both parents", "both, by population", found))
    screen.claim(
        report.claim(
            "newborn-number", "the newborn has a number of 12 digits", (True, 12), (number.isdigit(), len(number))
        )
    )
    same = "the same" if again == done else "another"
    screen.claim(report.claim("asked-again", "the same notice once more: the same certificate", "the same", same))
    receipts = sum(bool(each.receipt) for each in kept)
    screen.claim(report.claim("receipts", "the portal holds a verified receipt for each of its calls", 3, receipts))
    return Story(evidence, (number, *numbers, *(_full_name(each) for each in couple.values()), notice))


def _birth(couple: dict[str, Any], ward: dict[str, Any], notice: str) -> pb.RegisterBirthRequest:
    born = datetime.now(UTC) - timedelta(days=2)
    mother, father = couple["mother"]["person_number"], couple["father"]["person_number"]
    return pb.RegisterBirthRequest(
        birth_notice_number=notice,
        child_name=PersonName(family=couple["father"]["name"]["family"], middle="Demo", given="An"),
        child_sex=SEX_FEMALE,
        birth_date=PartialDate(year=born.year, month=born.month, day=born.day),
        birth_ward=AdministrativeUnitCode(code_list_version=ward["code_list_version"], code=ward["code"]),
        mother_number=PersonNumber(value=mother),
        father_number=PersonNumber(value=father),
    )


def _claim_ward(
    report: Report, screen: Screen, name: str, text: str, ward: dict[str, Any], found: dict[str, str]
) -> None:
    expected = _listed(ward["successors"]["codes"])
    screen.claim(report.claim(name, f"{text}, as the national list has it", expected, _listed(found)))


def _listed(units: dict[str, str]) -> str:
    return ", ".join(f"{code} {name}" for code, name in sorted(units.items()))


def _full_name(person: dict[str, Any]) -> str:
    name = person["name"]
    return f"{name['family']} {name['middle']} {name['given']}"


def _show_calls(calls: list[JournaledCall], screen: Screen) -> None:
    columns = ("who", "asked whom", "what", "purpose", "status", "ms", "receipt")
    rows = [
        (
            call.client,
            call.provider,
            call.method,
            call.purpose,
            call.status,
            str(call.milliseconds),
            f"yes, {call.outcome_sequence}",
        )
        for call in calls
    ]
    screen.table(columns, rows, title="Every call of this birth, from the brokers' journals")


def _claim_calls(calls: list[JournaledCall], story: Story, report: Report, screen: Screen) -> None:
    settled = sum(call.outcome == "DONE" and call.status == "OK" and bool(call.receipt) for call in calls)
    text = f"all {len(calls)} calls were admitted, answered, and recorded with a receipt"
    screen.claim(report.claim("all-recorded", text, len(calls), settled))
    asked = [f"{call.method} of {call.provider.rpartition('/')[2]}" for call in calls if call.client != calls[0].client]
    expected = sorted(
        ["ResolveUnit of units"] * 2 + ["GetPerson of population"] * 2 + ["RegisterNewborn of population"]
    )
    text = "civil status asked others in its own name, no more than a birth needs"
    screen.claim(report.claim("asked-in-own-name", text, expected, sorted(asked)))
    identifier = decode_request_header(story.evidence.request_header).request_id
    recorded = [call.receipt for call in calls if call.request_id == identifier]
    found = "the same bytes" if recorded == [story.evidence.receipt] else "other bytes"
    text = "the portal's receipt is what the journal holds"
    screen.claim(report.claim("receipt-journaled", text, "the same bytes", found))
