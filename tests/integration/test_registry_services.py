"""The registry as a member's service: joined by token, asked and changed through the real gate like any other."""

import asyncio
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from bus.exchange import (  # isort: skip - before gRPC
    CallError,
    Reason,
    connect_blocking,
    load_client_config,
    load_provider_config,
    serve,
)

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from govbus.registry.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    renewal_pb2,
    renewal_pb2_grpc,
)
from grpc import StatusCode
from typer.testing import CliRunner
from vn.administrative.v1 import administrative_pb2_grpc

from bus.cli.main import app
from bus.edge.instance import Instance, make_instance
from bus.edge.ports import keep_ports
from bus.edge.publisher import Publisher
from bus.engines.broker import Broker
from bus.engines.postgres import Postgres
from bus.exchange.blocking import BlockingView
from bus.exchange.exceptions import ContractBreaking
from bus.registry.clock import ClockSetBack
from bus.registry.codec import encode_change
from bus.registry.contracts import contract_changes
from bus.registry.enrolment import certificate_added, issue_token, root_digest
from bus.registry.enrolment_client import enrol
from bus.registry.enrolment_tokens import TokenIssued
from bus.registry.grants import GrantMade
from bus.registry.keys import CertificateAdded
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.registry import Registry
from bus.registry.service_run import REGISTRY_PATH, RegistryServices
from bus.registry.subsystems import EndpointsSet, SubsystemAdded, SubsystemSuspended
from pki.authority import Authority
from pki.certificates import build_csr
from pki.credentials import Credentials, load_credentials, store_credentials
from pki.keys import encode_private_key, generate_private_key
from pki.signer import FileSigner
from tests.integration.world import BROKER, CALLER, UNITS, Units, nation
from tests.support.registered import ACT, found_registry, now_ms

NEWCOMER = "gov/moh/vaccination"
PURPOSE = "registry.use"
DIRECTORY = "govbus.registry.v1.DirectoryService"
ADMIN = "govbus.registry.v1.AdminService"
UNITS_SERVICE, UNITS_FILE = (
    "vn.administrative.v1.AdministrativeUnitService",
    "vn/administrative/v1/administrative.proto",
)
RENEWAL = "govbus.registry.v1.RenewalService"


@dataclass
class World:
    instance: Instance
    registry: Registry
    authority: Authority
    newcomer: Credentials
    home: Path
    operator: BlockingView
    member: BlockingView
    broker: Broker
    publisher: Publisher

    def version_of(self, position: int) -> int:
        """The version that reflects this position of the log; far away while there is none."""
        last = self.publisher.last
        return last.version if last is not None and last.log_position >= position else 1 << 62

    @property
    def directory(self) -> "directory_pb2_grpc.DirectoryServiceStub":
        return directory_pb2_grpc.DirectoryServiceStub(self.member)

    @property
    def admin(self) -> "admin_pb2_grpc.AdminServiceStub":
        return admin_pb2_grpc.AdminServiceStub(self.operator.using(official="op-7"))


def grants(now: int) -> list[GrantMade]:
    """The newcomer may read and renew, CALLER is an operator."""
    read = [f"/{DIRECTORY}/{name}" for name in ("ListMembers", "ListSubsystems", "ListServices", "GetContract")]
    end = now + 3_600_000
    return [
        GrantMade("read", NEWCOMER, REGISTRY_PATH, (*read, f"/{RENEWAL}/Renew"), (PURPOSE,), now, end),
        GrantMade(
            "operate", CALLER, REGISTRY_PATH, (f"/{ADMIN}/RecordChanges", f"/{ADMIN}/ListEvents"), (PURPOSE,), now, end
        ),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[World]:
    base = tmp_path_factory.mktemp("services")
    # An hour ago, so that its authority can have issued a certificate that is about to end.
    instance = make_instance(base / "a state", nation(), now=datetime.now(UTC) - timedelta(hours=1))
    registry, store = found_registry(instance, postgres_server.database("services"))
    authority = Authority.open(instance.state, instance.trust_domain, now=datetime.now(UTC))
    signer = FileSigner.load(instance.state / "policy-signing-key.pem")
    with ExitStack() as stack:
        stack.enter_context(store)
        publisher = stack.enter_context(Publisher(instance.state, registry, signer, now_ms))
        services = RegistryServices(instance.state, registry, lambda: authority, signer.public_point, now_ms)
        stack.enter_context(services)
        registry.record(
            [
                MemberAdded("gov", "moh", "Bộ Y tế", "Ministry of Health"),
                SubsystemAdded(NEWCOMER),
                EndpointsSet(NEWCOMER, (f"127.0.0.1:{keep_ports(instance.state, [NEWCOMER])[NEWCOMER]}",)),
                *grants(now_ms()),
            ],
            ACT,
        )
        token = issue_token(
            registry,
            NEWCOMER,
            ACT,
            server=REGISTRY_PATH,
            address=str(services.enrolment),
            root=root_digest(authority),
            secret=os.urandom(32),
            now_ms=now_ms(),
        )
        # Into the place where the publisher delivers.
        home = instance.home(NEWCOMER)
        newcomer = enrol(token.text, home, clock_ms=now_ms)
        broker = stack.enter_context(Broker(instance.broker_home(BROKER)))
        started = registry.state().keys[newcomer.signer.key_id].not_before_ms
        time.sleep(max(0.0, (started - now_ms()) / 1000) + 0.5)
        member = stack.enter_context(connect_blocking(load_client_config(home / "config.yaml")))
        operator = stack.enter_context(connect_blocking(load_client_config(instance.config(CALLER))))
        said: dict[str, Any] = {"purpose": PURPOSE, "case_id": "case-1"}
        operating, using = operator.using(**said), member.using(**said)
        yield World(instance, registry, authority, newcomer, home, operating, using, broker, publisher)


def reason_of(call: Any, request: Any, timeout: float = 20) -> tuple[Reason | None, str]:
    with pytest.raises(CallError) as refused:
        call(request, timeout=timeout)
    return refused.value.reason, refused.value.metadata.get("rule", "")


def test_newcomer_lists_who_takes_part(world: World) -> None:
    members = world.directory.ListMembers(directory_pb2.ListMembersRequest(), timeout=20)
    assert [one.path for one in members.members] == ["gov/moh", "gov/moha", "gov/moj", "gov/ndc"]
    assert members.members[0].name_vi == "Bộ Y tế"
    found = world.directory.ListSubsystems(directory_pb2.ListSubsystemsRequest(member="gov/ndc"), timeout=20)
    assert [(one.path, one.broker) for one in found.subsystems] == [(BROKER, True), (REGISTRY_PATH, False)]
    assert set(found.subsystems[1].services) == {DIRECTORY, ADMIN, RENEWAL}


def test_pages_are_whole_and_end(world: World) -> None:
    paths, token = [], ""
    while True:
        request = directory_pb2.ListSubsystemsRequest(page_size=2, page_token=token)
        page = world.directory.ListSubsystems(request, timeout=20)
        paths += [one.path for one in page.subsystems]
        token = page.next_page_token
        if not token:
            break
    assert paths == sorted(world.registry.state().subsystems)


def test_contract_is_served_byte_for_byte_as_registered(world: World) -> None:
    services = world.directory.ListServices(directory_pb2.ListServicesRequest(), timeout=20)
    (units,) = (one for one in services.services if one.name.endswith("AdministrativeUnitService"))
    assert units.providers == [UNITS]
    answer = world.directory.GetContract(directory_pb2.GetContractRequest(service=units.name), timeout=20)
    assert sha256(answer.file_descriptor_set).digest() == units.contract_sha256
    image = FileDescriptorSet.FromString(answer.file_descriptor_set)
    assert units.name in {f"{file.package}.{one.name}" for file in image.file for one in file.service}


def test_developer_pulls_the_contracts_of_all_it_may_call(world: World, tmp_path: Path) -> None:
    out = tmp_path / "contracts.binpb"
    asked = ["contract", "pull", "--home", str(world.home), "--out", str(out), "--json"]
    pulled = CliRunner().invoke(app, asked)
    assert pulled.exit_code == 0, pulled.stderr
    assert json.loads(pulled.stdout)["services"] == [DIRECTORY, RENEWAL]
    image = FileDescriptorSet.FromString(out.read_bytes())
    declared = {f"{file.package}.{one.name}" for file in image.file for one in file.service}
    assert declared >= {DIRECTORY, RENEWAL}
    unknown = CliRunner().invoke(app, [*asked[:2], "vn.none.v1.None", *asked[2:]])
    assert (unknown.exit_code, "ENTRY_UNKNOWN" in unknown.stderr) == (2, True)


def test_entry_that_is_not_there_is_said_by_the_registry_itself(world: World) -> None:
    request = directory_pb2.GetContractRequest(service="vn.none.v1.None")
    assert reason_of(world.directory.GetContract, request)[0] is Reason.ENTRY_UNKNOWN
    wrong = directory_pb2.ListSubsystemsRequest(member="gov/none")
    assert reason_of(world.directory.ListSubsystems, wrong)[0] is Reason.ENTRY_UNKNOWN


def test_who_has_no_operators_grant_changes_nothing(world: World) -> None:
    stub = admin_pb2_grpc.AdminServiceStub(world.member.using(official="op-7"))
    assert reason_of(stub.RecordChanges, admin_pb2.RecordChangesRequest())[0] is Reason.NO_GRANT
    assert reason_of(stub.ListEvents, admin_pb2.ListEventsRequest())[0] is Reason.NO_GRANT


def changes(*several: Any) -> admin_pb2.RecordChangesRequest:
    made = [admin_pb2.Change(kind=one.kind, payload=encode_change(one)) for one in several]
    return admin_pb2.RecordChangesRequest(reason="asked for in a test", changes=made)


def test_operators_change_is_recorded_with_who_and_why(world: World) -> None:
    answer = world.admin.RecordChanges(changes(MemberAdded("gov", "mof", "Bộ Tài chính", "Finance")), timeout=20)
    (event,) = world.registry.history(answer.log_position - 1, answer.log_position)
    assert (event.operator, event.reason) == (f"{CALLER}:op-7", "asked for in a test")
    assert event.hash == answer.log_head
    events = world.admin.ListEvents(admin_pb2.ListEventsRequest(after=answer.log_position - 1), timeout=20)
    assert [one.hash for one in events.events] == [event.hash]


def test_operators_change_that_breaks_a_rule_is_refused_whole(world: World) -> None:
    before = world.registry.state().position
    good, bad = MemberAdded("gov", "moc", "Bộ Xây dựng", "Construction"), SubsystemSuspended("gov/none/none")
    assert reason_of(world.admin.RecordChanges, changes(good, bad)) == (Reason.CHANGE_REFUSED, "unknown-subsystem")
    for forbidden in (
        CertificateAdded(bytes(32), NEWCOMER, bytes(32), bytes(32), 0, 1),
        InstanceFounded("a.example"),
        ClockSetBack(),
        TokenIssued(bytes(32), NEWCOMER, "ops:somebody-else", now_ms() + 60_000),
    ):
        assert reason_of(world.admin.RecordChanges, changes(forbidden)) == (Reason.CHANGE_REFUSED, "not-by-admin")
    spelled = changes(good)
    spelled.changes[0].payload = spelled.changes[0].payload.replace(":", ": ")
    assert reason_of(world.admin.RecordChanges, spelled) == (Reason.CHANGE_REFUSED, "malformed")
    assert reason_of(world.admin.RecordChanges, changes()) == (Reason.CHANGE_REFUSED, "too-many")
    unnamed = admin_pb2_grpc.AdminServiceStub(world.operator)
    assert reason_of(unnamed.RecordChanges, changes(good)) == (Reason.CHANGE_REFUSED, "official-unnamed")
    assert world.registry.state().position == before


def registered_units(world: World) -> bytes:
    return world.registry.attachment(world.registry.state().services[UNITS_SERVICE].image)


def broken_units(world: World) -> bytes:
    """The registered contract with one field of another type."""
    image = FileDescriptorSet.FromString(
        world.registry.attachment(world.registry.state().services[UNITS_SERVICE].image)
    )
    (file,) = [one for one in image.file if one.name == UNITS_FILE]
    (message,) = [one for one in file.message_type if one.name == "GetUnitRequest"]
    message.field[0].number = 900
    return image.SerializeToString()


def test_contract_that_breaks_a_registered_one_is_refused_by_file_rule_and_element(world: World) -> None:
    before = world.registry.state().position
    several, files = contract_changes(world.registry.state(), broken_units(world))
    request = changes(*several)
    request.files.extend(files.values())
    with pytest.raises(ContractBreaking) as refused:
        world.admin.RecordChanges(request, timeout=60)
    assert refused.value.code() is StatusCode.FAILED_PRECONDITION
    assert refused.value.metadata == {
        "file": UNITS_FILE,
        "rule": "FIELD_NO_DELETE_UNLESS_NAME_RESERVED",
        "element": "vn.administrative.v1.GetUnitRequest.code",
        "breaks": "2",
    }
    assert world.registry.state().position == before


def test_contracts_that_wait_for_their_judgement_keep_nobody_from_the_registry(world: World) -> None:
    """A policy, for one, that takes a grant away: all of them are read on the same few threads."""
    several, files = contract_changes(world.registry.state(), broken_units(world))
    request = changes(*several)
    request.files.extend(files.values())
    door = world.registry.contracts._lock  # as while a comparison takes long
    with ThreadPoolExecutor(12) as pool:
        with door:
            left = [pool.submit(reason_of, world.admin.RecordChanges, request, 2) for _ in range(12)]
            assert {one.result()[0] for one in left} == {Reason.DEADLINE}
            waiting = [pool.submit(reason_of, world.admin.RecordChanges, request, 60) for _ in range(12)]
            time.sleep(1)  # they are at the door
            assert not any(one.done() for one in waiting)
            assert world.admin.ListEvents(admin_pb2.ListEventsRequest(page_size=1), timeout=15).events
        assert {one.result()[0] for one in waiting} == {Reason.CONTRACT_BREAKING}


def test_developer_is_told_beforehand_what_a_contract_breaks(world: World, tmp_path: Path) -> None:
    file = tmp_path / "units.binpb"
    asked = ["contract", "check", str(file), "--home", str(world.home), "--json"]
    file.write_bytes(registered_units(world))
    assert CliRunner().invoke(app, asked).exit_code == 0
    file.write_bytes(broken_units(world))
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert not answer["compatible"]
    assert {one["element"] for one in answer["breaks"]} == {"vn.administrative.v1.GetUnitRequest.code"}


def test_nobody_renews_for_somebody_else(world: World) -> None:
    stub = renewal_pb2_grpc.RenewalServiceStub(world.member)
    other = build_csr(generate_private_key(), world.instance.subsystem_id(CALLER))
    assert reason_of(stub.Renew, renewal_pb2.RenewRequest(csr=other))[0] is Reason.CSR_MISMATCH
    assert reason_of(stub.Renew, renewal_pb2.RenewRequest(csr=b"x"))[0] is Reason.CSR_INVALID


def test_key_is_certified_once(world: World) -> None:
    stub = renewal_pb2_grpc.RenewalServiceStub(world.member)
    request = renewal_pb2.RenewRequest(csr=build_csr(generate_private_key(), world.newcomer.subsystem))
    assert stub.Renew(request, timeout=20).certificate_chain
    assert reason_of(stub.Renew, request)[0] is Reason.KEY_KNOWN


def end_soon(world: World) -> str:
    """Give the newcomer a certificate past two thirds of its life that the broker takes; the name of its generation."""
    key, subsystem = generate_private_key(), world.newcomer.subsystem
    issued = world.authority.issue_from_csr(
        build_csr(key, subsystem),
        subsystem,
        now=datetime.now(UTC) - timedelta(minutes=10),
        lifetime=timedelta(minutes=12),
    )
    (event,) = world.registry.record([certificate_added(issued, world.authority)], ACT)
    end = time.monotonic() + 20
    while world.broker.snapshot_version < world.version_of(event.position):
        assert time.monotonic() < end, "not taken up"
        time.sleep(0.05)
    time.sleep(1)  # offered to the gate, which verifies and swaps
    store_credentials(world.home, encode_private_key(key), issued.chain_pem, world.authority.trust.pem)
    return os.readlink(world.home / "tls")


def wait_renewed(world: World, ending: str) -> None:
    """Until another generation is there, by a certificate of a day."""
    end = time.monotonic() + 20
    while os.readlink(world.home / "tls") == ending:
        assert time.monotonic() < end, "not renewed"
        time.sleep(0.05)
    found = load_credentials(world.home, world.instance.trust_domain, now=datetime.now(UTC))
    assert found.identity.not_after - datetime.now(UTC) > timedelta(hours=23)
    assert found.identity.certificate_sha256 in world.registry.state().subsystems[NEWCOMER].certificates


def test_client_renews_by_itself_and_no_call_fails(world: World) -> None:
    ending = end_soon(world)
    calls, stop = [0], threading.Event()

    def call_on() -> None:
        while not stop.is_set():
            world.directory.ListMembers(directory_pb2.ListMembersRequest(), timeout=20)
            calls[0] += 1
            time.sleep(0.01)

    with ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(call_on) for _ in range(2)]
        try:
            wait_renewed(world, ending)
            time.sleep(1.5)
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert calls[0] > 20
    assert not (world.home / "renewing").exists()


async def test_provider_renews_by_itself(world: World) -> None:
    ending = end_soon(world)
    servicers = [(administrative_pb2_grpc.add_AdministrativeUnitServiceServicer_to_server, Units())]
    async with serve(load_provider_config(world.home / "config.yaml"), servicers) as server:
        before = await asyncio.to_thread(shown_digest, server.port, world)
        await asyncio.to_thread(wait_renewed, world, ending)
        assert await asyncio.to_thread(shown_digest, server.port, world) != before


def shown_digest(port: int, world: World) -> str:
    """SHA-256 of the certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(world.home / "trust.pem")
    context.load_cert_chain(world.home / "tls" / "chain.pem", world.home / "tls" / "key.pem")
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secure:
        return sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
