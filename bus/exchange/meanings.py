"""What each reason means, read from the contract (govbus/errors/v1/reasons.proto), and its form on the wire.

A refusal travels as google.rpc.Status with one google.rpc.ErrorInfo{domain "govbus", reason} (protocol.md 5), beside it
perhaps a google.rpc.RetryInfo. Reading is tolerant of what others put there and believes nothing but the reason's name,
the metadata keys declared for it, and a pause that could be meant.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from govbus.errors.v1 import reasons_pb2

from bus.exchange.reasons import Reason

__all__ = [
    "DOMAIN",
    "Called",
    "Meaning",
    "encode_refusal",
    "meaning",
    "parse_refusal",
    "parse_retry_after",
    "reason_number",
]

DOMAIN = "govbus"
# What is believed of a value that anybody may have written: a path of a field or a file, a metadata key or a number.
_VALUE = re.compile(r"[A-Za-z0-9_./\[\]-]{1,200}", re.ASCII)
# A day's quota is free again within a day; whoever asks for a longer pause did not mean one.
_LONGEST_PAUSE_S: Final = 86_400
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Called(enum.Enum):
    """Whether the provider's service may have acted."""

    NO = 1
    MAYBE = 2
    YES = 3


@dataclass(frozen=True, slots=True)
class Meaning:
    """One reason as its declaration has it."""

    reason: Reason
    number: int
    code: grpc.StatusCode
    called: Called
    check: int
    text: str
    remedy: str
    metadata_keys: tuple[str, ...]


@cache
def meaning(reason: Reason) -> Meaning:
    """The declaration of `reason`."""
    value = reasons_pb2.Reason.DESCRIPTOR.values_by_name[f"REASON_{reason}"]
    info = value.GetOptions().Extensions[reasons_pb2.reason_info]
    return Meaning(
        reason=reason,
        number=value.number,
        code=CODES[info.grpc_code],
        called=Called(info.provider_called),
        check=info.check,
        text=info.when,
        remedy=info.remedy,
        metadata_keys=tuple(info.metadata_keys),
    )


def reason_number(reason: Reason) -> int:
    """The number under which journals record `reason`."""
    return meaning(reason).number


def encode_refusal(reason: Reason, metadata: Mapping[str, str]) -> bytes:
    """The value of `grpc-status-details-bin` for `reason`."""
    found = meaning(reason)
    info = error_details_pb2.ErrorInfo(reason=str(reason), domain=DOMAIN)
    for key in found.metadata_keys:
        if key in metadata:
            info.metadata[key] = metadata[key]
    status = status_pb2.Status(code=found.code.value[0], message=found.text)
    status.details.add().Pack(info)
    encoded: bytes = status.SerializeToString(deterministic=True)
    return encoded


def parse_refusal(details: bytes) -> tuple[Reason, dict[str, str]] | None:
    """The reason that `grpc-status-details-bin` names, and its declared metadata; None if it names none of ours."""
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return None
    for entry in status.details:
        info = error_details_pb2.ErrorInfo()
        try:
            ours = entry.Unpack(info) and info.domain == DOMAIN and info.reason in Reason.__members__
        except DecodeError:
            return None
        if ours:
            reason = Reason(info.reason)
            keys = meaning(reason).metadata_keys
            return reason, {key: info.metadata[key] for key in keys if _VALUE.fullmatch(info.metadata[key])}
    return None


def parse_retry_after(details: bytes) -> float | None:
    """Seconds after which asking again may help, as the first RetryInfo says: 0 to a day, else None.

    Anybody on the way may have written it. It says how long to wait, never that asking again is safe.
    """
    try:
        status = status_pb2.Status.FromString(details)
        info = error_details_pb2.RetryInfo()
        if not any(entry.Unpack(info) for entry in status.details):
            return None
    except DecodeError:
        return None
    seconds, nanos = info.retry_delay.seconds, info.retry_delay.nanos
    if not (0 <= seconds <= _LONGEST_PAUSE_S and 0 <= nanos < 10**9):
        return None
    return min(float(seconds + nanos / 1e9), float(_LONGEST_PAUSE_S))
