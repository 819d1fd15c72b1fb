"""Policy tables: compiled from names into one block of bytes, opened by the gate and by Python alike.

`build_tables` turns PolicyTables into bytes; `Policy` answers from such bytes through the compiled lookups, those that
run in the gate. Names are resolved once, here; a name that is missing or stands twice is refused. What the bytes mean:
docs/formats.md, "Policy tables"; the readable definition of the lookups is native._policy_py.
"""

import secrets
import struct

from native._fast import PolicyCutter, PolicyView
from native.policy_builder import TableBuilder
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
    "PolicyCutter",
    "PolicyError",
    "PolicyTables",
    "SigningKey",
    "Subsystem",
    "build_tables",
    "live_certificates",
]


_DIRECTORY_AT, _DIRECTORY_SIZE = 32, 16


def build_tables(tables: PolicyTables, *, seed: bytes | None = None) -> bytes:
    """Compiles the tables. Raises PolicyError. `seed` (16 random bytes) keys the indices and is drawn when not given;
    the same tables and seed give the same bytes. For a policy that changes see native.policy_builder."""
    built = TableBuilder(tables, secrets.token_bytes(16) if seed is None else seed).encode()
    PolicyView(built)  # nobody is handed tables that a gate would refuse
    return built


def live_certificates(tables: bytes) -> list[tuple[bytes, str]]:
    """(SHA-256 of the DER, whose) of every certificate in tables that somebody signed, and so opened before.

    Little is judged: PolicyError("layout") for what cannot be read, nonsense for other tables that are not in order.
    """
    try:
        (strings, _), (subsystems, _), (certificates, count) = (
            struct.unpack_from("<QI", tables, _DIRECTORY_AT + _DIRECTORY_SIZE * section) for section in range(3)
        )
        found = []
        for digest, owner in struct.iter_unpack("<32s8xI4x", tables[certificates : certificates + 48 * count]):
            at, length = struct.unpack_from("<II", tables, subsystems + 32 * owner)
            found.append((digest, tables[strings + at : strings + at + length].decode("ascii", "replace")))
    except struct.error:
        raise PolicyError("layout") from None
    return found


class Policy:
    """Opened tables, answering in indices and values. Raises PolicyError when they are not in order."""

    def __init__(self, tables: bytes) -> None:
        self._view = PolicyView(tables)
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
