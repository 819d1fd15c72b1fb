"""What of one contract breaks another, as `buf breaking` finds it (docs/decisions/0036-buf-judges-contracts.md).

buf is a child of its own, for one comparison: contract_launch bounds it, a clock ends it, its directory is private and
goes with it, and it is told no configuration but ours. What it says is read up to a limit; whatever it could not end is
no answer, and no answer is never "nothing breaks".
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from bus.registry.contract_set import RUNTIME
from bus.registry.refusal import Refusal, RefusalReason

__all__ = ["RULES", "Break", "find_breaks"]

RULES: Final = ("WIRE_JSON", "RPC_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE")
"""Whoever has stubs of the former contract can go on, in binary and in JSON; no method and no service leaves."""
_CONFIG: Final = json.dumps({"version": "v2", "breaking": {"use": RULES, "ignore": sorted(RUNTIME)}})
_LAUNCH: Final = str(Path(__file__).with_name("contract_launch.py"))
_SECONDS: Final = 60.0
"""By the clock; of the processor it gets a third (contract_launch), so that a busy machine refuses nobody."""
_SAID_BYTES: Final = 256 * 1024
_BREAKS: Final = 100
_REMEMBERED: Final = 4
"""Answers, with the contracts that they are about: the same question is asked again when others recorded meanwhile."""
_TEXT: Final = 300
_FOUND, _NONE = 100, 0
_SEE: Final = re.compile(r" See https?://.*", re.DOTALL)
_OWNER: Final = re.compile(r' (?:on|in|of|from) (?:message|enum|service) "([^"]+)"')
_MEMBER: Final = re.compile(r'(?:^Field|RPC|[Ee]num value|[Oo]neof|[Ss]ervice|[Mm]essage|[Ee]num) "([^"]+)"')
_NAME: Final = re.compile(r' with name "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Break:
    """One finding, in buf's terms."""

    file: str
    rule: str
    element: str
    """Full name of the message, field, enum value, service or method; the package where it is about the file."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}: {self.text}"


def find_breaks(new: Iterable[FileDescriptorProto], old: Iterable[FileDescriptorProto]) -> tuple[Break, ...]:
    """What of `new` breaks whoever relies on `old`; each with its imports.

    Refusal(MALFORMED) for what buf does not read, Refusal(CONTRACT_UNCOMPARED) where it came to no end.
    """
    return _find_breaks(*(FileDescriptorSet(file=files).SerializeToString(deterministic=True) for files in (new, old)))


@lru_cache(maxsize=_REMEMBERED)
def _find_breaks(new: bytes, old: bytes) -> tuple[Break, ...]:
    with tempfile.TemporaryDirectory(prefix="govbus-contract-") as folder:
        Path(folder, "new.binpb").write_bytes(new)
        Path(folder, "old.binpb").write_bytes(old)
        status, said, error = _run(folder)
    if status == _NONE and not said:
        return ()
    if status == _FOUND:
        packages = {file.name: file.package for file in FileDescriptorSet.FromString(new).file}
        found = tuple(_break(line, packages) for line in said.splitlines()[:_BREAKS])
        if found:
            return found
    if error.startswith("Failure:"):
        raise Refusal(RefusalReason.MALFORMED, f"buf does not read the contract: {_line(error)}")
    raise Refusal(
        RefusalReason.CONTRACT_UNCOMPARED,
        f"the comparison with what is registered came to no end ({_SECONDS:.0f} s, 1 GiB); register it in parts",
    )


def _run(folder: str) -> tuple[int, str, str]:
    """buf's exit status and what it said; both bounded."""
    buf = Path(sys.executable).with_name("buf")
    if not buf.exists():
        raise Refusal(
            RefusalReason.CONTRACT_UNCOMPARED,
            f"{buf} is missing, which compares contracts; install the package buf-bin",
        )
    command = [str(buf), "breaking", "new.binpb", "--against", "old.binpb", "--config", _CONFIG]
    command += ["--error-format", "json", "--timeout", "0"]
    errors = Path(folder, "errors")
    with errors.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), *command],
            cwd=folder,
            env={"HOME": folder, "GOMAXPROCS": "1", "GOMEMLIMIT": "768MiB"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        pipe = child.stdout
        assert pipe is not None  # noqa: S101 (it was asked for)
        clock = threading.Timer(_SECONDS, child.kill)
        clock.daemon = True
        clock.start()
        try:
            said = pipe.read(_SAID_BYTES)
            whole = len(said) < _SAID_BYTES
            if not whole:  # enough to say no; the rest is of no use
                child.kill()
            status = child.wait()
        finally:
            clock.cancel()
            child.kill()
            child.wait()
            pipe.close()
    text = said.decode("utf-8", "replace")
    # What was cut off in the middle of a line is dropped with it.
    return (
        (status, text, errors.read_text("utf-8", "replace")[:4096]) if whole else (_FOUND, text[: text.rfind("\n")], "")
    )


def _break(line: str, packages: dict[str, str]) -> Break:
    try:
        said = json.loads(line)
        file, rule, text = (str(said.get(key, "")) for key in ("path", "type", "message"))
    except (ValueError, AttributeError):
        file, rule, text = "", "", line
    text = _SEE.sub("", text)
    owner, member = _OWNER.search(text), _NAME.search(text) or _MEMBER.search(text)
    names = [packages.get(file, ""), *(one[1] for one in (owner, member) if one is not None)]
    if len(names) > 2 and names[1] == names[2]:
        names.pop()
    return Break(_line(file), _line(rule), _line(".".join(filter(None, names))), _line(text))


def _line(text: str) -> str:
    """One bounded line of printable ASCII, whatever a contract calls its things."""
    found = "".join(one if " " <= one <= "~" else "?" for one in text.strip())
    return found if len(found) <= _TEXT else f"{found[: _TEXT - 3]}..."
