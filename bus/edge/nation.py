"""What a new instance is to hold, said in a few lines of Python: its brokers, subsystems, contracts and grants.

Paths are `<class>/<member>/<subsystem>`; the trust domain is said once. Validities that are not stated last a year from
the making. This is a description for tools and tests; a running file-made instance's truth is its policy.yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from bus.edge.contract_comments import add_comments
from bus.edge.endpoint import Endpoint

__all__ = ["GrantPlan", "Nation", "SubsystemPlan", "contract_image"]


@dataclass(frozen=True, slots=True)
class SubsystemPlan:
    """A subsystem that calls, and serves when it has somewhere to listen."""

    path: str
    serves: bool = False
    listen: tuple[Endpoint, ...] = ()
    """Where it listens; with `serves` and none given, a free loopback port is chosen and kept."""
    active: bool = True


@dataclass(frozen=True, slots=True)
class GrantPlan:
    """Who may ask whom for what; `methods` may end in `/*`."""

    grant_id: str
    client: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...]
    operator_made: bool = True
    """No registry signs grants yet: whoever makes the instance makes them."""
    not_before_ms: int | None = None
    not_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Nation:
    """One instance."""

    trust_domain: str
    brokers: tuple[SubsystemPlan, ...]
    subsystems: tuple[SubsystemPlan, ...]
    grants: tuple[GrantPlan, ...]
    contracts: bytes
    """A FileDescriptorSet; see contract_image."""
    agents: tuple[tuple[str, str], ...] = ()
    """(agent, client) pairs of one member."""
    alarm_after: str = "6h"
    refuse_after: str = "24h"


def contract_image(files: Iterable[FileDescriptor], *, comments: bool = False) -> bytes:
    """The FileDescriptorSet of generated modules' DESCRIPTORs, what they import included.

    `comments`: with what the .proto files say, for everybody to read who gets the contract; a fraction of a second.
    """
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in found:
            for dependency in file.dependencies:
                add(dependency)
            found[file.name] = file

    for file in files:
        add(file)
    image = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(image.file.add())
    if comments:
        add_comments(image.file)
    return image.SerializeToString(deterministic=True)
