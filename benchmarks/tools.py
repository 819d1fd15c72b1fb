"""The native load tools as Python sees them: a provider that stays, a corpus for a moment, one run of the client.

Each tool is a child in a session of its own, so that Ctrl-C reaches this process alone, which then ends them.
"""

import json
import subprocess
import tempfile
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from google.rpc import error_details_pb2, status_pb2

from benchmarks.build import Tools
from benchmarks.world import GRANT, METHOD, PURPOSE, World
from bus.edge.endpoint import Endpoint

__all__ = ["LoadPlan", "LoadRun", "Provider", "Tool", "ToolError", "make_corpus", "reason_of"]

_LIFETIME_MS = 60_000


class ToolError(RuntimeError):
    """A load tool failed; its own words are in the text."""


def make_corpus(tools: Tools, world: World, path: Path, *, count: int, batch: int, body: int) -> None:
    """Sign `count` fresh requests, `batch` of them under one signature."""
    command = [
        *(str(tools.corpus), "--out", str(path), "--count", str(count), "--batch", str(batch), "--body", str(body)),
        *("--signing-key", str(world.signing_key(world.client)), "--lifetime-ms", str(_LIFETIME_MS)),
        *("--client", world.client.spiffe_id, "--provider", world.provider.spiffe_id),
        *("--broker", world.broker.spiffe_id, "--method", METHOD, "--purpose", PURPOSE),
        *("--case", "bench-case", "--grant", GRANT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode != 0:
        raise ToolError(f"the corpus was not made: {done.stderr.strip()}")


class Tool:
    """A child that speaks lines of JSON."""

    def __init__(self, command: list[str]) -> None:
        self.name = Path(command[0]).name
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the child)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            start_new_session=True,
        )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self._complaints.seek(0)
            raise ToolError(f"{self.name} ended: {self._complaints.read()[-2000:].strip() or 'without a word'}")
        return line

    def __enter__(self) -> "Tool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._complaints.close()


class Provider:
    """The echoing, signing provider; one for every data plane."""

    def __init__(self, tools: Tools, world: World) -> None:
        listen = str(world.provider_listens)
        identity = [*("--id", world.provider.spiffe_id), *("--signing-key", str(world.signing_key(world.provider)))]
        self._tool = Tool(
            [str(tools.echo), "--listen", listen, *world.tls_options(world.provider), *identity],
        )
        self._tool.hear()

    def set_batch(self, limit: int) -> None:
        """At most that many answers under one signature."""
        self._tool.say(f"batch {limit}")
        self._tool.hear()

    def counters(self) -> dict[str, Any]:
        """Calls and signatures since the last time; CPU seconds since the start."""
        self._tool.say("stats")
        return cast("dict[str, Any]", json.loads(self._tool.hear()))

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._tool.__exit__(*exception)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One run of the load client."""

    connect: Endpoint
    server_name: str
    corpus: Path
    seconds: float
    connections: int
    streams: int
    rate: int = 0
    """Calls a second on a fixed schedule; 0: as fast as answers come."""
    headers: tuple[str, ...] = ()
    """name=value, sent with every call."""
    expect_receipt: bool = False


@dataclass(slots=True)
class LoadRun:
    """A connected client: `go` starts it and returns what it measured."""

    tools: Tools
    world: World
    plan: LoadPlan
    _tool: Tool = field(init=False)

    def __enter__(self) -> "LoadRun":
        plan = self.plan
        command = [
            *(str(self.tools.load), "--connect", str(plan.connect), "--name", plan.server_name),
            *self.world.tls_options(self.world.client),
            *("--corpus", str(plan.corpus), "--milliseconds", str(round(plan.seconds * 1000))),
            *("--connections", str(plan.connections), "--streams", str(plan.streams), "--rate", str(plan.rate)),
        ]
        for header in plan.headers:
            command += ["--header", header]
        if plan.expect_receipt:
            command.append("--expect-receipt")
        self._tool = Tool(command)
        self._tool.hear()
        return self

    def go(self) -> dict[str, Any]:
        """Run to the end."""
        self._tool.say("")
        return cast("dict[str, Any]", json.loads(self._tool.hear()))

    def __exit__(self, *exception: Any) -> None:
        self._tool.__exit__(*exception)


def reason_of(refusal: dict[str, Any]) -> str:
    """The reason in a refusal's details, or its gRPC status when it has none."""
    text = str(refusal["details"])
    status = status_pb2.Status.FromString(b64decode(text + "=" * (-len(text) % 4)))
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return f"grpc-status {refusal['status']}"
