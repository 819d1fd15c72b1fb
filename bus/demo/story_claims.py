"""What must have come of the birth in the story, held against the seed and the national list.

The certificate is read as the portal got it back out of the central store.
"""

from pathlib import Path
from typing import Any, Final

from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate, Parent
from vn.portal.v1 import portal_pb2 as pb
from vn.socialinsurance.v1.socialinsurance_pb2 import IssueHealthCardResponse

from bus.demo.birth import Told
from bus.demo.families import Family
from bus.demo.report import Report
from bus.demo.screen import Screen

__all__ = ["claim_birth", "claim_same", "claim_ward", "listed", "seen_by"]

_BEFORE_MESSAGE: Final = 32 + 5  # the salt, then the frame's flag and length


def listed(units: dict[str, str]) -> str:
    """Codes and names in their order."""
    return ", ".join(f"{code} {name}" for code, name in sorted(units.items()))


def claim_ward(
    report: Report, screen: Screen, name: str, text: str, ward: dict[str, Any], found: dict[str, str]
) -> None:
    """What became of a ward is what the national list says."""
    expected = listed(ward["successors"]["codes"])
    screen.claim(report.claim(name, f"{text}, as the national list has it", expected, listed(found)))


def claim_birth(told: Told, family: Family, ward: dict[str, Any], home: Path, report: Report, screen: Screen) -> None:
    """Certificate, number, card, allowance, address, record."""
    certificate = told.certificate(home) or BirthCertificate()
    result = told.result or pb.BirthResult()
    unit = certificate.birth_ward
    text = f"today it is {unit.code.code} {unit.name}: the old code is answered by its successor"
    claim_ward(report, screen, "old-ward-translated", text, ward, {unit.code.code: unit.name})
    found = (_known(certificate.mother), _known(certificate.father))
    expected = tuple(zip(family.numbers, family.names, strict=True))
    text = "the certificate names both parents, as the population register's seed has them"
    same = "both" if found == expected else "others"
    screen.claim(report.claim("parents-found", text, "both", same))
    number = certificate.child_number.value
    text = "the newborn has a number of 12 digits"
    screen.claim(report.claim("newborn-number", text, (True, 12), (number.isdecimal(), len(number))))
    answered = _body(told, home, pb.STEP_BIRTH)
    stored = certificate.SerializeToString()
    text = "the record came back out of the central store, byte for byte what civil status answered"
    screen.claim(report.claim("record-stored", text, True, bool(stored) and stored in answered))
    text = "the child has a health-insurance card"
    screen.claim(report.claim("health-card", text, True, bool(result.card_number_masked)))
    text = "the mother's allowance is decided as the seed has her employment"
    screen.claim(report.claim("allowance", text, family.allowance, result.allowance_granted))
    text = "land confirms the address, which is the parents' in the seed"
    screen.claim(report.claim("address-confirmed", text, True, result.residence_confirmed))


def claim_same(first: Told, again: Told, report: Report, screen: Screen) -> None:
    """The same notice once more brings the same certificate, number and card."""
    found = [_without_run(one.result) for one in (first, again)]
    same = "the same" if found[0] == found[1] else "another"
    text = "the same notice once more: the same certificate, number and card"
    screen.claim(report.claim("asked-again", text, "the same", same))


def seen_by(told: Told, home: Path) -> set[str]:
    """What of the child the portal has seen, and no log may."""
    certificate = told.certificate(home) or BirthCertificate()
    card = IssueHealthCardResponse.FromString(_body(told, home, pb.STEP_HEALTH_CARD)[_BEFORE_MESSAGE:]).card
    child = certificate.child_name
    seen = {certificate.child_number.value, certificate.registration_number, card.card_number}
    return {text for text in (*seen, f"{child.family} {child.middle} {child.given}") if text.strip()}


def _known(parent: Parent) -> tuple[str, str]:
    name = parent.name
    return parent.person_number.value, f"{name.family} {name.middle} {name.given}"


def _body(told: Told, home: Path, wanted: pb.Step.ValueType) -> bytes:
    """What was answered in a step, as the portal keeps it; empty where nothing was."""
    for step in told.steps:
        file = home / step.call.evidence / "response.body"
        if step.step == wanted and step.call.evidence and file.exists():
            return file.read_bytes()
    return b""


def _without_run(result: pb.BirthResult | None) -> pb.BirthResult | None:
    """Without what differs from run to run."""
    if result is None:
        return None
    found = pb.BirthResult()
    found.CopyFrom(result)
    found.ClearField("calls")
    found.ClearField("certificate_file")
    return found
