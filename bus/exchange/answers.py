"""A provider's signed word: the trailers that end a call, and the status they are bound to.

Every answer is signed, errors and the runtime's own refusals included, as soon as the request's header is known. Texts
are fixed (protocol.md 8). Clock and chance come in through `Answerer`, the one place that asks for them.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import grpc

from bus.exchange import metadata
from bus.exchange.compose import answer_of, compose_response
from bus.exchange.meanings import encode_refusal, meaning
from bus.exchange.reasons import Reason
from bus.exchange.signing import BatchSigner
from bus.exchange.verify_response import encode_grpc_message
from native.digest import RESPONSE_TYPE, FrameHasher

__all__ = ["Answerer", "Ending", "ending_of_refusal"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends."""

    code: grpc.StatusCode
    text: str = ""
    status_details: bytes = b""
    reason: Reason | None = None


GOOD = Ending(grpc.StatusCode.OK)


def ending_of_refusal(reason: Reason, details: Mapping[str, str] = _NOTHING) -> Ending:
    """The runtime's own refusal."""
    found = meaning(reason)
    return Ending(found.code, found.text, encode_refusal(reason, details), reason)


def details_pairs(ending: Ending) -> tuple[tuple[str, bytes], ...]:
    """The metadata that carries the status details, if there are any."""
    return ((metadata.STATUS_DETAILS, ending.status_details),) if ending.status_details else ()


class Answerer:
    """Signs answers in the name of `provider`."""

    def __init__(self, provider: str, signer: BatchSigner) -> None:
        self.provider = provider
        self._signer = signer

    async def sign(self, request_digest: bytes, frames: FrameHasher, ending: Ending) -> tuple[tuple[str, bytes], ...]:
        """The trailers for an answer of `frames` that ends so."""
        salt = os.urandom(metadata.SALT_BYTES)
        answer = answer_of(frames, ending.code.value[0], encode_grpc_message(ending.text), ending.status_details)
        header = compose_response(request_digest, self.provider, answer, salt, time.time_ns() // 1_000_000)
        signature = await self._signer.sign(RESPONSE_TYPE, header)
        return (
            (metadata.RESPONSE, header),
            (metadata.RESPONSE_SIGNATURE, signature),
            (metadata.RESPONSE_SALT, salt),
            *details_pairs(ending),
        )
