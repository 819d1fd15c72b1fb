"""The readable twin of native/core/policy_cut*.pxi, over names instead of bytes. Never used in production.

`read_tables` turns compiled tables back into names, so that what is cut, or was changed step by step, can be compared.
"""

import struct
from dataclasses import replace

from native import _policy_py as twin
from native.policy_types import (
    Agent,
    Certificate,
    Grant,
    Method,
    MethodKind,
    PolicyTables,
    SigningKey,
    Subsystem,
)

__all__ = ["cut", "read_tables"]


def cut(tables: PolicyTables, reader: str) -> PolicyTables:
    """What the subsystem `reader` needs to call and to serve, and nobody else's business.

    In the order of the whole, but certificates and keys by their subsystem.
    """
    grants = tuple(one for one in tables.grants if reader in (one.client, one.provider))  # (2)
    agents = tuple(one for one in tables.agents if reader in (one.agent, one.client))
    connecting = {
        reader,
        *(one.id for one in tables.subsystems if one.is_broker),
        *(one.agent for one in agents),
    }  # (1)
    ends = {end for one in grants for end in (one.client, one.provider)}
    known = {*connecting, *ends, *(one.client for one in agents)}  # (3)
    methods = {path for one in grants for path in one.methods}
    subsystems = tuple(one for one in tables.subsystems if one.id in known)
    return replace(
        tables,
        subsystems=subsystems,
        certificates=tuple(
            one for s in subsystems for one in tables.certificates if one.subsystem == s.id and s.id in connecting
        ),
        keys=tuple(one for s in subsystems for one in tables.keys if one.subsystem == s.id),
        methods=tuple(one for one in tables.methods if one.path in methods),
        grants=grants,
        agents=agents,
    )


def read_tables(tables: bytes) -> PolicyTables:
    """What was compiled; every record in its place. PolicyError as for any reader."""
    view = twin.PolicyView(tables)
    sections = {section: view.records(section) for section in twin.INDEX_OF}
    ids = [view.subsystem(number)[0] for number in range(len(sections[twin.SUBSYSTEMS]))]
    paths = [view.method(number)[0] for number in range(len(sections[twin.METHODS]))]
    subsystems = (view.subsystem(number) for number in range(len(ids)))
    methods = (view.method(number) for number in range(len(paths)))
    grants = (view.grant(number) for number in range(len(sections[twin.GRANTS])))
    return PolicyTables(
        subsystems=tuple(
            Subsystem(id, member, on, broker, to, *rest) for id, member, to, on, broker, *rest in subsystems
        ),
        certificates=tuple(
            Certificate(digest, ids[owner], ends)
            for digest, ends, owner in (struct.unpack("<32sqI4x", one) for one in sections[twin.CERTIFICATES])
        ),
        keys=tuple(
            SigningKey(key_id, point, ids[owner], begins, ends)
            for key_id, point, owner, begins, ends in (
                struct.unpack("<32s65s3xIqq", one) for one in sections[twin.KEYS]
            )
        ),
        methods=tuple(Method(path, MethodKind(kind), longest, same) for path, kind, same, longest in methods),
        grants=tuple(
            Grant(
                id,
                ids[client],
                ids[provider],
                tuple(paths[one] for one in asked),
                tuple(purposes),
                begins,
                ends,
                made,
                *rest,
            )
            for id, client, provider, asked, purposes, begins, ends, made, *rest in grants
        ),
        agents=tuple(
            Agent(ids[agent], ids[client])
            for agent, client in (struct.unpack("<II", one) for one in sections[twin.AGENTS])
        ),
    )
