"""Step 1: a nation starts as `govbus up --nation` starts it, and what the demonstration adds joins it.

While new signing keys wait for every broker to know them, it is tried whether the members are apart.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, Final

from bus.demo.additions import MIRROR, OTHER_BROKER, TAX
from bus.demo.apart import claim_apart
from bus.demo.families import Sample, take_sample
from bus.demo.joining import Joining
from bus.demo.report import DemoError, Report
from bus.demo.screen import Screen
from bus.demo.world import World
from bus.nation.members import PROGRAMS
from bus.up.memory import Processes
from bus.up.process import supervisor_pid
from bus.up.report import State, look
from bus.up.running import now_ms
from pki.signer import FileSigner

__all__ = ["start"]

_AFTER_START_MS: Final = 300
_SETTLED_S: Final = 30.0
_LOOK_S: Final = 0.1

Progress = Generator[dict[str, Any], None, None]


def start(world: World, report: Report, screen: Screen) -> Sample:
    """Start, let all join; claim that the members run and are apart. Families for the story, of the same seed."""
    text = f"govbus up --nation: an instance and {len(PROGRAMS)} members, with {world.people:,} synthetic people"
    with closing(world.start_instance()) as progress, Joining(world) as joining:
        with screen.working(text) as say:
            ready = _until_members_serve(world, progress, say)
        _verify_serving(ready)
        _show_members(world, report, screen)
        _claim_running(world, report, screen)
        claim_apart(world, report, screen)
        with screen.working("a second broker, the tax office and a provider that cheats join"):
            joining.wait()
            sample = take_sample(world.people)
        text = "a new signing key starts 10 s after it was published, so that every broker knows it by then"
        screen.wait(text, _last_key_start(world))
        for told in progress:
            ready = told.get("ready", ready)
    _tell_ready(world, ready, report, screen)
    with screen.working("the second broker starts"):
        world.start_broker(OTHER_BROKER)  # not sooner: its gate's key is certified by its signing key, from now on
    _claim_up(world, report, screen)
    return sample


def _until_members_serve(world: World, progress: Progress, say: Callable[[str], None]) -> dict[str, Any]:
    """What was told at the end, if that came first: of a nation that was here before."""
    for told in progress:
        if "ready" in told:
            ready: dict[str, Any] = told["ready"]
            return ready
        say(told["step"].removeprefix("nation: "))
        members = world.told("nation").get("members") or {}
        if members and all(one["serves"] for one in members.values()):
            break
    return {}


def _verify_serving(ready: dict[str, Any]) -> None:
    waiting: dict[str, str] = ready["nation"]["waiting"] if ready else {}
    for path, why in waiting.items():
        raise DemoError(f"{path} does not serve: {why} (with --state DIR: govbus logs {path} --state DIR)")


def _tell_ready(world: World, ready: dict[str, Any], report: Report, screen: Screen) -> None:
    memory = Processes().mib(supervisor_pid(world.layout)) or 0
    report.nation |= {"people": world.people, "ready_s": ready["seconds"], "memory_mib": memory}
    screen.say(
        f"ready after {ready['seconds']:.1f} s, {memory} MiB of memory in all: {ready['trust_domain']} with"
        f" {ready['nation']['members']} of {len(PROGRAMS)} members and {world.people:,} people; the broker"
        f" {ready['broker']} is an Envoy with the gate, on {ready['address']}"
    )


def _show_members(world: World, report: Report, screen: Screen) -> None:
    told, processes = world.told("nation")["members"], Processes()
    for one in PROGRAMS:
        pid, key_id = told[one.path]["pid"], FileSigner.load(world.home(one.path) / "signing-key.pem").key_id
        report.members.append(
            {
                "path": one.path,
                "service": one.service,
                "pid": pid,
                "serves": told[one.path]["serves"].partition(" /")[0],
                "memory_mib": processes.mib(pid) or 0,
                "signing_key": key_id.hex(),
            }
        )
    rows = [
        (
            str(one["path"]),
            str(one["service"]).rpartition(".")[2] or "client: the citizens' portal",
            str(one["pid"]),
            str(one["serves"]),
            str(one["memory_mib"]),
            str(one["signing_key"])[:12],
        )
        for one in report.members
    ]
    screen.table(("member", "offers", "process", "on", "MiB", "signing key"), rows)


def _claim_running(world: World, report: Report, screen: Screen) -> None:
    told = world.told("nation")["members"]
    serve = [one.path for one in PROGRAMS if told.get(one.path, {}).get("serves")]
    text = f"{len(serve)} members of {len(PROGRAMS)} enrolled by token and serve, each in a process"
    screen.claim(report.claim("running", text, [one.path for one in PROGRAMS], serve))
    keys = {one["signing_key"] for one in report.members}
    text = "each has a signing key of its own, made behind its fence"
    screen.claim(report.claim("keys-differ", text, len(PROGRAMS), len(keys)))


def _last_key_start(world: World) -> int:
    """When the last new signing key of all has started."""
    registered = world.operator.state().keys
    homes = [world.home(path) for path in (*(one.path for one in PROGRAMS), TAX, MIRROR)]
    used = [FileSigner.load(home / "signing-key.pem").key_id for home in (*homes, world.broker_home(OTHER_BROKER))]
    return max(registered[key_id].not_before_ms for key_id in used) + _AFTER_START_MS


def _claim_up(world: World, report: Report, screen: Screen) -> None:
    """What `govbus status` says, once the ledger has come after."""
    until = time.monotonic() + _SETTLED_S
    while True:
        parts = [one for one in look(world.layout, now_ms()) if one.part != f"broker {OTHER_BROKER}"]  # ours, if new
        down = {one.part: str(one.state) for one in parts if one.state is not State.UP}
        if not down or time.monotonic() > until:
            break
        time.sleep(_LOOK_S)
    screen.claim(report.claim("instance-up", f"all {len(parts)} parts of the instance are up", {}, down))
