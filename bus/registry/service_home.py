"""A service of the instance's own (registry, ledger) as a member's subsystem: its home, what the log must say of it.

`provide_home` may be called at every start and again and again: what is missing is recorded in one transaction
(subsystem, endpoint, contracts, offers, signing key, certificate), what is there is kept, and a certificate past two
thirds of its life is replaced. The instance's operator runs this beside the authority, so no token is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from google.protobuf.descriptor import FileDescriptor
from govbus.registry.v1 import admin_pb2, directory_pb2, renewal_pb2

from bus.edge.endpoint import Endpoint
from bus.edge.nation import contract_image
from bus.edge.policy_methods import methods_of
from bus.registry.change import Change
from bus.registry.contracts import contract_changes
from bus.registry.enrolment import certificate_added
from bus.registry.fold import Act
from bus.registry.key_start import record_key
from bus.registry.keys import SigningKeyAdded
from bus.registry.registry import Registry
from bus.registry.services import ServiceOffered
from bus.registry.state import RegistryState
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from pki import files
from pki.authority import Authority
from pki.certificates import build_csr
from pki.credentials import store_credentials
from pki.identity import SubsystemId
from pki.keys import encode_private_key, encode_public_pem, generate_private_key
from pki.signer import FileSigner
from pki.trust import parse_pem_certificates

__all__ = ["HomePlan", "provide_home"]

_FILES: Final[tuple[FileDescriptor, ...]] = (directory_pb2.DESCRIPTOR, admin_pb2.DESCRIPTOR, renewal_pb2.DESCRIPTOR)
_YEAR_MS: Final = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class HomePlan:
    """Whose home, where, and by whom it is made."""

    identity: SubsystemId
    home: Path
    listen: Endpoint
    policy_key_point: bytes
    act: Act
    contracts: tuple[FileDescriptor, ...] = _FILES
    """What it offers: every service of these files."""

    @property
    def services(self) -> tuple[str, ...]:
        """Full names."""
        return tuple(sorted(one.full_name for file in self.contracts for one in file.services_by_name.values()))


def provide_home(
    plan: HomePlan,
    registry: Registry,
    authority: Authority,
    clock_ms: Callable[[], int],
    wait_published: Callable[[int], bool],
) -> bool:
    """Make the home usable; True if anything was recorded.

    Refusal if the member is not there; a signing key starts 11 s after it was recorded, and answers before that are
    refused by the gate.
    """
    home, now_ms = plan.home, clock_ms()
    files.ensure_private_directory(home.parent)
    files.ensure_private_directory(home)
    signer = FileSigner.load_or_create(home / "signing-key.pem")
    _write_files(plan)
    state = registry.state()
    changes, attached = _presence(state, plan)
    key = generate_private_key()
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    renewing = _ends_soon(home, state, now)
    if renewing:
        issued = authority.issue_from_csr(build_csr(key, plan.identity), plan.identity, now=now)
        changes.append(certificate_added(issued, authority))
    if signer.key_id not in state.keys:

        def record(start_ms: int) -> int:
            added = SigningKeyAdded(
                plan.identity.path, signer.key_id, signer.public_point, start_ms, start_ms + _YEAR_MS
            )
            return registry.record([*changes, added], plan.act, attached)[-1].position

        position = record_key(record, clock_ms)
    elif changes:
        position = registry.record(changes, plan.act, attached)[-1].position
    else:
        return False
    if renewing:
        wait_published(position)
        store_credentials(home, encode_private_key(key), issued.chain_pem, authority.trust.pem)
    return True


def _presence(state: RegistryState, plan: HomePlan) -> tuple[list[Change], dict[bytes, bytes]]:
    """Subsystem, endpoint, contracts and offers that are not there yet."""
    path = plan.identity.path
    found = state.subsystems.get(path)
    changes: list[Change] = [] if found else [SubsystemAdded(path)]
    if found is None or plan.listen not in found.endpoints:
        changes.append(EndpointsSet(path, (str(plan.listen),)))
    image = contract_image(plan.contracts)
    offering = set(methods_of(image))
    # Not by the image: an operator may have registered the same contracts as another compiler writes them.
    if not offering <= set(state.methods.values()):
        contracts, attached = contract_changes(state, contract_image(plan.contracts, comments=True))
        changes += contracts
    else:
        attached = {}
    offered = found.services if found else ()
    changes += [ServiceOffered(path, service) for service in plan.services if service not in offered]
    return changes, attached


def _ends_soon(home: Path, state: RegistryState, now: datetime) -> bool:
    """Whether the certificate in `home` is none, not live, not valid yet, or past two thirds of its life."""
    try:
        leaf = parse_pem_certificates((home / "tls" / "chain.pem").read_bytes())[0]
    except FileNotFoundError:
        return True
    certificate = x509.load_der_x509_certificate(leaf)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < start + (end - start) * 2 / 3:  # not valid yet: made while the clock was ahead
        return True
    return sha256(leaf).digest() not in state.certificates


def _write_files(plan: HomePlan) -> None:
    files.write_atomic(plan.home / "policy-key.pem", encode_public_pem(plan.policy_key_point), mode=files.PUBLIC)
    content = {
        "version": 1,
        "identity": plan.identity.spiffe_id,
        "tls": {"certificate": "tls/chain.pem", "key": "tls/key.pem", "authorities": "trust.pem"},
        "signing_key": "signing-key.pem",
        "snapshot": "snapshot.bin",
        "policy_key": "policy-key.pem",
        "provider": {"listen": str(plan.listen), "accept_operator_grants": True},
    }
    files.write_atomic(plan.home / "config.yaml", yaml.safe_dump(content, sort_keys=False).encode())
