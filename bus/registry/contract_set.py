"""A contract's FileDescriptorSet, from anybody's bytes to files that can be compared.

1. At most 3 MiB, so that the directory's answer fits into a message; at most 1,000 files and 50,000 declarations.
2. Every import is in the set, files import in no circle, names are paths below the set, and everything that is used is
   declared: protobuf's own pool, a fresh one, takes it. Else Refusal(MALFORMED).
3. What comes with every runtime (google/protobuf, buf/validate) is what comes with ours: whoever brings another
   Timestamp changes every contract that has one. Four of these files grow; of them either may know more, but no type
   of that may be used, since they are compared with nothing. Their names are for them: no contract hides in one.
4. Files are compared in one form: without comments, without a compiler's own marks, each field with its JSON name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from itertools import chain, groupby
from re import ASCII
from re import compile as pattern
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError

from bus.edge.policy_methods import DescriptorError, methods_of
from bus.registry.refusal import Refusal, RefusalReason
from native.policy_types import Method

__all__ = ["LARGEST_BYTES", "RUNTIME", "ContractFile", "ContractSet", "is_built_in", "parse_contract"]

LARGEST_BYTES: Final = 3 * 1024 * 1024
_FILES: Final = 1_000
_DECLARED: Final = 50_000
_SHOWN: Final = 200
_PATH: Final = pattern(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*\.proto", ASCII)
RUNTIME: Final = {
    **{
        f"google/protobuf/{name}.proto": f"google.protobuf.{name}_pb2"
        for name in (
            *("any", "api", "descriptor", "duration", "empty", "field_mask"),
            *("source_context", "struct", "timestamp", "type", "wrappers"),
        )
    },
    "buf/validate/validate.proto": "buf.validate.validate_pb2",
}
"""Files that come with every language's runtime, and our module of each."""
_GROWING: Final = frozenset(f"google/protobuf/{name}.proto" for name in ("api", "descriptor", "type")) | {
    "buf/validate/validate.proto"
}

_Shape = tuple[int, bool, str]
"""A field's type, whether there are several, and the type's name."""
_TYPE: Final[_Shape] = (0, False, "")


@dataclass(frozen=True, slots=True)
class ContractFile:
    """One file of a set, in the form that is compared."""

    said: FileDescriptorProto
    digest: bytes
    declares: frozenset[str]
    """Full names of what stands at its top."""
    services: frozenset[str]
    """Full names."""
    runtime: bool
    """It comes with every language's runtime."""


@dataclass(frozen=True, slots=True)
class ContractSet:
    """A set that holds together."""

    files: Mapping[str, ContractFile]
    """By name, each behind what it imports."""
    methods: Mapping[str, tuple[Method, ...]]
    """By service, as gates read them from the set; a service without any is not there."""

    @property
    def declares(self) -> frozenset[str]:
        """Everything that stands at the top of any file but the runtime's."""
        return frozenset(chain.from_iterable(one.declares for one in self.files.values() if not one.runtime))

    @property
    def services(self) -> frozenset[str]:
        """Full names."""
        return frozenset(chain.from_iterable(one.services for one in self.files.values()))

    def closure(self, names: Iterable[str]) -> list[ContractFile]:
        """The files of these names and what they import, each behind what it imports."""
        wanted = set[str]()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting += self.files[name].said.dependency
        return [file for name, file in self.files.items() if name in wanted]


def is_built_in(file: ContractFile) -> bool:
    """Whether this program itself was built with exactly this file, and has loaded it."""
    try:
        ours = Default().FindFileByName(file.said.name)
    except KeyError:
        return False
    said = FileDescriptorProto()
    ours.CopyToProto(said)
    return sha256(_normal(said).SerializeToString(deterministic=True)).digest() == file.digest


def parse_contract(image: bytes) -> ContractSet:
    """The set; Refusal(MALFORMED) says what is wrong with it."""
    if len(image) > LARGEST_BYTES:
        raise _malformed(f"a contract has at most {LARGEST_BYTES} bytes; build it without what it does not import")
    try:
        files = FileDescriptorSet.FromString(image).file
    except DecodeError as error:
        raise _malformed("expected a FileDescriptorSet; make one with `buf build -o FILE.binpb`") from error
    if len(files) > _FILES:
        raise _malformed(f"a contract has at most {_FILES} files; register it in parts")
    _verify_size(files)
    pool, found = DescriptorPool(), dict[str, ContractFile]()
    for file in _in_order(list(files)):
        said = _normal(file)
        data = said.SerializeToString(deterministic=True)
        try:
            pool.AddSerializedFile(data)
        except (TypeError, ValueError) as error:
            raise _malformed(f"{said.name} does not hold together: {_shown(str(error))}") from error
        found[said.name] = _file(said, data)
    _verify_used(found.values())
    try:
        methods = groupby(methods_of(image), key=lambda one: one.path[1:].rpartition("/")[0])
    except DescriptorError as error:
        raise _malformed(str(error)) from error
    return ContractSet(found, {service: tuple(several) for service, several in methods})


def _file(said: FileDescriptorProto, data: bytes) -> ContractFile:
    prefix = f"{said.package}." if said.package else ""
    services = frozenset(prefix + one.name for one in said.service)
    names = [one.name for one in said.message_type]
    names += [one.name for one in said.enum_type]
    names += [one.name for one in said.extension]
    declares = services.union(prefix + name for name in names)
    runtime = said.name in RUNTIME
    if runtime:
        _verify_runtime(said)
    return ContractFile(said, sha256(data).digest(), declares, services, runtime)


def _verify_size(files: Iterable[FileDescriptorProto]) -> None:
    """Declarations are counted before anything is made of them."""
    count, below = 0, list[DescriptorProto]()
    for file in files:
        count += len(file.message_type) + len(file.extension) + len(file.service) + len(file.dependency)
        count += sum(len(one.value) + 1 for one in file.enum_type) + sum(len(one.method) for one in file.service)
        below += file.message_type[: _DECLARED + 1]
        while below and count <= _DECLARED:
            message = below.pop()
            count += len(message.field) + len(message.nested_type) + len(message.extension) + len(message.oneof_decl)
            count += sum(len(one.value) + 1 for one in message.enum_type)
            below += message.nested_type[: _DECLARED + 1]
        if count > _DECLARED:
            raise _malformed(f"a contract declares at most {_DECLARED} things; register it in parts")


def _in_order(files: list[FileDescriptorProto]) -> Iterator[FileDescriptorProto]:
    """Each behind what it imports."""
    known = {file.name: file for file in files}
    if len(known) != len(files):
        raise _malformed("two files of the set have one name; keep one")
    for file in files:
        if not _PATH.fullmatch(file.name) or len(file.name) > _SHOWN:
            raise _malformed("a file is named by its path, for example vn/population/v1/population.proto")
        missing = sorted(set(file.dependency) - known.keys())
        if missing:
            raise _malformed(f"{file.name} imports {_shown(missing[0])}, which is not in the set; include imports")
    waiting = {file.name: len(set(file.dependency)) for file in files}
    importers: dict[str, list[str]] = {}
    for file in files:
        for name in set(file.dependency):
            importers.setdefault(name, []).append(file.name)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        del waiting[name]
        yield known[name]
        for importer in importers.get(name, ()):
            waiting[importer] -= 1
            if not waiting[importer]:
                ready.append(importer)
    if waiting:
        raise _malformed(f"{min(waiting)} imports itself in a circle; break it")


def _normal(file: FileDescriptorProto) -> FileDescriptorProto:
    """Rule 4. What a compiler notes beside a file (buf: whether it is an import) is unknown to us and left out."""
    said = FileDescriptorProto()
    for field, value in file.ListFields():
        if field.name == "source_code_info":
            continue
        if field.is_repeated:
            getattr(said, field.name).extend(value)
        elif field.message_type is not None:
            getattr(said, field.name).CopyFrom(value)
        else:
            setattr(said, field.name, value)
    for message in _messages(said):
        for one in message.field:
            if not one.json_name:
                one.json_name = _json_name(one.name)
        for one in message.extension:
            one.ClearField("json_name")
    for one in said.extension:
        one.ClearField("json_name")
    return said


def _messages(file: FileDescriptorProto) -> Iterator[DescriptorProto]:
    below = list(file.message_type)
    while below:
        message = below.pop()
        below += message.nested_type
        yield message


def _json_name(name: str) -> str:
    """As protoc writes it: `one_two` is `oneTwo`."""
    first, *rest = name.split("_")
    return first + "".join(one[:1].upper() + one[1:] for one in rest)


def _verify_runtime(said: FileDescriptorProto) -> None:
    """Rule 3 for one such file."""
    package, ours = _ours(said.name)
    if said.package != package or said.service:
        raise _malformed(
            f"{said.name} is not the one that everybody has; build with it, and declare nothing of yours there"
        )
    grows = said.name in _GROWING
    for name, shape in _shapes(said):
        known = ours.get(name)
        if known != shape if not grows else known is not None and known[:2] != shape[:2]:  # in those types are renamed
            raise _malformed(f"{said.name} is not the one that everybody has: {_shown(name)} differs; build with it")


def _verify_used(files: Iterable[ContractFile]) -> None:
    """Rule 3 for whoever uses them."""
    every = list(files)
    strange = {
        name for one in every if one.runtime for name, _ in _shapes(one.said) if name not in _ours(one.said.name)[1]
    }
    for one in every if strange else ():
        if not one.runtime and (used := strange.intersection(_used(one.said))):
            raise _malformed(f"{one.said.name} uses {_shown(min(used))}, which not everybody has; declare your own")


@cache
def _ours(name: str) -> tuple[str, Mapping[str, _Shape]]:
    """Package and contents of the one that comes with us."""
    said = FileDescriptorProto()
    import_module(RUNTIME[name]).DESCRIPTOR.CopyToProto(said)
    return said.package, dict(_shapes(said))


def _shapes(said: FileDescriptorProto) -> Iterator[tuple[str, _Shape]]:
    """By full name what is declared, and by its message's name and number each field."""
    yield from _named(said.package, said.enum_type, said.extension)
    below = [(f"{said.package}.{one.name}", one) for one in said.message_type]
    while below:
        path, one = below.pop()
        yield path, _TYPE
        yield from _named(path, one.enum_type, one.extension)
        below += [(f"{path}.{each.name}", each) for each in one.nested_type]
        for field in one.field:
            several = field.label == FieldDescriptorProto.LABEL_REPEATED
            yield f"{path} field {field.number}", (field.type, several, field.type_name)


def _named(
    path: str, enums: Iterable[EnumDescriptorProto], extensions: Iterable[FieldDescriptorProto]
) -> Iterator[tuple[str, _Shape]]:
    yield from ((f"{path}.{one.name}", _TYPE) for one in enums)
    yield from ((f"{path}.{one.name}", _TYPE) for one in extensions)


def _used(said: FileDescriptorProto) -> Iterator[str]:
    """Full names of the types that a file's declarations name."""
    fields = [*said.extension, *(field for one in _messages(said) for field in (*one.field, *one.extension))]
    names = [each for one in fields for each in (one.type_name, one.extendee)]
    for service in said.service:
        names += [each for one in service.method for each in (one.input_type, one.output_type)]
    yield from (name.lstrip(".") for name in names)


def _shown(text: str) -> str:
    """Somebody's text, short enough to be repeated."""
    return ascii(text)[1 : _SHOWN + 1].removesuffix("'")


def _malformed(text: str) -> Refusal:
    return Refusal(RefusalReason.MALFORMED, text)
