"""Who calls, and what its policy lets it call: the subsystem's home and the part of the snapshot made for it.

What stands here chooses; gate and provider permit. A call that says neither provider nor grant goes where exactly one
grant fits its method and purpose; where several do, the caller says which, since each is another statement.
A home that no publisher reaches gets its newest part through the bus (`newest`): for a list, and when nothing fits.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer

from bus.exchange import CallError, ClientConfig, ConfigError, load_client_config  # isort: skip - before gRPC

from bus.cli.near import did_you_mean
from bus.cli.output import Unable
from bus.exchange.fetch import SnapshotFetcher
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile, SnapshotView
from bus.up.clock import now_ms
from bus.up.layout import Layout
from bus.up.report_parts import iso
from native.snapshot import SnapshotError
from pki.errors import ProfileError
from pki.identity import IdentityError, SubsystemId, parse_spiffe_id

__all__ = [
    "Caller",
    "NotPermitted",
    "Permitted",
    "caller_at",
    "choose",
    "coming_start",
    "home_of",
    "newest",
    "provider_identity",
    "starts_in",
]

_CONFIG: Final = "config.yaml"
_FETCH_S: Final = 5.0
_UNSENT: Final = "; nothing was sent, so `govbus explain` has nothing of it"


class NotPermitted(Unable):
    """The policy that is here lists no grant for it; a newer one may."""


@dataclass(frozen=True, slots=True)
class Permitted:
    """One method under one grant in force now."""

    method: str
    provider: str
    grant: str
    purposes: tuple[str, ...]
    stream: bool
    not_after_ms: int
    provider_active: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """A subsystem as its home has it."""

    config: ClientConfig
    view: SnapshotView

    @property
    def identity(self) -> SubsystemId:
        """Whose home it is."""
        return parse_spiffe_id(self.config.identity.spiffe_id)

    def permitted(self) -> list[Permitted]:
        """What its snapshot lists for it and is in force now, by method."""
        at_ms = now_ms()
        found = [
            self._entry(method, grant.provider, grant.grant_id, grant.purposes, grant.not_after_ms)
            for grant in self.view.grants_of(self.config.identity.spiffe_id)
            if grant.not_before_ms <= at_ms <= grant.not_after_ms
            for method in grant.methods
        ]
        return sorted(found, key=lambda one: (one.method, one.provider, one.grant))

    def coming(self, method: str) -> list[tuple[str, int]]:
        """Grants for a method that are not in force yet: their ids, and when they begin."""
        several = self.view.grants_of(self.config.identity.spiffe_id)
        at_ms = now_ms()
        return [
            (one.grant_id, one.not_before_ms) for one in several if method in one.methods and at_ms < one.not_before_ms
        ]

    def key_starts_ms(self) -> int | None:
        """When its signing key starts, as its snapshot has it; None for a key that has, or that is not in there."""
        return coming_start(self.view, self.config.identity.signing_key)

    def _entry(self, method: str, provider: str, grant: str, purposes: tuple[str, ...], not_after_ms: int) -> Permitted:
        record, subsystem = self.view.method(method), self.view.subsystem(provider)
        return Permitted(
            method=method,
            provider=parse_spiffe_id(provider).path,
            grant=grant,
            purposes=tuple(sorted(purposes)),
            stream=record is not None and record.server_stream,
            not_after_ms=not_after_ms,
            provider_active=subsystem is not None and subsystem.active,
        )


def coming_start(view: SnapshotView, signing_key: Path) -> int | None:
    """When the key in this file starts, if it has not; a new key starts some seconds after it was registered."""
    known = view.key(SigningKeyFile(signing_key).key_id)
    return known.not_before_ms if known is not None and known.not_before_ms > now_ms() else None


def starts_in(starts_ms: int) -> int:
    """Whole seconds until then, rounded up: after so many it has started."""
    return max(0, math.ceil((starts_ms - now_ms()) / 1000))


def home_of(home: Path | None, layout: Layout, path: str | None) -> Path:
    """The directory that the options name."""
    if home is not None and path is not None:
        raise Unable("say who calls once: --home, or --as, not both")
    if home is None and path is None:
        raise Unable("say who calls: --home DIR, where it was enrolled, or --as <class>/<member>/<subsystem>")
    if home is not None:
        return home
    assert path is not None  # noqa: S101 - one of the two is there
    homes = layout.state / "subsystems"
    found = homes / path.replace("/", ".")
    if not (found / _CONFIG).exists():
        known = [one.parent.name.replace(".", "/") for one in homes.glob(f"*/{_CONFIG}")]
        said = did_you_mean(path, known) or "; name the directory where it was enrolled with --home"
        raise Unable(f"{layout.state} keeps no home of {path}{said}")
    return found


def caller_at(home: Path) -> Caller:
    """Read configuration and snapshot; nothing is sent."""
    try:
        config = load_client_config(home / _CONFIG)
        return Caller(config, SnapshotFile.of(config.identity).load())
    except ConfigError as error:
        raise Unable(f"{home / _CONFIG}: {error}") from error


def newest(caller: Caller, *, quiet: bool = False) -> Caller:
    """With the newest policy that the registry has for it, where the home is one that fetches; else as it was.

    `quiet`: nobody is told why none came.
    """
    identity = caller.config.identity
    if identity.renewal is None or not identity.renewal.snapshot:
        return caller
    snapshot = SnapshotFile.of(identity)
    snapshot.load()
    fetcher = SnapshotFetcher(identity, SigningKeyFile(identity.signing_key), snapshot)
    try:
        asyncio.run(asyncio.wait_for(fetcher.once(), _FETCH_S))
    except TimeoutError:
        why = "the registry gave no newer policy in time"
    except (CallError, SnapshotError, ProfileError, ValueError) as error:
        why = f"no newer policy came ({error})"
    else:
        why = ""
    if why and not quiet:
        typer.echo(f"govbus: {why}; the one in this home counts", err=True)
    return replace(caller, view=snapshot.current)


def choose(caller: Caller, method: str, purpose: str, provider: str | None, grant: str | None) -> tuple[str, str]:
    """(provider's path, grant id); Unable says what there is to choose between, or what of it fits none."""
    if provider is not None and grant is not None:
        return provider, grant  # told both, there is nothing to choose; whether they fit is the gate's answer
    of_method = [one for one in caller.permitted() if one.method == method]
    if not of_method:
        coming = [f"{name} begins at {iso(start)}" for name, start in caller.coming(method)]
        meant = did_you_mean(method[1:], [one.method[1:] for one in caller.permitted()])
        said = f"{', '.join(coming)}; call again then" if coming else f"see --list, or ask for a grant{meant}"
        raise NotPermitted(f"no grant in force lets this subsystem call {method[1:]}; {said}{_UNSENT}")
    fitting = [
        one
        for one in of_method
        if purpose in one.purposes and provider in (None, one.provider) and grant in (None, one.grant)
    ]
    if len(fitting) == 1:
        return fitting[0].provider, fitting[0].grant
    if fitting:
        said = " or ".join(f"--provider {one.provider} --grant {one.grant}" for one in fitting)
        raise Unable(f"{len(fitting)} grants fit; say which: {said}{_UNSENT}")
    said = "; ".join(f"--purpose {' or '.join(one.purposes)} for {one.provider} by {one.grant}" for one in of_method)
    raise NotPermitted(f"no grant fits {_unfit(of_method, purpose, provider, grant)}; there is {said}{_UNSENT}")


def _unfit(of_method: Sequence[Permitted], purpose: str, provider: str | None, grant: str | None) -> str:
    """What of the things said none of the grants for the method has."""
    found = [] if any(purpose in one.purposes for one in of_method) else [f"the purpose {purpose or '(none was said)'}"]
    if provider not in (None, *(one.provider for one in of_method)):
        found.append(f"the provider {provider}")
    if grant not in (None, *(one.grant for one in of_method)):
        found.append(f"the name {grant}")
    return " and ".join(found) or "all that was said at once"


def provider_identity(caller: Caller, path: str) -> str:
    """A provider's path in the caller's instance as SPIFFE ID."""
    parts = path.split("/")
    try:
        if len(parts) != 3:
            raise Unable("write a provider as <class>/<member>/<subsystem>")
        return SubsystemId(caller.identity.trust_domain, *parts).spiffe_id
    except IdentityError as error:
        raise Unable(f"--provider: {error}") from error
