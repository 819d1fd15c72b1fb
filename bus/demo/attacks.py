"""Step 4: attacks, one changed thing each, with real keys over real connections. Each must end in its exact reason.

That nobody's provider was called is taken from Envoy's own count of requests sent on, and afterwards from the journal.
"""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vn.population.v1.population_pb2 import GetPersonRequest

from bus.demo.additions import (
    BROKER,
    GRANT_NEWBORN,
    GRANT_WARDS,
    LIST_UNITS,
    MIRROR,
    OTHER_BROKER,
    RESOLVE,
    STRANGER,
    TAX,
)
from bus.demo.forge import ANSWERED, Forged, Line, forge, header_with_case, question_header
from bus.demo.records import Records, read_records
from bus.demo.report import Claim, Report
from bus.demo.screen import Screen
from bus.demo.traffic import question, resolve
from bus.demo.world import World
from bus.exchange import TlsFiles, connect
from bus.exchange.reasons import Reason
from bus.nation.members import BIRTHS, POPULATION, PORTAL, UNITS
from pki.credentials import issue_credentials
from pki.signer import FileSigner

__all__ = ["attack"]

_GET_PERSON: Final = "/vn.population.v1.PopulationService/GetPerson"
_CASE: Final = "ATTACK-1"
_NUMBER_SHAPED: Final = "000000000000"  # twelve digits: the shape of a person number, nobody's
_TIMEOUT_S: Final = 8.0
_LEDGER_S: Final = 30.0
_LOOK_S: Final = 0.1
_ONCE: Final = "saw the honest one"
_REFUSALS_FOLLOW_S: Final = 0.5  # ten times what the journal gathers them for
_CHEATED: Final = "its answer is withheld"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack; `run` does it and says how it ended."""

    name: str
    text: str
    expected: Reason
    run: Callable[[], Awaitable[str]]
    sent_on: int = 0
    """How many requests reach a provider by it."""
    provider: str = "not called"
    """What the provider has to do with it, for the table."""


class Attacker:
    """What an insider has: the portal's credentials, another member's, a stranger's, and connections with each."""

    def __init__(self, world: World) -> None:
        self.world = world
        portal, tax = world.client(PORTAL), world.home(TAX)
        self.signer = FileSigner.load(portal.identity.signing_key)
        self.other_signer = FileSigner.load(tax / "signing-key.pem")
        self.portal_tls, self.tax_tls = portal.identity.tls, _tls_files(tax)
        subsystems = world.operator.state().subsystems.values()
        self.addresses = {one.identity.spiffe_id: str(one.endpoints[0]) for one in subsystems if one.endpoints}
        names = world.spiffe_id(PORTAL), world.spiffe_id(UNITS), world.spiffe_id(BROKER)
        self.sound = question_header(names, GRANT_WARDS, _CASE)

    def forge(self, **changes: object) -> Forged:
        """The portal's sound question, changed as told, soundly signed by the portal."""
        return forge(self.sound, question().SerializeToString(), self.signer, **changes)

    async def send(self, request: Forged, *, path: str = RESOLVE, tls: TlsFiles | None = None, to: str = BROKER) -> str:
        """Send it over a connection of the portal's, or with other credentials."""
        spiffe_id = self.world.spiffe_id(to)
        async with Line(tls or self.portal_tls, spiffe_id, self.addresses[spiffe_id]) as line:
            return await line.send(path, request)

    async def replay(self) -> str:
        """Twice the same bytes. The first is an ordinary call."""
        request = self.forge()
        first = await self.send(request)
        return await self.send(request) if first == ANSWERED else f"the first was {first}"

    async def alter_body(self) -> str:
        """Sign one question, send another of the same length."""
        return await self.send(replace(self.forge(), message=question("00004").SerializeToString()))

    async def swap_key(self) -> str:
        """The tax office signs in the portal's name."""
        return await self.send(forge(self.sound, question().SerializeToString(), self.other_signer))

    async def ask_without_grant(self) -> str:
        """The portal asks population itself, naming civil status' grant."""
        message = GetPersonRequest().SerializeToString()
        changes = {"provider": self.world.spiffe_id(POPULATION), "method": _GET_PERSON, "grant_id": GRANT_NEWBORN}
        return await self.send(forge(self.sound, message, self.signer, **changes), path=_GET_PERSON)

    async def be_late(self) -> str:
        """A request signed two minutes ago."""
        ago = time.time_ns() // 1_000_000 - 120_000
        return await self.send(self.forge(issued_at_ms=ago, not_after_ms=ago + 8_000))

    async def name_a_person(self) -> str:
        """A case id shaped like a person number, by an encoder that does not refuse it as ours does."""
        return await self.send(header_with_case(self.forge(), _NUMBER_SHAPED, self.signer))

    async def be_nobody(self) -> str:
        """The authority's certificate for a subsystem that stands in no policy."""
        world, home = self.world, self.world.folder / "stranger"
        now = datetime.now(UTC)
        await asyncio.to_thread(issue_credentials, world.authority(), world.identity(STRANGER), home, now=now)
        return await self.send(self.forge(), tls=_tls_files(home))

    async def ask_mirror(self, trick: str) -> str:
        """The portal, through connect(), asks the provider that cheats."""
        async with connect(self.world.client(PORTAL)) as channel:
            return await resolve(
                channel.using(purpose=BIRTHS, case_id=f"{_CASE}-{trick}", provider=self.spiffe(MIRROR))
            )

    async def ask_mirror_twice(self) -> str:
        """First an honest answer, then that one again, to another question."""
        first = await self.ask_mirror("honest")
        return await self.ask_mirror("swapped") if first == ANSWERED else f"the first was {first}"

    async def stop_the_disk(self) -> str:
        """The second broker's process may no longer write into files, as on a disk that fails."""
        first = await self.send(self.forge(broker=self.spiffe(OTHER_BROKER)), to=OTHER_BROKER)
        pid = self.world.broker_process(OTHER_BROKER)
        if first != ANSWERED or pid is None:
            return f"the first was {first}"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, 1))
        return await self.send(self.forge(broker=self.spiffe(OTHER_BROKER)), to=OTHER_BROKER)

    def spiffe(self, path: str) -> str:
        """The full name."""
        return self.world.spiffe_id(path)

    def attacks(self) -> tuple[Attack, ...]:
        """All of them, in the order shown."""
        elsewhere = self.spiffe(OTHER_BROKER)
        return (
            Attack("replay", "the same request sent twice", Reason.REPLAYED, self.replay, 1, _ONCE),
            Attack("altered-body", "body exchanged after signing", Reason.BODY_COMMITMENT_MISMATCH, self.alter_body),
            Attack(
                "wrong-path",
                "sent to another method than signed",
                Reason.METHOD_MISMATCH,
                lambda: self.send(self.forge(), path=LIST_UNITS),
            ),
            Attack("another-key", "signed with the tax office's key", Reason.KEY_NOT_OF_CLIENT, self.swap_key),
            Attack("no-grant", "portal asks population, on another's grant", Reason.NO_GRANT, self.ask_without_grant),
            Attack("stale-time", "signed two minutes ago", Reason.REQUEST_NOT_FRESH, self.be_late),
            Attack(
                "wrong-broker",
                "meant for broker-2, sent to broker-1",
                Reason.WRONG_BROKER,
                lambda: self.send(self.forge(broker=elsewhere)),
            ),
            Attack(
                "personal-case", "case id shaped like a person's number", Reason.IDENTIFIER_PERSONAL, self.name_a_person
            ),
            Attack(
                "stolen",
                "portal's request over tax office's line",
                Reason.CLIENT_MISMATCH,
                lambda: self.send(self.forge(), tls=self.tax_tls),
            ),
            Attack("unlisted", "a certificate that no policy lists", Reason.CERTIFICATE_NOT_LIVE, self.be_nobody),
            Attack(
                "past-the-broker",
                "straight to the provider's own port",
                Reason.PEER_NOT_BROKER,
                lambda: self.send(self.forge(), to=UNITS),
                provider="refuses by itself",
            ),
            Attack(
                "response-swapped",
                "provider repeats an old answer",
                Reason.RESPONSE_MISMATCH,
                self.ask_mirror_twice,
                2,
                _CHEATED,
            ),
            Attack(
                "response-altered",
                "provider changes its body after signing",
                Reason.RESPONSE_MISMATCH,
                lambda: self.ask_mirror("altered"),
                1,
                _CHEATED,
            ),
            Attack(
                "response-unsigned",
                "provider does not sign",
                Reason.PROVIDER_UNSIGNED,
                lambda: self.ask_mirror("unsigned"),
                1,
                _CHEATED,
            ),
            Attack(
                "journal-unwritable",
                "broker-2 cannot write its journal",
                Reason.JOURNAL_UNAVAILABLE,
                self.stop_the_disk,
                1,
                _ONCE,
            ),
        )


async def attack(world: World, report: Report, screen: Screen) -> None:
    """Every attack, then an honest call, then what the journals say of it all."""
    attacker = Attacker(world)
    before, other = await _settled(world), len(read_records(world.journal(OTHER_BROKER)).calls)
    attacks = attacker.attacks()
    with screen.working(f"{len(attacks)} attacks, one after another"):
        done = [await _do(one, world, report) for one in attacks]
    columns = ("attack", "refused with", "provider", "held?")
    screen.table(columns, [row for row, _ in done], title="With real keys, over mutual TLS")
    for claim in (claim for _, claims in done for claim in claims if not claim.holds):
        screen.claim(claim)
    _claim_journal(world, report, screen, {call.intent for call in before.calls}, len(before.refused))
    await _claim_aftermath(world, attacker, report, screen, other)
    await asyncio.to_thread(_claim_ledger, world, report, screen)


async def _settled(world: World) -> Records:
    """The journal once it holds what happened before: nobody waits for the records of refusals, they follow."""
    records, again = None, read_records(world.journal())
    while records is None or len(records.refused) != len(again.refused):
        records = again
        await asyncio.sleep(_REFUSALS_FOLLOW_S)
        again = read_records(world.journal())
    return again


async def _do(one: Attack, world: World, report: Report) -> tuple[tuple[str, ...], tuple[Claim, Claim]]:
    """One attack; its row and its two claims."""
    sent = world.sent_on()
    found = await one.run()
    reached = world.sent_on() - sent
    reason = report.claim(one.name, f"{one.text}: refused", one.expected, found)
    text = f"{one.text}: requests that reached a provider"
    touched = report.claim(f"{one.name}-provider", text, one.sent_on, reached)
    holds = reason.holds and touched.holds
    report.attacks.append(
        {
            "name": one.name,
            "text": one.text,
            "expected": str(one.expected),
            "found": found,
            "expected_to_reach": one.sent_on,
            "reached": reached,
            "holds": holds,
        }
    )
    return (one.text, found, one.provider, "yes" if holds else "NO, see below"), (reason, touched)


def _claim_journal(world: World, report: Report, screen: Screen, known: set[int], refused: int) -> None:
    """(docs/protocol.md 4) Refusals after check 6 are journaled; what was admitted has exactly one outcome."""
    after = read_records(world.journal())
    ended = sorted(f"{call.outcome} {call.status}" for call in after.calls if call.intent not in known)
    mismatch, unsigned = (f"FAILED {reason}" for reason in (Reason.RESPONSE_MISMATCH, Reason.PROVIDER_UNSIGNED))
    text = (
        "the journal has the two honest calls as done, the three cheated answers as failed, and admitted nothing else"
    )
    screen.claim(report.claim("journal-outcomes", text, sorted(["DONE OK"] * 2 + [mismatch] * 2 + [unsigned]), ended))
    expected = sorted(map(str, (Reason.REPLAYED, Reason.NO_GRANT, Reason.BODY_COMMITMENT_MISMATCH)))
    text = "and the refusals that came after the signature held"
    screen.claim(report.claim("journal-refusals", text, expected, sorted(after.refused[refused:])))


async def _claim_aftermath(world: World, attacker: Attacker, report: Report, screen: Screen, known: int) -> None:
    """Nothing that was done has harmed an honest caller; the broker without a journal comes back once it can write."""
    found = await attacker.send(attacker.forge())
    screen.claim(report.claim("honest-after", "after all this an honest call is answered", ANSWERED, found))
    with screen.working("starting broker-2 again, able to write"):
        world.restart_broker(OTHER_BROKER)
    found = await attacker.send(attacker.forge(broker=attacker.spiffe(OTHER_BROKER)), to=OTHER_BROKER)
    screen.claim(
        report.claim("broker-back", "broker-2, able to write again, recovers its journal and serves", ANSWERED, found)
    )
    calls = len(read_records(world.journal(OTHER_BROKER)).calls) - known
    screen.claim(
        report.claim("broker-whole", "its journal is whole: two calls of this run, none of the attack", 2, calls)
    )


def _claim_ledger(world: World, report: Report, screen: Screen) -> None:
    """Whatever was done, the ledger has taken in all that the brokers wrote, the registry and the policy."""
    until = time.monotonic() + _LEDGER_S
    while (behind := _behind(told := world.ledger())) != (0, {}) and time.monotonic() < until:
        time.sleep(_LOOK_S)  # a source that did not answer once is asked again
    text = f"the ledger has it all: {told.get('size', 0)} entries of {len(told.get('sources', {}))} sources"
    screen.claim(report.claim("ledger-whole", text, (0, {}), behind))


def _behind(told: dict[str, Any]) -> tuple[int | None, dict[str, str]]:
    sources = told.get("sources", {})
    return told.get("behind"), {name: one["error"] for name, one in sources.items() if one["error"]}


def _tls_files(home: Path) -> TlsFiles:
    return TlsFiles(home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem")
