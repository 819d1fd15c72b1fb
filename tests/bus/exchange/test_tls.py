"""Connections: TLS 1.3 only, both sides known, names checked, certificates replaced while calls run."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange import CallError, connect, exceptions
from bus.exchange.tls import TLS13_ONLY, VARIABLE, TlsError, TlsWatch
from native.policy import Certificate
from pki.credentials import issue_credentials
from tests.bus.exchange.forge import forge, send
from tests.bus.exchange.world import BROKER_2, CLIENT, OUTSIDER, PROVIDER, World, ask, load_credentials, running

TOP = Path(__file__).resolve().parents[3]


def handshake(world: World, port: int, version: ssl.TLSVersion, *, certificate: bool) -> str | None:
    """The TLS version that was agreed on; None when the server refused."""
    files = world.tls(CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.authorities)
    if certificate:
        context.load_cert_chain(files.certificate, files.key)
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    name = world.instance.subsystem(PROVIDER).dns_name
    plain = socket.create_connection(("127.0.0.1", port), timeout=2)
    try:
        with plain, context.wrap_socket(plain, server_hostname=name) as secured:
            secured.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            # In TLS 1.3 a refused client certificate shows at the first read.
            return secured.version() if secured.recv(9) else None
    except OSError:
        return None


async def test_tls_1_2_is_refused_and_1_3_is_spoken(world: World) -> None:
    async with running(world) as bus:
        for version, spoken in ((ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, None)):
            found = await asyncio.to_thread(handshake, world, bus.server.port, version, certificate=True)
            assert found == spoken


async def test_connection_without_a_client_certificate_is_refused(world: World) -> None:
    async with running(world) as bus:
        version = ssl.TLSVersion.TLSv1_3
        assert await asyncio.to_thread(handshake, world, bus.server.port, version, certificate=False) is None


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, env=clean | environment, capture_output=True, text=True, check=False
    )


def test_serving_is_refused_where_grpc_was_imported_first() -> None:
    code = "import grpc; from bus.exchange.tls import verify_tls13_only as v; v()"
    found = run(code)
    assert "import bus.exchange first" in found.stderr
    assert run(code, **{VARIABLE: TLS13_ONLY}).returncode == 0
    assert run("from bus.exchange.tls import verify_tls13_only as v; v()").returncode == 0


async def test_broker_that_bears_another_name_is_not_spoken_to(world: World) -> None:
    async with running(world) as bus:
        config = world.client_config((BROKER_2, bus.broker.port), timeout_ms=1_000)
        async with connect(config) as channel:
            with pytest.raises(exceptions.BrokerUnreachable):
                await rpc.AdministrativeUnitServiceStub(channel).GetUnit(ask())
        assert bus.broker.calls_admitted == 0


async def test_client_whose_certificate_left_the_snapshot_is_refused_at_its_next_call(world: World) -> None:
    async with running(world) as bus:
        await bus.stub.GetUnit(ask())
        gone = world.spiffe(CLIENT)
        bus.publish(certificates=tuple(each for each in world.tables.certificates if each.subsystem != gone))
        with pytest.raises(exceptions.CertificateNotLive):
            await bus.stub.GetUnit(ask())


async def test_request_signed_by_one_member_over_anothers_connection_is_refused(world: World) -> None:
    async with running(world) as bus:
        forged = forge(world)
        outcome = await send(world, bus.broker.port, forged.pairs, forged.body, sender=OUTSIDER)
        assert outcome.reason is not None
        assert str(outcome.reason) == "CLIENT_MISMATCH"
        assert bus.units.calls == []


async def test_replaced_certificates_are_used_without_a_failed_call(own_world: World) -> None:
    world = own_world
    async with running(world) as bus:
        failures: list[BaseException] = []
        stop = asyncio.Event()

        async def keep_calling() -> int:
            made = 0
            while not stop.is_set():
                try:
                    await bus.stub.GetUnit(ask())
                except CallError as error:
                    failures.append(error)
                made += 1
            return made

        caller = asyncio.ensure_future(keep_calling())
        for _ in range(3):
            for path in (CLIENT, PROVIDER):
                issue_credentials(
                    world.instance.authority,
                    world.instance.subsystem(path),
                    world.folder(path),
                    now=datetime.now(UTC),
                )
                renewed = load_credentials(world, path).identity.certificate_sha256
                end = world.tables.certificates[0].not_after_ms
                more = Certificate(renewed, world.spiffe(path), end)
                # Live before it is used: issue answers only then (protocol.md 1).
                bus.publish(certificates=(*world.tables.certificates, more))
            await asyncio.sleep(0.7)
        stop.set()
        assert await caller > 50
        assert failures == []
        assert bus.channel._runtime.tls.generation >= 3


def test_key_and_certificate_that_do_not_belong_together_are_refused(own_world: World) -> None:
    files = own_world.tls(CLIENT)
    other = own_world.tls(PROVIDER)
    with pytest.raises(TlsError, match="not the certificate of"):
        TlsWatch(replace(files, key=other.key))


def test_watch_keeps_what_it_has_when_the_new_is_no_good(own_world: World) -> None:
    files = own_world.tls(CLIENT)
    watch = TlsWatch(files)
    before = watch.material
    files.certificate.write_bytes(b"garbage")
    assert not watch.refresh()
    assert watch.material is before
