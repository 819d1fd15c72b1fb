"""The small instance that is measured: one broker, one client, one provider, one grant, on loopback.

Made by the same tools as any instance (bus.edge.instance), in a directory of its own that is removed afterwards.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto

from bus.edge.broker_file import BROKER_FILE, load_broker_config
from bus.edge.endpoint import Endpoint
from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan
from pki.identity import SubsystemId

__all__ = ["GRANT", "METHOD", "PURPOSE", "World", "make_world"]

METHOD = "/bench.v1.EchoService/Echo"
PURPOSE = "bench.echo"
GRANT = "bench-1"
_BROKER, _CLIENT, _PROVIDER = "gov/ndc/broker-1", "gov/moj/civil-status", "gov/mps/population"


@dataclass(frozen=True, slots=True)
class World:
    """Who is measured, and where their files are."""

    instance: Instance
    broker: SubsystemId
    client: SubsystemId
    provider: SubsystemId
    listen: Endpoint
    provider_listens: Endpoint

    @property
    def broker_home(self) -> Path:
        """The broker's directory."""
        return self.instance.broker_home(self.broker.path)

    def tls_options(self, subsystem: SubsystemId) -> list[str]:
        """The load tools' options for a subsystem's TLS."""
        home = self.instance.home(subsystem.path)
        return [
            *("--chain", str(home / "tls" / "chain.pem")),
            *("--key", str(home / "tls" / "key.pem")),
            *("--trust", str(home / "trust.pem")),
        ]

    def signing_key(self, subsystem: SubsystemId) -> Path:
        """PEM, 0600."""
        return self.instance.home(subsystem.path) / "signing-key.pem"


def make_world(state: Path, *, now: datetime) -> World:
    """Keys, certificates, policy and a signed snapshot; one Envoy worker, so that a call's cost is one thread's."""
    nation = Nation(
        trust_domain="bus.bench.example",
        brokers=(SubsystemPlan(_BROKER, serves=True),),
        subsystems=(SubsystemPlan(_CLIENT), SubsystemPlan(_PROVIDER, serves=True)),
        grants=(GrantPlan(GRANT, _CLIENT, _PROVIDER, (METHOD,), (PURPOSE,)),),
        contracts=_contract(),
    )
    instance = make_instance(state, nation, now=now)
    broker = instance.subsystem_id(_BROKER)
    _set_concurrency(instance.broker_home(_BROKER) / BROKER_FILE)
    return World(
        instance=instance,
        broker=broker,
        client=instance.subsystem_id(_CLIENT),
        provider=instance.subsystem_id(_PROVIDER),
        listen=load_broker_config(instance.broker_home(_BROKER)).listen,
        provider_listens=instance.policy().endpoints[instance.subsystem_id(_PROVIDER).spiffe_id][0],
    )


def _set_concurrency(path: Path) -> None:
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(settings | {"concurrency": 1}, sort_keys=False))


def _contract() -> bytes:
    package, service, method = METHOD[1:].replace("/", ".").rsplit(".", 2)
    message = f".{package}.Message"
    file = FileDescriptorProto(name="bench/v1/echo.proto", package=package, syntax="proto3")
    file.message_type.add(name="Message")
    file.service.add(name=service).method.append(
        MethodDescriptorProto(name=method, input_type=message, output_type=message)
    )
    return FileDescriptorSet(file=[file]).SerializeToString()
