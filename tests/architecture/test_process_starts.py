"""No process that may hold gRPC starts another by fork: its fork handlers wait for locks that threads of the parent
held, and the child hangs or dies before it becomes what it was to be.

Python forks wherever a start names preexec_fn or another identity (user, group, extra_groups), at os.fork, and in the
workers of multiprocessing. Another identity is taken by bus.engines.postgres_account, what is to be set first by a
program of its own (`python -m ...`). Every Python and Cython source is walked; a breach is told as file:line.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
ROOMS = ("adapters", "benchmarks", "bus", "native", "pki", "tests", "tools")

# A program of its own: it has one thread, and that it never loads gRPC is tested below.
FORKS_ALONE = {"tests/bus/ledger/crash_child.py": "tests.bus.ledger.crash_child"}

STARTS = frozenset(
    {
        *("Popen", "run", "call", "check_call", "check_output"),
        *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    }
)
IDENTITY = frozenset({"user", "group", "extra_groups"})
ALWAYS_FORK = frozenset({"preexec_fn"})
FORKS = frozenset({"os.fork", "os.forkpty", "pty.fork", "pty.spawn"})
FORKING_IMPORTS = ("multiprocessing", "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process")
INSTEAD = "start a program instead (bus.engines.postgres_account for another identity)"
IN_CYTHON = re.compile(r"\b(?:preexec_fn|os\.fork(?:pty)?|pty\.(?:fork|spawn)|multiprocessing|fork\(\))")


def forks(path: Path, text: str) -> Iterator[str]:
    """One line for each start of a process in `text` that forks; `path` is relative to the top."""
    if path.suffix != ".py":
        for match in IN_CYTHON.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]} forks; {INSTEAD}"
        return
    for node in ast.walk(ast.parse(text)):
        for line, what in _forks(node):
            yield f"{path}:{line}: {what} forks; {INSTEAD}"


def _forks(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Call):
        refused = ALWAYS_FORK | (IDENTITY if ast.unparse(node.func).rpartition(".")[2] in STARTS else set())
        for keyword in node.keywords:
            if keyword.arg in refused:
                yield keyword.value.lineno, f"{keyword.arg}="
            elif keyword.arg is None and isinstance(keyword.value, ast.Dict):
                yield from ((keyword.value.lineno, f'"{name}"') for name in _keys(keyword.value) & refused)
    elif isinstance(node, ast.Dict):
        yield from ((node.lineno, f'"{name}"') for name in _keys(node) & ALWAYS_FORK)
    elif isinstance(node, ast.Attribute) and ast.unparse(node) in FORKS:
        yield node.lineno, ast.unparse(node)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            if name in FORKS or any(f"{name}.".startswith(f"{each}.") for each in FORKING_IMPORTS):
                yield node.lineno, name


def _keys(node: ast.Dict) -> set[str]:
    return {str(each.value) for each in node.keys if isinstance(each, ast.Constant)}


def sources() -> Iterator[Path]:
    """Every source file, relative to the top."""
    for room in ROOMS:
        for path in sorted((TOP / room).rglob("*")):
            if path.suffix in (".py", ".pyx", ".pxi") or path == TOP / "tools" / "generate":
                yield path.relative_to(TOP)


def test_no_process_is_started_by_a_fork_of_one_that_may_hold_grpc() -> None:
    found = [
        line
        for path in sources()
        if str(path) not in FORKS_ALONE
        for line in forks(path if path.suffix else path.with_suffix(".py"), (TOP / path).read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("path", sorted(FORKS_ALONE))
def test_a_program_that_forks_never_loads_grpc(path: str) -> None:
    assert list(forks(Path(path), (TOP / path).read_text(encoding="utf-8"))), f"{path} forks no more; take it out"
    code = f"import sys, {FORKS_ALONE[path]}; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP, check=False).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.Popen(command, preexec_fn=limit)",
        "subprocess.run(command, user='nobody')",
        "Popen(command, group=1)",
        "check_output(command, extra_groups=[])",
        "await asyncio.create_subprocess_exec(*command, user=1)",
        "run(command, **{'user': 1})",
        "options = {'preexec_fn': limit}",
        "def f():\n    return os.fork()",
        "from os import fork",
        "pty.fork()",
        "import multiprocessing",
        "from multiprocessing import get_context",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
    ],
)
def test_a_fork_is_told_with_file_and_line(line: str) -> None:
    found = list(forks(Path("bus/x.py"), f"import sys\n{line}\n"))
    assert len(found) == 1
    assert found[0].startswith(f"bus/x.py:{2 + line.count(chr(10))}: ")


def test_a_fork_in_cython_is_told_with_file_and_line() -> None:
    (found,) = forks(Path("native/x.pyx"), "cdef int pid\npid = fork()\n")
    assert found.startswith("native/x.pyx:2: ")


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.run(command, env=env, start_new_session=True)",
        "make_conninfo(server, user=owner)",
        "from concurrent.futures import ThreadPoolExecutor",
        "match.group(1)",
    ],
)
def test_what_does_not_fork_is_not_told(line: str) -> None:
    assert list(forks(Path("bus/x.py"), f"{line}\n")) == []
