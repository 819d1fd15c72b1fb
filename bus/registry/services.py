"""Changes: contracts that are registered, and who offers them. Several subsystems may offer one service.

The contract's FileDescriptorSet is stored beside the event that names its digest. A revision may add methods; what
clients have been granted stays as it was. Whether messages are compatible is judged before: bus.registry.contract_door.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_digest, verify_number, verify_service, verify_several
from bus.registry.state import ServiceEntry
from native.policy_types import Method

__all__ = ["ServiceOffered", "ServiceRegistered", "ServiceRevised", "ServiceWithdrawn", "service_of"]

_LONGEST_LIFETIME_MS = 300_000
_LONGEST_PATH = 200
"""What gates read: a longer one could never be compiled, and a service that is registered stays."""


def service_of(method: str) -> str:
    """`/package.Service/Method` -> `package.Service`."""
    return method[1:].rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class ServiceRegistered(Change):
    """A contract's service becomes known, with all its methods."""

    kind: ClassVar[str] = "service.registered"
    service: str
    image: bytes
    """SHA-256 of the FileDescriptorSet."""
    methods: tuple[Method, ...]

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.founded()
        _verify_contract(self.service, self.image, self.methods)
        if self.service in draft.services:
            raise Refusal(RefusalReason.DUPLICATE, f"{self.service} is registered already; revise it")

    def apply(self, draft: Draft, at_ms: int) -> None:
        _put(draft, self.service, self.image, self.methods)

    def attachments(self) -> tuple[bytes, ...]:
        return (self.image,)


@dataclass(frozen=True, slots=True)
class ServiceRevised(Change):
    """A newer form of a registered service: methods may be added or change limits, none leaves or changes its kind."""

    kind: ClassVar[str] = "service.revised"
    service: str
    image: bytes
    methods: tuple[Method, ...]

    def verify(self, draft: Draft, at_ms: int) -> None:
        _verify_contract(self.service, self.image, self.methods)
        found = _service(draft, self.service)
        if (found.image, found.methods) == (self.image, self.methods):
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.service} is registered in this form already")
        if self.image in found.former:
            raise Refusal(
                RefusalReason.NO_CHANGE, f"{self.service} was registered in this form before, and in a later one since"
            )
        kinds = {method.path: method.kind for method in self.methods}
        for former in found.methods:
            if kinds.get(former.path) != former.kind:
                raise Refusal(
                    RefusalReason.CONTRACT_BREAKS,
                    f"{former.path} is missing or streams differently; register a new version of the package instead",
                )

    def apply(self, draft: Draft, at_ms: int) -> None:
        _put(draft, self.service, self.image, self.methods)

    def attachments(self) -> tuple[bytes, ...]:
        return (self.image,)


@dataclass(frozen=True, slots=True)
class ServiceOffered(Change):
    """A subsystem serves this service from now on."""

    kind: ClassVar[str] = "service.offered"
    subsystem: str
    service: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystem(self.subsystem)
        _service(draft, self.service)
        if found.is_broker:
            raise Refusal(RefusalReason.IS_BROKER, "a broker offers no service; name the subsystem behind it")
        if self.service in found.services:
            raise Refusal(RefusalReason.DUPLICATE, f"{self.subsystem} offers {self.service} already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystems[self.subsystem]
        draft.subsystems.put(self.subsystem, replace(found, services=(*found.services, self.service)))


@dataclass(frozen=True, slots=True)
class ServiceWithdrawn(Change):
    """It is not served any more; grants for it are revoked before."""

    kind: ClassVar[str] = "service.withdrawn"
    subsystem: str
    service: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if self.service not in draft.subsystem(self.subsystem).services:
            raise Refusal(RefusalReason.NOT_OFFERED, f"{self.subsystem} does not offer this service")
        for entry in draft.grants.values():
            if entry.provider != self.subsystem or entry.revoked_ms is not None or entry.grant.not_after_ms < at_ms:
                continue
            if any(service_of(method) == self.service for method in entry.grant.methods):
                raise Refusal(
                    RefusalReason.IN_USE, f"grant {entry.grant.grant_id} is for this service; revoke it first"
                )

    def apply(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystems[self.subsystem]
        services = tuple(one for one in found.services if one != self.service)
        draft.subsystems.put(self.subsystem, replace(found, services=services))


def _service(draft: Draft, service: str) -> ServiceEntry:
    found = draft.services.get(service)
    if found is None:
        raise Refusal(RefusalReason.UNKNOWN_SERVICE, "this service is not registered; register its contract first")
    return found


def _put(draft: Draft, service: str, image: bytes, methods: tuple[Method, ...]) -> None:
    found = draft.services.get(service)
    had = dict.fromkeys((*found.former, found.image)) if found else {}
    draft.services.put(service, ServiceEntry(image, methods, tuple(one for one in had if one != image)))
    for method in methods:
        draft.methods.put(method.path, method)


def _verify_contract(service: str, image: bytes, methods: tuple[Method, ...]) -> None:
    verify_service(service)
    verify_digest(image, "the digest of a contract's image")
    verify_several([method.path for method in methods], "method")
    for method in methods:
        prefix, _, name = method.path.rpartition("/")
        if prefix != f"/{service}" or not (name.isascii() and name.isidentifier()):
            raise Refusal(RefusalReason.MALFORMED, f"a method of {service} is written /{service}/Method")
        if len(method.path) > _LONGEST_PATH:
            raise Refusal(RefusalReason.MALFORMED, f"a method has {_LONGEST_PATH} characters, service included")
        verify_number(method.max_lifetime_ms, "max_lifetime_ms", _LONGEST_LIFETIME_MS, lowest=1)
