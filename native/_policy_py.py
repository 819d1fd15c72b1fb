"""The readable definition of the policy tables: how they are checked at open, and what a lookup answers.

Twin of native/core/policy*.pxi, used by tests only. The steps of opening are numbered as there; the bytes are
docs/formats.md, "Policy tables". A view answers plain tuples and indices; native.policy gives them names.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from native.policy_types import PolicyError

__all__ = ["PolicyView", "build_index", "siphash"]

HEADER = 320
RECORD_SIZES = (1, 32, 48, 120, 24, 8, 56, 4, 8, 24, 8, 8, 8, 8, 8, 8)
STRINGS, SUBSYSTEMS, CERTIFICATES, KEYS, METHODS, PURPOSES, GRANTS, LISTS, AGENTS, LIMITS = range(10)
INDEX_OF = {SUBSYSTEMS: 10, CERTIFICATES: 11, KEYS: 12, METHODS: 13, GRANTS: 14, AGENTS: 15}
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
MASK64 = (1 << 64) - 1


def _rounds(v: list[int], count: int) -> None:
    def rotl(x: int, n: int) -> int:
        return ((x << n) | (x >> (64 - n))) & MASK64

    v0, v1, v2, v3 = v
    for _ in range(count):
        v0 = (v0 + v1) & MASK64
        v1 = rotl(v1, 13) ^ v0
        v0 = rotl(v0, 32)
        v2 = (v2 + v3) & MASK64
        v3 = rotl(v3, 16) ^ v2
        v0 = (v0 + v3) & MASK64
        v3 = rotl(v3, 21) ^ v0
        v2 = (v2 + v1) & MASK64
        v1 = rotl(v1, 17) ^ v2
        v2 = rotl(v2, 32)
    v[:] = v0, v1, v2, v3


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4 with a 64-bit result."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, 4)
    return int(v[0] ^ v[1] ^ v[2] ^ v[3])


def slots_for(records: int) -> int:
    """Slots of an index: the smallest power of two that is at least 2 and at least twice the records."""
    return max(2, 1 << (2 * records - 1).bit_length()) if records else 2


def build_index(seed: bytes, keys: list[bytes]) -> bytes:
    """The index over records with these keys, in record order. PolicyError("index") on a key that stands twice."""
    if len(set(keys)) != len(keys):
        raise PolicyError("index", "a name stands twice")
    slots = [(0, 0)] * slots_for(len(keys))
    for record, key in enumerate(keys):
        hashed = siphash(seed, key)
        at = hashed % len(slots)
        while slots[at][1]:
            at = (at + 1) % len(slots)
        slots[at] = (hashed >> 32, record + 1)
    return b"".join(struct.pack("<II", *slot) for slot in slots)


@dataclass(frozen=True, slots=True)
class Section:
    offset: int
    count: int


class PolicyView:
    """Opened tables. Raises PolicyError at construction unless every byte is in order."""

    def __init__(self, tables: bytes) -> None:
        self._b = tables
        self._sections = self._layout()
        self._seed = tables[16:32]
        self._strings = tables[self._sections[STRINGS].offset :][: self._sections[STRINGS].count]
        self._check_records()
        for section in INDEX_OF:
            self._check_index(section)
        for i in range(self._sections[KEYS].count):
            try:
                EllipticCurvePublicKey.from_encoded_point(SECP256R1(), self._record(KEYS, i)[32:97])
            except ValueError:
                raise PolicyError("key") from None  # (5)

    def _layout(self) -> list[Section]:
        b = self._b
        if len(b) < HEADER:  # (1)
            raise PolicyError("truncated")
        if b[:8] != b"GVBPOL03":
            raise PolicyError("magic")
        if struct.unpack_from("<Q", b, 8)[0] != len(b):
            raise PolicyError("truncated")
        at, sections = HEADER, []  # (2)
        for i, size in enumerate(RECORD_SIZES):
            offset, count, record_size = struct.unpack_from("<QII", b, 32 + 16 * i)
            end = at + count * size
            after = -(-end // 64) * 64
            if offset != at or record_size != size or after > len(b) or any(b[end:after]):
                raise PolicyError("layout")
            sections.append(Section(at, count))
            at = after
        if at != len(b) or any(b[32 + 16 * len(RECORD_SIZES) : HEADER]):
            raise PolicyError("layout")
        for section, index in INDEX_OF.items():
            if sections[section].count > 1 << 30 or sections[index].count != slots_for(sections[section].count):
                raise PolicyError("layout")
        return sections

    def _record(self, section: int, i: int) -> bytes:
        size = RECORD_SIZES[section]
        if not 0 <= i < self._sections[section].count:
            raise IndexError(i)
        start = self._sections[section].offset + i * size
        return self._b[start : start + size]

    def records(self, section: int) -> list[bytes]:
        """All of a section's, in order."""
        return [self._record(section, i) for i in range(self._sections[section].count)]

    def _u32(self, section: int, i: int, at: int) -> int:
        return int(struct.unpack_from("<I", self._record(section, i), at)[0])

    def _string(self, record: bytes, at: int = 0) -> str:
        offset, length = struct.unpack_from("<II", record, at)
        return self._strings[offset : offset + length].decode("ascii")

    # (3) ------------------------------------------------------------------------------------------------------------

    def _check_string(self, record: bytes, at: int, shortest: int, longest: int) -> None:
        offset, length = struct.unpack_from("<II", record, at)
        if not shortest <= length <= longest:
            raise PolicyError("value")
        if offset + length > len(self._strings):
            raise PolicyError("reference")

    def _check_reference(self, index: int, section: int) -> None:
        if index >= self._sections[section].count:
            raise PolicyError("reference")

    def _check_list(self, first: int, count: int, section: int) -> None:
        if count == 0:
            raise PolicyError("value")
        if first + count > self._sections[LISTS].count:
            raise PolicyError("reference")
        for i in range(first, first + count):
            self._check_reference(self._u32(LISTS, i, 0), section)

    def _check_records(self) -> None:
        if any(not 0x21 <= c <= 0x7E for c in self._strings):
            raise PolicyError("value")
        checks = {
            SUBSYSTEMS: self._check_subsystem,
            CERTIFICATES: self._check_certificate,
            KEYS: self._check_key,
            METHODS: self._check_method,
            PURPOSES: lambda record: self._check_string(record, 0, 1, 64),
            GRANTS: self._check_grant,
            AGENTS: self._check_agent,
        }
        for section, check in checks.items():
            for i in range(self._sections[section].count):
                check(self._record(section, i))

    def _check_subsystem(self, record: bytes) -> None:
        self._check_string(record, 0, 1, 200)
        self._check_string(record, 8, 0, 255)
        member, flags = struct.unpack_from("<II", record, 16)
        if not self._string(record)[:member].endswith("/") or member > len(self._string(record)) or flags > 3:
            raise PolicyError("value")

    def _check_certificate(self, record: bytes) -> None:
        subsystem, reserved = struct.unpack_from("<II", record, 40)
        self._check_reference(subsystem, SUBSYSTEMS)
        if reserved:
            raise PolicyError("value")

    def _check_key(self, record: bytes) -> None:
        if any(record[97:100]):
            raise PolicyError("value")
        self._check_reference(struct.unpack_from("<I", record, 100)[0], SUBSYSTEMS)
        if sha256(SPKI_HEAD + record[32:97]).digest() != record[:32]:
            raise PolicyError("key")

    def _check_method(self, record: bytes) -> None:
        self._check_string(record, 0, 4, 200)
        kind, flags, lifetime = struct.unpack_from("<IIq", record, 8)
        if not 1 <= kind <= 3 or flags > 1 or lifetime <= 0:
            raise PolicyError("value")

    def _check_grant(self, record: bytes) -> None:
        self._check_string(record, 0, 1, 64)
        client, provider, methods, methods_n, purposes, purposes_n = struct.unpack_from("<6I", record, 8)
        self._check_reference(client, SUBSYSTEMS)
        self._check_reference(provider, SUBSYSTEMS)
        self._check_list(methods, methods_n, METHODS)
        self._check_list(purposes, purposes_n, PURPOSES)
        flags, limits = struct.unpack_from("<2I", record, 48)
        self._check_reference(limits, LIMITS)
        if flags > 1:
            raise PolicyError("value")

    def _check_agent(self, record: bytes) -> None:
        agent, client = struct.unpack("<II", record)
        self._check_reference(agent, SUBSYSTEMS)
        self._check_reference(client, SUBSYSTEMS)
        if self.subsystem(agent)[1] != self.subsystem(client)[1]:
            raise PolicyError("value")

    # (4) ------------------------------------------------------------------------------------------------------------

    def _key_of(self, section: int, i: int) -> bytes:
        record = self._record(section, i)
        if section in (CERTIFICATES, KEYS):
            return record[:32]
        return record if section == AGENTS else self._string(record).encode()

    def _check_index(self, section: int) -> None:
        index, records = INDEX_OF[section], self._sections[section].count
        slots = [struct.unpack("<II", self._record(index, i)) for i in range(self._sections[index].count)]
        if any(found > records or (found == 0 and tag != 0) for tag, found in slots):
            raise PolicyError("index")
        if sum(found != 0 for _, found in slots) != records:
            raise PolicyError("index")
        if any(self._find(section, self._key_of(section, i)) != i for i in range(records)):
            raise PolicyError("index")

    def _find(self, section: int, key: bytes) -> int | None:
        index = INDEX_OF[section]
        slots = self._sections[index].count
        hashed = siphash(self._seed, key)
        at = hashed % slots
        while True:
            tag, found = struct.unpack("<II", self._record(index, at))
            if found == 0:
                return None
            if tag == hashed >> 32 and self._key_of(section, found - 1) == key:
                return int(found - 1)
            at = (at + 1) % slots

    # Lookups --------------------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int, int, int]:
        """Records: subsystems, certificates, keys, methods, grants, agents."""
        return tuple(self._sections[s].count for s in INDEX_OF)  # type: ignore[return-value]  # six of them, by INDEX_OF

    def certificate(self, digest: bytes) -> tuple[int, int] | None:
        """(subsystem, not-after) of the live certificate with this SHA-256."""
        found = self._find(CERTIFICATES, _digest(digest))
        if found is None:
            return None
        not_after, subsystem = struct.unpack_from("<qI", self._record(CERTIFICATES, found), 32)
        return subsystem, not_after

    def find_subsystem(self, id: str) -> int | None:
        return self._find(SUBSYSTEMS, id.encode())

    def subsystem(self, index: int) -> tuple[str, str, str, bool, bool, int, int]:
        """(id, member prefix, cluster, active, is broker, calls per second, burst)."""
        record = self._record(SUBSYSTEMS, index)
        member, flags, rate, burst = struct.unpack_from("<4I", record, 16)
        id = self._string(record)
        return id, id[:member], self._string(record, 8), bool(flags & 1), bool(flags & 2), rate, burst

    def key(self, key_id: bytes) -> tuple[int, int, int, int, bytes] | None:
        """(index, subsystem, not-before, not-after, point)."""
        found = self._find(KEYS, _digest(key_id))
        if found is None:
            return None
        record = self._record(KEYS, found)
        return found, *struct.unpack_from("<Iqq", record, 100), record[32:97]

    def find_method(self, path: str) -> int | None:
        return self._find(METHODS, path.encode())

    def method(self, index: int) -> tuple[str, int, bool, int]:
        """(path, kind, idempotent, maximal lifetime)."""
        record = self._record(METHODS, index)
        kind, flags, lifetime = struct.unpack_from("<IIq", record, 8)
        return self._string(record), kind, bool(flags), lifetime

    def find_grant(self, grant_id: str) -> int | None:
        return self._find(GRANTS, grant_id.encode())

    def grant(self, index: int) -> tuple[str, int, int, list[int], list[str], int, int, bool, int, int, int, int]:
        """(id, client, provider, methods, purposes, not-before, not-after, operator made, four limits)."""
        record = self._record(GRANTS, index)
        client, provider, methods, methods_n, purposes, purposes_n = struct.unpack_from("<6I", record, 8)
        not_before, not_after, flags, limits = struct.unpack_from("<qq2I", record, 32)
        rate, burst, calls, size = struct.unpack("<2I2Q", self._record(LIMITS, limits))
        method_list = [self._u32(LISTS, methods + i, 0) for i in range(methods_n)]
        purpose_list = [
            self._string(self._record(PURPOSES, self._u32(LISTS, purposes + i, 0))) for i in range(purposes_n)
        ]
        return (
            self._string(record), client, provider, method_list, purpose_list,
            not_before, not_after, bool(flags), rate, burst, calls, size,
        )  # fmt: skip

    def permits(
        self, grant_id: str, client: int | None, provider: int | None, method: int | None, purpose: str, now_ms: int
    ) -> int | None:
        """Check 8: index of the named grant if it permits exactly this, else None."""
        found = self._find(GRANTS, grant_id.encode())
        if found is None or None in (client, provider, method):
            return None
        _, its_client, its_provider, methods, purposes, not_before, not_after, *_ = self.grant(found)
        permitted = (its_client, its_provider) == (client, provider) and not_before <= now_ms <= not_after
        return found if permitted and method in methods and purpose in purposes else None

    def agent(self, agent: int | None, client: int | None) -> bool:
        """Check 3: True iff agent is listed for client."""
        if agent is None or client is None:
            return False
        return self._find(AGENTS, struct.pack("<II", agent, client)) is not None


def _digest(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError("a digest has 32 bytes")
    return value
