"""What the client and provider runtimes cost beside bare grpc.aio: CPU per call of each process, as ratios of one run.

    .venv/bin/python -m benchmarks.sdk [--quick]

Both pairs speak mutual TLS 1.3, carry the same messages and keep the same number of calls open. The bare pair is
direct and does nothing else; the runtimes' pair goes through a whole broker, and composes, signs, verifies and
validates both ways. Slices are interleaved (bare, govbus, bare, govbus, ...), a ratio is taken within a round. The
client's CPU is this process's own, the provider's its process's, all threads included. Ends with status 1 when a call
failed.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.exchange import connect, load_client_config  # before grpc: it fixes TLS 1.3

# ruff: isort: split
import grpc
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceStub

from benchmarks.machine import cpu_time, machine_facts
from benchmarks.sdk_servers import CODE
from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan, contract_image
from bus.engines.broker import Broker
from pki.identity import parse_spiffe_id

_BROKER, _CLIENT, _PROVIDER = "gov/ndc/broker-1", "gov/moj/civil-status", "gov/moha/units"
_METHOD = "/vn.administrative.v1.AdministrativeUnitService/GetUnit"
_PURPOSE = "bench.echo"
_REQUEST = pb.GetUnitRequest(code=CODE)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU a call."""

    client: float
    provider: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A stub, and the process that answers it."""

    call: Callable[..., Any]
    server: int

    async def slice(self, calls: int, in_flight: int) -> Cost:
        """Make `calls` calls, so many at a time, and see what they cost."""

        async def caller() -> None:
            for _ in range(calls // in_flight):
                await self.call(_REQUEST, timeout=30)

        client, provider = time.process_time(), cpu_time(self.server)
        await asyncio.gather(*(caller() for _ in range(in_flight)))
        done = calls // in_flight * in_flight
        client, used = time.process_time() - client, cpu_time(self.server) - provider
        return Cost(client / done * 1e6, used.total / done * 1e6)


def make_nation(state: Path) -> Instance:
    """One broker, one client, one provider, one grant."""
    nation = Nation(
        trust_domain="bus.bench.example",
        brokers=(SubsystemPlan(_BROKER),),
        subsystems=(SubsystemPlan(_PROVIDER, serves=True), SubsystemPlan(_CLIENT)),
        grants=(GrantPlan("bench-1", _CLIENT, _PROVIDER, (_METHOD,), (_PURPOSE,)),),
        contracts=contract_image([pb.DESCRIPTOR]),
    )
    return make_instance(state, nation, now=datetime.now(UTC))


@contextmanager
def server(kind: str, home: Path) -> Iterator[tuple[int, int]]:
    """(process id, port) of one of `sdk_servers`."""
    command = [sys.executable, "-m", "benchmarks.sdk_servers", kind, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()


def bare_channel(instance: Instance, port: int) -> grpc.aio.Channel:
    """To the bare server, with the client's own certificate."""
    home = instance.home(_CLIENT)
    trust, key, chain = (home / name for name in ("trust.pem", "tls/key.pem", "tls/chain.pem"))
    credentials = grpc.ssl_channel_credentials(trust.read_bytes(), key.read_bytes(), chain.read_bytes())
    name = parse_spiffe_id(str(instance.subsystem_id(_PROVIDER).spiffe_id)).dns_name
    options = [("grpc.ssl_target_name_override", name)]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)


async def measure(
    instance: Instance, bare: tuple[int, int], govbus: int, options: argparse.Namespace
) -> list[tuple[Cost, Cost]]:
    """(bare, govbus) for each round."""
    async with (
        bare_channel(instance, bare[1]) as direct,
        connect(load_client_config(instance.config(_CLIENT))) as channel,
    ):
        said = channel.using(purpose=_PURPOSE, case_id="BENCH-1")
        pairs = (
            Pair(AdministrativeUnitServiceStub(direct).GetUnit, bare[0]),
            Pair(AdministrativeUnitServiceStub(said).GetUnit, govbus),
        )
        for pair in pairs:
            await pair.slice(4 * options.in_flight, options.in_flight)
        return [
            (
                await pairs[0].slice(options.calls, options.in_flight),
                await pairs[1].slice(options.calls, options.in_flight),
            )
            for _ in range(options.rounds)
        ]


def report(rounds: list[tuple[Cost, Cost]]) -> None:
    """Medians, and the ratio's lowest and highest."""
    for side in ("client", "provider"):
        bare, govbus = ([getattr(pair[which], side) for pair in rounds] for which in (0, 1))
        ratios = sorted(ours / theirs for theirs, ours in zip(bare, govbus, strict=True))
        print(
            f"{side:<9} bare {statistics.median(bare):5.0f} µs   govbus {statistics.median(govbus):5.0f} µs   "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sdk", description="CPU of the runtimes beside bare grpc.aio"
    )
    parser.add_argument("--quick", action="store_true", help="under 20 seconds, for a first look")
    parser.add_argument("--rounds", type=int, help="default 7, quick 3")
    parser.add_argument("--calls", type=int, help="of one slice; default 6000, quick 2000")
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.calls = options.calls or (2000 if options.quick else 6000)
    facts = machine_facts()
    print(f"{facts['processor']}, {facts['cores']} cores, load {facts['load_average_before']} before")
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="govbus-sdk-"))) / "state"
        instance = make_nation(state)
        home = instance.home(_PROVIDER)
        bare = stack.enter_context(server("bare", home))
        govbus, _ = stack.enter_context(server("govbus", home))
        broker = Broker(instance.broker_home(_BROKER))
        broker.start()
        stack.callback(broker.stop)
        try:
            rounds = asyncio.run(measure(instance, bare, govbus, options))
        except grpc.RpcError as error:
            print(f"a call failed: {error}", file=sys.stderr)
            return 1
    report(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
