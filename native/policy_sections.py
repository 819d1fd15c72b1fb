"""Parts of policy tables while they are being written: strings, lists, and records with the index that finds them.

What stands in them already stays encoded; a change costs the change. The bytes are docs/formats.md, "Policy tables".
A record that leaves is replaced by the last one, so records have no order that means anything.
"""

import struct
from collections.abc import Iterable, Sequence

from native._fast import build_index, siphash
from native.policy_types import PolicyError

__all__ = ["Lists", "Records", "Strings"]

_SLOT = struct.Struct("<II")
_SLOT_SIZE = 8


class Strings:
    """The string section; equal strings are written once. Bytes of strings that nobody uses any more stay: `waste`."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.waste = 0
        self._known: dict[str, tuple[int, int]] = {}

    def ref(self, text: str) -> tuple[int, int]:
        """(offset, length)."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = len(self.blob), len(text)
            self.blob += _ascii(text)
        return known

    def fresh(self, texts: Sequence[str]) -> Iterable[tuple[int, int]]:
        """As `ref` for many that are used once, and that are rarely asked for again."""
        at = len(self.blob)
        self.blob += _ascii("".join(texts))
        for text in texts:
            yield at, len(text)
            at += len(text)

    def leave(self, text: str) -> None:
        """A string that was used by one record alone is used no more."""
        self._known.pop(text, None)
        self.waste += len(text)


class Lists:
    """The list section; equal lists are written once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._known: dict[tuple[int, ...], tuple[int, int]] = {}

    def ref(self, entries: tuple[int, ...]) -> tuple[int, int]:
        """(first, count)."""
        known = self._known.get(entries)
        if known is None:
            known = self._known[entries] = len(self.data) // 4, len(entries)
            self.data += struct.pack(f"<{len(entries)}I", *entries)
        return known


class Records:
    """One section of records of `size` bytes, the keys that find them, and the index over those."""

    def __init__(self, size: int, seed: bytes, keys: list[bytes], records: bytes) -> None:
        """PolicyError("index") for a key that stands twice."""
        self.size, self._seed = size, seed
        self.data = bytearray(records)
        self._keys = keys
        self._numbers = {key: number for number, key in enumerate(keys)}
        self.index = bytearray(build_index(seed, keys))

    def __len__(self) -> int:
        return len(self._keys)

    def number(self, key: bytes) -> int | None:
        """Where the record with this key stands."""
        return self._numbers.get(key)

    def record(self, number: int) -> bytes:
        """Its bytes."""
        return bytes(self.data[number * self.size : (number + 1) * self.size])

    def put(self, key: bytes, record: bytes) -> int:
        """Add or replace; its number."""
        number = self._numbers.get(key)
        if number is not None:
            self.data[number * self.size : (number + 1) * self.size] = record
            return number
        number = self._numbers[key] = len(self._keys)
        self._keys.append(key)
        self.data += record
        if len(self.index) == _SLOT_SIZE * _slots(len(self._keys)):
            self._enter(number)
        else:
            self.index = bytearray(build_index(self._seed, self._keys))
        return number

    def drop(self, key: bytes) -> bytes:
        """Take out, and give back its bytes; KeyError if it is not there."""
        number, last = self._numbers.pop(key), len(self._keys) - 1
        dropped = self.record(number)
        shrinking = len(self.index) != _SLOT_SIZE * _slots(last)
        if not shrinking:
            self._leave(number)
            if number != last:
                _SLOT.pack_into(self.index, self._slot(last), self._hash(last) >> 32, number + 1)
        if number != last:
            moved = self._keys[number] = self._keys[last]
            self._numbers[moved] = number
            self.data[number * self.size : (number + 1) * self.size] = self.data[-self.size :]
        self._keys.pop()
        del self.data[-self.size :]
        if shrinking:
            self.index = bytearray(build_index(self._seed, self._keys))
        return dropped

    def _enter(self, number: int) -> None:
        hashed, mask = self._hash(number), len(self.index) // _SLOT_SIZE - 1
        at = hashed & mask
        while self._occupant(at):
            at = (at + 1) & mask
        _SLOT.pack_into(self.index, at * _SLOT_SIZE, hashed >> 32, number + 1)

    def _leave(self, number: int) -> None:
        """Empties the slot and closes the gap, so that every search still ends at the right one."""
        mask = len(self.index) // _SLOT_SIZE - 1
        hole = self._slot(number) // _SLOT_SIZE
        at = (hole + 1) & mask
        while occupant := self._occupant(at):
            home = self._hash(occupant - 1) & mask
            if (at - home) & mask >= (at - hole) & mask:
                slot = self.index[at * _SLOT_SIZE : (at + 1) * _SLOT_SIZE]
                self.index[hole * _SLOT_SIZE : (hole + 1) * _SLOT_SIZE] = slot
                hole = at
            at = (at + 1) & mask
        self.index[hole * _SLOT_SIZE : (hole + 1) * _SLOT_SIZE] = bytes(_SLOT_SIZE)

    def _slot(self, number: int) -> int:
        """Offset of the slot that names this record."""
        mask = len(self.index) // _SLOT_SIZE - 1
        at = self._hash(number) & mask
        while self._occupant(at) != number + 1:
            at = (at + 1) & mask
        return at * _SLOT_SIZE

    def _hash(self, number: int) -> int:
        return siphash(self._seed, self._keys[number])

    def _occupant(self, at: int) -> int:
        """Record + 1 in the slot, 0 when it is empty."""
        found: int = _SLOT.unpack_from(self.index, at * _SLOT_SIZE)[1]
        return found


def _slots(records: int) -> int:
    """Slots of an index: the smallest power of two that is at least 2 and at least twice the records."""
    return max(2, 1 << (2 * records - 1).bit_length()) if records else 2


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise PolicyError("value", "a name is not ASCII") from None
