"""Contracts from their text, as a developer's compiler makes them: `compiled({"vn/x/v1/x.proto": "..."})`."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from grpc_tools import protoc

TOP = Path(__file__).resolve().parents[2]
ROOTS = (TOP / "protos", TOP / "third_party" / "protovalidate", Path(protoc.__file__).with_name("_proto"))


def compiled(texts: Mapping[str, str], *, comments: bool = False) -> bytes:
    """The FileDescriptorSet of these files, imports included; a line that says its syntax is put before each."""
    return _compiled(tuple(texts.items()), comments)


@cache
def _compiled(texts: tuple[tuple[str, str], ...], comments: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'syntax = "proto3";\n{text}')
        out = Path(folder, "set")
        includes = [f"-I{root}" for root in (folder, *ROOTS)]
        options = ["--include_imports", *(["--include_source_info"] if comments else [])]
        assert protoc.main(["protoc", *includes, *options, f"-o{out}", *(name for name, _ in texts)]) == 0
        return out.read_bytes()
