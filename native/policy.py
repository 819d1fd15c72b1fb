"""Policy tables: compiled from names into one block of bytes, opened by the gate and by Python alike.

`build_tables` turns PolicyTables into bytes; `Policy` answers from such bytes through the compiled lookups, those that
run in the gate. Names are resolved once, here; a name that is missing or stands twice is refused. What the bytes mean:
docs/formats.md, "Policy tables"; the readable definition of the lookups is native._policy_py.
"""

import secrets
import struct
from collections.abc import Iterator, Sequence

from native._fast import PolicyView, build_index
from native.policy_types import (
    Agent,
    Certificate,
    Grant,
    Method,
    MethodKind,
    PolicyError,
    PolicyTables,
    SigningKey,
    Subsystem,
)

__all__ = [
    "Agent",
    "Certificate",
    "Grant",
    "Method",
    "MethodKind",
    "Policy",
    "PolicyError",
    "PolicyTables",
    "SigningKey",
    "Subsystem",
    "build_tables",
]

_SECTIONS = 15
_HEADER = 320
_SUBSYSTEM_END = struct.Struct("<4I")
_CERTIFICATE = struct.Struct("<32sqI4x")
_CERTIFICATES_AT = 32 + 2 * 16


class _Strings:
    """The string section while it is being written; equal strings are written once."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._known: dict[str, bytes] = {}

    def ref(self, text: str) -> bytes:
        known = self._known.get(text)
        if known is None:
            if not text.isascii():
                raise PolicyError("value", "a name is not ASCII")
            known = struct.pack("<II", len(self._blob), len(text))
            self._blob += text.encode("ascii")
            self._known[text] = known
        return known

    def done(self) -> bytes:
        return bytes(self._blob)


class _Lists:
    """The list section while it is being written; equal lists are written once."""

    def __init__(self) -> None:
        self._entries: list[int] = []
        self._known: dict[tuple[int, ...], tuple[int, int]] = {}

    def ref(self, entries: tuple[int, ...]) -> tuple[int, int]:
        known = self._known.get(entries)
        if known is None:
            known = len(self._entries), len(entries)
            self._entries += entries
            self._known[entries] = known
        return known

    def done(self) -> bytes:
        return struct.pack(f"<{len(self._entries)}I", *self._entries)


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def _resolve(numbers: dict[str, int], name: str) -> int:
    try:
        return numbers[name]
    except KeyError:
        raise PolicyError("reference", f"{name} is not in the tables") from None


def _subsystems(tables: PolicyTables, strings: _Strings) -> bytes:
    out = []
    for s in tables.subsystems:
        if not s.id.startswith(s.member) or not s.member.endswith("/"):
            raise PolicyError("value", f"{s.member} is not a member prefix of {s.id}")
        flags = (1 if s.active else 0) | (2 if s.is_broker else 0)
        out.append(
            strings.ref(s.id)
            + strings.ref(s.cluster)
            + _SUBSYSTEM_END.pack(len(s.member), flags, s.calls_per_second, s.burst)
        )
    return b"".join(out)


def _keys(tables: PolicyTables, numbers: dict[str, int]) -> bytes:
    pack = struct.Struct("<32s65s3xIqq").pack
    for key in tables.keys:
        if len(key.key_id) != 32 or len(key.point) != 65:
            raise PolicyError("value", f"a key of {key.subsystem} has the wrong length")
    return b"".join(
        pack(k.key_id, k.point, _resolve(numbers, k.subsystem), k.not_before_ms, k.not_after_ms) for k in tables.keys
    )


def _certificates(tables: PolicyTables, numbers: dict[str, int]) -> bytes:
    pack = _CERTIFICATE.pack
    for certificate in tables.certificates:
        if len(certificate.digest) != 32:
            raise PolicyError("value", f"a certificate digest of {certificate.subsystem} has the wrong length")
    return b"".join(pack(c.digest, c.not_after_ms, _resolve(numbers, c.subsystem)) for c in tables.certificates)


def _grants(
    tables: PolicyTables, strings: _Strings, lists: _Lists, subsystems: dict[str, int], purposes: dict[str, int]
) -> bytes:
    methods = _numbers([m.path for m in tables.methods])
    pack = struct.Struct("<6Iqq3I4xQQ").pack
    out = []
    for g in tables.grants:
        out.append(strings.ref(g.grant_id))
        out.append(
            pack(
                _resolve(subsystems, g.client),
                _resolve(subsystems, g.provider),
                *lists.ref(tuple(_resolve(methods, m) for m in g.methods)),
                *lists.ref(tuple(purposes[p] for p in g.purposes)),
                g.not_before_ms,
                g.not_after_ms,
                1 if g.operator_made else 0,
                g.calls_per_second,
                g.burst,
                g.calls_per_day,
                g.bytes_per_day,
            )
        )
    return b"".join(out)


def build_tables(tables: PolicyTables, *, seed: bytes | None = None) -> bytes:
    """Compiles the tables. Raises PolicyError. `seed` (16 random bytes) keys the indices and is drawn when not given;
    the same tables and seed give the same bytes."""
    seed = secrets.token_bytes(16) if seed is None else seed
    strings, lists = _Strings(), _Lists()
    subsystems = _numbers([s.id for s in tables.subsystems])
    purposes = _numbers(sorted({p for g in tables.grants for p in g.purposes}))
    try:
        records = [
            _subsystems(tables, strings),
            _certificates(tables, subsystems),
            _keys(tables, subsystems),
            b"".join(
                strings.ref(m.path) + struct.pack("<IIq", m.kind, 1 if m.idempotent else 0, m.max_lifetime_ms)
                for m in tables.methods
            ),
            b"".join(strings.ref(p) for p in purposes),
            _grants(tables, strings, lists, subsystems, purposes),
        ]
    except struct.error as error:
        raise PolicyError("value", str(error)) from None
    pairs = [struct.pack("<II", _resolve(subsystems, a.agent), _resolve(subsystems, a.client)) for a in tables.agents]
    indices = [
        build_index(seed, keys)
        for keys in (
            [s.id.encode() for s in tables.subsystems],
            [c.digest for c in tables.certificates],
            [k.key_id for k in tables.keys],
            [m.path.encode() for m in tables.methods],
            [g.grant_id.encode() for g in tables.grants],
            pairs,
        )
    ]
    built = _lay_out(seed, [strings.done(), *records, lists.done(), b"".join(pairs), *indices])
    PolicyView(built)  # nobody is handed tables that a gate would refuse
    return built


def _lay_out(seed: bytes, sections: list[bytes]) -> bytes:
    sizes = (1, 32, 48, 120, 24, 8, 80, 4, 8, 8, 8, 8, 8, 8, 8)
    at, directory, body = _HEADER, [], []
    for data, size in zip(sections, sizes, strict=True):
        directory.append(struct.pack("<QII", at, len(data) // size, size))
        padded = data + bytes(-len(data) % 64)
        body.append(padded)
        at += len(padded)
    head = b"GVBPOL02" + struct.pack("<Q", at) + seed + b"".join(directory)
    return head.ljust(_HEADER, b"\0") + b"".join(body)


class Policy:
    """Opened tables, answering in indices and values. Raises PolicyError when they are not in order."""

    def __init__(self, tables: bytes) -> None:
        self._view = PolicyView(tables)
        self._tables = tables
        self.counts = self._view.counts
        self.certificate = self._view.certificate
        self.find_subsystem = self._view.find_subsystem
        self.find_method = self._view.find_method
        self.find_grant = self._view.find_grant
        self.permits = self._view.permits
        self.agent = self._view.agent

    def subsystem(self, index: int) -> Subsystem:
        id, member, cluster, active, is_broker, *limits = self._view.subsystem(index)
        return Subsystem(id, member, active, is_broker, cluster, *limits)

    def certificates(self) -> Iterator[Certificate]:
        """Every live certificate, for telling others of them; `certificate` is the question that calls ask."""
        at, count, size = struct.unpack_from("<QII", self._tables, _CERTIFICATES_AT)
        for digest, not_after, subsystem in _CERTIFICATE.iter_unpack(self._tables[at : at + count * size]):
            yield Certificate(digest, self._view.subsystem(subsystem)[0], not_after)

    def key(self, key_id: bytes) -> SigningKey | None:
        """The signing key with this id, whoever's and whether valid now or not: the caller judges both."""
        found = self._view.key(key_id)
        if found is None:
            return None
        _, subsystem, not_before, not_after, point = found
        return SigningKey(key_id, point, self._view.subsystem(subsystem)[0], not_before, not_after)

    def method(self, index: int) -> Method:
        path, kind, idempotent, lifetime = self._view.method(index)
        return Method(path, MethodKind(kind), lifetime, idempotent)

    def grant(self, index: int) -> Grant:
        id, client, provider, methods, purposes, not_before, not_after, operator, *limits = self._view.grant(index)
        return Grant(
            id,
            self._view.subsystem(client)[0],
            self._view.subsystem(provider)[0],
            tuple(self._view.method(m)[0] for m in methods),
            tuple(purposes),
            not_before,
            not_after,
            operator,
            *limits,
        )
