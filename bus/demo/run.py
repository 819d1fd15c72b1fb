"""The demonstration from start to end: which steps, in which order, where it keeps its files, and how it ends.

1. Every step needs the first; evidence needs a birth, which is then registered without being shown.
2. Without a directory to keep, everything lies in a temporary one and is removed at the end.
3. Ctrl-C, SIGTERM and a closed terminal end it in order: processes first, files after.
"""

import asyncio
import enum
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.json_format import MessageToJson

from bus.demo.additions import RESOLVE
from bus.demo.attacks import attack
from bus.demo.changes import change_while_calls_run
from bus.demo.proof import bundle_file, claim_silence, export_call, prove
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.start import start
from bus.demo.story import Story, tell_story
from bus.demo.traffic import question as question_message
from bus.demo.world import World, make_world
from bus.ledger.storage import KEY_FILE
from bus.nation.members import BIRTHS, PORTAL, UNITS

__all__ = ["Step", "run_demo"]

_QUIET = Screen(quiet=True)
_READ = (
    "docs/first-hour.md: what a newcomer's first hour brings; docs/tutorial-adapter.md: a service of your own;"
    " docs/operations.md: all commands"
)


class Step(enum.StrEnum):
    """What can be asked for alone."""

    START = "start"
    STORY = "story"
    CHANGES = "changes"
    ATTACKS = "attacks"
    EVIDENCE = "evidence"


def run_demo(screen: Screen, *, only: Step | None, keep: Path | None, people: int | None) -> dict[str, object]:
    """Run it and give the document of bus.demo.report. KeyboardInterrupt when it was told to end."""
    began = time.monotonic()
    report = Report()
    with _ended_by_signals(), _folder(keep) as folder:
        with make_world(folder, people) as world:
            story = _run(world, report, screen, only)
        with report.during("end"):
            text = "all processes drained and ended in order"
            screen.claim(report.claim("ended", text, {0}, set(world.ended.values())))
        if only in (None, Step.EVIDENCE):
            with report.during(Step.EVIDENCE):
                screen.heading("5  Evidence: one call is proven, then damaged")
                prove(world, report, screen)
                claim_silence(world, story, report, screen)
    seconds, following = time.monotonic() - began, _next(keep, story)
    _summarize(report, screen, seconds, following)
    return report.document(seconds=seconds, state=str(keep.absolute()) if keep else None, following=following)


def _run(world: World, report: Report, screen: Screen, only: Step | None) -> Story:
    """The steps that need running processes."""
    story = Story()
    with report.during(Step.START):
        screen.heading("1  A nation starts: govbus up --nation")
        sample = start(world, report, screen)
    if only in (None, Step.STORY, Step.EVIDENCE):
        shown = _QUIET if only is Step.EVIDENCE else screen
        with report.during(Step.STORY):
            shown.heading("2  A birth is registered, and nobody carries papers")
            story = asyncio.run(tell_story(world, sample, report, shown))
        if only in (None, Step.EVIDENCE):
            with screen.working("govbus evidence export: one call, out of the journal and the ledger"):
                export_call(world, story)
    if only in (None, Step.CHANGES):
        with report.during(Step.CHANGES):
            screen.heading("3  Changes while calls run")
            asyncio.run(change_while_calls_run(world, sample, story, report, screen))
    if only in (None, Step.ATTACKS):
        with report.during(Step.ATTACKS):
            screen.heading("4  Attacks, each refused with its reason")
            asyncio.run(attack(world, report, screen))
    return story


def _summarize(report: Report, screen: Screen, seconds: float, following: list[str]) -> None:
    screen.heading("Summary")
    rows = []
    for step in dict.fromkeys(claim.step for claim in report.claims):
        claims = [claim for claim in report.claims if claim.step == step]
        failed = [claim.name for claim in claims if not claim.holds]
        rows.append((step, str(len(claims)), f"NO: {', '.join(failed)}" if failed else "all hold"))
    screen.table(("step", "claims", ""), rows)
    said = "Everything did what it claims" if report.holds else "NOT everything did what it claims"
    screen.note(f"{said}, in {seconds:.0f} s. What to try next:")
    for command in following:
        screen.say(command)
    screen.say(_READ)


def _next(keep: Path | None, story: Story) -> list[str]:
    """Commands that work from where this one was given."""
    found = shutil.which("govbus") or Path(sys.argv[0]).name != "govbus"
    program = "govbus" if found else shlex.quote(sys.argv[0])
    if keep is None:
        started = [f"{program} {one}" for one in ("up --nation", "birth", "explain last", "status", "down --wipe")]
        return [*started, f"{program} demo --state nation", f"{program} demo --only attacks --slow", "make test"]
    state = f"--state {shlex.quote(str(keep))}"
    question = shlex.quote(MessageToJson(question_message(), indent=None))
    commands = [
        f"{program} up {state}",
        f"{program} status {state}",
        f"{program} grant list {state}",
        f"{program} call {RESOLVE[1:]} {question} --as {PORTAL} --provider {UNITS} --purpose {BIRTHS} {state}",
    ]
    bundle = bundle_file(keep / "demo")
    if story.request_id:
        key = shlex.quote(str(keep / "policy-key.pem"))
        ledger = shlex.quote(str(keep / "ledger" / KEY_FILE))
        commands.append(f"{program} explain {story.request_id} {state}")
        if bundle.exists():
            commands.append(f"{program} verify {shlex.quote(str(bundle))} --policy-key {key} --ledger-key {ledger}")
    return [*commands, f"{program} down {state}"]


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="govdemo-") as folder:
        yield Path(folder)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does: whoever listens to that now, asyncio or nobody, ends in order."""
    former = {
        number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
