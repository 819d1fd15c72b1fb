"""The world of the attacks: one broker with the real gate in the real Envoy, a raw provider, callers of every kind.

A test forges a request (`request`), sends it (`send`), and says what must come of it (`refuses`, `answers`): the exact
code, reason and metadata, whether the provider was touched, and what the journal holds. Nothing here stands in for a
part of the bus.
"""

import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bus.edge.instance import Instance
from bus.engines.broker import Broker
from bus.exchange.meanings import meaning
from bus.exchange.reasons import Reason
from native.journal_records import Intent, Outcome
from pki.signer import FileSigner
from tests.support.gate_world_journal import JournalWatch, verify_journal
from tests.support.gate_world_nation import (
    BROKER,
    CALLER,
    PROVIDER,
    PURPOSE,
    SAY,
    make_world_instance,
)
from tests.support.raw_client import Answer, Headers, RawConnection, client_context
from tests.support.raw_client_forge import Request
from tests.support.raw_provider import RawProvider

__all__ = ["ALLOWED", "World", "eventually", "running_world"]

RECEIPT_KEYS = {
    "govbus-receipt-bin",
    "govbus-receipt-signature-bin",
    "govbus-gatekey-bin",
    "govbus-gatekey-signature-bin",
}
ANSWER_KEYS = {"govbus-response-bin", "govbus-response-signature-bin", "govbus-response-salt-bin"}
GRPC_KEYS = {":status", "content-type", "grpc-status", "grpc-message", "grpc-status-details-bin"}
# Envoy dates what it sends and names itself as it is told to (bus.edge.envoy_listener): neither says anything.
ENVOY_KEYS = {"date", "server"}
ALLOWED = GRPC_KEYS | ENVOY_KEYS | ANSWER_KEYS | RECEIPT_KEYS
RECORDED = range(7, 11)
"""Checks whose refusals are journaled."""
T = TypeVar("T")


def eventually(look: Callable[[], T], *, seconds: float = 60.0) -> T:
    """What `look` gives, once it is true."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)
    return found


@dataclass
class World:
    """What a test talks to."""

    instance: Instance
    broker: Broker
    provider: RawProvider
    journal: JournalWatch
    contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)
    connections: dict[str, RawConnection] = field(default_factory=dict)

    def spiffe(self, path: str) -> str:
        return self.instance.subsystem_id(path).spiffe_id

    def signer(self, path: str) -> FileSigner:
        """The registered signing key of a subsystem."""
        return FileSigner.load(self.instance.home(path) / "signing-key.pem")

    def connect(self, path: str = CALLER) -> RawConnection:
        """A new connection to the broker as `path`."""
        context = self.contexts.setdefault(path, client_context(self.instance.home(path)))
        return RawConnection(self.broker.config.listen, context, self.broker.config.identity.dns_name)

    def connection(self, path: str = CALLER) -> RawConnection:
        """A connection that tests share while it lives."""
        found = self.connections.get(path)
        if found is not None and not found.alive():
            found.close()
            found = None
        self.connections[path] = found = found or self.connect(path)
        return found

    @property
    def base(self) -> dict[str, Any]:
        """A right header's fields but id, times and commitment."""
        return {
            "client": self.spiffe(CALLER),
            "provider": self.spiffe(PROVIDER),
            "broker": self.spiffe(BROKER),
            "method": SAY,
            "purpose": PURPOSE,
            "case_id": "HS-2026-0001",
            "grant_id": "grant-1",
        }

    def request(self, **changes: Any) -> Request:
        """A right request of CALLER, signed by CALLER, with header fields changed."""
        return Request.make(self.signer(CALLER), self.base, **changes)

    def send(self, request: Request, *, headers: Headers | None = None, sender: str = CALLER) -> Answer:
        """One call on the shared connection."""
        return self.connection(sender).call(headers or request.headers(), request.body)

    def answers(self, request: Request, *, sender: str = CALLER) -> Answer:
        """Send what must be answered by the provider, released and receipted."""
        answer = self.send(request, sender=sender)
        assert answer.code == 0, answer
        assert answer.keys >= RECEIPT_KEYS
        return answer

    def refuses(
        self,
        request: Request,
        reason: Reason,
        *,
        headers: Headers | None = None,
        sender: str = CALLER,
        answer: Answer | None = None,
        **details: str,
    ) -> Answer:
        """Send what must be refused before the intent: nothing reaches the provider, no intent is written."""
        touched, intents = self.provider.calls, len(self.journal.poll().intents)
        recorded = list(self.journal.refusals.get(request.id, ()))
        found = answer or self.send(request, headers=headers, sender=sender)
        verify_refusal(found, reason, details)
        assert not found.keys & (RECEIPT_KEYS | ANSWER_KEYS)
        assert self.provider.calls == touched, "the provider was touched"
        if meaning(reason).check in RECORDED:
            recorded.append(meaning(reason).number)
            eventually(lambda: self.journal.poll().refusals.get(request.id) == recorded)
        assert len(self.journal.poll().intents) == intents, "an intent was written"
        return found

    def fails(self, request: Request, reason: Reason, *, answer: Answer | None = None) -> Outcome:
        """Send what must be refused after the intent, with the receipt of a FAILED outcome."""
        found = answer or self.send(request)
        verify_refusal(found, reason, {})
        assert found.keys >= RECEIPT_KEYS
        assert not found.keys & ANSWER_KEYS
        outcome = self.outcome(request)
        assert (outcome.receipt.outcome, outcome.receipt.reason) == (2, meaning(reason).number)
        assert found.binary("govbus-receipt-bin") == outcome.receipt_bytes
        return outcome

    def intent(self, request: Request) -> Intent:
        """The one intent of this request."""
        (found,) = eventually(lambda: self.journal.poll().intents_of(request.id))
        return found

    def outcome(self, request: Request) -> Outcome:
        """The one outcome of this request."""
        sequence = self.intent(request).admission.sequence
        (found,) = eventually(lambda: self.journal.poll().outcomes.get(sequence, []))
        return found

    @contextmanager
    def policy(self) -> Iterator[dict[str, Any]]:
        """Change policy.yaml, publish it and wait until the gate serves it."""
        path = self.instance.state / "policy.yaml"
        document = yaml.safe_load(path.read_text())
        yield document
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        self.publish()

    def publish(self) -> int:
        """Publish policy.yaml as it stands and wait until the gate serves it."""
        version = self.instance.publish(now=datetime.now(UTC)).version
        eventually(lambda: self.journal.poll().snapshot_version == version)
        return version

    def kill(self) -> None:
        """kill -9 Envoy and wait until the supervisor has it running again."""
        supervisor = self.broker.envoy.supervisor
        starts, pid = supervisor.starts, supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()
        eventually(lambda: supervisor.starts > starts)
        supervisor.wait_ready()

    def settle(self) -> None:
        """Wait until every intent has its outcome, then hold the whole journal to its promises."""
        eventually(lambda: self.journal.poll().settled())
        verify_journal(self.broker.config.journal)


def verify_refusal(answer: Answer, reason: Reason, details: dict[str, str]) -> None:
    """A refusal of the bus, exactly: trailers-only, code, fixed text, reason, metadata, and nothing else."""
    found = meaning(reason)
    assert answer.refusal == (reason, details), answer
    assert answer.code == found.code.value[0]
    assert answer.value("grpc-message") == found.text
    assert (answer.data, answer.trailers) == (b"", [])
    assert answer.keys <= ALLOWED


@contextmanager
def running_world(
    state: Path,
    *,
    prepare: Callable[[Instance], None] = lambda instance: None,
    make_broker: Callable[[Path], Broker] = Broker,
    **plan: Any,
) -> Iterator[World]:
    """A fresh world; everything is gone afterwards. `prepare` sees the instance before the broker does, `plan` goes to
    make_world_instance."""
    instance = make_world_instance(state, **plan)
    prepare(instance)
    (endpoint,) = instance.policy().endpoints[instance.subsystem_id(PROVIDER).spiffe_id]
    provider = RawProvider(instance.home(PROVIDER), instance.subsystem_id(PROVIDER).spiffe_id, endpoint)
    provider.start()
    try:
        with make_broker(instance.broker_home(BROKER)) as broker:
            world = World(instance, broker, provider, JournalWatch(broker.config.journal))
            try:
                yield world
            finally:
                for connection in world.connections.values():
                    connection.close()
    finally:
        provider.stop()
