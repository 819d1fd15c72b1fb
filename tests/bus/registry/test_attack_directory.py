"""Whoever leafs through the directory of a whole country keeps nobody else of the registry waiting."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest
from govbus.registry.v1 import directory_pb2 as pb

from bus.registry.registry import Registry
from bus.registry.service_directory import Directory
from bus.registry.services import ServiceOffered, ServiceRegistered
from bus.registry.state import SubsystemEntry
from native.policy_types import Method
from tests.bus.registry.support import ACT, CIVIL, POPULATION
from tests.support.contracts import compiled

TEXT = "package {}; message Case {{}} service TestService {{ rpc Get(Case) returns (Case); }}"


class Walked(dict[str, SubsystemEntry]):
    """Subsystems that remember how often they are walked, and on which threads."""

    def __init__(self, found: dict[str, SubsystemEntry]) -> None:
        super().__init__(found)
        self.walks = 0
        self.threads: set[int] = set()

    def items(self) -> Iterator[tuple[str, SubsystemEntry]]:  # type: ignore[override]
        self.walks += 1
        self.threads.add(threading.get_ident())
        return iter(list(super().items()))


def counted(registry: Registry) -> Walked:
    """Let the registry's newest state count its walks."""
    state = registry.state()
    walked = Walked(dict(state.subsystems))
    registry._newest = replace(state, subsystems=walked)
    return walked


def offer(registry: Registry, several: int) -> None:
    packages = [f"vn.test{number:02}.v1" for number in range(several)]
    names = [f"{package}.TestService" for package in packages]
    contract = compiled({f"{package.replace('.', '/')}/test.proto": TEXT.format(package) for package in packages})
    image = sha256(contract).digest()
    made = [ServiceRegistered(name, image, (Method(f"/{name}/Get"),)) for name in names]
    offers = [ServiceOffered(path, name) for name in names for path in (POPULATION, CIVIL)]
    registry.record([*made, *offers], ACT, {image: contract})


def test_a_page_of_services_walks_the_subsystems_once_and_off_the_event_loop(registry: Registry) -> None:
    offer(registry, 20)
    walked = counted(registry)
    answer = asyncio.run(Directory(registry).ListServices(pb.ListServicesRequest(page_size=20), None))
    assert walked.walks == 1
    assert threading.get_ident() not in walked.threads
    assert len(answer.services) == 20
    assert answer.next_page_token
    assert list(answer.services[-1].providers) == [CIVIL, POPULATION]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pages_of_services_put_together_are_all_services(registry: Registry, size: int) -> None:
    offer(registry, 20)
    found, token = [], ""
    while True:
        request = pb.ListServicesRequest(page_size=size, page_token=token)
        answer = asyncio.run(Directory(registry).ListServices(request, None))
        found += [one.name for one in answer.services]
        token = answer.next_page_token
        if not token:
            break
    assert found == sorted(registry.state().services)


def test_a_page_of_subsystems_is_cut_off_the_event_loop(registry: Registry) -> None:
    walked = counted(registry)
    answer = asyncio.run(Directory(registry).ListSubsystems(pb.ListSubsystemsRequest(), None))
    assert [one.path for one in answer.subsystems] == sorted(walked)
    assert walked.threads
    assert threading.get_ident() not in walked.threads
