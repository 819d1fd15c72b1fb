"""A new contract against those that are registered: which of their files count, in which direction, and what breaks.

1. Only files that differ are compared: of the same name, or that declare what the new set declares elsewhere. Whatever
   else a registered contract has stays as it is, a service that the new set does not mention included.
2. A contract whose services are being revised must not be broken by the new one: who has its stubs goes on.
3. Of another contract's files the new one may have a later or an earlier form: two that were built at different times
   share a type, and neither has to wait. Not an incompatible one: the type would mean two things.
4. A service leaves its file only when nobody offers it any more.
5. A set that is compared with nothing is read by buf once, so that its successors can be compared with it; not the
   bus's own, which were when they were made.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from bus.registry.contract_buf import Break
from bus.registry.contract_set import ContractFile, ContractSet, is_built_in
from bus.registry.refusal import Refusal, RefusalReason

__all__ = ["ContractBreaks", "Find", "Former", "verify_compatible"]

Find = Callable[[Sequence[FileDescriptorProto], Sequence[FileDescriptorProto]], tuple[Break, ...]]
_COMPARISONS: Final = 50
_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Former:
    """A registered contract."""

    contract: ContractSet
    revised: frozenset[str] = frozenset()
    """Services of it that the new contract is to stand for."""


class ContractBreaks(Refusal):
    """What the new contract would break; the first few are told in the text."""

    def __init__(self, breaks: tuple[Break, ...], older: bool) -> None:
        count = f"{len(breaks)} change{'s' * (len(breaks) > 1)}"
        lines = [f"the contract would break who relies on what is registered, by {count}:"]
        lines += [f"  {one}" for one in breaks[:_TOLD]]
        self.breaks, self.older = breaks, older
        super().__init__(RefusalReason.CONTRACT_BREAKS, "\n".join([*lines, self.advice]))

    @property
    def advice(self) -> str:
        """What to do."""
        keep = "keep what is there, or make it a new version of the package, v2, beside it"
        if self.older:
            return f"an earlier form of what is registered is served as it is, with nothing to register; else {keep}"
        return keep


def verify_compatible(new: ContractSet, formers: Iterable[Former], offered: frozenset[str], find: Find) -> None:
    """ContractBreaks unless `new` may stand beside `formers`. `offered`: services that somebody offers now."""
    held = set[bytes]()
    done = set[tuple[bool, frozenset[tuple[bytes, frozenset[str]]]]]()
    for former in formers:
        held |= {file.digest for file in former.contract.files.values()}
        counting = [file for file in former.contract.files.values() if _counts(file, new)]
        if not counting:
            continue
        kept = new.services | (offered if former.revised else frozenset())
        key = (bool(former.revised), frozenset((file.digest, file.services & kept) for file in counting))
        if key in done:
            continue
        done.add(key)
        if len(done) > _COMPARISONS:
            raise Refusal(
                RefusalReason.CONTRACT_UNCOMPARED,
                f"more than {_COMPARISONS} registered contracts share changed files with it; register it in parts",
            )
        _verify(new, former, counting, kept, find)
    unread = (file for file in new.files.values() if not file.runtime and file.digest not in held)
    if not done and not all(map(is_built_in, unread)):
        find(_said(new.files.values()), _said(new.files.values()))  # (5)


def _counts(file: ContractFile, new: ContractSet) -> bool:
    """Rule 1."""
    same = new.files.get(file.said.name)
    if file.runtime:
        return False
    return same.digest != file.digest if same is not None else bool(file.declares & new.declares)


def _verify(new: ContractSet, former: Former, counting: list[ContractFile], kept: frozenset[str], find: Find) -> None:
    names = {file.said.name for file in counting}
    old = _without(former.contract.closure(names), names, kept)
    breaks = find(_said(new.files.values()), old)
    if not breaks:
        return
    there = {name for name, file in new.files.items() if name in names or file.declares & _declares(counting)}
    ours = _without(new.closure(there), there, former.contract.services)
    older = not find(_said(former.contract.files.values()), ours)  # (3)
    if former.revised or not older:
        raise ContractBreaks(breaks, older)


def _declares(files: Iterable[ContractFile]) -> frozenset[str]:
    return frozenset(name for file in files for name in file.declares)


def _without(files: Iterable[ContractFile], names: set[str], kept: frozenset[str]) -> list[FileDescriptorProto]:
    """The files, with `kept` services of those of these `names` only: what is merely imported is not judged by them."""
    found = []
    for file in files:
        wanted = file.services & kept if file.said.name in names else frozenset[str]()
        said = file.said
        if wanted != file.services:
            said = FileDescriptorProto.FromString(said.SerializeToString())
            prefix = f"{said.package}." if said.package else ""
            services = [one for one in said.service if prefix + one.name in wanted]
            del said.service[:]
            said.service.extend(services)
        found.append(said)
    return found


def _said(files: Iterable[ContractFile]) -> list[FileDescriptorProto]:
    return [file.said for file in files]
