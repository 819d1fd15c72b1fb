"""Certificates and signing keys are replaced while calls run: a client's and a provider's, by their own runtimes.

A certificate lives a day and is renewed after two thirds of it (bus.exchange.renewal). Nobody waits 16 hours here: the
operator issues both one that is two minutes old and ends in 50 seconds, and from then on does nothing.
A signing key lives a year; a next one in the home has it rotated (bus.exchange.rotation): announced by a call, started
10 s later, used when every broker takes it.
"""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.traffic import Traffic
from bus.demo.world import World
from bus.exchange.rotation import next_key_path
from bus.nation.members import PORTAL, UNITS
from bus.registry.enrolment import certificate_added
from bus.registry.rotation import OVERLAP_MS
from bus.up.running import now_ms
from pki.certificates import build_csr
from pki.credentials import store_credentials
from pki.keys import encode_private_key, generate_private_key
from pki.signer import FileSigner

__all__ = ["await_signing_keys", "begin_signing_keys", "rotate_certificates"]

_AGO: Final = timedelta(minutes=1)  # and pki makes each valid a minute before
_LEFT: Final = timedelta(seconds=50)
_TAKEN_UP_S: Final = 0.5
_CAP_S: Final = 40.0
_LOOK_S: Final = 0.05
_GO_OVER_S: Final = 1.0
_WHO: Final = (PORTAL, UNITS)
_SIGNING_KEY: Final = "signing-key.pem"


async def rotate_certificates(world: World, report: Report, screen: Screen, asking: Traffic) -> None:
    """Both end soon; claim that both are renewed and no call noticed."""
    before = asking.counted.copy()
    with screen.working("portal and units hold certificates that end in 50 s; each renews its own"):
        ending = await asyncio.to_thread(_end_soon, world)
        began = time.monotonic()
        waiting = await asyncio.to_thread(_await_renewed, world, ending)
    milliseconds = round((time.monotonic() - began) * 1000)
    report.measured("certificates-renewed", milliseconds)
    text = f"portal and units renewed their certificates by themselves, within {milliseconds / 1000:.1f} s"
    screen.claim(report.claim("certificates-renewed", text, [], waiting))
    await asyncio.sleep(_GO_OVER_S)  # connections go over to the new ones
    text = f"nobody noticed: all {(asking.counted - before).total()} calls of the portal meanwhile were answered"
    screen.claim(report.claim("rotation-unnoticed", text, {}, asking.failed(before)))


def begin_signing_keys(world: World) -> dict[str, bytes]:
    """Put a next key into both homes; the ids of the keys in use. Nobody may rotate twice within an hour."""
    keys, since_ms = world.operator.state().keys.values(), now_ms() - OVERLAP_MS
    recent = Counter(one.subsystem for one in keys if one.not_before_ms > since_ms)
    used = {path: _signing_key(world, path) for path in _WHO if recent[path] < 2}
    for path in used:
        FileSigner.load_or_create(next_key_path(world.home(path) / _SIGNING_KEY))
    return used


async def await_signing_keys(
    world: World, report: Report, screen: Screen, asking: Traffic, used: dict[str, bytes]
) -> None:
    """Claim that both sign by another key and no call noticed, since the traffic began."""
    if used:
        with screen.working("portal and units replace their signing keys, begun when this step began"):
            waiting = await asyncio.to_thread(_await_signing_keys, world, used)
        text = f"{' and '.join(used)} sign by new keys of their own"
        screen.claim(report.claim("signing-keys-rotated", text, [], waiting))
    else:
        screen.say("signing keys were rotated within this hour; the registry takes the next ones later")
    await asyncio.sleep(_GO_OVER_S)
    text = f"nobody noticed: all {asking.counted.total()} calls of the portal until now were answered"
    screen.claim(report.claim("portal-unharmed", text, {}, asking.failed()))


def _await_signing_keys(world: World, used: dict[str, bytes]) -> list[str]:
    until = time.monotonic() + _CAP_S
    while (waiting := [path for path in used if _signing_key(world, path) == used[path]]) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return waiting


def _signing_key(world: World, path: str) -> bytes:
    return FileSigner.load(world.home(path) / _SIGNING_KEY).key_id


def _end_soon(world: World) -> list[str]:
    """Issue, record, wait until every gate has it, put it in its place; who has one."""
    authority, now = world.authority(), datetime.now(UTC)
    keys = {path: generate_private_key() for path in _WHO}
    issued = {
        path: authority.issue_from_csr(
            build_csr(key, world.identity(path)), world.identity(path), now=now - _AGO, lifetime=_AGO + _LEFT
        )
        for path, key in keys.items()
    }
    changes = [certificate_added(one, authority) for one in issued.values()]
    world.operator.bring_in_force(changes, "certificates that end soon, for the demonstration")
    time.sleep(_TAKEN_UP_S)  # by the gate's own thread; see bus.up.force
    for path, key in keys.items():
        store_credentials(world.home(path), encode_private_key(key), issued[path].chain_pem, authority.trust.pem)
    return list(keys)


def _await_renewed(world: World, ending: list[str]) -> list[str]:
    """Wait until each has a certificate of a day in its place, 40 s at most; those that have none."""
    until = time.monotonic() + _CAP_S
    while (waiting := [path for path in ending if _left(world, path) < _LEFT]) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return waiting


def _left(world: World, path: str) -> timedelta:
    """How long the certificate in use still lasts."""
    found = x509.load_pem_x509_certificate((world.home(path) / "tls" / "chain.pem").read_bytes())
    return found.not_valid_after_utc - datetime.now(UTC)
