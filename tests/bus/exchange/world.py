"""A small bus for tests of the exchange: real keys, certificates, snapshots, sockets; a forwarder in Python as broker.

Members: `gov/moj/civil-status` asks, `gov/mps/units` and `gov/mps/twin` serve, `gov/ndc/broker-1` and `-2` forward,
`gov/moh/clinic` is registered and has no grant. `World.publish` writes the next snapshot for everybody.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc
from vn.common.v1 import identifiers_pb2

from benchmarks.python_forwarder import BrokerSetup, PythonBroker
from bus.exchange import connect, serve
from bus.exchange.channel import Channel
from bus.exchange.config import BrokerAddress, ClientConfig, Identity, ProviderConfig, TlsFiles
from bus.exchange.context import IncomingCall, govbus_call
from bus.exchange.idempotency import IdempotencyStore
from bus.exchange.provider import Server
from bus.exchange.texts import fixed_text
from bus.exchange.trust import SnapshotFile, SnapshotView
from native.ecdsa import PublicKey
from native.policy import (
    Certificate,
    Grant,
    Method,
    MethodKind,
    PolicyTables,
    SigningKey,
    Subsystem,
    build_tables,
)
from native.snapshot import encode_snapshot
from pki import credentials
from pki.credentials import Credentials
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.support.authority import Instance

CLIENT = "gov/moj/civil-status"
PROVIDER = "gov/mps/units"
TWIN = "gov/mps/twin"
OUTSIDER = "gov/moh/clinic"
BROKER = "gov/ndc/broker-1"
BROKER_2 = "gov/ndc/broker-2"
EVERYBODY = (CLIENT, PROVIDER, TWIN, OUTSIDER, BROKER, BROKER_2)

SERVICE = "/vn.administrative.v1.AdministrativeUnitService"
GET, RESOLVE, LIST = f"{SERVICE}/GetUnit", f"{SERVICE}/ResolveUnit", f"{SERVICE}/ListUnits"
PURPOSE = "civil.birth"
HOUR_MS = 3_600_000
CODE_LIST = "gso-2025-07"
UNKNOWN_UNIT = fixed_text("UNIT_UNKNOWN: no unit has this code; look at the list")


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def code_of(code: str) -> identifiers_pb2.AdministrativeUnitCode:
    return identifiers_pb2.AdministrativeUnitCode(code=code, code_list_version=CODE_LIST)


def unit(code: str = "01") -> pb.AdministrativeUnit:
    """A unit that keeps its contract's rules."""
    return pb.AdministrativeUnit(
        code=code_of(code),
        name="Thành phố Hà Nội",
        level=pb.UNIT_LEVEL_PROVINCE,
        province_code="01",
    )


def ask(code: str = "01") -> pb.GetUnitRequest:
    """A request that keeps its contract's rules."""
    return pb.GetUnitRequest(code=code_of(code))


class Units(rpc.AdministrativeUnitServiceServicer):
    """A stock servicer that remembers who called and can be told to misbehave."""

    def __init__(self) -> None:
        self.calls: list[IncomingCall] = []
        self.arrived = asyncio.Event()
        self.behave: Callable[[Any], Any] | None = None
        self.resolve: Callable[[pb.ResolveUnitRequest, Any], pb.ResolveUnitResponse] | None = None

    async def GetUnit(self, request: pb.GetUnitRequest, context: Any) -> pb.GetUnitResponse:
        self.calls.append(govbus_call())
        self.arrived.set()
        if self.behave is not None:
            found = await self.behave(context)
            if found is not None:
                return found  # type: ignore[no-any-return]  # tests answer wrong types on purpose
        if request.code.code == "99":
            await context.abort(grpc.StatusCode.NOT_FOUND, UNKNOWN_UNIT)
        return pb.GetUnitResponse(unit=unit(request.code.code))

    def ResolveUnit(self, request: pb.ResolveUnitRequest, context: Any) -> pb.ResolveUnitResponse:
        """A plain function, as stock code may have it."""
        self.calls.append(govbus_call())
        if self.resolve is not None:
            return self.resolve(request, context)
        if request.code.code == "99":
            context.abort(grpc.StatusCode.NOT_FOUND, UNKNOWN_UNIT)
        return pb.ResolveUnitResponse(unit=unit(request.code.code))

    async def ListUnits(self, request: pb.ListUnitsRequest, context: Any) -> AsyncIterator[pb.ListUnitsResponse]:
        self.calls.append(govbus_call())
        for code in ("01", "02", "03"):
            yield pb.ListUnitsResponse(units=[unit(code)])
            if self.behave is not None:
                await self.behave(context)


@dataclass
class World:
    """One instance's keys and policy."""

    directory: Path
    instance: Instance
    policy: KeySigner = field(default_factory=lambda: KeySigner(generate_private_key()))
    version: int = 0
    credentials: dict[str, Credentials] = field(default_factory=dict)
    tables: PolicyTables = field(default_factory=PolicyTables)

    @classmethod
    def make(cls, directory: Path, instance: Instance | None = None) -> "World":
        """A world in `directory`; with an `instance` of `everybody`, its keys and certificates are used again."""
        world = cls(directory, instance or everybody(directory))
        world.credentials = {path: load_credentials(world, path) for path in EVERYBODY}
        world.tables = world.usual_tables()
        world.publish()
        (directory / "policy-key.pem").write_bytes(public_pem(world.policy))
        return world

    def spiffe(self, path: str) -> str:
        return self.instance.subsystem(path).spiffe_id

    def folder(self, path: str) -> Path:
        return self.instance.directory / path.replace("/", "-")

    def usual_tables(self) -> PolicyTables:
        end = now_ms() + 24 * HOUR_MS
        start = now_ms() - HOUR_MS
        return PolicyTables(
            subsystems=tuple(
                Subsystem(
                    self.spiffe(path), self.spiffe(path).rsplit("/", 1)[0] + "/", is_broker=path in (BROKER, BROKER_2)
                )
                for path in EVERYBODY
            ),
            certificates=tuple(
                Certificate(self.credentials[path].identity.certificate_sha256, self.spiffe(path), end)
                for path in EVERYBODY
            ),
            keys=tuple(
                SigningKey(
                    self.credentials[path].signer.key_id,
                    self.credentials[path].signer.public_point,
                    self.spiffe(path),
                    start,
                    end,
                )
                for path in EVERYBODY
            ),
            methods=(
                Method(GET, MethodKind.UNARY, 10_000, idempotent=True),
                Method(RESOLVE, MethodKind.UNARY, 10_000, idempotent=False),
                Method(LIST, MethodKind.SERVER_STREAM, 60_000, idempotent=True),
            ),
            grants=(
                Grant(
                    "grant-1", self.spiffe(CLIENT), self.spiffe(PROVIDER), (GET, RESOLVE, LIST), (PURPOSE,), start, end
                ),
                Grant("grant-2", self.spiffe(CLIENT), self.spiffe(TWIN), (GET,), (PURPOSE,), start, end),
            ),
        )

    def publish(self, **changes: Any) -> None:
        """Write the next version, the tables changed by `changes`, for everybody and for brokers."""
        self.version += 1
        self.tables = replace(self.tables, **changes)
        built = build_tables(self.tables)
        scopes = {path: self.spiffe(path) for path in EVERYBODY} | {"broker": "broker"}
        for path, scope in scopes.items():
            self.write_snapshot(self.snapshot_path(path), built, scope, self.version)

    def write_snapshot(
        self, path: Path, tables: bytes, scope: str, version: int, signer: KeySigner | None = None
    ) -> None:
        data = encode_snapshot(
            tables,
            signer or self.policy,
            trust_domain=self.instance.authority.trust_domain,
            version=version,
            log_position=version,
            created_at_ms=now_ms(),
            alarm_after_ms=HOUR_MS,
            refuse_after_ms=24 * HOUR_MS,
            scope=scope,
        )
        temporary = path.with_suffix(".new")
        temporary.write_bytes(data)
        temporary.replace(path)

    def snapshot_path(self, path: str) -> Path:
        return self.directory / f"{path.replace('/', '-')}.snapshot"

    def tls(self, path: str) -> TlsFiles:
        folder = self.folder(path)
        return TlsFiles(folder / "tls" / "chain.pem", folder / "tls" / "key.pem", folder / "trust.pem")

    def identity(self, path: str) -> Identity:
        return Identity(
            spiffe_id=self.spiffe(path),
            tls=self.tls(path),
            signing_key=self.folder(path) / "signing-key.pem",
            snapshot=self.snapshot_path(path),
            policy_key=self.directory / "policy-key.pem",
        )

    def broker_policy(self) -> SnapshotFile:
        key = PublicKey.from_point(self.policy.public_point)
        return SnapshotFile(self.snapshot_path("broker"), key, self.instance.authority.trust_domain, "broker")

    def client_config(self, *brokers: tuple[str, int], path: str = CLIENT, **changes: Any) -> ClientConfig:
        addresses = tuple(BrokerAddress(self.spiffe(each), f"127.0.0.1:{port}") for each, port in brokers)
        usual = ClientConfig(self.identity(path), addresses, purpose=PURPOSE, case_id="2026-0001", timeout_ms=5_000)
        return replace(usual, **changes)

    def provider_config(self, path: str = PROVIDER, **changes: Any) -> ProviderConfig:
        return replace(ProviderConfig(self.identity(path), "127.0.0.1:0", drain_ms=1_000), **changes)


def everybody(directory: Path) -> Instance:
    """An instance in `directory` with credentials for all members."""
    instance = Instance(directory, now=datetime.now(UTC))
    for path in EVERYBODY:
        instance.credentials(path)
    return instance


def load_credentials(world: World, path: str) -> Credentials:
    """The credentials of `path` as they lie in its folder."""
    return credentials.load_credentials(
        world.folder(path), world.instance.authority.trust_domain, now=datetime.now(UTC)
    )


def public_pem(signer: KeySigner) -> bytes:
    """A signer's public key as instances hand it out."""
    return load_der_public_key(signer.spki).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Bus:
    """Everything running."""

    world: World
    units: Units
    server: Server
    broker: PythonBroker
    channel: Channel
    policy: SnapshotFile

    @property
    def stub(self) -> Any:
        return rpc.AdministrativeUnitServiceStub(self.channel)

    def stub_using(self, **options: Any) -> Any:
        return rpc.AdministrativeUnitServiceStub(self.channel.using(**options))

    def publish(self, **changes: Any) -> None:
        """Publish, and have the broker use it; client and provider notice by themselves."""
        self.world.publish(**changes)
        self.policy.refresh()


async def start_broker(
    world: World, providers: dict[str, int], kind: type[PythonBroker] = PythonBroker, path: str = BROKER
) -> tuple[PythonBroker, SnapshotFile]:
    policy = world.broker_policy()
    policy.load()
    broker = kind(
        BrokerSetup(
            spiffe_id=world.spiffe(path),
            listen="127.0.0.1:0",
            tls=world.tls(path),
            signer=world.credentials[path].signer,
            policy=policy,
            providers={world.spiffe(each): f"127.0.0.1:{port}" for each, port in providers.items()},
            journal=world.directory / f"{path.replace('/', '-')}.journal",
        )
    )
    await broker.start()
    return broker, policy


@asynccontextmanager
async def running(
    world: World,
    *,
    kind: type[PythonBroker] = PythonBroker,
    store: IdempotencyStore | None = None,
    provider: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> AsyncIterator[Bus]:
    """Provider, broker and client of `world`."""
    units = Units()
    server = serve(
        world.provider_config(**(provider or {})),
        [(rpc.add_AdministrativeUnitServiceServicer_to_server, units)],
        store=store,
    )
    await server.start()
    broker, policy = await start_broker(world, {PROVIDER: server.port}, kind)
    channel = connect(world.client_config((BROKER, broker.port), **(client or {})))
    try:
        yield Bus(world, units, server, broker, channel, policy)
    finally:
        await channel.close()
        await broker.stop()
        await server.stop(0.2)
        # What gRPC closes, it closes in callbacks of the loop.
        await asyncio.sleep(0)


def view_of(world: World) -> SnapshotView:
    policy = world.broker_policy()
    return policy.load()
