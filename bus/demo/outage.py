"""The bus's own PostgreSQL is killed while calls run, and killed again as often as the supervisor starts it.

Calls are judged by the last policy and go on; the members have a server of their own, and a birth is registered. What
cannot be done meanwhile, a change, is refused with a line that says why. Left alone the database comes back by itself,
and the change is made.
"""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

from bus.demo.families import Sample
from bus.demo.report import DemoError, Report
from bus.demo.screen import Screen
from bus.demo.story import Story, register_quietly
from bus.demo.traffic import Traffic
from bus.demo.world import World
from bus.exchange.reasons import Reason
from bus.registry.grants import GrantRevoked
from bus.up.process import supervisor_pid

__all__ = ["stop_database"]

_DOWN_S: Final = 3.0
_LOOK_S: Final = 0.01
_CAP_S: Final = 30.0


async def stop_database(
    world: World,
    sample: Sample,
    story: Story,
    report: Report,
    screen: Screen,
    asking: Traffic,
    newcomer: Traffic,
    grant_id: str,
) -> None:
    """Kill it until a change was refused; the change that is tried is the end of the newcomer's grant."""
    before, began = asking.counted.copy(), time.monotonic()
    with screen.working("the bus's own PostgreSQL is killed, and killed again whenever it starts"):
        enough = threading.Event()
        killing = asyncio.create_task(asyncio.to_thread(_keep_down, world, enough))
        try:
            await asyncio.sleep(_LOOK_S * 10)
            said = await asyncio.to_thread(_end_grant, world, grant_id)
            born = await register_quietly(world, sample, sample.in_an_outage, story)
        finally:
            enough.set()
        kills = await killing
    text = f"killed {kills} times; a change meanwhile is refused, and nothing of it recorded"
    refused = "refused" if said else "done"
    screen.claim(report.claim("change-refused", text, "refused", refused))
    screen.say(f'    it said: "{said.partition(": ")[0]}"')
    text = "a birth meanwhile is registered: the members' databases are on a server of their own"
    screen.claim(report.claim("born-meanwhile", text, True, born.result is not None))
    with screen.working("left alone it starts again"):
        await asyncio.to_thread(_await_back, world)
    milliseconds = round((time.monotonic() - began) * 1000)
    report.measured("database-gone", milliseconds)
    calls = (asking.counted - before).total()
    text = (
        f"PostgreSQL was gone for {milliseconds / 1000:.1f} s; all {calls} calls of the portal meanwhile were answered"
    )
    screen.claim(report.claim("outage-unnoticed", text, {}, asking.failed(before)))
    if said:
        await asyncio.to_thread(_end_grant, world, grant_id)
    await newcomer.until(str(Reason.NO_GRANT))
    text = "the same change, given again, is recorded and in force: the tax office's calls are refused"
    screen.claim(report.claim("change-made", text, str(Reason.NO_GRANT), newcomer.last))


def _end_grant(world: World, grant_id: str) -> str:
    """Try to; why it could not be done, or nothing."""
    try:
        world.operator.record([GrantRevoked(grant_id)], "shown in the demonstration")
    except DemoError as error:
        return str(error)
    return ""


def _keep_down(world: World, enough: threading.Event) -> int:
    """Kill the server again and again until that is enough, for three seconds at least; how often that was."""
    supervisor = supervisor_pid(world.layout)
    if supervisor is None:
        raise DemoError("the supervisor is gone; with --state DIR see DIR/instance/supervisor")
    note, kills, end = world.layout.state / "postgres" / "data" / "postmaster.pid", 0, time.monotonic() + _DOWN_S
    while time.monotonic() < end or not enough.is_set():
        pid = _server(note, supervisor)
        if pid:
            os.kill(pid, signal.SIGKILL)
            kills += 1
            while _server(note, supervisor) == pid:
                time.sleep(_LOOK_S)
        time.sleep(_LOOK_S)
    return kills


def _await_back(world: World) -> None:
    """Until the supervisor finds it ready, or for 30 s."""
    until = time.monotonic() + _CAP_S
    while not world.told("postgres").get("pid") and time.monotonic() < until:
        time.sleep(_LOOK_S * 5)


def _server(note: Path, supervisor: int) -> int:
    """The process named in postmaster.pid, if it lives and is the supervisor's child: never somebody else's; or 0."""
    try:
        pid = int(note.read_text("ascii").splitlines()[0])
        _, _, after = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")
        state, parent = after.split()[:2]
    except (OSError, ValueError, IndexError):
        return 0
    return pid if int(parent) == supervisor and state != "Z" else 0
