"""Step 5: evidence. While all runs, one call is exported; when nothing runs any more it is verified, then damaged.

Export and verification are the commands that anybody has: `govbus evidence export` and `govbus verify`. The first needs
the broker's journal and the ledger, the second only the file and two public keys.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bus.demo.command import govbus
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.story import Story
from bus.demo.world import World
from bus.edge.policy_pem import parse_signing_key_pem
from bus.evidence.bundle import Bundle, parse_bundle
from bus.evidence.verify import STEPS, EvidenceInvalid, verify_bundle
from bus.ledger.storage import KEY_FILE
from native.codec import decode_admission, decode_receipt, decode_request_header, decode_response_header

__all__ = ["bundle_file", "claim_silence", "export_call", "prove"]

_TRIED: Final = 256
HOLDS: Final = "holds"


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte of a field, one bit of which is flipped, and the step that must say so."""

    text: str
    field: str
    offset: int
    step: str


def bundle_file(folder: Path) -> Path:
    """Where the evidence lies, in the demonstration's own folder."""
    return folder / "evidence" / "birth.bundle"


def export_call(world: World, story: Story) -> None:
    """The evidence of the portal's call, with the bodies that only the portal kept, while everything runs."""
    kept, state = story.evidence, ["--state", str(world.layout.state), "--out", str(bundle_file(world.folder))]
    bodies = ["--request-body", str(kept / "request.body"), "--response-body", str(kept / "response.body")]
    govbus("evidence", "export", story.request_id, *state, *bodies)


def prove(world: World, report: Report, screen: Screen) -> None:
    """Verify, damage, verify again."""
    out = bundle_file(world.folder)
    screen.say(
        "everything is stopped: what follows needs the exported file and two public keys, the policy's and the ledger's"
    )
    with screen.working("govbus verify"):
        verified = _verify(world, out)
    present = sum(bool(step["present"]) for step in verified["steps"])
    text = f"the call's evidence holds, each of {len(STEPS)} steps, bodies included"
    screen.claim(report.claim("evidence-holds", text, (True, len(STEPS)), (verified["verified"], present)))
    data = out.read_bytes()
    rows: list[tuple[str, ...]] = []
    point = parse_signing_key_pem((world.layout.policy_key).read_bytes())[1]
    for flip in _flips(parse_bundle(data)):
        found = _judge(_flipped(data, data.find(getattr(parse_bundle(data), flip.field)) + flip.offset), point)
        claim = report.claim(f"flip-{len(rows) + 1}", f"one bit of {flip.text} flipped: step named", flip.step, found)
        report.flips.append({"text": flip.text, "expected": flip.step, "found": found, "holds": claim.holds})
        rows.append((flip.text, found, "yes" if claim.holds else f"NO, expected {flip.step}"))
    screen.table(("one bit flipped in", "first step that fails", "held?"), rows, title="The same file, damaged")
    places = range(0, len(data), max(1, len(data) // _TRIED))
    passed = sum(_judge(_flipped(data, place), point) == HOLDS for place in places)
    text = f"of {len(places)} files with one bit flipped, all over, none passes"
    screen.claim(report.claim("no-flip-passes", text, 0, passed))


def claim_silence(world: World, story: Story, report: Report, screen: Screen) -> None:
    """(design: no personal number or name in any log or ledger leaf) What the bus wrote knows none of the persons."""
    state = world.layout.state
    written = [file for broker in ("journal", "envoy") for file in state.glob(f"brokers/*/{broker}/*")]
    written += [world.layout.log, *state.glob("nation/logs/*"), *state.glob("ledger*/**/*")]
    written += [*state.glob("postgres/*.log"), *state.glob("nation/postgres/*.log")]
    written = [file for file in written if file.is_file()]
    private = [text.encode("utf-8") for text in sorted(story.private)]
    found = sum(text in data for data in map(Path.read_bytes, written) for text in private)
    text = f"in {len(written)} files of journals, logs and ledger: no number, name or notice of anybody in the story"
    screen.claim(report.claim("nothing-personal-written", text, 0, found))
    # The same search finds them where they belong, so it does search.
    kept = bundle_file(world.folder).read_bytes()
    text = "only the bodies that the portal kept name them"
    screen.claim(report.claim("bodies-name-them", text, True, any(each in kept for each in private)))


def _verify(world: World, bundle: Path) -> dict[str, list[dict[str, object]]]:
    keys = ["--policy-key", str(world.layout.policy_key)]
    keys += ["--ledger-key", str(world.layout.ledger / KEY_FILE)]
    said = govbus("verify", str(bundle), *keys, "--json")
    found: dict[str, list[dict[str, object]]] = json.loads(said)
    return found


def _flips(bundle: Bundle) -> tuple[Flip, ...]:
    """Places whose change leaves the form alone, so that only the substance can be what is wrong."""
    admission, receipt = decode_admission(bundle.admission), decode_receipt(bundle.receipt)
    purpose = decode_request_header(bundle.request_header).purpose.encode("ascii")
    answered = decode_response_header(bundle.response_header).body_commitment
    end = len(bundle.request_frames) - 1
    return (
        Flip("the file's version", "policy_key", -3, "file"),
        Flip("the policy: who owns which key", "snapshot", len(bundle.snapshot) // 2, "policy snapshot"),
        Flip(
            "the purpose the client stated", "request_header", bundle.request_header.find(purpose), "client signature"
        ),
        Flip("the client's signature", "request_signature", len(bundle.request_signature) - 1, "client signature"),
        Flip("the gate's public key", "gate_key", bundle.gate_key.find(b"\x04", 8) + 20, "gate key"),
        Flip("the admission", "admission", bundle.admission.find(admission.request_digest), "admission"),
        Flip(
            "the gate's signature on it",
            "admission_signature",
            len(bundle.admission_signature) - 1,
            "admission signature",
        ),
        Flip(
            "the time in the receipt",
            "receipt",
            bundle.receipt.find(_varint(receipt.outcome_time_ms)),
            "receipt signature",
        ),
        Flip("the provider's statement", "response_header", bundle.response_header.find(answered), "receipt"),
        Flip("the question itself", "request_frames", end, "request body"),
        Flip("the certificate in the answer", "response_frames", len(bundle.response_frames) // 2, "response body"),
        Flip("the ledger entry", "outcome_entry", 0, "ledger entries"),
        Flip("the place in the ledger", "intent_proof", bundle.intent_proof.find(b"\n", 30) - 1, "intent in ledger"),
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


def _judge(data: bytes, policy_key: bytes) -> str:
    """The name of the first step that fails, or that everything holds."""
    try:
        verify_bundle(data, policy_key)
    except EvidenceInvalid as error:
        return error.name
    return HOLDS
