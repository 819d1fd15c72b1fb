"""A broker in plain Python: grpc.aio between client and provider, the gate's checks in between.

What the gate in Envoy is measured against, and the honest peer in the exchange's tests. It runs the same numbered
checks (protocol.md 4: 1-8, 10-12) through the same verifying functions as the provider runtime, keeps a journal with
one fdatasync for every group commit, and signs admissions and receipts with the batch of that commit.
It is no second broker: no rate limits, no recovery, no metadata hardening; brokers in use are Envoy with the gate.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc import aio

from bus.exchange import metadata
from bus.exchange.compose import MAX_MESSAGE, add_frame, answer_of, frames_of
from bus.exchange.config import TlsFiles
from bus.exchange.link import MAX_METADATA, MAX_WIRE_MESSAGE
from bus.exchange.meanings import encode_refusal, meaning, reason_number
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused, ResponseRefused
from bus.exchange.replay import ReplayTable
from bus.exchange.signing import BatchSigner
from bus.exchange.tls import TlsWatch, broker_dns_name, certificate_digest
from bus.exchange.verify_admission import OUTCOME_DONE, released_commitment
from bus.exchange.verify_request import (
    Expected,
    Permit,
    parse_request,
    permit,
    verify_body,
    verify_request,
)
from bus.exchange.verify_response import Answer, VerifiedResponse, encode_grpc_message, verify_response
from bus.exchange.view import TrustView
from native.batch import SignatureCache
from native.codec import encode_admission, encode_receipt
from native.digest import ADMISSION_TYPE, RECEIPT_TYPE, FrameHasher
from native.ecdsa import PrivateKey
from native.headers import Admission, Receipt
from pki.gatekey import make_gate_key
from pki.identity import parse_spiffe_id
from pki.signer import Signer

__all__ = ["BrokerSetup", "PythonBroker"]

MERGE_MS = 60_000
OUTCOME_FAILED = 2

Pairs = tuple[tuple[str, str | bytes], ...]


class CurrentView(Protocol):
    """Where the broker finds the policy of now."""

    @property
    def current(self) -> TrustView:
        """The snapshot to judge a call by."""


@dataclass(frozen=True)
class BrokerSetup:
    """What one forwarder is made of."""

    spiffe_id: str
    listen: str
    tls: TlsFiles
    signer: Signer
    policy: CurrentView
    providers: Mapping[str, str]
    journal: Path | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call whose intent is durable."""

    permit: Permit
    sequence: int
    intent_time_ms: int
    admission: bytes
    admission_signature: bytes


@dataclass(slots=True)
class Release:
    """What goes back to the client, as far as it is known."""

    frames: FrameHasher = field(default_factory=lambda: FrameHasher(MAX_MESSAGE))
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    trailers: Pairs = ()


class GateKeyJournal:
    """The gate key as a signer whose every signature is preceded by a durable write of what it covers."""

    def __init__(self, key: PrivateKey, journal: Path | None) -> None:
        self._key = key
        self._file = None if journal is None else os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._records: list[bytes] = []

    @property
    def key_id(self) -> bytes:
        """Of the gate key."""
        return self._key.key_id

    def record(self, *parts: bytes) -> None:
        """Have `parts` written with the next commit."""
        for part in parts:
            self._records += (len(part).to_bytes(4, "little"), part)

    def sign(self, message: bytes) -> bytes:
        """One group commit: sign the root, write all records and the signature, fdatasync."""
        signature = self._key.sign(message)
        if self._file is not None:
            records, self._records = self._records, []
            os.write(self._file, b"".join((*records, message, signature)))
            os.fdatasync(self._file)
        return signature

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PythonBroker:
    """One forwarder on one event loop. Tests derive dishonest ones by overriding `to_provider` and `to_client`."""

    def __init__(self, setup: BrokerSetup) -> None:
        self.setup = setup
        certified = make_gate_key(parse_spiffe_id(setup.spiffe_id), setup.signer, now=datetime.now(UTC))
        self.journal = GateKeyJournal(PrivateKey.from_der(certified.private_key_der), setup.journal)
        self.gate_key_pairs: Pairs = (
            (metadata.GATE_KEY, certified.gate_key),
            (metadata.GATE_KEY_SIGNATURE, certified.signature),
        )
        self.commits = BatchSigner(self.journal)
        self.calls_admitted = 0
        self.port = 0
        self._tls = TlsWatch(setup.tls)
        self._cache = SignatureCache()
        self._replay = ReplayTable()
        self._sequence = 0
        self._channels: dict[str, aio.Channel] = {}
        self._server: aio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        server = aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Everything(self),))
        self.port = server.add_secure_port(self.setup.listen, self._tls.server_credentials())
        await server.start()
        self._server = server
        return self.port

    async def stop(self, grace_s: float | None = None) -> None:
        """End all calls and connections."""
        if self._server is not None:
            await self._server.stop(grace_s)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
        self.commits.close()
        self.journal.close()

    def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
        """What the provider is sent."""
        return pairs, body

    def to_client(self, release: Release, message: bytes | None) -> bytes | None:
        """What the client is sent: each message, then None with the trailers."""
        return message

    async def unary(self, body: bytes, context: Any) -> bytes:
        """Serve one unary call."""
        release = Release()
        messages: list[bytes] = []

        async def keep(message: bytes) -> None:
            messages.append(message)

        await self._serve(body, context, release, keep)
        return messages[0]

    async def _serve(self, body: bytes, context: Any, release: Release, send: Any) -> None:
        path: str = context.govbus_path
        try:
            admitted = await self._admit(path, body, context)
        except RequestRefused as error:
            await _refuse(context, error.reason, error.metadata)
            return
        try:
            await self._forward(admitted, path, body, context, release, send)
        except ResponseRefused as error:
            await self._fail(context, admitted, release, error.reason)
        if release.code is not grpc.StatusCode.OK:
            await context.abort(release.code, release.text, release.trailers)
        context.set_trailing_metadata(release.trailers)

    async def _admit(self, path: str, body: bytes, context: Any) -> Admitted:
        """Checks 1-8 and 10."""
        now_ms, view = _now_ms(), self.setup.policy.current
        peer = self._verify_peer(context, view, now_ms)  # (1)
        found = metadata.take_request(context.invocation_metadata(), metadata.TO_BROKER)  # (2)
        expected = Expected(path=path, broker=self.setup.spiffe_id, client=peer)
        verified = verify_request(parse_request(found), expected, view, now_ms, self._cache)  # (3)-(6)
        self._replay.verify_unseen(peer, verified.header.request_id, time.monotonic())  # (7)
        permitted = permit(verified, view, now_ms)  # (8)
        verify_body(permitted, frames_of(body).finish())  # (10)
        self._sequence += 1
        sequence = self._sequence
        admission = encode_admission(
            Admission(
                entry_salt=os.urandom(32),
                broker=self.setup.spiffe_id,
                sequence=sequence,
                intent_time_ms=now_ms,
                snapshot_version=view.version,
                request_digest=verified.digest,
                request_signature_digest=sha256(verified.signature_bytes).digest(),
            )
        )
        self.journal.record(admission, verified.header_bytes, verified.signature_bytes)
        signature = await self.commits.sign(ADMISSION_TYPE, admission)
        self.calls_admitted += 1
        return Admitted(permitted, sequence, now_ms, admission, signature)

    def _verify_peer(self, context: Any, view: TrustView, now_ms: int) -> str:
        pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        found = view.certificate(certificate_digest(pem)) if pem else None
        if found is None:
            raise RequestRefused(Reason.CERTIFICATE_NOT_LIVE)
        if found.not_after_ms < now_ms:
            raise RequestRefused(Reason.CERTIFICATE_EXPIRED)
        subsystem = view.subsystem(found.subsystem)
        if subsystem is None or not subsystem.active:
            raise RequestRefused(Reason.SUBSYSTEM_SUSPENDED)
        return found.subsystem

    async def _forward(
        self, admitted: Admitted, path: str, body: bytes, context: Any, release: Release, send: Any
    ) -> None:
        """Check 11: call the provider, hold or pass on its messages, verify, then write the outcome."""
        request = admitted.permit.request
        pairs: Pairs = (
            (metadata.REQUEST, request.header_bytes),
            (metadata.REQUEST_SIGNATURE, request.signature_bytes),
            (metadata.REQUEST_SALT, request.salt),
            (metadata.ADMISSION, admitted.admission),
            (metadata.ADMISSION_SIGNATURE, admitted.admission_signature),
            *self.gate_key_pairs,
            *((key, value) for key, value in context.invocation_metadata() if key == "traceparent"),
        )
        pairs, body = self.to_provider(pairs, body)
        channel, left = self._channel(request.header.provider), context.time_remaining()
        held: list[bytes] = []
        try:
            if admitted.permit.method.server_stream:
                stream: aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
                streamed = stream(body, timeout=left, metadata=pairs)
                async for message in streamed:
                    add_frame(release.frames, message)
                    await send(self.to_client(release, message))
                trailers = tuple(await streamed.trailing_metadata() or ())
            else:
                unary: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
                call = unary(body, timeout=left, metadata=pairs)
                held.append(await call)
                add_frame(release.frames, held[0])
                trailers = tuple(await call.trailing_metadata() or ())
        except aio.AioRpcError as error:
            trailers = tuple(error.trailing_metadata() or ())
            release.code, release.text = error.code(), error.details() or ""
        details = next((value for key, value in trailers if key == metadata.STATUS_DETAILS), b"")
        answer = answer_of(
            release.frames,
            release.code.value[0],
            encode_grpc_message(release.text),
            details if isinstance(details, bytes) else b"",
        )
        response = self._verify_response(admitted, answer, trailers)
        receipt = await self._record_outcome(admitted, answer, response)
        release.trailers = (
            *((key, value) for key, value in trailers if key in metadata.FROM_PROVIDER),
            *((metadata.STATUS_DETAILS, details) for _ in range(1) if details),
            *receipt,
            *self.gate_key_pairs,
        )
        for message in held:
            await send(self.to_client(release, message))
        self.to_client(release, None)

    def _verify_response(self, admitted: Admitted, answer: Answer, trailers: Pairs) -> VerifiedResponse:
        found = metadata.found_in(trailers, metadata.FROM_PROVIDER)
        if metadata.RESPONSE not in found and answer.grpc_status == grpc.StatusCode.UNAVAILABLE.value[0]:
            raise ResponseRefused(Reason.PROVIDER_UNREACHABLE, "connection")
        if metadata.RESPONSE not in found and answer.grpc_status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]:
            raise ResponseRefused(Reason.DEADLINE, "deadline")
        return verify_response(
            found,
            answer,
            request_digest=admitted.permit.request.digest,
            provider=admitted.permit.request.header.provider,
            trust=self.setup.policy.current,
            at_ms=_now_ms(),
            cache=self._cache,
        )

    async def _record_outcome(
        self, admitted: Admitted, answer: Answer, response: VerifiedResponse | None, reason: int = 0
    ) -> Pairs:
        """Check 12: the outcome is durable when this returns the receipt."""
        self._sequence += 1
        salt = secrets.token_bytes(32)
        receipt = encode_receipt(
            Receipt(
                entry_salt=salt,
                broker=self.setup.spiffe_id,
                intent_sequence=admitted.sequence,
                outcome_sequence=self._sequence,
                intent_time_ms=admitted.intent_time_ms,
                outcome_time_ms=_now_ms(),
                snapshot_version=admitted.permit.snapshot_version,
                request_digest=admitted.permit.request.digest,
                response_digest=response.digest if response else b"",
                response_signature_digest=sha256(response.signature_bytes).digest() if response else b"",
                outcome=OUTCOME_DONE if response else OUTCOME_FAILED,
                reason=reason,
                messages_released=answer.message_count,
                bytes_released=answer.size,
                released_commitment=released_commitment(salt, answer),
                merge_deadline_ms=_now_ms() + MERGE_MS,
            )
        )
        self.journal.record(receipt)
        signature = await self.commits.sign(RECEIPT_TYPE, receipt)
        return ((metadata.RECEIPT, receipt), (metadata.RECEIPT_SIGNATURE, signature))

    async def _fail(self, context: Any, admitted: Admitted, release: Release, reason: Reason) -> None:
        """The provider's answer is none: record that, and say why."""
        nothing = answer_of(FrameHasher(MAX_MESSAGE), 0, b"", b"")
        receipt = await self._record_outcome(admitted, nothing, None, reason_number(reason))
        await _refuse(context, reason, {}, (*receipt, *self.gate_key_pairs))

    def _channel(self, provider: str) -> aio.Channel:
        found = self._channels.get(provider)
        if found is None:
            address = self.setup.providers.get(provider, "127.0.0.1:1")
            options = [
                *_OPTIONS,
                ("grpc.ssl_target_name_override", broker_dns_name(provider)),
                ("grpc.enable_retries", 0),
            ]
            found = aio.secure_channel(address, self._tls.material.client_credentials(), options)
            self._channels[provider] = found
        return found


class _Everything(grpc.GenericRpcHandler):
    """Every path of every service."""

    def __init__(self, broker: PythonBroker) -> None:
        self._broker = broker

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of one call, told its path."""
        broker, path = self._broker, handler_call_details.method
        method = broker.setup.policy.current.method(path)

        async def unary(body: bytes, context: Any) -> bytes:
            return await broker.unary(body, _WithPath(context, path))

        async def stream(body: bytes, context: Any) -> None:
            await broker._serve(body, _WithPath(context, path), Release(), context.write)

        if method is not None and method.server_stream:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


class _WithPath:
    """gRPC's context and the path of the call, which gRPC tells only when it asks for the handler."""

    def __init__(self, context: Any, path: str) -> None:
        self._context = context
        self.govbus_path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


async def _refuse(
    context: Any, reason: Reason, details: Mapping[str, str], more: Sequence[tuple[str, str | bytes]] = ()
) -> None:
    found = meaning(reason)
    trailers = ((metadata.STATUS_DETAILS, encode_refusal(reason, details)), *more)
    await context.abort(found.code, found.text, trailers)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_WIRE_MESSAGE),
    ("grpc.max_send_message_length", MAX_WIRE_MESSAGE),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
]
