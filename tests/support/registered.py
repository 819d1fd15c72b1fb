"""An instance made as files, taken over by a registry: what its policy says becomes the founding events."""

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bus.edge.instance import Instance
from bus.edge.policy_methods import methods_of
from bus.engines.postgres_database import Database
from bus.registry.change import Change
from bus.registry.fold import Act
from bus.registry.grants import GrantMade
from bus.registry.keys import CertificateAdded, SigningKeyAdded
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.registry import Registry
from bus.registry.services import ServiceOffered, ServiceRegistered, service_of
from bus.registry.store import EventStore
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from native.policy_types import Grant, Method
from pki.identity import parse_spiffe_id
from pki.keys import signing_key_id

__all__ = ["ACT", "found_registry", "now_ms", "tls_certificate"]

ACT = Act("ops:test", "set up for a test")


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def found_registry(instance: Instance, database: Database) -> tuple[Registry, EventStore]:
    """A registry that says what the instance's policy.yaml says."""
    store = EventStore(database)
    registry = Registry(store, now_ms)
    changes, files = founding_changes(instance)
    registry.record(changes, ACT, files)
    return registry, store


def founding_changes(instance: Instance) -> tuple[list[Change], Mapping[bytes, bytes]]:
    """All of the instance's policy as changes, and the contract image that they name."""
    document, image = instance.policy(), (instance.state / "contracts.binpb").read_bytes()
    tables = document.tables
    paths = {one.id: parse_spiffe_id(one.id).path for one in tables.subsystems}
    changes: list[Change] = [InstanceFounded(instance.trust_domain)]
    for member in sorted({path.rpartition("/")[0] for path in paths.values()}):
        member_class, _, code = member.partition("/")
        changes.append(MemberAdded(member_class, code, f"Cơ quan {code}", f"Office {code}"))
    for one in tables.subsystems:
        path = paths[one.id]
        changes.append(SubsystemAdded(path, one.is_broker))
        if one.id in document.endpoints:
            changes.append(EndpointsSet(path, tuple(str(each) for each in document.endpoints[one.id])))
        home = instance.broker_home(path) if one.is_broker else instance.home(path)
        changes.append(tls_certificate(path, home))
    changes += [
        SigningKeyAdded(paths[key.subsystem], key.key_id, key.point, key.not_before_ms, key.not_after_ms)
        for key in tables.keys
    ]
    changes += _services(image, tables.grants, paths)
    changes += [
        GrantMade(
            grant.grant_id,
            paths[grant.client],
            paths[grant.provider],
            grant.methods,
            grant.purposes,
            grant.not_before_ms,
            grant.not_after_ms,
        )
        for grant in tables.grants
    ]
    return changes, {sha256(image).digest(): image}


def tls_certificate(path: str, home: Path) -> CertificateAdded:
    """The change that makes the certificate in a home live."""
    certificate, issuer = x509.load_pem_x509_certificates((home / "tls" / "chain.pem").read_bytes())
    return CertificateAdded(
        digest=sha256(certificate.public_bytes(Encoding.DER)).digest(),
        subsystem=path,
        key_id=_key_id(certificate),
        issuer=_key_id(issuer),
        not_before_ms=int(certificate.not_valid_before_utc.timestamp()) * 1000,
        not_after_ms=int(certificate.not_valid_after_utc.timestamp()) * 1000,
    )


def _services(image: bytes, grants: Sequence[Grant], paths: Mapping[str, str]) -> list[Change]:
    services: dict[str, list[Method]] = {}
    for method in methods_of(image):
        services.setdefault(service_of(method.path), []).append(method)
    digest = sha256(image).digest()
    offers = {(paths[grant.provider], service_of(method)) for grant in grants for method in grant.methods}
    return [
        *(ServiceRegistered(name, digest, tuple(methods)) for name, methods in services.items()),
        *(ServiceOffered(provider, service) for provider, service in sorted(offers)),
    ]


def _key_id(certificate: x509.Certificate) -> bytes:
    return signing_key_id(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
