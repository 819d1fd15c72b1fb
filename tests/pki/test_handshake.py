"""The profile and the real TLS stacks agree: OpenSSL (ssl) and BoringSSL (grpcio).

Empty subject, critical SAN and name constraints are lawful but rare: these tests show that
the stacks in use take them, and that a stolen issuing CA is useless outside its trust domain.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.credentials import Credentials
from pki.keys import encode_private_key, generate_private_key
from tests.support.authority import Instance


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """An instance by the real clock, which TLS stacks use."""
    return Instance(tmp_path_factory.mktemp("living"), now=datetime.now(UTC))


def context(side: ssl._SSLMethod, roots: bytes, folder: Path, key_pem: bytes, chain_pem: bytes) -> ssl.SSLContext:
    folder.mkdir()
    (folder / "key.pem").write_bytes(key_pem)
    (folder / "chain.pem").write_bytes(chain_pem)
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(cadata=roots.decode())
    made.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bytes:
    """Run a handshake in memory; the certificate that the server saw."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(6):
        for side in (one, other):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert done == {one, other}
    seen = other.getpeercert(binary_form=True)
    assert seen is not None
    return seen


def test_openssl_accepts_both_sides(living: Instance, tmp_path: Path) -> None:
    client, server = living.credentials("gov/moj/civil-status"), living.credentials("gov/ndc/broker-1")
    roots = living.authority.trust.roots_pem
    seen = shake_hands(
        context(ssl.PROTOCOL_TLS_CLIENT, roots, tmp_path / "c", client.tls_key_pem, client.tls_chain_pem),
        context(ssl.PROTOCOL_TLS_SERVER, roots, tmp_path / "s", server.tls_key_pem, server.tls_chain_pem),
        server.subsystem.dns_name,
    )
    assert x509.load_der_x509_certificate(seen).subject.rdns == []


def test_openssl_refuses_a_name_outside_the_trust_domain(living: Instance, tmp_path: Path) -> None:
    """What a thief of the issuing CA's key would make, before any check of ours."""
    key = generate_private_key()
    uri = living.leaf().names[0]
    forged = living.leaf().wrong(names=(uri, x509.DNSName("www.bank.example")), public_key=key.public_key()).sign()
    ca = living.authority.trust.issuers[0].certificate
    chain = x509.load_der_x509_certificate(forged).public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
    client = living.credentials("gov/moj/civil-status")
    roots = living.authority.trust.roots_pem
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shake_hands(
            context(ssl.PROTOCOL_TLS_CLIENT, roots, tmp_path / "c", client.tls_key_pem, client.tls_chain_pem),
            context(ssl.PROTOCOL_TLS_SERVER, roots, tmp_path / "s", encode_private_key(key), chain),
            "www.bank.example",
        )


async def echo_server(broker: Credentials) -> tuple[grpc.aio.Server, int]:
    async def peer(_request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return next(iter(context.auth_context()["x509_pem_cert"]))

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(peer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", {"Who": handler}),))
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials(
            [(broker.tls_key_pem, broker.tls_chain_pem)], broker.trust.roots_pem, require_client_auth=True
        ),
    )
    await server.start()
    return server, port


async def who(client: Credentials, roots: bytes, port: int, name: str) -> bytes:
    credentials = grpc.ssl_channel_credentials(roots, client.tls_key_pem, client.tls_chain_pem)
    options = [("grpc.ssl_target_name_override", name)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Peer/Who")
        return await call(b"", timeout=5)


async def test_grpc_accepts_own_members_and_refuses_a_foreign_instance(living: Instance, tmp_path: Path) -> None:
    broker, client = living.credentials("gov/ndc/broker-1"), living.credentials("gov/moj/civil-status")
    stranger = Instance(tmp_path / "foreign", now=living.now).credentials("gov/moj/civil-status")
    roots = living.authority.trust.roots_pem
    server, port = await echo_server(broker)
    try:
        seen = await who(client, roots, port, broker.subsystem.dns_name)
        assert client.tls_chain_pem.startswith(seen)
        for whom, name in ((stranger, broker.subsystem.dns_name), (client, client.subsystem.dns_name)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await who(whom, roots, port, name)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(None)
