"""Contracts are judged at the door, before the log is locked: buf takes a quarter of a second, and others wait there.

What was judged is kept with what it was judged by. It counts only while that is so: under the lock the registry asks
`holds`, and judges again where another contract came in between. So of two that break each other one is refused,
whoever asks first, and the log itself never knows that anybody compared anything.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from bus.registry.change import Change
from bus.registry.contract_buf import find_breaks
from bus.registry.contract_compare import Find, Former, verify_compatible
from bus.registry.contract_set import ContractSet, parse_contract
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import ServiceRegistered, ServiceRevised
from bus.registry.state import RegistryState

__all__ = ["ContractDoor", "Judged"]

_PARSED: Final = 16
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """By which contracts and offers a request was judged."""

    images: Mapping[str, bytes]
    """Of all services, by name."""
    withdrawn: frozenset[str]
    """Services that nobody offered and that may leave their files for that reason."""

    def holds(self, state: RegistryState) -> bool:
        """Whether `state` would be judged by the same."""
        return _images(state) == self.images and not self.withdrawn & _offered(state)


class ContractDoor:
    """For use by several threads; one comparison at a time."""

    def __init__(self, attachment: Callable[[bytes], bytes], find: Find = find_breaks) -> None:
        """`attachment` gives what is registered by its digest."""
        self._attachment, self._find = attachment, find
        self._parsed: OrderedDict[bytes, ContractSet] = OrderedDict()
        self._lock = Lock()

    def judge(self, state: RegistryState, changes: Sequence[Change], files: Mapping[bytes, bytes]) -> Judged:
        """Refusal unless every contract that `changes` bring may stand beside those of `state` and each other.

        `files` holds each of them by its digest.
        """
        images = dict(_images(state))
        offered = _offered(state)
        with self._lock:
            for image, several in _brought(changes).items():
                new = parse_contract(files[image])
                _verify_methods(new, several)
                names = frozenset(change.service for change in several)
                verify_compatible(new, self._formers(images, image, names, files), offered, self._find)
                images |= dict.fromkeys(names, image)
        return Judged(_images(state), frozenset(_images(state)) - offered)

    def compare(self, state: RegistryState, new: ContractSet) -> None:
        """Refusal if a contract could not be registered now."""
        with self._lock:
            formers = self._formers(_images(state), b"", frozenset(new.methods), {})
            verify_compatible(new, formers, _offered(state), self._find)

    def _formers(
        self, images: Mapping[str, bytes], but: bytes, names: frozenset[str], files: Mapping[bytes, bytes]
    ) -> Iterator[Former]:
        """Every registered contract, one after the other: a country's do not lie in memory together."""
        held: dict[bytes, set[str]] = {}
        for service, image in images.items():
            if image != but:
                held.setdefault(image, set()).add(service)
        for image, services in held.items():
            revised = frozenset(services & names)
            try:
                contract = self._contract(image, files)
            except Refusal as refusal:
                # Registered before contracts were judged: nobody can build on it, and it binds nobody but itself.
                if revised:
                    raise Refusal(
                        RefusalReason.CONTRACT_UNCOMPARED,
                        f"what is registered for {_several(revised)} cannot be compared ({refusal}); register a new"
                        " version of the package",
                    ) from refusal
                continue
            yield Former(contract, revised)

    def _contract(self, digest: bytes, files: Mapping[bytes, bytes]) -> ContractSet:
        found = self._parsed.get(digest)
        if found is None:
            image = files[digest] if digest in files else self._attachment(digest)
            self._parsed[digest] = found = parse_contract(image)
            if len(self._parsed) > _PARSED:
                self._parsed.popitem(last=False)
        return found


def _brought(changes: Sequence[Change]) -> dict[bytes, list[ServiceRegistered | ServiceRevised]]:
    """By contract, in their order."""
    found: dict[bytes, list[ServiceRegistered | ServiceRevised]] = {}
    for change in changes:
        if isinstance(change, ServiceRegistered | ServiceRevised):
            found.setdefault(change.image, []).append(change)
    return found


def _verify_methods(new: ContractSet, changes: Sequence[ServiceRegistered | ServiceRevised]) -> None:
    """What gates are told of a service is what its contract says."""
    for change in changes:
        if new.methods.get(change.service) != change.methods:
            raise Refusal(
                RefusalReason.MALFORMED,
                f"the methods of {_several([change.service])} are not those that its contract declares",
            )


def _images(state: RegistryState) -> dict[str, bytes]:
    return {service: one.image for service, one in state.services.items()}


def _offered(state: RegistryState) -> frozenset[str]:
    return frozenset(service for one in state.subsystems.values() for service in one.services)


def _several(names: frozenset[str] | list[str]) -> str:
    shown = ", ".join(ascii(name[:200])[1:-1] for name in sorted(names)[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
