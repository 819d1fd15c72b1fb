"""Who may import whom, and what the modules that decide trust must not reach for.

The rules are those of ARCHITECTURE.md. Every Python and Cython source of the rooms is walked, imports inside functions
and under TYPE_CHECKING included; a breach is reported as file:line with the rule it breaks.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
ROOMS = ("native", "pki", "bus", "adapters")
CONTRACTS = ("govbus", "vn", "buf")
RIMS = (*CONTRACTS, "grpc", "grpc_status", "grpc_health", "grpc_reflection", "google")

# The room of a file is the first prefix that fits. Its own package and the standard library are always allowed.
# `only` lists everything else it may import; `never` lists what it may not, where other libraries are its own choice.
RULES: tuple[tuple[str, tuple[str, ...] | None, tuple[str, ...]], ...] = (
    ("native", ("native", "cryptography", "libc", "cython", "cpython"), ()),
    ("pki", None, ("bus", "adapters", *RIMS)),
    ("bus.exchange", None, ("adapters", "bus")),
    ("bus", None, ("adapters",)),
    ("adapters", None, ("bus",)),
)
ALLOWED_ANYWAY = {"bus.exchange": ("bus.exchange",), "adapters": ("bus.exchange",)}

# Time, chance, files and sockets come to these modules as arguments (design: "no clock, randomness, file or socket in a
# module that decides trust"). A new module that decides trust is added here by whoever writes it.
DECIDES_TRUST: tuple[str, ...] = (
    "bus/ledger/checkpoint.py",
    "bus/ledger/ed25519.py",
    "bus/ledger/entry.py",
    "bus/ledger/head.py",
    "bus/ledger/journal_segment.py",
    "bus/ledger/note.py",
    "bus/ledger/proof.py",
    "bus/ledger/tiles.py",
    "bus/ledger/tree.py",
    "bus/registry/change.py",
    "bus/registry/codec.py",
    "bus/registry/draft.py",
    "bus/registry/enrolment_tokens.py",
    "bus/registry/event.py",
    "bus/registry/fold.py",
    "bus/registry/grants.py",
    "bus/registry/keys.py",
    "bus/registry/members.py",
    "bus/registry/policy.py",
    "bus/registry/services.py",
    "bus/registry/shapes.py",
    "bus/registry/state.py",
    "bus/registry/subsystems.py",
    "bus/exchange/compose.py",
    "bus/exchange/guard.py",
    "bus/exchange/metadata.py",
    "bus/exchange/outcome.py",
    "bus/exchange/refusal.py",
    "bus/exchange/replay.py",
    "bus/exchange/routes.py",
    "bus/exchange/verify_admission.py",
    "bus/exchange/verify_batch.py",
    "bus/exchange/verify_request.py",
    "bus/exchange/verify_response.py",
    "bus/exchange/view.py",
    "pki/_x509.py",
    "pki/certificates.py",
    "pki/enrolment.py",
    "pki/errors.py",
    "pki/identity.py",
    "pki/keys.py",
    "pki/profiles.py",
    "pki/trust.py",
)
REACHES_OUT = frozenset(
    {"asyncio", "io", "os", "pathlib", "random", "secrets", "shutil", "socket", "ssl", "subprocess", "tempfile", "time"}
)
ASKS_THE_CLOCK = frozenset({"now", "utcnow", "today"})

CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))\b", re.MULTILINE)


def sources() -> list[Path]:
    """Every source file of the rooms."""
    found = [
        path for room in ROOMS for ending in ("py", "pyx", "pxi", "pxd") for path in (TOP / room).rglob(f"*.{ending}")
    ]
    return sorted(found)


def imports(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of everything `text` imports; `path` is relative to the top."""
    if path.suffix == ".py":
        yield from python_imports(ast.parse(text), package=path.with_suffix("").parts[:-1])
        return
    for match in CYTHON_IMPORT.finditer(text):
        yield text.count("\n", 0, match.start(0) + len(match[0]) - len(match[0].lstrip())) + 1, match[1] or match[2]


def python_imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Imports of a parsed module, those made by name through importlib included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = (base + (node.module or "")).strip(".")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("__import__", "import_module"):
            yield from ((node.lineno, str(each.value)) for each in node.args[:1] if isinstance(each, ast.Constant))


def within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether `module` is one of `packages` or lies below one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def breaches(path: Path, text: str) -> Iterator[str]:
    """One line for each import of `text` that its room may not make; `path` is relative to the top."""
    module = ".".join(path.with_suffix("").parts)
    room, only, never = next(rule for rule in RULES if within(module, (rule[0],)))
    for line, imported in imports(path, text):
        top = imported.split(".")[0]
        if top in sys.stdlib_module_names or within(imported, (room, *ALLOWED_ANYWAY.get(room, ()))):
            continue
        if only is not None and not within(imported, only):
            yield f"{path}:{line}: {room} may import the standard library and {', '.join(only)} only, not {imported}"
        elif within(imported, never):
            yield f"{path}:{line}: {room} may not import {imported}"


def reaching_out(path: Path, text: str) -> Iterator[str]:
    """One line for each way in which a module that decides trust reaches for clock, chance, file or socket."""
    tree = ast.parse(text)
    for line, imported in python_imports(tree, path.with_suffix("").parts[:-1]):
        if imported.split(".")[0] in REACHES_OUT:
            yield f"{path}:{line}: decides trust and imports {imported}; take the value as an argument"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"{path}:{node.lineno}: decides trust and opens a file; take the bytes as an argument"
        if isinstance(node.func, ast.Attribute) and node.func.attr in ASKS_THE_CLOCK:
            yield f"{path}:{node.lineno}: decides trust and asks the clock; take the time as an argument"


def test_every_room_imports_only_what_the_architecture_allows() -> None:
    found = [line for path in sources() for line in breaches(path.relative_to(TOP), path.read_text(encoding="utf-8"))]
    assert not found, "\n" + "\n".join(found)


def test_modules_that_decide_trust_take_time_and_bytes_as_arguments() -> None:
    found = [
        line for name in DECIDES_TRUST for line in reaching_out(Path(name), (TOP / name).read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("native/x.py", "import grpc"),
        ("native/x.py", "from pki import identity"),
        ("native/core/x.pxi", "from pki.identity import parse"),
        ("native/x.pyx", "    import yaml"),
        ("pki/x.py", "from bus.exchange import connect"),
        ("pki/x.py", "from govbus.exchange.v1 import receipt_pb2"),
        ("bus/exchange/x.py", "from bus.edge import config"),
        ("bus/exchange/x.py", "from bus import edge"),
        ("bus/exchange/x.py", "from ..edge import config"),
        ("bus/edge/x.py", "def f():\n    import adapters.population"),
        ("bus/cli/x.py", "import importlib\nimportlib.import_module('adapters.population')"),
        ("adapters/population/x.py", "from bus.edge import config"),
        ("adapters/population/x.py", "from bus import edge"),
    ],
)
def test_a_forbidden_import_is_reported_with_file_and_line(path: str, line: str) -> None:
    found = list(breaches(Path(path), f"import sys\n{line}\n"))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:{2 + line.count(chr(10))}: ")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("native/x.py", "from cryptography.hazmat.primitives import hashes"),
        ("native/core/x.pxi", "from libc.stdint cimport uint64_t"),
        ("pki/x.py", "from native import digest"),
        ("bus/exchange/x.py", "from . import config\nfrom bus.exchange.config import LIMIT"),
        ("bus/exchange/x.py", "import grpc\nfrom govbus.exchange.v1 import receipt_pb2"),
        ("bus/cli/x.py", "from bus.edge import config"),
        ("adapters/population/x.py", "from bus.exchange import serve\nfrom bus import exchange"),
    ],
)
def test_an_allowed_import_is_not_reported(path: str, line: str) -> None:
    assert list(breaches(Path(path), f"{line}\n")) == []


@pytest.mark.parametrize("line", ["import time", "from random import choice", "datetime.now(UTC)", "open('x')"])
def test_reaching_for_clock_chance_or_file_is_reported(line: str) -> None:
    assert len(list(reaching_out(Path("pki/x.py"), f"{line}\n"))) >= 1
