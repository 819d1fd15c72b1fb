"""One event of the registry's log: what changed, when, who did it and why, chained to all that came before.

    hash = SHA-256(PAE("govbus/registry-event/v1", previous hash || position || time || n || operator || n || reason ||
                       n || kind || n || payload))

Position and time are unsigned 64-bit, each n is the unsigned 32-bit length in bytes of what follows; all big-endian.
The text is UTF-8 as it is stored. Positions are 1, 2, 3 and so on; time never runs backwards along them but to a
ClockSetBack, which says why.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from bus.registry.change import Change
from bus.registry.clock import ClockSetBack
from bus.registry.codec import PayloadError, decode_change, encode_change
from bus.registry.state import EMPTY_HASH
from native.digest import pae

__all__ = ["EVENT_TYPE", "Event", "LogBroken", "StoredEvent", "event_hash", "parse_events", "store_event"]

EVENT_TYPE: Final = "govbus/registry-event/v1"


class LogBroken(Exception):
    """The stored log is not what was written. `position` is the first event that does not fit."""

    def __init__(self, position: int, text: str) -> None:
        super().__init__(
            f"the registry's log is broken at position {position}: {text}; stop, and restore the database from a backup"
        )
        self.position = position


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the database keeps it."""

    position: int
    time_ms: int
    operator: str
    reason: str
    kind: str
    payload: str
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """An event whose place in the chain was checked."""

    position: int
    time_ms: int
    operator: str
    reason: str
    change: Change
    hash: bytes


def event_hash(event: StoredEvent) -> bytes:
    """What the chain says about `event`; its own `hash` is not looked at."""
    body = [event.previous, struct.pack(">QQ", event.position, event.time_ms)]
    for text in (event.operator, event.reason, event.kind, event.payload):
        data = text.encode()
        body += [struct.pack(">I", len(data)), data]
    return sha256(pae(EVENT_TYPE, b"".join(body))).digest()


def store_event(event: Event, previous: bytes) -> StoredEvent:
    """The form in which an event is kept. `event.hash` is not looked at: it is what this makes."""
    payload = encode_change(event.change)
    draft = StoredEvent(
        event.position, event.time_ms, event.operator, event.reason, event.change.kind, payload, previous, EMPTY_HASH
    )
    return replace(draft, hash=event_hash(draft))


def parse_events(stored: Iterable[StoredEvent], *, position: int, head: bytes, time_ms: int) -> Iterator[Event]:
    """Events that follow `position`, whose hash is `head`; LogBroken at the first that does not follow."""
    for one in stored:
        position += 1
        if one.position != position:
            raise LogBroken(position, f"position {one.position} stands in its place")
        if one.previous != head or event_hash(one) != one.hash:
            raise LogBroken(position, "its hash does not fit")
        if one.time_ms < time_ms and one.kind != ClockSetBack.kind:
            raise LogBroken(position, "it is older than the event before it")
        try:
            change = decode_change(one.kind, one.payload)
        except PayloadError as error:
            raise LogBroken(position, str(error)) from error
        head, time_ms = one.hash, one.time_ms
        yield Event(one.position, one.time_ms, one.operator, one.reason, change, one.hash)
