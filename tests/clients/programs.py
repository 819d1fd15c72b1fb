"""Small programs of other languages that call through the proxy, made ready from their sources beside this file."""

import shutil
from pathlib import Path

from tests.clients.tools import CLIENTS, GO_ENVIRONMENT, KEPT, NODE_MODULES, need, recipe, run

__all__ = ["PROGRAMS"]


def _go(contracts: Path, folder: Path) -> list[str]:
    """Its stubs are made by the recipe of docs/contracts.md."""
    need("go", "protoc-gen-go", "protoc-gen-go-grpc", KEPT / "go" / "ready")
    shutil.copytree(CLIENTS / "go", folder, dirs_exist_ok=True)
    shutil.copy(contracts, folder / "contracts.binpb")
    run(recipe("Go"), folder)
    run(["go", "build", "-o", "caller", "."], folder, **GO_ENVIRONMENT)
    return [str(folder / "caller")]


def _node(contracts: Path, folder: Path) -> list[str]:
    need("node", KEPT / "node" / "ready")
    shutil.copy(CLIENTS / "node" / "call.mjs", folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return ["node", str(folder / "call.mjs")]


PROGRAMS = {"go": _go, "node": _node}
"""By language: what makes the command, to which an address and a file of contracts are added."""
