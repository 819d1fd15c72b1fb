"""How names, codes and numbers are written here. Each check returns the value or raises Refusal(MALFORMED)."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from bus.edge.endpoint import EndpointError, parse_endpoint
from bus.registry.refusal import Refusal, RefusalReason

__all__ = [
    "verify_digest",
    "verify_endpoints",
    "verify_label",
    "verify_name",
    "verify_number",
    "verify_operator",
    "verify_purpose",
    "verify_reason",
    "verify_service",
    "verify_several",
    "verify_token",
    "verify_validity",
]

T = TypeVar("T", bound=Hashable)

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PURPOSE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+", re.ASCII)
_OPERATOR: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}", re.ASCII)
_NAME_LENGTH: Final = 200
_REASON_LENGTH: Final = 500
_ENDPOINTS: Final = 64
_SEVERAL: Final = 1_000
_LAST_MS: Final = 253_402_300_799_999
"""The year 9999 ends: what gates, and people's calendars, can hold."""


def verify_label(text: str, what: str) -> str:
    """One segment of an identity."""
    if not _LABEL.fullmatch(text):
        raise _malformed(f"{what} is 1-63 of a-z, 0-9 and -, no hyphen at either end")
    return text


def verify_token(text: str, what: str) -> str:
    """A grant's id."""
    if not _TOKEN.fullmatch(text):
        raise _malformed(f"{what} is 1-64 of letters, digits and . _ -")
    return text


def verify_purpose(text: str) -> str:
    """A purpose code."""
    if not _PURPOSE.fullmatch(text):
        raise _malformed("a purpose is 1-64 of a-z, 0-9 and . _ -, a letter or digit first")
    return text


def verify_service(text: str) -> str:
    """A full service name, package included."""
    if not _SERVICE.fullmatch(text) or len(text) > _NAME_LENGTH:
        raise _malformed("write a service as package.Service, for example vn.population.v1.PopulationService")
    return text


def verify_operator(text: str) -> str:
    """Who did it: an account or a subsystem, never a person's name."""
    if not _OPERATOR.fullmatch(text):
        raise _malformed("name the operator by an account id: 1-200 of letters, digits and . _ : / @ -")
    return text


def verify_name(text: str, what: str) -> str:
    """What people call a member, in one language; Unicode in its composed form."""
    return _verify_text(text, what, _NAME_LENGTH)


def verify_reason(text: str) -> str:
    """Why it was done."""
    return _verify_text(text, "the reason", _REASON_LENGTH)


def verify_digest(data: bytes, what: str) -> bytes:
    """SHA-256 of something."""
    if len(data) != 32:
        raise _malformed(f"{what} is a SHA-256, 32 bytes")
    return data


def verify_number(value: int, what: str, highest: int, lowest: int = 0) -> int:
    """A count or a duration."""
    if not lowest <= value <= highest:
        raise _malformed(f"{what} is from {lowest} to {highest}")
    return value


def verify_several(values: Sequence[T], what: str) -> Sequence[T]:
    """At least one, each once."""
    if not 1 <= len(values) <= _SEVERAL:
        raise _malformed(f"name at least one {what}, and at most {_SEVERAL}")
    if len(set(values)) != len(values):
        raise _malformed(f"a {what} stands there twice; keep one")
    return values


def verify_endpoints(texts: Sequence[str]) -> None:
    """Where a subsystem listens; none means that it only calls."""
    if len(texts) > _ENDPOINTS or len(set(texts)) != len(texts):
        raise _malformed(f"at most {_ENDPOINTS} endpoints, each once")
    for text in texts:
        if "%" in text:  # an IPv6 zone means something on one machine only, and may hold any character
            raise _malformed("an endpoint names no zone; write host:port")
        try:
            parse_endpoint(text)
        except EndpointError as error:
            raise _malformed(str(error)) from error


def verify_validity(not_before_ms: int, not_after_ms: int, at_ms: int) -> None:
    """Ends after it starts, and is not over yet. Refusal(VALIDITY)."""
    if not 0 <= not_before_ms < not_after_ms:
        raise Refusal(RefusalReason.VALIDITY, "it ends before it starts; make not_after later than not_before")
    if not_after_ms > _LAST_MS:
        raise Refusal(RefusalReason.VALIDITY, "it ends after the year 9999; make not_after earlier")
    if not_after_ms <= at_ms:
        raise Refusal(RefusalReason.VALIDITY, "it is over already; make not_after lie in the future")


def _verify_text(text: str, what: str, longest: int) -> str:
    if not 1 <= len(text) <= longest or text != text.strip():
        raise _malformed(f"{what} has 1-{longest} characters, and no space at either end")
    if any(unicodedata.category(one)[0] == "C" or unicodedata.category(one) in ("Zl", "Zp") for one in text):
        raise _malformed(f"{what} is one line of printable text")
    if not unicodedata.is_normalized("NFC", text):
        raise _malformed(f"{what} is written with composed characters (Unicode NFC)")
    return text


def _malformed(text: str) -> Refusal:
    return Refusal(RefusalReason.MALFORMED, text)
