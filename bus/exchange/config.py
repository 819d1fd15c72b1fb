"""What one subsystem's runtime needs to know, and the file that says it. The instance tooling writes such files.

One YAML (or JSON) file serves both sides; unknown keys are refused; paths are relative to the file:

    version: 1
    identity: spiffe://bus.gov.example/gov/moj/civil-status
    tls: {certificate: tls.pem, key: tls-key.pem, authorities: roots.pem}   # PEM; the chain leaf first
    signing_key: signing-key.pem          # PKCS#8 PEM of the registered signing key (pki.signer.FileSigner)
    snapshot: snapshot.bin                # the part of the policy made for this identity; replaced by rename
    policy_key: policy-key.pem            # PEM SPKI of the key that signs snapshots: pinned, never fetched
    scope: broker                         # optional, brokers only: the snapshot is the whole policy
    renewal:                              # optional: certificate and signing key are renewed at 2/3 of their life, by
      provider: spiffe://bus.gov.example/gov/ndc/registry                                           # signed calls
      purpose: govbus.renewal
      brokers: [{identity: spiffe://bus.gov.example/gov/ndc/broker-1, address: "127.0.0.1:7443"}]
      snapshot: true                      # optional, default false: fetch the snapshot, too; else somebody brings it
      settle_ms: 35000                    # optional: for so long a new signing key is in force before it is used; more
                                          # than clocks may differ
    client:                               # only when it calls
      brokers: [{identity: spiffe://bus.gov.example/gov/ndc/broker-1, address: "127.0.0.1:7443"}]
      purpose: civil.birth                # optional: default purpose, case id and official
      case_id: ...
      official: ...
      timeout_ms: 10000                   # optional: deadline of a call that names none
      grants:                             # what it may ask whom; the first that fits is named in a request
        - {id: grant-7, provider: spiffe://bus.gov.example/gov/mps/population,
           methods: [/vn.population.v1.PopulationService/GetPerson], purposes: [civil.birth]}
    provider:                             # only when it serves
      listen: "127.0.0.1:0"               # port 0: the system's choice, told by Server.port
      accept_operator_grants: true        # optional, default false (protocol.md 8)
      drain_ms: 5000                      # optional: how long SIGTERM waits for running calls
      max_concurrent: 512                 # optional: calls in work at once; more are told OVERLOADED

Grants in the file only choose the id that a request names; broker and provider decide whether it permits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from native.snapshot import BROKER_SCOPE
from pki.identity import IdentityError, parse_spiffe_id

__all__ = [
    "BrokerAddress",
    "ClientConfig",
    "ConfigError",
    "GrantChoice",
    "Identity",
    "ProviderConfig",
    "Renewal",
    "TlsFiles",
    "load_client_config",
    "load_provider_config",
]

VERSION: Final = 1
DEFAULT_TIMEOUT_MS: Final = 10_000
DEFAULT_DRAIN_MS: Final = 5_000
DEFAULT_MAX_CONCURRENT: Final = 512
DEFAULT_SETTLE_MS: Final = 35_000

_TOP: Final = frozenset(
    {"version", "identity", "tls", "signing_key", "snapshot", "policy_key", "scope", "renewal", "client", "provider"}
)
_CLIENT: Final = frozenset({"brokers", "purpose", "case_id", "official", "timeout_ms", "grants"})
_PROVIDER: Final = frozenset({"listen", "accept_operator_grants", "drain_ms", "max_concurrent"})
_RENEWAL: Final = frozenset({"provider", "purpose", "brokers", "snapshot", "settle_ms"})
_BROKER: Final = frozenset({"identity", "address"})
_GRANT: Final = frozenset({"id", "provider", "methods", "purposes"})
_TLS: Final = frozenset({"certificate", "key", "authorities"})

_Section: TypeAlias = Mapping[str, object]


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the key and says what belongs there."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; read again whenever they are replaced by rename."""

    certificate: Path
    key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker instance and where it listens (`host:port`); its DNS name follows from its identity."""

    spiffe_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """Whom to ask for a new TLS certificate, another signing key and the snapshot, by which brokers."""

    provider: str
    purpose: str
    brokers: tuple[BrokerAddress, ...]
    snapshot: bool = False
    settle_ms: int = DEFAULT_SETTLE_MS


@dataclass(frozen=True, slots=True)
class Identity:
    """What both sides of a call need: who this is, by which keys, and whom it believes."""

    spiffe_id: str
    tls: TlsFiles
    signing_key: Path
    snapshot: Path
    policy_key: Path
    renewal: Renewal | None = None
    """None: somebody else replaces the files in time."""
    scope: str = ""
    """Of the snapshot; empty means the identity's own part."""

    @property
    def snapshot_scope(self) -> str:
        """For whom its snapshot was made."""
        return self.scope or self.spiffe_id


@dataclass(frozen=True, slots=True)
class GrantChoice:
    """A grant that the client may name, and for what."""

    grant_id: str
    provider: str
    methods: frozenset[str]
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Everything `connect` needs."""

    identity: Identity
    brokers: tuple[BrokerAddress, ...]
    grants: tuple[GrantChoice, ...] = ()
    purpose: str = ""
    case_id: str = ""
    official: str = ""
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    proved_by_content: bool = False
    """Answers are signed values that the caller verifies itself (snapshots): a policy too old to know who signs the
    answer, or to be served from, does not stop the call."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Everything `serve` needs."""

    identity: Identity
    listen: str
    accept_operator_grants: bool = False
    drain_ms: int = DEFAULT_DRAIN_MS
    max_concurrent: int = DEFAULT_MAX_CONCURRENT


def load_client_config(path: Path | str) -> ClientConfig:
    """Read the client's side of the file at `path`; ConfigError if it has none."""
    root = _load(Path(path))
    side = _section(root, "client", _CLIENT)
    brokers = _brokers(side, "client.brokers")
    return ClientConfig(
        identity=_identity(root, Path(path).parent),
        brokers=brokers,
        grants=tuple(_grant(entry) for entry in _entries(side, "grants", _GRANT)),
        purpose=_text(side, "purpose", ""),
        case_id=_text(side, "case_id", ""),
        official=_text(side, "official", ""),
        timeout_ms=_positive(side, "timeout_ms", DEFAULT_TIMEOUT_MS),
    )


def load_provider_config(path: Path | str) -> ProviderConfig:
    """Read the provider's side of the file at `path`; ConfigError if it has none."""
    root = _load(Path(path))
    side = _section(root, "provider", _PROVIDER)
    accept = side.get("accept_operator_grants", False)
    if not isinstance(accept, bool):
        raise ConfigError("provider.accept_operator_grants is true or false")
    return ProviderConfig(
        identity=_identity(root, Path(path).parent),
        listen=_text(side, "listen"),
        accept_operator_grants=accept,
        drain_ms=_positive(side, "drain_ms", DEFAULT_DRAIN_MS),
        max_concurrent=_positive(side, "max_concurrent", DEFAULT_MAX_CONCURRENT),
    )


def _load(path: Path) -> _Section:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML or JSON; write it anew with the instance tooling") from error
    root = _mapping(found, "the file", _TOP)
    if root.get("version") != VERSION:
        raise ConfigError(f"version is {VERSION}; this file was written for another release, write it anew")
    return root


def _identity(root: _Section, base: Path) -> Identity:
    tls = _section(root, "tls", _TLS)
    return Identity(
        spiffe_id=_spiffe(root, "identity"),
        tls=TlsFiles(
            certificate=base / _text(tls, "certificate"),
            key=base / _text(tls, "key"),
            authorities=base / _text(tls, "authorities"),
        ),
        signing_key=base / _text(root, "signing_key"),
        snapshot=base / _text(root, "snapshot"),
        policy_key=base / _text(root, "policy_key"),
        renewal=_renewal(_section(root, "renewal", _RENEWAL)) if "renewal" in root else None,
        scope=_scope(root),
    )


def _scope(root: _Section) -> str:
    if root.get("scope", BROKER_SCOPE) != BROKER_SCOPE:
        raise ConfigError(f"scope is {BROKER_SCOPE}, or is left out")
    return _text(root, "scope", "")


def _renewal(entry: _Section) -> Renewal:
    fetched = entry.get("snapshot", False)
    if not isinstance(fetched, bool):
        raise ConfigError("renewal.snapshot is true or false")
    return Renewal(
        provider=_spiffe(entry, "provider"),
        purpose=_text(entry, "purpose"),
        brokers=_brokers(entry, "renewal.brokers"),
        snapshot=fetched,
        settle_ms=_positive(entry, "settle_ms", DEFAULT_SETTLE_MS),
    )


def _brokers(parent: _Section, name: str) -> tuple[BrokerAddress, ...]:
    brokers = tuple(
        BrokerAddress(_spiffe(entry, "identity"), _text(entry, "address"))
        for entry in _entries(parent, "brokers", _BROKER)
    )
    if not brokers:
        raise ConfigError(f"{name} is empty: list at least one {{identity, address}}")
    return brokers


def _grant(entry: _Section) -> GrantChoice:
    return GrantChoice(
        grant_id=_text(entry, "id"),
        provider=_spiffe(entry, "provider"),
        methods=_texts(entry, "methods"),
        purposes=_texts(entry, "purposes"),
    )


def _section(parent: _Section, key: str, allowed: frozenset[str]) -> _Section:
    if key not in parent:
        raise ConfigError(f"{key} is missing: this subsystem's file has no such part")
    return _mapping(parent[key], key, allowed)


def _mapping(value: object, name: str, allowed: frozenset[str]) -> _Section:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} is a mapping of {', '.join(sorted(allowed))}")
    if unknown := sorted(value.keys() - allowed):
        raise ConfigError(f"{name} has unknown keys {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}")
    return value


def _entries(parent: _Section, key: str, allowed: frozenset[str]) -> list[_Section]:
    value = parent.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"{key} is a list")
    return [_mapping(entry, key, allowed) for entry in value]


def _text(parent: _Section, key: str, default: str | None = None) -> str:
    value = parent.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise ConfigError(f"{key} is a text and must not be empty")
    return value


def _texts(parent: _Section, key: str) -> frozenset[str]:
    value = parent.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ConfigError(f"{key} is a list of texts and must not be empty")
    return frozenset(value)


def _positive(parent: _Section, key: str, default: int) -> int:
    value = parent.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key} is a whole number from 1")
    return value


def _spiffe(parent: _Section, key: str) -> str:
    text = _text(parent, key)
    try:
        return parse_spiffe_id(text).spiffe_id
    except IdentityError as error:
        raise ConfigError(f"{key}: {error}") from error
