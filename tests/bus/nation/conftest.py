"""One nation of few people for every test of it: begun, killed in the midst of its start, and finished by the next one,
from a shell whose variables name another database."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bus.exchange import load_client_config  # isort: skip - before gRPC

import grpc
import pytest
from vn.administrative.v1.administrative_pb2 import ResolveUnitRequest
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceStub
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.land.v1.land_pb2 import ProveResidenceRequest
from vn.land.v1.land_pb2_grpc import LandServiceStub
from vn.population.v1.population_pb2 import GetPersonRequest
from vn.population.v1.population_pb2_grpc import PopulationServiceStub
from vn.portal.v1 import portal_pb2
from vn.portal.v1.portal_pb2_grpc import PortalServiceStub

from adapters.administrative.table import load_table
from adapters.population.generate import DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.portal.sample import Kind, families
from bus.exchange import CallError, connect_blocking
from bus.nation import places
from bus.nation.members import BIRTHS, CIVIL_STATUS, PORTAL, RESIDENCE
from bus.up.control import ask_supervisor
from bus.up.layout import Layout
from bus.up.process import end_supervisor, supervisor_pid
from tests.adapters.births import birth_fields, unit
from tests.bus.cli.conftest import COMMAND, Commands
from tests.support.jaeger import Jaeger, find_jaeger, running_jaeger
from tests.support.joined import wait_until

PEOPLE = 500
POISON = {
    "PGHOST": "/nowhere",
    "PGUSER": "nobody-of-ours",
    "PGDATABASE": "not-ours",
    "PGPASSWORD": "secret-of-the-caller",
    "PGOPTIONS": "-c nonsense=1",
    "PGSERVICE": "missing",
    "SECRET_OF_THE_CALLER": "yes",
}
"""What the caller's shell says, and no member or server may hear."""


@dataclass(frozen=True)
class LiveNation:
    """A nation that runs."""

    commands: Commands

    @property
    def layout(self) -> Layout:
        return Layout(self.commands.state)

    def home(self, path: str) -> Path:
        return places.home(self.layout, path)

    def told(self) -> dict[str, Any]:
        """What the supervisor says of it."""
        return dict((ask_supervisor(self.layout) or {}).get("nation") or {})

    def pids(self) -> dict[str, int]:
        """The members' processes and their server's."""
        told = self.told()
        return {path: one["pid"] for path, one in told["members"].items()} | {"postgres": told["postgres"]["pid"]}

    def resolve(self) -> str:
        """Ask units for a ward as civil status does: how that ended."""
        code = AdministrativeUnitCode(code_list_version="gso-2025-06", code="00001")
        return self._ask(
            lambda channel: AdministrativeUnitServiceStub(channel).ResolveUnit(
                ResolveUnitRequest(code=code), timeout=10
            )
        )

    def person(self) -> str:
        """Ask population for somebody who is there."""
        number = next(generate(load_table(), DEFAULT_SEED, PEOPLE, DEFAULT_YEAR)).number
        request = GetPersonRequest(person_number=PersonNumber(value=number))
        request.read_mask.paths.append("name")
        return self._ask(lambda channel: PopulationServiceStub(channel).GetPerson(request, timeout=10))

    def residence(self) -> str:
        """Ask land, as the portal does, whether somebody lives in a ward."""
        person = next(generate(load_table(), DEFAULT_SEED, PEOPLE, DEFAULT_YEAR))
        request = ProveResidenceRequest(person_number=PersonNumber(value=person.number), ward=unit(person.ward))
        ask = partial(self._ask, client=PORTAL, purpose=RESIDENCE)
        return ask(lambda channel: LandServiceStub(channel).ProveResidence(request, timeout=10))

    def _ask(self, call: Any, client: str = CIVIL_STATUS, purpose: str = BIRTHS) -> str:
        with connect_blocking(load_client_config(self.home(client) / "config.yaml")) as channel:
            try:
                call(channel.using(purpose=purpose, case_id="NATION-1"))
            except CallError as error:
                return f"{error.code()} {error.reason}"
        return "answered"

    def register_birth(self, civil_status: str) -> int:
        """A birth by the portal, at that civil status, with all that follows: how many papers it replaced."""
        family = next(one for one in families(load_table(), DEFAULT_SEED, PEOPLE) if one.kind is Kind.GRANTED)
        request = portal_pb2.RegisterBirthRequest(
            **birth_fields(family), residence_ward=unit(family.mother.ward), civil_status=civil_status
        )
        socket = places.portal_socket(self.layout)
        known = places.portal_metadata(socket)
        with places.portal_address(socket) as address, grpc.insecure_channel(address) as channel:
            events = list(PortalServiceStub(channel).RegisterBirth(request, timeout=60, metadata=known))
        return int(events[-1].result.papers_replaced)

    def answers(self) -> bool:
        """Whether both registers answer."""
        return self.resolve() == self.person() == "answered"


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger | None]:
    """Where the nation's spans go, if this machine has one."""
    program = find_jaeger()
    if program is None:
        yield None
        return
    with running_jaeger(program, tmp_path_factory.mktemp("jaeger")) as found:
        yield found


@pytest.fixture(scope="session")
def nation(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger | None) -> Iterator[LiveNation]:
    state = tmp_path_factory.mktemp("a nation") / "state"
    found = LiveNation(Commands(state))
    given = [*COMMAND, "up", "--nation", "--people", str(PEOPLE), "--state", str(state)]
    starting = subprocess.Popen(given, env=os.environ | POISON, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: any(state.glob("subsystems/gov.m*/config.yaml")), "a member that enrols")
        pid = supervisor_pid(found.layout)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        starting.communicate(timeout=60)
        end_supervisor(found.layout, 60.0)
        ran = subprocess.run(
            [*COMMAND, "up", "--state", str(state), *(("--otlp", str(jaeger.otlp)) if jaeger else ())],
            env=os.environ | POISON,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        yield found
    finally:
        starting.kill()
        starting.communicate(timeout=60)
        found.commands.run("down", "--wipe", "--yes", status=None)
