"""A state of the registry as a file, so that a start reads what the log got after it and not a country's history.

1. It is never believed over the log: it counts only where the log has, at its position, the very hash that it was made
   at. A log that was set back or is another one is read from its beginning.
2. It counts only for the code that wrote it: the sources that give events their meaning are hashed into it. A newer
   govbus folds the whole log again.
3. It is whole or it does not count: a SHA-256 of everything stands in its head. Who can write into the state directory
   has the instance's keys, so it needs no signature.
4. Losing it costs time only. KNOWN: the chain before its position is not walked again at each start; `history` and the
   ledger walk it, and a publisher compares the head that it published from.

One line of JSON: format, code, position, time, head, SHA-256 of the rest; then the tables, by bus.registry.columns.
"""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import bus.edge.endpoint
import native.policy_types
import pki.identity
from bus.registry.columns import decode_column, encode_column
from bus.registry.state import RegistryState
from pki.files import replace_unflushed

__all__ = ["load_checkpoint", "store_checkpoint"]

_FORMAT: Final = 1
_PLAIN = ("position", "time_ms", "head", "instance")
_ELSEWHERE = (bus.edge.endpoint, native.policy_types, pki.identity)


def store_checkpoint(path: Path, state: RegistryState) -> None:
    """Put the state at `path`, in place of an older one; OSError."""
    body = _encode(state)
    head = {
        "format": _FORMAT,
        "code": _code(),
        "position": state.position,
        "time_ms": state.time_ms,
        "head": state.head.hex(),
        "sha256": sha256(body).hexdigest(),
    }
    replace_unflushed(path, json.dumps(head).encode() + b"\n" + body)


def load_checkpoint(path: Path) -> RegistryState | None:
    """What was stored by this code, as it was stored; None where that cannot be had, whatever the reason.

    It counts if the log has its `head` at its `position`, which is the caller's to ask.
    """
    try:
        line, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        if (head["format"], head["code"], head["sha256"]) != (_FORMAT, _code(), sha256(body).hexdigest()):
            return None
        with _uncollected():
            tables = _decode(json.loads(body))
        return RegistryState(head["position"], head["time_ms"], bytes.fromhex(head["head"]), *tables)
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


@contextmanager
def _uncollected() -> Iterator[None]:
    """A million new objects and no garbage: looking for some takes longer than making them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@cache
def _code() -> str:
    """Rule 2: a digest of everything that says what an event does and how a state looks."""
    files = [*Path(__file__).parent.glob("*.py"), *(Path(str(module.__file__)) for module in _ELSEWHERE)]
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in sorted(files))).hexdigest()


def _shapes() -> dict[str, tuple[Any, Any]]:
    """Each table's types of key and value."""
    hints = get_type_hints(RegistryState)
    return {name: get_args(shape) for name, shape in hints.items() if name not in _PLAIN}


def _encode(state: RegistryState) -> bytes:
    instance = [] if state.instance is None else [state.instance]
    tables: dict[str, Any] = {"instance": encode_column(_instance_shape(), instance)}
    for name, (key, value) in _shapes().items():
        table = getattr(state, name)
        tables[name] = {"keys": encode_column(key, list(table)), "values": encode_column(value, list(table.values()))}
    return json.dumps(tables, ensure_ascii=False, separators=(",", ":")).encode()


def _decode(found: Any) -> list[Any]:
    instance = decode_column(_instance_shape(), found["instance"])
    tables: list[Any] = [instance[0] if instance else None]
    for name, (key, value) in _shapes().items():
        keys, values = decode_column(key, found[name]["keys"]), decode_column(value, found[name]["values"])
        tables.append(dict(zip(keys, values, strict=True)))
    return tables


def _instance_shape() -> Any:
    return get_args(get_type_hints(RegistryState)["instance"])[0]
