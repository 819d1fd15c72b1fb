"""Requests made by hand, right but for what a test changes, and sent without the SDK."""

import os
from dataclasses import dataclass, replace
from typing import Any

import grpc
from grpc import aio

from bus.exchange import metadata
from bus.exchange.compose import frames_of, request_id
from bus.exchange.meanings import parse_refusal
from bus.exchange.reasons import Reason
from bus.exchange.tls import TlsWatch
from native.batch import sign_batch
from native.codec import encode_request_header
from native.digest import REQUEST_TYPE, body_commitment
from native.headers import RequestHeader
from pki.signer import Signer
from tests.bus.exchange.world import BROKER, CLIENT, GET, PROVIDER, PURPOSE, World, ask, now_ms


@dataclass(frozen=True)
class Forged:
    """One request: its header as value and as bytes, its signature, salt and body."""

    header: RequestHeader
    header_bytes: bytes
    signature: bytes
    salt: bytes
    body: bytes

    @property
    def pairs(self) -> list[tuple[str, str | bytes]]:
        return [
            (metadata.REQUEST, self.header_bytes),
            (metadata.REQUEST_SIGNATURE, self.signature),
            (metadata.REQUEST_SALT, self.salt),
        ]

    @property
    def found(self) -> dict[str, bytes]:
        return {key: value for key, value in self.pairs if isinstance(value, bytes)}


def forge(world: World, *, key: Signer | None = None, **changes: Any) -> Forged:
    """The usual request with these header fields changed, signed by the client or by `key`."""
    body, salt, now = ask().SerializeToString(), os.urandom(32), now_ms()
    header = replace(
        RequestHeader(
            request_id=request_id(now, os.urandom(10)),
            client=world.spiffe(CLIENT),
            provider=world.spiffe(PROVIDER),
            broker=world.spiffe(BROKER),
            method=GET,
            body_commitment=body_commitment(salt, frames_of(body).finish()),
            issued_at_ms=now,
            not_after_ms=now + 5_000,
            purpose=PURPOSE,
            case_id="2026-0001",
            grant_id="grant-1",
        ),
        **changes,
    )
    encoded = encode_request_header(header)
    (signature,) = sign_batch(key or world.credentials[CLIENT].signer, [(REQUEST_TYPE, encoded)])
    return Forged(header, encoded, signature, salt, body)


@dataclass(frozen=True)
class Outcome:
    """How a raw call ended."""

    code: grpc.StatusCode
    reason: Reason | None
    details: dict[str, str]
    signed: bool
    text: str


async def send(
    world: World,
    port: int,
    pairs: list[tuple[str, str | bytes]],
    body: bytes,
    *,
    method: str = GET,
    to: str = BROKER,
    sender: str = CLIENT,
    compression: grpc.Compression | None = None,
) -> Outcome:
    """Call `to` at `port` with `sender`'s certificate and exactly these."""
    options = [("grpc.ssl_target_name_override", world.instance.subsystem(to).dns_name), ("grpc.enable_retries", 0)]
    credentials = TlsWatch(world.tls(sender)).material.client_credentials()
    async with aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        call: Any = channel.unary_unary(method)
        try:
            await call(body, timeout=5, metadata=tuple(pairs), compression=compression)
        except aio.AioRpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            details: Any = trailers.get(metadata.STATUS_DETAILS, b"")
            reason, values = parse_refusal(details) or (None, {})
            signed = metadata.RESPONSE_SIGNATURE in trailers
            return Outcome(error.code(), reason, values, signed, error.details() or "")
        return Outcome(grpc.StatusCode.OK, None, {}, True, "")
