"""`enrol`: a subsystem's half of enrolment. Keys are made and stay here; the token goes to the pinned instance only.

1. The listener's chain is read over TLS 1.3 without believing it, and verified under the root that the token pins.
2. A second connection trusts that root alone and demands the server's name; only now the token is sent.
3. What comes back is verified as strictly: chain under the pinned root, for the token's subsystem and our key; the
   snapshot by the policy key that came with it.
4. The directory becomes what pki.credentials reads and `connect` and `serve` take: credentials, policy-key.pem,
   snapshot.bin, config.yaml. A broker's becomes what `govbus broker run` takes, too: broker.yaml, endpoints.json.

What the instance refuses leaves nothing that was not there before. Where no answer came, the signing key stays for the
next try: it may be registered, with its certificate lost. Then the next token finds it known, it is put aside and a new
one made.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bus.exchange.tls import verify_tls13_only  # isort: skip - before gRPC

import grpc
import yaml
from govbus.enrolment.v1 import enrolment_pb2 as pb
from govbus.enrolment.v1 import enrolment_pb2_grpc as rpc

from bus.edge.broker_file import BROKER_FILE
from bus.edge.snapshot_files import ENDPOINTS, peek_header
from bus.exchange.errors import CallError, Failure, Refused, RefusedLocally, exception_for
from bus.exchange.meanings import meaning, parse_refusal
from bus.exchange.reasons import Reason
from native.codec import CodecError
from native.snapshot import BROKER_SCOPE, SnapshotError, verify_snapshot
from pki import files
from pki.certificates import build_csr
from pki.credentials import Credentials, load_credentials, store_credentials
from pki.enrolment import Token, parse_token, prove_possession, verify_instance
from pki.errors import ProfileError, ProfileReason
from pki.keys import (
    encode_private_key,
    encode_public_pem,
    encode_spki,
    generate_private_key,
    signing_key_id,
    verify_signing_key_spki,
)
from pki.profiles import verify_tls_certificate
from pki.signer import FileSigner
from pki.trust import TrustBundle, parse_pem_certificates

__all__ = ["AlreadyEnrolled", "enrol"]

CONFIG: Final = "config.yaml"
SIGNING_KEY: Final = "signing-key.pem"
KEY_LIFETIME_MS: Final = 365 * 86_400_000
_SECONDS: Final = 30.0
_DETAILS: Final = "grpc-status-details-bin"


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


class AlreadyEnrolled(ValueError):
    """The directory holds credentials; the text says what to do."""


def enrol(
    token_text: str,
    directory: Path,
    *,
    clock_ms: Callable[[], int],
    accept_operator_grants: bool = False,
    timeout: float = _SECONDS,
    say: Callable[[str], None] = lambda text: None,
) -> Credentials:
    """Enrol into `directory`; the credentials that are there afterwards. `say` gets what a person ought to know.

    TokenMalformed, AlreadyEnrolled, or bus.exchange's errors: RefusedLocally(INSTANCE_MISMATCH) before anything was
    sent, Refused with the instance's reason, BROKER_UNREACHABLE when nobody answers.
    """
    verify_tls13_only()
    token = parse_token(token_text)
    with _unused_removed(directory):
        return _enrol(token, directory, clock_ms, accept_operator_grants, timeout, say)


def _enrol(
    token: Token,
    directory: Path,
    clock_ms: Callable[[], int],
    accept_operator_grants: bool,
    timeout: float,
    say: Callable[[str], None],
) -> Credentials:
    files.ensure_private_directory(directory)
    if (directory / "tls").exists():
        raise AlreadyEnrolled(
            f"{directory} holds credentials already: a program that runs from its config.yaml renews the certificate by"
            f" itself, `govbus key rotate {directory}` makes a new signing key; to join anew, where the certificate has"
            " ended or a key was lost, enrol into an empty directory with a token of `govbus token issue --again`"
        )
    now_ms = clock_ms()
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    bundle = _verified_bundle(token, now, timeout)
    key = generate_private_key()
    csr = build_csr(key, token.subsystem)
    had_key = (directory / SIGNING_KEY).exists()
    try:
        answer = _send(token, bundle, _request(token, directory, csr, now_ms), timeout)
    except Refused as refused:
        if refused.reason is not Reason.KEY_KNOWN or not had_key:
            raise
        say(_put_aside(directory))  # a refusal burns no token
        answer = _send(token, bundle, _request(token, directory, csr, now_ms), timeout)
    try:
        _verify_answer(answer, token, bundle, encode_spki(key.public_key()), clock_ms())
    except (ProfileError, SnapshotError, CodecError) as error:
        raise _local(Reason.INSTANCE_MISMATCH) from error
    _write_policy(directory, token, answer, accept_operator_grants)
    store_credentials(directory, encode_private_key(key), answer.certificate_chain, answer.trust_bundle)
    return load_credentials(directory, token.subsystem.trust_domain, now=datetime.fromtimestamp(clock_ms() / 1000, UTC))


@contextmanager
def _unused_removed(directory: Path) -> Iterator[None]:
    """A key that was made here goes when the instance says no: it recorded nothing. So does a directory left empty."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    had_key = (directory / SIGNING_KEY).exists()
    try:
        yield
    except CallError as error:
        if isinstance(error, Refused) and not isinstance(error, RefusedLocally) and not had_key:
            (directory / SIGNING_KEY).unlink(missing_ok=True)
        with suppress(OSError):  # something is in it
            for one in missing:
                one.rmdir()
        raise


def _request(token: Token, directory: Path, csr: bytes, now_ms: int) -> pb.EnrolRequest:
    signer = FileSigner.load_or_create(directory / SIGNING_KEY)
    not_after_ms = now_ms + KEY_LIFETIME_MS
    return pb.EnrolRequest(
        token_secret=token.secret,
        csr=csr,
        signing_key_spki=signer.spki,
        signing_key_not_before_ms=now_ms,
        signing_key_not_after_ms=not_after_ms,
        possession=prove_possession(signer, token.subsystem, signer.spki, now_ms, not_after_ms),
    )


def _put_aside(directory: Path) -> str:
    """Keep the key of an enrolment whose answer was lost under another name; what to tell about it."""
    key_id = FileSigner.load(directory / SIGNING_KEY).key_id.hex()
    kept = directory / f"signing-key-lost-{key_id[:16]}.pem"
    (directory / SIGNING_KEY).rename(kept)
    return (
        f"the signing key here was registered before and its certificate never arrived; it is kept as {kept.name} and a"
        f" new one is used; have the operator end the former: govbus key revoke {key_id[:16]}"
    )


def _verified_bundle(token: Token, now: datetime, timeout: float) -> TrustBundle:
    try:
        return verify_instance(_shown_chain(token, timeout), token, now=now)
    except ProfileError as error:
        raise _local(Reason.INSTANCE_MISMATCH) from error
    except OSError as error:
        raise _local(Reason.BROKER_UNREACHABLE) from error


def _shown_chain(token: Token, timeout: float) -> list[bytes]:
    """What the listener shows, believed in nothing; no byte of ours is sent but the handshake's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = token.address.rpartition(":")
    with (
        socket.create_connection((host.strip("[]"), int(port)), timeout) as plain,
        context.wrap_socket(plain, server_hostname=token.server.dns_name) as secure,
    ):
        inner: Any = secure
        if not hasattr(inner, "get_unverified_chain"):  # public from Python 3.13 on
            inner = inner._sslobj
        shown = inner.get_unverified_chain() or ()
    return [one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in shown]


def _send(token: Token, bundle: TrustBundle, request: pb.EnrolRequest, timeout: float) -> pb.EnrolResponse:
    credentials = grpc.ssl_channel_credentials(bundle.roots_pem)
    options = [
        ("grpc.ssl_target_name_override", token.server.dns_name),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        # A broker's snapshot is the whole policy; who sends it has proved to be the pinned instance.
        ("grpc.max_receive_message_length", 1 << 30),
    ]
    with grpc.secure_channel(token.address, credentials, options) as channel:
        try:
            answer: pb.EnrolResponse = rpc.EnrolmentServiceStub(channel).Enrol(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _refusal(error) from None
    return answer


def _refusal(error: Any) -> CallError:
    """The refusal that the listener gave, or that nobody answered."""
    details = next((value for name, value in error.trailing_metadata() or () if name == _DETAILS), b"")
    found = parse_refusal(details) if isinstance(details, bytes) else None
    if found is None:
        return _local(
            Reason.BROKER_UNREACHABLE if error.code() is grpc.StatusCode.UNAVAILABLE else Reason.REFUSAL_UNREADABLE
        )
    reason, metadata = found
    said = meaning(reason)
    return exception_for(Refused, reason)(Failure(reason, said.code, said.text, metadata))


def _local(reason: Reason) -> CallError:
    said = meaning(reason)
    return exception_for(RefusedLocally, reason)(Failure(reason, said.code, said.text))


def _verify_answer(answer: pb.EnrolResponse, token: Token, pinned: TrustBundle, spki: bytes, now_ms: int) -> None:
    """(3); ProfileError or SnapshotError."""
    domain = token.subsystem.trust_domain
    bundle = TrustBundle.verify_pem(domain, answer.trust_bundle)
    if not set(pinned.roots) <= set(bundle.roots):
        raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "the bundle lacks the pinned root")
    leaf = parse_pem_certificates(answer.certificate_chain)[0]
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    if verify_tls_certificate(leaf, trust=bundle, now=now, expected=token.subsystem).key_id != signing_key_id(spki):
        raise ProfileError(ProfileReason.KEY_MISMATCH, "the certificate is not for our key")
    point = verify_signing_key_spki(answer.policy_key_spki)
    if answer.snapshot:
        verify_snapshot(answer.snapshot, point, domain, _scope(answer.snapshot, token), now_ms)


def _scope(snapshot: bytes, token: Token) -> str:
    """A broker's snapshot has the whole policy, anybody else's its own part."""
    return BROKER_SCOPE if peek_header(snapshot).scope == BROKER_SCOPE else token.subsystem.spiffe_id


def _published_to(directory: Path) -> bool:
    """Whether it is a home below the state directory of an instance on this machine (bus.edge.publisher_homes)."""
    folder = directory.absolute().parent
    return folder.name in ("subsystems", "brokers") and (folder.parent / "snapshots").is_dir()


def _write_policy(directory: Path, token: Token, answer: pb.EnrolResponse, accept_operator_grants: bool) -> None:
    pem = encode_public_pem(verify_signing_key_spki(answer.policy_key_spki))
    files.write_atomic(directory / "policy-key.pem", pem, mode=files.PUBLIC)
    if answer.snapshot:
        files.write_atomic(directory / "snapshot.bin", answer.snapshot)
    own = token.subsystem.spiffe_id
    broker = bool(answer.snapshot) and peek_header(answer.snapshot).scope == BROKER_SCOPE
    # A broker asks through the others: its own certificate may be what it lacks. The only one asks through itself.
    found = [one for one in answer.brokers if one.identity != own] or answer.brokers
    brokers = [{"identity": one.identity, "address": one.address} for one in found]
    content: dict[str, object] = {
        "version": 1,
        "identity": token.subsystem.spiffe_id,
        "tls": {"certificate": "tls/chain.pem", "key": "tls/key.pem", "authorities": "trust.pem"},
        "signing_key": SIGNING_KEY,
        "snapshot": "snapshot.bin",
        "policy_key": "policy-key.pem",
        **({"scope": BROKER_SCOPE} if broker else {}),
        "client": {"brokers": brokers},
    }
    if answer.renewal_provider and brokers:
        content["renewal"] = {
            "provider": answer.renewal_provider,
            "purpose": answer.renewal_purpose,
            "brokers": brokers,
            # A publisher brings it to the homes below its own state directory; to all others it comes through the bus.
            "snapshot": not _published_to(directory),
        }
    if broker:
        _write_broker(directory, own, answer)
    elif answer.listen:
        content["provider"] = {"listen": answer.listen, "accept_operator_grants": accept_operator_grants}
    _write_yaml(directory / CONFIG, content, "bus/exchange/config.py")


def _write_broker(directory: Path, identity: str, answer: pb.EnrolResponse) -> None:
    files.write_atomic(directory / ENDPOINTS, answer.endpoints)
    content: dict[str, object] = {
        "version": 1,
        "identity": identity,
        "listen": answer.listen,
        "policy_key": "policy-key.pem",
        "snapshot": "snapshot.bin",
        "endpoints": ENDPOINTS,
    }
    _write_yaml(directory / BROKER_FILE, content, "bus/edge/broker_file.py")


def _write_yaml(path: Path, content: dict[str, object], where: str) -> None:
    text = yaml.dump(content, Dumper=_Plain, sort_keys=False)
    files.write_atomic(path, f"# Made by enrolment; see {where} for every key.\n{text}".encode())
