"""Policy tables that change: compiled once in full, then record by record, with the same result table for table.

A builder holds every section encoded. Names are resolved as they come in; a name that is missing, or that is still
needed when it leaves, is refused, and then the builder must not be used any more. Subsystems and methods never leave:
records point at them by number. What is encoded is to be opened before anybody gets it: most values are judged there.
"""

import struct
from collections.abc import Callable
from typing import TypeVar

from native.ecdsa import PublicKey
from native.policy_sections import Lists, Records, Strings
from native.policy_types import Agent, Certificate, Grant, Method, PolicyError, PolicyTables, SigningKey, Subsystem

__all__ = ["TableBuilder"]

_HEADER = 320
_MAGIC = b"GVBPOL03"
_SIZES = (1, 32, 48, 120, 24, 8, 56, 4, 8, 24, 8, 8, 8, 8, 8, 8)
_DIRECTORY = struct.Struct("<QII")
_SUBSYSTEM = struct.Struct("<8I")
_CERTIFICATE = struct.Struct("<32sqI4x")
_KEY = struct.Struct("<32s65s3xIqq")
_METHOD = struct.Struct("<4Iq")
_GRANT = struct.Struct("<8Iqq2I")
_LIMITS = struct.Struct("<2I2Q")
_REFERENCE = struct.Struct("<II")
_WASTE = 1 << 20

T = TypeVar("T")


class TableBuilder:
    """The tables of one policy. Everything raises PolicyError."""

    def __init__(self, tables: PolicyTables, seed: bytes) -> None:
        """`seed`: 16 random bytes that key the indices."""
        self._seed = seed
        self._strings, self._lists = Strings(), Lists()
        self._purposes: dict[str, int] = {}
        self._purpose_refs = bytearray()
        self._limits: dict[tuple[int, int, int, int], int] = {}
        self._limit_records = bytearray()
        self._method_lists: dict[tuple[str, ...], tuple[int, int]] = {}
        self._purpose_lists: dict[tuple[str, ...], tuple[int, int]] = {}
        some = tables
        self._subsystems = self._section(some.subsystems, lambda s: s.id.encode(), self._subsystem, _SUBSYSTEM)
        self._certificates = self._section(some.certificates, lambda c: c.digest, self._certificate, _CERTIFICATE)
        self._keys = self._section(some.keys, lambda k: k.key_id, self._key, _KEY)
        self._methods = self._section(some.methods, lambda m: m.path.encode(), self._method, _METHOD)
        for purpose in sorted({purpose for one in {g.purposes for g in some.grants} for purpose in one}):
            self._purpose(purpose)
        self._grants = self._all_grants(some.grants)
        self._agents = self._section(some.agents, self._pair, self._pair, _REFERENCE)

    @property
    def wasteful(self) -> bool:
        """Whether so much of it is leftovers that a new builder should be made."""
        unused = len(self._limit_records) - _LIMITS.size * len(self._grants)
        return self._strings.waste > max(_WASTE, len(self._strings.blob) // 4) or unused > _WASTE

    def put_subsystem(self, one: Subsystem) -> None:
        """Add, or replace what is said of it; its member stays."""
        self._put(self._subsystems, one.id.encode(), self._subsystem, one)

    def put_certificate(self, one: Certificate) -> None:
        """Add or replace."""
        self._put(self._certificates, one.digest, self._certificate, one)

    def put_key(self, one: SigningKey) -> None:
        """Add or replace."""
        try:
            PublicKey.from_point(one.point)
        except ValueError:
            raise PolicyError("key", f"a key of {one.subsystem} is not on the curve") from None
        self._put(self._keys, one.key_id, self._key, one)

    def put_method(self, one: Method) -> None:
        """Add or replace."""
        self._put(self._methods, one.path.encode(), self._method, one)

    def put_grant(self, one: Grant) -> None:
        """Add or replace."""
        self._put(self._grants, one.grant_id.encode(), self._grant, one)

    def put_agent(self, one: Agent) -> None:
        """Add."""
        self._put(self._agents, self._pair(one), self._pair, one)

    def drop_certificate(self, digest: bytes) -> None:
        """Take out."""
        _drop(self._certificates, digest)

    def drop_key(self, key_id: bytes) -> None:
        """Take out."""
        _drop(self._keys, key_id)

    def drop_grant(self, grant_id: str) -> None:
        """Take out."""
        _drop(self._grants, grant_id.encode())
        self._strings.leave(grant_id)

    def drop_agent(self, one: Agent) -> None:
        """Take out."""
        _drop(self._agents, self._pair(one))

    def encode(self) -> bytes:
        """The tables as they stand, to be opened (native.policy.Policy, PolicyCutter) before anybody gets them."""
        several = (self._subsystems, self._certificates, self._keys, self._methods, self._grants, self._agents)
        records: list[bytearray] = [each.data for each in several]
        records[4:4] = [self._purpose_refs]
        records[6:6] = [self._lists.data]
        records.append(self._limit_records)
        sections = [self._strings.blob, *records, *(each.index for each in several)]
        at = _HEADER
        directory: list[bytes] = []
        body: list[bytes | bytearray] = []
        for data, size in zip(sections, _SIZES, strict=True):
            directory.append(_DIRECTORY.pack(at, len(data) // size, size))
            body += [data, bytes(-len(data) % 64)]
            at += len(data) + -len(data) % 64
        head = _MAGIC + struct.pack("<Q", at) + self._seed + b"".join(directory)
        return b"".join([head.ljust(_HEADER, b"\0"), *body])

    def _section(
        self, several: tuple[T, ...], key: Callable[[T], bytes], encode: Callable[[T], bytes], form: struct.Struct
    ) -> Records:
        keys = [key(one) for one in several]
        try:
            return Records(form.size, self._seed, keys, b"".join(encode(one) for one in several))
        except struct.error as error:
            raise PolicyError("value", str(error)) from None

    def _put(self, section: Records, key: bytes, encode: Callable[[T], bytes], one: T) -> None:
        try:
            section.put(key, encode(one))
        except struct.error as error:
            raise PolicyError("value", str(error)) from None

    def _subsystem(self, s: Subsystem) -> bytes:
        if not s.id.startswith(s.member) or not s.member.endswith("/"):
            raise PolicyError("value", f"{s.member} is not a member prefix of {s.id}")
        id, cluster = self._strings.ref(s.id), self._strings.ref(s.cluster)
        flags = (1 if s.active else 0) | (2 if s.is_broker else 0)
        return _SUBSYSTEM.pack(*id, *cluster, len(s.member), flags, s.calls_per_second, s.burst)

    def _certificate(self, c: Certificate) -> bytes:
        if len(c.digest) != 32:
            raise PolicyError("value", f"a certificate digest of {c.subsystem} has the wrong length")
        return _CERTIFICATE.pack(c.digest, c.not_after_ms, _number(self._subsystems, c.subsystem))

    def _key(self, k: SigningKey) -> bytes:
        if len(k.key_id) != 32 or len(k.point) != 65:
            raise PolicyError("value", f"a key of {k.subsystem} has the wrong length")
        return _KEY.pack(k.key_id, k.point, _number(self._subsystems, k.subsystem), k.not_before_ms, k.not_after_ms)

    def _method(self, m: Method) -> bytes:
        return _METHOD.pack(*self._strings.ref(m.path), m.kind, 1 if m.idempotent else 0, m.max_lifetime_ms)

    def _purpose(self, text: str) -> int:
        number = self._purposes.get(text)
        if number is None:
            number = self._purposes[text] = len(self._purposes)
            self._purpose_refs += _REFERENCE.pack(*self._strings.ref(text))
        return number

    def _pair(self, a: Agent) -> bytes:
        return _REFERENCE.pack(_number(self._subsystems, a.agent), _number(self._subsystems, a.client))

    def _all_grants(self, grants: tuple[Grant, ...]) -> Records:
        ids = [one.grant_id for one in grants]
        refs = iter(self._strings.fresh(ids))
        return self._section(grants, lambda g: g.grant_id.encode(), lambda g: self._encode_grant(g, next(refs)), _GRANT)

    def _grant(self, g: Grant) -> bytes:
        known = self._grants.number(g.grant_id.encode())
        if known is None:
            return self._encode_grant(g, next(iter(self._strings.fresh([g.grant_id]))))
        offset, length = _REFERENCE.unpack_from(self._grants.record(known))
        return self._encode_grant(g, (offset, length))

    def _encode_grant(self, g: Grant, id: tuple[int, int]) -> bytes:
        methods = self._method_lists.get(g.methods)
        if methods is None:
            methods = self._lists.ref(tuple(_number(self._methods, one) for one in g.methods))
            self._method_lists[g.methods] = methods
        purposes = self._purpose_lists.get(g.purposes)
        if purposes is None:
            purposes = self._lists.ref(tuple(self._purpose(one) for one in g.purposes))
            self._purpose_lists[g.purposes] = purposes
        return _GRANT.pack(
            *id,
            _number(self._subsystems, g.client),
            _number(self._subsystems, g.provider),
            *methods,
            *purposes,
            g.not_before_ms,
            g.not_after_ms,
            1 if g.operator_made else 0,
            self._limit(g),
        )

    def _limit(self, g: Grant) -> int:
        limits = g.calls_per_second, g.burst, g.calls_per_day, g.bytes_per_day
        number = self._limits.get(limits)
        if number is None:
            number = self._limits[limits] = len(self._limits)
            self._limit_records += _LIMITS.pack(*limits)
        return number


def _number(section: Records, name: str) -> int:
    number = section.number(name.encode())
    if number is None:
        raise PolicyError("reference", f"{name} is not in the tables")
    return number


def _drop(section: Records, key: bytes) -> None:
    try:
        section.drop(key)
    except KeyError:
        raise PolicyError("reference", "what should leave is not in the tables") from None
