"""Four adapters as four processes of a real instance: own keys each, own database each, a broker between them.

The broker is the real one, or, where a test must see the headers that pass, the benchmark's forwarder in Python, which
speaks the whole protocol.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml
from vn.administrative.v1 import administrative_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.population.v1 import population_pb2
from vn.store.v1 import store_pb2

from benchmarks.python_forwarder import BrokerSetup, Pairs, PythonBroker
from bus.edge.endpoint import Endpoint
from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan, contract_image
from bus.engines.broker import Broker
from bus.engines.postgres import Postgres
from bus.exchange import TlsFiles, connect, load_client_config, metadata
from bus.exchange.channel import Channel
from bus.exchange.trust import SnapshotFile, load_policy_key
from native.codec import decode_request_header
from native.headers import RequestHeader
from pki.files import write_atomic
from pki.signer import FileSigner

BROKER = "gov/ndc/broker-1"
PORTAL = "gov/moj/portal"
ADAPTERS = {
    "administrative": "gov/moha/units",
    "population": "gov/mps/population",
    "civilstatus": "gov/moj/civil-status",
    "store": "gov/ndc/store",
}
CONTRACTS = (administrative_pb2, population_pb2, civilstatus_pb2, store_pb2)
PURPOSE = "civil.birth"
PEOPLE = 2_000
START_S = 60.0
STOP_S = 10.0
_numbers = itertools.count(1)


def nation() -> Nation:
    """The portal may ask civil status, which may ask two registers and the store, no more of them than it needs."""
    units, population, civil_status, store = ADAPTERS.values()
    newborn = [f"/vn.population.v1.PopulationService/{name}" for name in ("GetPerson", "RegisterNewborn")]
    resolve = "/vn.administrative.v1.AdministrativeUnitService/ResolveUnit"
    births = "/vn.civilstatus.v1.CivilStatusService/*"
    return Nation(
        trust_domain="bus.test.example",
        brokers=(SubsystemPlan(BROKER),),
        subsystems=(SubsystemPlan(PORTAL), *(SubsystemPlan(path, serves=True) for path in ADAPTERS.values())),
        grants=(
            GrantPlan("grant-births", PORTAL, civil_status, (births,), (PURPOSE,)),
            GrantPlan("grant-wards", civil_status, units, (resolve,), (PURPOSE,)),
            GrantPlan("grant-keep", civil_status, store, ("/vn.store.v1.StoreService/Put",), (PURPOSE,)),
            GrantPlan("grant-newborn", civil_status, population, tuple(newborn), (PURPOSE,)),
        ),
        contracts=contract_image(module.DESCRIPTOR for module in CONTRACTS),
    )


class WatchingBroker(PythonBroker):
    """Keeps the header of every request that it passes on."""

    def __init__(self, setup: BrokerSetup, passed: list[RequestHeader]) -> None:
        super().__init__(setup)
        self.passed = passed

    def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
        self.passed += [decode_request_header(bytes(value)) for key, value in pairs if key == metadata.REQUEST]  # type: ignore[arg-type]
        return pairs, body


@dataclass
class Running:
    """Everything that runs."""

    instance: Instance
    databases: dict[str, Path]
    passed: list[RequestHeader]
    """Headers seen by a watching broker; the real one shows nobody anything."""
    portal: Channel
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """Start one adapter and wait until it listens."""
        arguments = ["--config", str(self.instance.config(ADAPTERS[name]))]
        arguments += ["--database", str(self.databases[name])]
        if name == "population":
            arguments += ["--people", str(PEOPLE)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", f"adapters.{name}", *arguments),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | self.environment,
        )
        self.processes[name] = process
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        assert line.startswith(b"serving on port ")

    async def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """End one adapter by a signal; its exit status."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return await asyncio.wait_for(process.wait(), STOP_S)


@asynccontextmanager
async def running(
    folder: Path, server: Postgres, *, watching: bool = False, collector: Endpoint | None = None
) -> AsyncIterator[Running]:
    """Instance, broker, portal and all adapters; spans of broker and adapters go to the collector."""
    instance = make_instance(folder / "an instance", nation(), now=datetime.now(UTC))
    environment = {}
    if collector is not None:
        file = instance.broker_home(BROKER) / "broker.yaml"
        told = yaml.safe_load(file.read_text(encoding="utf-8")) | {"trace_collector": str(collector)}
        file.write_text(yaml.safe_dump(told), encoding="utf-8")
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    passed: list[RequestHeader] = []
    async with AsyncExitStack() as stack:
        if watching:
            broker = WatchingBroker(_broker_setup(instance), passed)
            await broker.start()
            stack.push_async_callback(broker.stop, 0.2)
        else:
            stack.enter_context(Broker(instance.broker_home(BROKER)))
        portal = await stack.enter_async_context(connect(load_client_config(instance.config(PORTAL))))
        found = Running(instance, _databases(folder, server), passed, portal, environment)

        async def stop_all() -> None:
            await asyncio.gather(*(found.stop(name) for name in list(found.processes)))

        stack.push_async_callback(stop_all)
        await asyncio.gather(*(found.start(name) for name in ADAPTERS))
        yield found


def _databases(folder: Path, server: Postgres) -> dict[str, Path]:
    """A fresh database for each adapter, and the file that says where it is."""
    number, files = next(_numbers), {name: folder / f"{name}.database" for name in ADAPTERS}
    for name, file in files.items():
        write_atomic(file, server.database(f"nation_{number}_{name}").dsn.encode())
    return files


def _broker_setup(instance: Instance) -> BrokerSetup:
    home = instance.broker_home(BROKER)
    identity = instance.subsystem_id(BROKER).spiffe_id
    addresses = {name: str(found[0]) for name, found in instance.policy().endpoints.items()}
    policy = SnapshotFile(
        home / "snapshot.bin", load_policy_key(home / "policy-key.pem"), instance.trust_domain, "broker"
    )
    policy.load()
    return BrokerSetup(
        spiffe_id=identity,
        listen=addresses.pop(identity),
        tls=TlsFiles(home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"),
        signer=FileSigner.load(home / "signing-key.pem"),
        policy=policy,
        providers=addresses,
    )
