"""The comments of contracts, read from the .proto files that are packaged beside the modules generated from them.

A generated module holds no comments. They are compiled once more, here, where a contract is about to be registered with
everything that explains it. What belongs to others (Google's and protovalidate's files) is left as it is: it is
explained elsewhere, and every contract would carry it along. A contract whose source is not here, or is not the one
that the module was made from, has none: nothing but the explanation is missing then.
"""

import importlib.util
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

__all__ = ["add_comments"]

_OTHERS: Final = ("google/", "buf/")


def add_comments(files: Iterable[FileDescriptorProto]) -> None:
    """Give each of ours its source_code_info; `files` are whole, imports included."""
    wanted = {file.name: file for file in files}
    roots = {name: root for name in wanted for root in _roots(name)}
    ours = sorted(name for name in roots if not name.startswith(_OTHERS))
    for compiled in _compile(ours, sorted({str(root) for root in roots.values()})):
        if _declared(compiled) == _declared(wanted[compiled.name]):
            wanted[compiled.name].source_code_info.CopyFrom(compiled.source_code_info)


def _declared(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without what explains it, and without the JSON names that follow from the fields' own: modules leave them out."""
    said = FileDescriptorProto.FromString(file.SerializeToString())
    said.ClearField("source_code_info")
    below = [*said.message_type]
    while below:
        message = below.pop()
        below += message.nested_type
        for field in (*message.field, *message.extension):
            field.ClearField("json_name")
    for extension in said.extension:
        extension.ClearField("json_name")
    return said


def _roots(name: str) -> Iterator[Path]:
    """The folder below which `name` stands beside its module; none where it is not packaged."""
    package = name.split("/")[:-1]
    try:
        found = importlib.util.find_spec(".".join(package))
    except ModuleNotFoundError:
        return
    for place in (found and found.submodule_search_locations) or ():
        if (Path(place) / name.rpartition("/")[2]).is_file():
            yield Path(place).parents[len(package) - 1]
            return


def _compile(names: list[str], roots: list[str]) -> list[FileDescriptorProto]:
    from grpc_tools import protoc  # heavy, and only a contract that is registered now needs it

    if not names:
        return []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        include = [*roots, str(Path(protoc.__file__).with_name("_proto"))]
        made = protoc.main(["protoc", *(f"-I{one}" for one in include), "--include_source_info", f"-o{out}", *names])
        return list(FileDescriptorSet.FromString(out.read_bytes()).file) if made == 0 else []
