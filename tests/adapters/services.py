"""All eight adapters as processes of one real instance, each with its own keys and database, for a whole session.

    portal -> civil status, insurance, land, store       civil status -> units, population, store
    insurance -> population, business                     and two clients that serve nothing: a province, an office

What a test writes stays for the next one: each takes a couple of its own.
"""

from __future__ import annotations

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from vn.administrative.v1 import administrative_pb2
from vn.business.v1 import business_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.land.v1 import land_pb2
from vn.population.v1 import population_pb2
from vn.socialinsurance.v1 import socialinsurance_pb2
from vn.store.v1 import store_pb2

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan, contract_image
from bus.engines.broker import Broker
from bus.engines.postgres import Postgres
from bus.exchange import CallError, connect, load_client_config
from bus.exchange.channel import Channel
from pki.files import write_atomic

__all__ = [
    "GOOD",
    "OFFICE",
    "PEOPLE",
    "PORTAL",
    "PROVINCE",
    "Ending",
    "Services",
    "answered",
    "ending",
    "services_running",
]

BROKER: Final = "gov/ndc/broker-1"
PORTAL: Final = "gov/moj/portal"
PROVINCE: Final = "gov/hanoi/civil-status"
OFFICE: Final = "gov/mof/tax"
PEOPLE: Final = 3_000
STOP_S: Final = 20.0
CAP_S: Final = 60.0
SERVING: Final = {
    "administrative": "gov/moha/units",
    "population": "gov/mps/population",
    "civilstatus": "gov/moj/civil-status",
    "business": "gov/mof/business",
    "socialinsurance": "gov/vss/insurance",
    "land": "gov/mae/land",
    "store": "gov/ndc/store",
}
Ending = tuple[grpc.StatusCode, str]
GOOD: Final[Ending] = (grpc.StatusCode.OK, "")
# Everything that anybody logs is in the programs' logs: no name and no number may be (test_quiet_logs.py).
_LOUD: Final = """
import logging, runpy, sys
logging.basicConfig(level=logging.DEBUG)
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_SEEDED: Final = ("population", "business", "socialinsurance", "land")
_MODULES: Final = (
    *(administrative_pb2, population_pb2, civilstatus_pb2, business_pb2, socialinsurance_pb2, land_pb2, store_pb2),
)
# (client, provider, service, methods, purposes): the table of adapters/README.md, then what only tests ask.
_GRANTS: Final = (
    (PORTAL, "civilstatus", "civilstatus.v1.CivilStatusService", "RegisterBirth GetBirthCertificate", "civil.birth"),
    ("civilstatus", "administrative", "administrative.v1.AdministrativeUnitService", "ResolveUnit", "civil.birth"),
    ("civilstatus", "population", "population.v1.PopulationService", "GetPerson RegisterNewborn", "civil.birth"),
    ("civilstatus", "store", "store.v1.StoreService", "Put Get List", "civil.birth"),
    (PORTAL, "store", "store.v1.StoreService", "Get", "civil.birth"),
    (
        *(PORTAL, "socialinsurance", "socialinsurance.v1.SocialInsuranceService"),
        *("IssueHealthCard ClaimMaternityAllowance", "insurance.birth"),
    ),
    ("socialinsurance", "population", "population.v1.PopulationService", "GetPerson", "insurance.birth"),
    ("socialinsurance", "business", "business.v1.BusinessService", "GetStatus", "insurance.birth"),
    (PORTAL, "land", "land.v1.LandService", "ProveResidence", "residence.proof"),
    (PROVINCE, "store", "store.v1.StoreService", "Put Get List", "civil.birth insurance.birth tax.audit"),
    (OFFICE, "store", "store.v1.StoreService", "Put Get List", "civil.birth tax.audit"),
    (OFFICE, "business", "business.v1.BusinessService", "GetEnterprise GetStatus FindEnterprises", "tax.audit"),
    (OFFICE, "land", "land.v1.LandService", "GetParcel ProveResidence", "tax.audit"),
    (OFFICE, "population", "population.v1.PopulationService", "GetPerson RegisterNewborn", "tax.audit"),
    (
        *(OFFICE, "socialinsurance", "socialinsurance.v1.SocialInsuranceService"),
        *("GetEmployment IssueHealthCard ClaimMaternityAllowance", "tax.audit"),
    ),
)


async def ending(asked: Awaitable[object]) -> Ending:
    """Code of a call and why it was refused: the bus's reason, or the first word of the provider's fixed text."""
    try:
        await asked
    except CallError as error:
        return error.code(), error.meaning.reason if error.meaning else error.details().partition(":")[0]
    return GOOD


async def answered(ask: Callable[[], Awaitable[object]]) -> None:
    """Asks until it is answered: the broker finds a provider that was started again within seconds."""
    async with asyncio.timeout(CAP_S):
        while await ending(ask()) != GOOD:  # noqa: ASYNC110 - what is waited for lies in another process
            await asyncio.sleep(0.1)


@dataclass
class Services:
    """What runs."""

    instance: Instance
    socket: Path
    databases: dict[str, str]
    logs: dict[str, Path]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def client(self, path: str) -> Channel:
        """A channel of a subsystem; close it."""
        return connect(load_client_config(self.instance.config(path)))

    def start(self, name: str, *more: str) -> None:
        """Start one program and wait until it listens; `more` arguments are for this time."""
        path = SERVING.get(name, PORTAL)
        command = [sys.executable, "-W", "error", "-c", _LOUD, f"adapters.{name}"]
        command += ["--config", str(self.instance.config(path))]
        if name == "portal":
            command += ["--socket", str(self.socket)]
        else:
            file = self.instance.config(path).parent / "database"
            write_atomic(file, self.databases[name].encode())
            command += ["--database", str(file)]
        if name in _SEEDED:
            command += ["--people", str(PEOPLE)]
        command += more
        with self.logs[name].open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        self.processes[name] = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(b"serving on "), self.logs[name].read_text("utf-8")

    def stop(self, name: str) -> int:
        """Ask one program to drain and end; its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        code = process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()
        return code


@contextmanager
def services_running(folder: Path, server: Postgres) -> Iterator[Services]:
    """Instance, broker and all programs."""
    instance = make_instance(folder / "instance", _nation(), now=datetime.now(UTC))
    databases = {name: server.database(f"services_{name}").dsn for name in SERVING}
    logs = {name: folder / f"{name}.log" for name in (*SERVING, "portal")}
    found = Services(instance, instance.config(PORTAL).parent / "portal.sock", databases, logs)
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        stack.enter_context(Broker(instance.broker_home(BROKER)))
        stack.callback(lambda: list(threads.map(found.stop, list(found.processes))))
        list(threads.map(found.start, logs))
        yield found


def _nation() -> Nation:
    grants = []
    for number, (client, provider, service, methods, purposes) in enumerate(_GRANTS):
        paths = tuple(f"/vn.{service}/{method}" for method in methods.split())
        grants.append(
            GrantPlan(f"grant-{number}", SERVING.get(client, client), SERVING[provider], paths, tuple(purposes.split()))
        )
    return Nation(
        trust_domain="bus.test.example",
        brokers=(SubsystemPlan(BROKER),),
        subsystems=(
            *(SubsystemPlan(path) for path in (PORTAL, PROVINCE, OFFICE)),
            *(SubsystemPlan(path, serves=True) for path in SERVING.values()),
        ),
        grants=tuple(grants),
        contracts=contract_image(module.DESCRIPTOR for module in _MODULES),
    )
