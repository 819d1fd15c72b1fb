"""A small nation on disk, made by the real instance tooling: two registers, one caller, one broker."""

from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan

__all__ = [
    "BROKER",
    "CALLER",
    "METHOD",
    "OTHER",
    "PROVIDER",
    "PURPOSE",
    "TRUST_DOMAIN",
    "echo_contract",
    "make_small_nation",
    "small_nation",
]

TRUST_DOMAIN = "bus.test.example"
BROKER = "gov/ndc/broker-1"
PROVIDER = "gov/mps/population"
CALLER = "gov/moj/civil-status"
OTHER = "gov/mof/tax"
METHOD = "/test.v1.EchoService/Say"
PURPOSE = "civil.birth"


def echo_contract() -> bytes:
    """A FileDescriptorSet with one service: Say (unary), Watch (server stream), Push (client stream)."""
    file = FileDescriptorProto(name="test/v1/echo.proto", package="test.v1", syntax="proto3")
    file.message_type.add(name="Text").field.add(name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    service = file.service.add(name="EchoService")
    for name, server, client in (("Say", False, False), ("Watch", True, False), ("Push", False, True)):
        service.method.add(
            name=name,
            input_type=".test.v1.Text",
            output_type=".test.v1.Text",
            server_streaming=server,
            client_streaming=client,
        )
    return FileDescriptorSet(file=[file]).SerializeToString()


def small_nation() -> Nation:
    """CALLER may call every method of PROVIDER for PURPOSE; OTHER has no grant at all."""
    return Nation(
        trust_domain=TRUST_DOMAIN,
        brokers=(SubsystemPlan(BROKER),),
        subsystems=(SubsystemPlan(PROVIDER, serves=True), SubsystemPlan(CALLER), SubsystemPlan(OTHER)),
        grants=(GrantPlan("grant-1", CALLER, PROVIDER, ("/test.v1.EchoService/*",), (PURPOSE,)),),
        contracts=echo_contract(),
    )


def make_small_nation(state: Path) -> Instance:
    """The instance, made now."""
    return make_instance(state, small_nation(), now=datetime.now(UTC))
