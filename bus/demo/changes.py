"""Step 3: things change while calls run, and no call that has nothing to do with it fails.

The portal asks on through all of it. The tax office, a member that was granted nothing, asks as well: it gets a grant,
is suspended, is resumed, is limited. Certificates and signing keys are replaced (bus.demo.rotation), the bus's
PostgreSQL is killed (bus.demo.outage), and a member (bus.demo.comeback). How long a change took to be in force is
measured at the calls: from its recording to the end of the first call that was judged by it.
"""

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import Final

from bus.demo.additions import BROKER, RESOLVE, TAX
from bus.demo.comeback import kill_member
from bus.demo.families import Sample
from bus.demo.forge import ANSWERED, Line, forge, question_header
from bus.demo.outage import stop_database
from bus.demo.report import Report
from bus.demo.rotation import await_signing_keys, begin_signing_keys, rotate_certificates
from bus.demo.screen import Screen
from bus.demo.story import Story
from bus.demo.traffic import Traffic, question, resolve
from bus.demo.world import World
from bus.exchange import connect
from bus.exchange.reasons import Reason
from bus.nation.founding import grant_made
from bus.nation.members import BIRTHS, PORTAL, UNITS, GrantRow
from bus.registry.change import Change
from bus.registry.grants import Quota, QuotaSet
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from bus.up.running import now_ms
from pki.signer import FileSigner

__all__ = ["change_while_calls_run"]

_PAUSE_S: Final = 0.02


async def change_while_calls_run(world: World, sample: Sample, story: Story, report: Report, screen: Screen) -> None:
    """All of it, one after the other."""
    grant_id = f"grant-tax-{secrets.token_hex(4)}"  # an id is used once, for ever
    async with AsyncExitStack() as stack:
        portal = await stack.enter_async_context(connect(world.client(PORTAL)))
        said = portal.using(purpose=BIRTHS, case_id="CHANGES-1", provider=world.spiffe_id(UNITS))
        asking = await stack.enter_async_context(Traffic(lambda: resolve(said), pause_s=_PAUSE_S))
        # By hand: a runtime would not ask what its own policy does not grant, and the gate's answer is wanted.
        tax = world.client(TAX)
        line = Line(tax.identity.tls, world.spiffe_id(BROKER), tax.brokers[0].address)
        await stack.enter_async_context(line)
        names = world.spiffe_id(TAX), world.spiffe_id(UNITS), world.spiffe_id(BROKER)
        sound, message = question_header(names, grant_id, "CHANGES-2"), question().SerializeToString()
        signer = FileSigner.load(tax.identity.signing_key)
        newcomer = Traffic(lambda: line.send(RESOLVE, forge(sound, message, signer)), pause_s=_PAUSE_S)
        await stack.enter_async_context(newcomer)
        await asking.until(ANSWERED)
        used = await asyncio.to_thread(begin_signing_keys, world)
        await _change(world, report, screen, newcomer, grant_id)
        await rotate_certificates(world, report, screen, asking)
        await kill_member(world, sample, story, report, screen, asking)
        await stop_database(world, sample, story, report, screen, asking, newcomer, grant_id)
        await await_signing_keys(world, report, screen, asking, used)


async def _change(world: World, report: Report, screen: Screen, newcomer: Traffic, grant_id: str) -> None:
    """A grant comes, the grantee is suspended, resumed and limited."""
    no_grant, suspended = str(Reason.NO_GRANT), str(Reason.SUBSYSTEM_SUSPENDED)
    await newcomer.until(no_grant)
    text = "the tax office asks units without a grant: refused"
    screen.claim(report.claim("grant-missing", text, no_grant, newcomer.last))
    added = grant_made(GrantRow(grant_id, TAX, UNITS, (RESOLVE,)), now_ms())
    limit = QuotaSet(grant_id, Quota(calls_per_second=4))
    for name, what, change, wanted in (
        ("grant-added", "a grant is added: its next calls are answered", added, ANSWERED),
        ("suspended", "the tax office is suspended: refused by that name", SubsystemSuspended(TAX), suspended),
        ("resumed", "it is resumed: answered again", SubsystemResumed(TAX), ANSWERED),
        ("limited", "its grant allows four calls a second now: others are refused", limit, str(Reason.RATE_LIMITED)),
    ):
        milliseconds = await in_force(world, newcomer, change, wanted)
        report.measured(name, milliseconds)
        screen.claim(report.claim(name, f"{what}, {milliseconds} ms after it was recorded", wanted, newcomer.last))


async def in_force(world: World, traffic: Traffic, change: Change, wanted: str) -> int:
    """Record `change`; milliseconds until a call ended as `wanted` (or 15 s have passed, see traffic.last)."""
    recorded = await asyncio.to_thread(world.operator.record, [change], "shown in the demonstration")
    return round((await traffic.until(wanted) - recorded) * 1000)
