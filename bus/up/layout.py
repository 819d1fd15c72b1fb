"""Where a running instance keeps everything, and the few facts that must be known before its registry can be read.

    <state>/                    0700, as in bus.edge.instance, and also
      instance.json             trust domain and the path of the first broker; written first, never changed
      database-url              0600; only where somebody else's PostgreSQL is used
      postgres/                 bus.engines.postgres
      supervisor/               lock, guardian (another lock), wanted, supervisor.log, run-directory of the control
                                socket, registry-checkpoint, engines/ (bus.engines.records)
      ledger/                   bus.ledger.storage: the Merkle log, the only part that others may be given to read
      ledger-writer/            its secrets and its process: signing-key.pem, salt-key, checkpoint (the newest that was
                                signed), ledger.log, run-directory

A directory that holds a file-made instance (policy.yaml) is refused: there the file says what holds, here the registry.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bus.engines.supervisor import EngineError
from pki import files
from pki.identity import SubsystemId, verify_trust_domain

__all__ = ["BROKER", "REGISTRY", "TRUST_DOMAIN", "Facts", "Layout", "default_state", "ledger_origin", "ledger_path"]

BROKER: Final = "gov/ndc/broker-1"
TRUST_DOMAIN: Final = "bus.gov.example"
REGISTRY: Final = "registry"
"""Owner of the registry's database."""
_SERVED: Final = ("broker.yaml", "snapshot.bin", "endpoints.json", "signing-key.pem", "tls/chain.pem")


def default_state() -> Path:
    """$GOVBUS_STATE, else `govbus` below $XDG_STATE_HOME or ~/.local/state."""
    if chosen := os.environ.get("GOVBUS_STATE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "govbus"


@dataclass(frozen=True, slots=True)
class Facts:
    """What an instance was founded with."""

    trust_domain: str = TRUST_DOMAIN
    broker: str = BROKER


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one state directory, which need not exist yet."""

    state: Path

    @property
    def supervisor(self) -> Path:
        """The supervisor's own directory."""
        return self.state / "supervisor"

    @property
    def log(self) -> Path:
        """What the supervisor, the publisher and the broker's follower say."""
        return self.supervisor / "supervisor.log"

    @property
    def wanted(self) -> Path:
        """There while the supervisor is to run: how it is started again (bus.up.guardian)."""
        return self.supervisor / "wanted"

    @property
    def engines(self) -> Path:
        """What goes on without a supervisor, a file each."""
        return self.supervisor / "engines"

    @property
    def policy_signing_key(self) -> Path:
        """Signs snapshots."""
        return self.state / "policy-signing-key.pem"

    @property
    def checkpoint(self) -> Path:
        """A state of the registry, so that nobody reads its whole log; it may be removed at any time."""
        return self.supervisor / "registry-checkpoint"

    @property
    def database_url(self) -> Path:
        """There only with somebody else's PostgreSQL."""
        return self.state / "database-url"

    @property
    def ledger(self) -> Path:
        """The Merkle log."""
        return self.state / "ledger"

    @property
    def ledger_writer(self) -> Path:
        """What only the ledger's process reads."""
        return self.state / "ledger-writer"

    @property
    def policy_key(self) -> Path:
        """The public half of what signs snapshots, PEM."""
        return self.state / "policy-key.pem"

    def broker_home(self, path: str) -> Path:
        """A broker's directory."""
        return self.state / "brokers" / path.replace("/", ".")

    def ledger_home(self, facts: Facts) -> Path:
        """The ledger's directory as a subsystem."""
        return self.state / "subsystems" / ledger_path(facts).replace("/", ".")

    def broker_paths(self, facts: Facts) -> tuple[str, ...]:
        """The brokers that run from here: the first one, and whoever else has a signing key in brokers/."""
        others = {file.parent.name.replace(".", "/") for file in (self.state / "brokers").glob("*/signing-key.pem")}
        return facts.broker, *sorted(others - {facts.broker})

    def has_served(self, facts: Facts) -> bool:
        """Whether every broker has all that it needs to serve without a registry."""
        homes = map(self.broker_home, self.broker_paths(facts))
        return all((home / name).exists() for home in homes for name in _SERVED)

    def identity(self, facts: Facts, path: str | None = None) -> SubsystemId:
        """A broker's; the first one's by default."""
        return SubsystemId(facts.trust_domain, *(path or facts.broker).split("/"))

    def facts(self) -> Facts | None:
        """None before the first start; EngineError if the file is not ours."""
        path = self.state / "instance.json"
        try:
            found = json.loads(path.read_bytes())
            return Facts(verify_trust_domain(found["trust_domain"]), str(found["broker"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{path} is damaged; restore it from a backup") from error

    def expect(self) -> Facts:
        """The facts; EngineError where no instance is."""
        facts = self.facts()
        if facts is None:
            raise EngineError(f"no instance in {self.state}; start one with `govbus up --state {self.state}`")
        return facts

    def settle(self, wanted: Facts | None) -> Facts:
        """The facts, written down at the first start; EngineError if `wanted` names others than are there."""
        if (self.state / "policy.yaml").exists():
            raise EngineError(f"{self.state} holds an instance made from policy.yaml; name another directory")
        files.ensure_private_directory(self.state)
        if (found := self.facts()) is None:
            found = wanted or Facts()
            verify_trust_domain(found.trust_domain)
            content = json.dumps(asdict(found), indent=1) + "\n"
            files.write_atomic(self.state / "instance.json", content.encode(), mode=files.PUBLIC)
        if wanted is not None and wanted != found:
            raise EngineError(
                f"the instance in {self.state} is {found.trust_domain}, founded with {found.broker}; leave the names"
                " out, or name another directory"
            )
        return found


def ledger_path(facts: Facts) -> str:
    """The subsystem that serves the ledger: the operator's."""
    return f"{facts.broker.rpartition('/')[0]}/ledger"


def ledger_origin(facts: Facts) -> str:
    """The ledger's name in its checkpoints and of its key; unique among instances, as trust domains are."""
    return f"{facts.trust_domain}/{ledger_path(facts)}"
