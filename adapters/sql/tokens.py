"""Page tokens: the key of the last row seen, bound to the question that it answers.

    base64url( SHA-256(statement's name, its values, key)[:16]  ||  key as a JSON list ), at most 1,024 characters

A token that was cut, changed, made for another statement or for other values is refused. It is no secret and opens
nothing: whoever makes one up stands somewhere else in rows that the statement gives him anyway, since the caller's
values hold for every page. So there is no key to share, and a token outlives restarts and works at every replica.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from adapters.source import Row, Values
from adapters.sql.statements import Key, PagedStatement, after

__all__ = ["MAX_TOKEN", "TokenRefused", "encode_token", "parse_token"]

MAX_TOKEN: Final = 1_024
_BOUND_BYTES: Final = 16
_BIGINT: Final = 1 << 63


class TokenRefused(ValueError):
    """Not a token of this statement with these values."""


def encode_token(statement: PagedStatement, values: Values, last: Row) -> str:
    """The token behind a page whose last row is `last`; ValueError if its key cannot be one."""
    key = _verify_key(statement, [last[column] for column in statement.start])
    token = _sealed(statement, values, list(key.values()))
    if len(token) > MAX_TOKEN:
        raise ValueError(f"the key of {statement.name} is too long to page by; choose shorter columns")
    return token


def parse_token(statement: PagedStatement, values: Values, token: str) -> Mapping[str, Key]:
    """Where the page begins, as values of the statement; an empty token is the first page's. TokenRefused otherwise."""
    if not token:
        return {after(column): value for column, value in statement.start.items()}
    if len(token) > MAX_TOKEN:
        raise TokenRefused
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found = json.loads(content[_BOUND_BYTES:])
        key = _verify_key(statement, found)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise TokenRefused from error
    # There is one way to write a token: whatever else says the same is not ours.
    if _sealed(statement, values, found) != token:
        raise TokenRefused
    return {after(column): value for column, value in key.items()}


def _sealed(statement: PagedStatement, values: Values, key: list[Key]) -> str:
    asked = json.dumps([statement.name, dict(values), key], sort_keys=True, default=repr).encode()
    content = hashlib.sha256(asked).digest()[:_BOUND_BYTES] + json.dumps(key, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def _verify_key(statement: PagedStatement, found: object) -> dict[str, Key]:
    """Exactly the key columns, each of the type of its start; what PostgreSQL would not even compare is no key."""
    if not isinstance(found, list) or len(found) != len(statement.start):
        raise ValueError("not as many values as there are key columns")
    for value, start in zip(found, statement.start.values(), strict=True):
        if type(value) is not type(start):
            raise ValueError(f"{statement.name} has a key that is NULL or of another type than its start; cast it")
        if isinstance(value, int) and not -_BIGINT <= value < _BIGINT:
            raise ValueError("a whole number beyond 64 bits")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a text with NUL")
        if isinstance(value, str):
            value.encode()  # a lone surrogate is a ValueError, too
    return dict(zip(statement.start, found, strict=True))
