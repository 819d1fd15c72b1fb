"""A contract's FileDescriptorSet -> the changes that register its services, or revise those that are there already."""

from hashlib import sha256

from bus.edge.policy_methods import DescriptorError, methods_of
from bus.registry.change import Change
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import ServiceRegistered, ServiceRevised, service_of
from bus.registry.state import RegistryState
from native.policy_types import Method

__all__ = ["contract_changes"]


def contract_changes(state: RegistryState, image: bytes) -> tuple[list[Change], dict[bytes, bytes]]:
    """What Registry.record takes: changes, and the image by its digest. Both empty if all is registered so already.

    Or was before: a provider that is not upgraded yet serves the earlier form, and nothing changes for anybody.
    Refusal(MALFORMED) when `image` declares no service.
    """
    try:
        found = methods_of(image)
    except DescriptorError as error:
        raise Refusal(RefusalReason.MALFORMED, str(error)) from error
    digest = sha256(image).digest()
    services: dict[str, list[Method]] = {}
    for method in found:
        services.setdefault(service_of(method.path), []).append(method)
    changes: list[Change] = []
    for service, methods in services.items():
        known = state.services.get(service)
        if known is None:
            changes.append(ServiceRegistered(service, digest, tuple(methods)))
        elif (known.image, known.methods) != (digest, tuple(methods)) and digest not in known.former:
            changes.append(ServiceRevised(service, digest, tuple(methods)))
    return changes, {digest: image} if changes else {}
