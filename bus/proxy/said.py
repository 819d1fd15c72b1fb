"""What a local tool says with a call, in plain metadata, and whether it may call at all.

    govbus-purpose, govbus-case, govbus-official, govbus-grant, govbus-idempotency-key    as in a signed header
    govbus-provider                                                       `<class>/<member>/<subsystem>`
    authorization: Bearer TOKEN                                           over TCP, where every local user can connect

A key with that prefix that is not among them is refused, so that a misspelt purpose is never another purpose.
"""

import hmac
from collections.abc import Iterable
from typing import Any, Final

from pki.identity import IdentityError, SubsystemId

__all__ = ["SAID", "NotSaid", "options_said", "verify_token"]

SAID: Final = {
    "govbus-purpose": "purpose",
    "govbus-case": "case_id",
    "govbus-official": "official",
    "govbus-grant": "grant_id",
    "govbus-idempotency-key": "idempotency_key",
    "govbus-provider": "provider",
}
_PREFIX: Final = "govbus-"
_BEARER: Final = b"Bearer "

Pairs = Iterable[tuple[str, str | bytes]]


class NotSaid(Exception):
    """The metadata cannot be used; the text names the key, never its value."""


def options_said(pairs: Pairs, trust_domain: str) -> dict[str, Any]:
    """Arguments for `ChannelView.using`; NotSaid names what is wrong."""
    said: dict[str, Any] = {}
    for key, value in pairs:
        if not key.startswith(_PREFIX):
            continue
        name = SAID.get(key)
        if name is None or not isinstance(value, str):
            raise NotSaid(f"unknown metadata key; there are {', '.join(SAID)}")
        if name in said:
            raise NotSaid(f"{key} is there twice")
        said[name] = _identity(value, trust_domain) if name == "provider" else value
    return said


def verify_token(pairs: Pairs, token: str) -> None:
    """NotSaid unless exactly one `authorization` bears the token."""
    given = [value if isinstance(value, bytes) else value.encode() for key, value in pairs if key == "authorization"]
    if len(given) != 1 or not hmac.compare_digest(given[0], _BEARER + token.encode()):
        raise NotSaid("send the metadata `authorization: Bearer TOKEN` with the token of this proxy")


def _identity(path: str, trust_domain: str) -> str:
    parts = path.split("/")
    try:
        if len(parts) == 3:
            return SubsystemId(trust_domain, *parts).spiffe_id
    except IdentityError:
        pass
    raise NotSaid("govbus-provider is not <class>/<member>/<subsystem>")
