"""Step 2: a birth is registered at the citizens' portal, and nobody carries a paper from one office to the next.

The clerk's part is one request on the portal's socket (bus.demo.birth). What it took is read from the brokers'
journals: of every party, since every call passes there. What must come of it is known from the seed, the national list
and the contract (bus.demo.families), not from what was answered. People are synthetic and shown by role only; a number
by its last four digits.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vn.portal.v1 import portal_pb2 as pb

from bus.demo.additions import BROKER, OTHER_BROKER
from bus.demo.birth import Told, birth_of, new_notice, tell_portal
from bus.demo.families import Family, Sample
from bus.demo.papers import claim_papers
from bus.demo.records import JournaledCall
from bus.demo.report import DemoError, Report
from bus.demo.screen import Screen
from bus.demo.story_calls import claim_calls, journaled, show_calls
from bus.demo.story_claims import claim_birth, claim_same, claim_ward, listed, seen_by
from bus.demo.world import World
from bus.nation.members import CIVIL_STATUS, HANOI, PORTAL
from bus.nation.places import portal_socket

__all__ = ["Story", "register_quietly", "tell_story"]


_AGAIN_S: Final = 30.0
_PAUSE_S: Final = 0.2


@dataclass(slots=True, repr=False)
class Story:
    """What the later steps need: the call to be proven, as the portal kept it, and what must appear in no log."""

    request_id: str = ""
    evidence: Path = Path()
    private: set[str] = field(default_factory=set)


async def tell_story(world: World, sample: Sample, report: Report, screen: Screen) -> Story:
    """A birth of the ministry's books, asked twice because the first ward was split; then one of the province's."""
    story = Story()
    asked, told = await _at_the_ministry(world, sample, report, screen, story)
    calls = _of(world, asked, told)
    show_calls(calls, screen)
    claim_calls(calls, [asked, told], world.home(PORTAL), report, screen)
    claim_papers(told, sample.first, "ministry", report, screen)
    await _at_the_province(world, sample, report, screen, story)
    return story


async def register_quietly(world: World, sample: Sample, family: Family, story: Story) -> Told:
    """One more birth, of which nothing is shown; told again, as the portal says, while an office does not answer."""
    notice, ward, until = new_notice(), (sample.today, family.mother["ward"]), time.monotonic() + _AGAIN_S
    story.private |= {notice, *family.numbers, *family.names}
    while True:
        told = await tell_portal(portal_socket(world.layout), birth_of(family, ward, notice, home_list=sample.today))
        if told.result is not None or time.monotonic() > until:
            return told
        await asyncio.sleep(_PAUSE_S)


async def _at_the_ministry(
    world: World, sample: Sample, report: Report, screen: Screen, story: Story
) -> tuple[Told, Told]:
    socket, home, notice = portal_socket(world.layout), world.home(PORTAL), new_notice()
    split, old, family = sample.split_ward, sample.old_ward, sample.first
    before = birth_of(family, (split["code_list_version"], split["code"]), notice, home_list=sample.today)
    after = birth_of(family, (old["code_list_version"], old["code"]), notice, home_list=sample.today)
    screen.say(f"a clerk tells the portal of a birth; the paper names ward {split['code']} of the old list")
    asked = await tell_portal(socket, before)
    choices = {one.code.code: one.name for one in asked.question.choices} if asked.question else {}
    screen.say(f"case {asked.case_id}: that ward was split; the portal asks back: {listed(choices)}?")
    claim_ward(report, screen, "split-ward-asked", "a split ward is answered by all its successors", split, choices)
    told = await tell_portal(socket, after)
    if told.result is None or told.steps[0].call.provider != CIVIL_STATUS:
        raise DemoError(f"the birth was not registered: {_why(told)}; with --state DIR see `govbus logs nation`")
    screen.say(f"case {told.case_id}: it was ward {old['code']} after all")
    _show_steps(told, screen)
    claim_birth(told, family, old, home, report, screen)
    claim_same(told, await tell_portal(socket, after), report, screen)
    story.request_id = told.steps[0].call.request_id
    story.evidence = home / told.steps[0].call.evidence
    story.private |= {notice, *family.numbers, *family.names, *seen_by(told, home)}
    return asked, told


async def _at_the_province(world: World, sample: Sample, report: Report, screen: Screen, story: Story) -> None:
    """The same contract, another provider: the request's header names it, and so the broker selects."""
    family, home, notice = sample.of_the_province, world.home(PORTAL), new_notice()
    ward = (sample.today, family.mother["ward"])
    request = birth_of(family, ward, notice, home_list=sample.today, civil_status=HANOI)
    screen.say("a family of Hanoi; the province keeps books of its own, by the same contract")
    told = await tell_portal(portal_socket(world.layout), request)
    _show_steps(told, screen)
    calls = _of(world, told)
    report.calls += [call.document() for call in calls]
    providers = sorted({call.provider for call in calls if call.method == "RegisterBirth"})
    text = "the header's provider selects: the province registered it, asking the same registers in its own name"
    screen.claim(report.claim("provider-selects", text, [HANOI], providers))
    found = told.result.allowance_granted if told.result else None
    text = "the mother's allowance is granted" if family.allowance else "the allowance is refused, and nothing else"
    screen.claim(report.claim("province-allowance", f"{text}, as the seed has her employment", family.allowance, found))
    claim_papers(told, family, "province", report, screen, translated=False)
    story.private |= {notice, *family.numbers, *family.names, *seen_by(told, home)}


def _of(world: World, *runs: Told) -> list[JournaledCall]:
    return journaled([world.journal(path) for path in (BROKER, OTHER_BROKER)], {one.case_id for one in runs})


def _show_steps(told: Told, screen: Screen) -> None:
    for step in told.steps:
        ended = "" if step.outcome == pb.STEP_OUTCOME_DONE else f": refused, {step.call.reason or step.call.status}"
        screen.say(f"{step.call.provider}, {step.call.duration_ms} ms: {step.text.en}{ended}")
    if told.result is not None:
        number, card = told.result.child_number_masked, told.result.card_number_masked
        screen.say(f"the newborn's number ends in {number[-4:]}, the card's in {card[-4:]}; the certificate is there")


def _why(told: Told) -> str:
    call = told.steps[0].call if told.steps else None
    return f"{call.provider} says {call.reason or call.status}" if call else "the portal told nothing"
