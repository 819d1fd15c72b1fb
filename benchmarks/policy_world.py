"""A country's registry in miniature: the measured instance of benchmarks.world, and thousands of strangers beside it.

Seeded, so that two runs measure the same log. Every subsystem has a member, a signing key (a real point), a certificate
(a random digest: nobody connects with it) and a service; grants go between random pairs. All of it is recorded through
the registry's own rules, as an operator would.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from benchmarks.world import World
from bus.engines.postgres_database import Database
from bus.registry.change import Change
from bus.registry.fold import Act
from bus.registry.grants import GrantMade, Quota
from bus.registry.keys import CertificateAdded, SigningKeyAdded
from bus.registry.members import MemberAdded
from bus.registry.registry import Registry
from bus.registry.services import ServiceOffered, ServiceRegistered
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemAdded
from native.policy_types import Method
from pki.keys import signing_key_id
from tests.support.registered import founding_changes, now_ms

__all__ = ["ACT", "Scale", "found_country", "grant", "subsystem_path"]

ACT = Act("ops:bench", "a benchmark's world")
_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS
_SERVICES, _METHODS = 50, 10
_A_MEMBER = 4
_PURPOSES = tuple(f"purpose.{number:03d}" for number in range(200))
_CHUNK = 25_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How many strangers."""

    grants: int
    subsystems: int
    seed: int = 20261122


def subsystem_path(number: int) -> str:
    """`gov/agency-0012/system-3`."""
    return f"gov/agency-{number // _A_MEMBER:04d}/system-{number % _A_MEMBER}"


def grant(number: int, scale: Scale, random_: random.Random, now: int) -> GrantMade:
    """Between two strangers, with every kind of limit."""
    client, provider = random_.sample(range(scale.subsystems), 2)
    several = random_.sample(range(_METHODS), random_.randint(1, 4))
    methods = tuple(f"/{_service(provider)}/Method{method}" for method in several)
    purposes = tuple(random_.sample(_PURPOSES, random_.randint(1, 2)))
    quota = Quota(random_.randint(1, 500), 1_000, 1_000_000, 10**9)
    ends = now + random_.randrange(30, 365) * _DAY_MS
    clients, providers = subsystem_path(client), subsystem_path(provider)
    return GrantMade(f"stranger-{number:06d}", clients, providers, methods, purposes, now, ends, quota)


def found_country(world: World, database: Database, scale: Scale) -> tuple[Registry, EventStore]:
    """The registry that says all of it; takes about 20 s of CPU for 200,000 grants."""
    store = EventStore(database)
    registry = Registry(store, now_ms)
    founding, files = founding_changes(world.instance)
    now = now_ms()
    # In the founding transaction keys may start at once, and rules that look at all live certificates find none yet.
    registry.record([*founding, *_subsystems(scale, now)], ACT, {**files, _IMAGE: _CONTRACT})
    random_ = random.Random(scale.seed)
    made = [grant(number, scale, random_, now) for number in range(scale.grants)]
    for start in range(0, len(made), _CHUNK):
        registry.record(made[start : start + _CHUNK], ACT)
    return registry, store


def _subsystems(scale: Scale, now: int) -> Iterator[Change]:
    random_ = random.Random(scale.seed + 1)
    for number in range(_SERVICES):
        methods = tuple(Method(f"/{_service(number)}/Method{method}") for method in range(_METHODS))
        yield ServiceRegistered(_service(number), _IMAGE, methods)
    for number in range(-(-scale.subsystems // _A_MEMBER)):
        yield MemberAdded("gov", f"agency-{number:04d}", f"Cơ quan {number}", f"Agency {number}")
    for number in range(scale.subsystems):
        yield SubsystemAdded(subsystem_path(number))
        yield ServiceOffered(subsystem_path(number), _service(number))
    for number in range(scale.subsystems):
        point = _point(random_)
        yield SigningKeyAdded(subsystem_path(number), signing_key_id(point[1]), point[0], now, now + _YEAR_MS)
    for number in range(scale.subsystems):
        digest, key_id, issuer = (random_.randbytes(32) for _ in range(3))
        yield CertificateAdded(digest, subsystem_path(number), key_id, issuer, now, now + _DAY_MS)


def _service(number: int) -> str:
    return f"vn.domain{number % _SERVICES:02d}.v1.RecordService"


def _point(random_: random.Random) -> tuple[bytes, bytes]:
    """(point, SPKI) of a key that nobody holds."""
    public = derive_private_key(random_.getrandbits(250) + 1, SECP256R1()).public_key()
    return (
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def _contract() -> bytes:
    """What all strangers speak: a package, a file and a service each."""
    image = FileDescriptorSet()
    for number in range(_SERVICES):
        package, _, name = _service(number).rpartition(".")
        file = image.file.add(name=f"{package.replace('.', '/')}/record.proto", package=package, syntax="proto3")
        file.message_type.add(name="Record")
        declared = file.service.add(name=name)
        for method in range(_METHODS):
            record = f".{package}.Record"
            declared.method.add(name=f"Method{method}", input_type=record, output_type=record)
    return image.SerializeToString(deterministic=True)


_CONTRACT = _contract()
_IMAGE = sha256(_CONTRACT).digest()
