"""Enrolment as two people do it: the operator issues a token, the newcomer enrols with it, each with one command."""

import re
import time
from pathlib import Path
from typing import Any

from bus.exchange import connect_blocking, load_client_config  # isort: skip - before gRPC

from govbus.registry.v1 import directory_pb2, directory_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bus.cli.conftest import Collector, Commands
from tests.support.nation import echo_contract

NEWCOMER = "gov/moh/vaccination"
DIRECTORY = "govbus.registry.v1.DirectoryService"
WHY = ("--reason", "joins in November", "--operator", "ops:alice")


def test_newcomer_joins_by_token_and_calls_through_the_bus(
    instance: Commands, collector: tuple[str, Collector], tmp_path: Path
) -> None:
    instance.run("member", "add", "gov/moh", "--name-vi", "Bộ Y tế", "--name-en", "Health", *WHY)
    instance.run("subsystem", "add", NEWCOMER, *WHY)
    grant = ("--client", NEWCOMER, "--provider", "gov/ndc/registry", "--method", f"/{DIRECTORY}/*")
    instance.run("grant", "add", "moh-reads", *grant, "--purpose", "directory", *WHY)
    token = instance.run("token", "issue", NEWCOMER, *WHY).stdout

    def enrol(name: str, status: int = 0) -> str:
        file = tmp_path / "token"
        file.write_text(token)
        done = instance.run("enrol", tmp_path / name, "--token-file", file, "--wait", status=status)
        assert status or "the signing key starts" in done.stderr
        return done.stderr if status else done.stdout

    assert f"{NEWCOMER} is enrolled" in enrol("first")
    assert enrol("second", status=2).startswith("govbus: TOKEN_USED: ")
    there = enrol("first", status=2)
    assert "holds credentials already" in there
    assert f"govbus key rotate {tmp_path / 'first'}" in there  # how to renew
    assert "token issue --again" in there
    (issued,) = (one for one in instance.json("history") if one["kind"] == "token.issued")
    assert (issued["operator"], issued["reason"]) == ("ops:alice", "joins in November")
    assert "--again" in instance.refused("token", "issue", NEWCOMER, *WHY)
    assert instance.run("token", "issue", NEWCOMER, "--again", *WHY).stdout.startswith("govbus1.")

    with connect_blocking(load_client_config(tmp_path / "first" / "config.yaml")) as channel:
        stub = directory_pb2_grpc.DirectoryServiceStub(channel.using(purpose="directory", case_id="first-call"))
        found = stub.ListSubsystems(directory_pb2.ListSubsystemsRequest(member="gov/moh"), timeout=20)
    assert [one.path for one in found.subsystems] == [NEWCOMER]
    verify_traced(collector[1])
    call_by_command(instance, collector[1], tmp_path)


def verify_traced(received: Collector) -> None:
    """`up --otlp`: the broker's span of that call, and the registry's below it, reached the collector."""
    ((broker, registry),) = both_sides(received, f"{DIRECTORY}/ListSubsystems", 1)
    assert (registry.trace_id, registry.parent_span_id) == (broker.trace_id, broker.span_id)


def both_sides(received: Collector, method: str, calls: int) -> list[tuple[Span, Span]]:
    """The spans of broker and registry, by call in the order of their arrival at the broker, once they are there."""
    until = time.monotonic() + 60
    while min(len(received.of(name, method)) for name in ("govbus-broker", "govbus-registry")) < calls:
        assert time.monotonic() < until, {name for name, _ in received.spans}
        time.sleep(0.1)
    below = {span.parent_span_id: span for span in received.of("govbus-registry", method)}
    brokers = sorted(received.of("govbus-broker", method), key=lambda span: span.start_time_unix_nano)
    return [(span, below[span.span_id]) for span in brokers]


def call_by_command(instance: Commands, received: Collector, folder: Path) -> None:
    """The same by `govbus call`, with a contract and a grant that came after the newcomer."""
    said = ("call", "--home", folder / "first", "--purpose", "directory")
    told = instance.json(*said, f"{DIRECTORY}/ListSubsystems", '{"member": "gov/moh"}')
    assert [one["path"] for one in told["answer"]["subsystems"]] == [NEWCOMER]
    verify_its_trace(received, told)
    done = instance.run(*said, f"{DIRECTORY}/ListSubsystems", '{"member": "gov/moh"}')
    assert re.search(r"^trace [0-9a-f]{32}, govbus explain [0-9a-f]{32}$", done.stderr, re.MULTILINE), done.stderr
    (folder / "echo.binpb").write_bytes(echo_contract())
    instance.run("service", "add", folder / "echo.binpb", *WHY)
    assert instance.json(*said, "--describe", "test.v1.EchoService/Say")["request"] == {"text": ""}
    assert "no service test.v1.Nothing" in instance.refused(
        *said,
        "--descriptor-set",
        folder / "echo.binpb",
        "--provider",
        "gov/ndc/registry",
        "--grant",
        "moh-reads",
        "test.v1.Nothing/Say",
    )
    instance.run("subsystem", "add", "gov/moh/echo", *WHY)
    instance.run("service", "offer", "gov/moh/echo", "test.v1.EchoService", *WHY)
    grant = ("--client", NEWCOMER, "--provider", "gov/moh/echo", "--method", "/test.v1.EchoService/Say")
    instance.run("grant", "add", "moh-echoes", *grant, "--purpose", "echo", *WHY)
    listed = instance.json("call", "--home", folder / "first", "--list")
    assert ("test.v1.EchoService/Say", "moh-echoes") in {(one["method"], one["grant"]) for one in listed}
    refused = instance.json(*said[:3], "--purpose", "echo", "test.v1.EchoService/Say", status=3)
    assert refused["error"]["said_by"] == "bus"  # nobody serves it
    explain_suspended(instance, [*said[:3], "--purpose", "echo", "--provider", "gov/moh/echo", "--grant", "moh-echoes"])


def verify_its_trace(received: Collector, told: dict[str, Any]) -> None:
    """Client, broker, registry; sent before the command ended, to where its instance was told to. No question for a
    policy is in a trace: the newcomer has asked for several by now."""
    (client,) = received.of(NEWCOMER, f"{DIRECTORY}/ListSubsystems")
    assert client.trace_id.hex() == told["trace_id"]
    assert (client.kind, client.parent_span_id) == (Span.SpanKind.SPAN_KIND_CLIENT, b"")
    *_, (broker, registry) = both_sides(received, f"{DIRECTORY}/ListSubsystems", 2)
    assert client.trace_id == broker.trace_id == registry.trace_id
    assert (broker.parent_span_id, registry.parent_span_id) == (client.span_id, broker.span_id)
    named = {one.key: one.value.string_value for one in client.attributes}["govbus.request_id"]
    assert named == told["call"]["request_id"]
    assert [one for one in received.spans if "GetSnapshot" in f"{one[1].name} {one[1].attributes}"] == []


def explain_suspended(instance: Commands, said: list[object]) -> None:
    """The caller learns NO_GRANT alone; the operator is told what the registry knew at that time, also afterwards."""
    instance.run("subsystem", "suspend", "gov/moh/echo", *WHY)
    refused = instance.json(*said, "test.v1.EchoService/Say", status=3)
    assert refused["error"]["reason"] == "NO_GRANT"
    said_to_caller = instance.run(*said, "test.v1.EchoService/Say", status=3).stderr
    assert "gov/moh/echo is suspended, by this home's policy; ask the operator" in said_to_caller
    then = instance.json("explain", refused["error"]["request_id"])["ended"]["next"]
    assert f"{NEWCOMER}: ask the operator; while it is suspended, no grant helps" in then
    assert any("govbus subsystem resume gov/moh/echo --reason WHY" in one for one in then)
    instance.run("subsystem", "resume", "gov/moh/echo", *WHY)  # at once: a refusal is dated when it was decided
    found = instance.json("explain", refused["error"]["request_id"])
    (told,) = [one for one in found["life"] if one["what"] == "refused it: NO_GRANT"]
    known, silent = told["registry"]
    assert known.startswith("the provider gov/moh/echo was suspended since 20")
    assert silent.startswith("the provider gov/moh/echo has said no address to be called at")
    assert f"NO_GRANT; the provider never saw it: {known}" in found["ended"]["text"]
    assert any("govbus history tells who" in one for one in found["ended"]["next"])
    assert known in " ".join(instance.run("explain", refused["error"]["request_id"]).stdout.split())


def test_commands_say_what_is_wrong(instance: Commands, tmp_path: Path) -> None:
    assert "no subsystem" in instance.refused("token", "issue", "gov/none/none", *WHY)
    (tmp_path / "token").write_text("nonsense\n")
    assert "no enrolment token" in instance.refused("enrol", tmp_path / "home", "--token-file", tmp_path / "token")
