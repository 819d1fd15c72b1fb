"""Requests put together by hand and sent as they are: what an attacker can do and connect() never would."""

import os
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

import grpc
from govbus.exchange.v1 import request_header_pb2
from grpc import aio

from bus.demo.additions import RESOLVE
from bus.exchange import metadata
from bus.exchange.compose import frames_of, request_id
from bus.exchange.config import BrokerAddress, TlsFiles
from bus.exchange.link import BrokerLink
from bus.exchange.meanings import parse_refusal
from bus.exchange.tls import TlsWatch
from bus.nation.members import BIRTHS
from native.batch import sign_batch
from native.codec import encode_request_header
from native.digest import REQUEST_TYPE, body_commitment
from native.headers import RequestHeader
from pki.signer import FileSigner

__all__ = ["ANSWERED", "Forged", "Line", "forge", "header_with_case", "question_header"]

ANSWERED = "ANSWERED"
_TIMEOUT_S = 8.0
_LIFETIME_MS = 8_000  # within what every method here allows


@dataclass(frozen=True, slots=True, repr=False)
class Forged:
    """A request as it will travel."""

    header: bytes
    signature: bytes
    salt: bytes
    message: bytes


def forge(sound: RequestHeader, message: bytes, signer: FileSigner, **changes: Any) -> Forged:
    """`sound` for this message, with a fresh id and time, then changed, then signed: the signature always holds."""
    salt = os.urandom(metadata.SALT_BYTES)
    now_ms = time.time_ns() // 1_000_000
    header = replace(
        sound,
        request_id=request_id(now_ms, secrets.token_bytes(10)),
        body_commitment=body_commitment(salt, frames_of(message).finish()),
        issued_at_ms=now_ms,
        not_after_ms=now_ms + _LIFETIME_MS,
    )
    encoded = encode_request_header(replace(header, **changes))
    return Forged(encoded, sign_batch(signer, [(REQUEST_TYPE, encoded)])[0], salt, message)


def question_header(parties: tuple[str, str, str], grant_id: str, case_id: str) -> RequestHeader:
    """A sound question for a ward, but for what `forge` adds. `parties`: client, provider and broker, SPIFFE IDs."""
    client, provider, broker = parties
    return RequestHeader(
        request_id=b"",
        client=client,
        provider=provider,
        broker=broker,
        method=RESOLVE,
        body_commitment=b"",
        issued_at_ms=0,
        not_after_ms=0,
        purpose=BIRTHS,
        case_id=case_id,
        grant_id=grant_id,
    )


def header_with_case(request: Forged, case_id: str, signer: FileSigner) -> Forged:
    """The same request with a case id that our own encoder refuses to write, signed."""
    message = request_header_pb2.RequestHeader.FromString(request.header)
    message.case_id = case_id
    encoded = message.SerializeToString(deterministic=True)
    return replace(request, header=encoded, signature=sign_batch(signer, [(REQUEST_TYPE, encoded)])[0])


class Line:
    """A mutual-TLS connection with somebody's credentials to whoever bears `spiffe_id` at `address`."""

    def __init__(self, tls: TlsFiles, spiffe_id: str, address: str) -> None:
        self._link = BrokerLink(BrokerAddress(spiffe_id, address), TlsWatch(tls))

    async def __aenter__(self) -> "Line":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._link.close(None)

    async def send(self, path: str, request: Forged) -> str:
        """ANSWERED, the reason of the bus's refusal, or the gRPC code where there is no reason."""
        pairs = (
            (metadata.REQUEST, request.header),
            (metadata.REQUEST_SIGNATURE, request.signature),
            (metadata.REQUEST_SALT, request.salt),
        )
        if not await self._link.ready(_TIMEOUT_S):
            return "NO_CONNECTION"
        call = self._link.unary(path)(request.message, timeout=_TIMEOUT_S, metadata=pairs)
        try:
            await call
        except aio.AioRpcError as error:
            return _reason(error)
        return ANSWERED


def _reason(error: aio.AioRpcError) -> str:
    code: grpc.StatusCode = error.code()
    pairs = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    details = next((value for key, value in pairs if key == metadata.STATUS_DETAILS), b"")
    found = parse_refusal(details) if isinstance(details, bytes) else None
    return str(found[0]) if found else f"{code.name} without a reason"
