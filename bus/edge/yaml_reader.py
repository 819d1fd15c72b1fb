"""Strict reading of a YAML file that people write: every complaint names the line and says what to do.

1. One document, plain YAML: no tags, anchors, aliases or merge keys.
2. A key twice in one mapping, or a key nobody asked for, is refused.
3. Scalars are read as the schema wants them, never as YAML guesses (`no` is not False, `1e3` is no number).

The tree is walked as nodes, not as loaded objects: that is where lines live. What a value means is the caller's.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import yaml

__all__ = ["Node", "YamlFileError", "parse_yaml"]

_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)", re.ASCII)
_DEPTH = 16
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z", re.ASCII)


class YamlFileError(ValueError):
    """`line` is counted from 1; the text starts with `<name>:<line>:`."""

    def __init__(self, name: str, line: int, text: str) -> None:
        super().__init__(f"{name}:{line}: {text}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Node:
    """A value in the file, with where it stands (`path` such as `grants[2].client`)."""

    name: str
    path: str
    _node: yaml.Node

    @property
    def line(self) -> int:
        """Counted from 1."""
        return int(self._node.start_mark.line) + 1

    def fail(self, text: str) -> NoReturn:
        """Raise YamlFileError at this value."""
        raise YamlFileError(self.name, self.line, f"{self.path}: {text}" if self.path else text)

    def mapping(self, *, required: Collection[str] = (), optional: Collection[str] = ()) -> Mapping[str, "Node"]:
        """The entries of a mapping that has all the required keys and no others than both lists."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail("expected a mapping (`key: value` lines)")
        found: dict[str, Node] = {}
        for key_node, value_node in self._node.value:
            key = Node(self.name, self.path, key_node)._scalar()
            child = Node(self.name, f"{self.path}.{key}" if self.path else key, value_node)
            if key in found:
                child.fail("stands here a second time; keep one of the two")
            if key not in required and key not in optional:
                known = ", ".join(sorted({*required, *optional}))
                raise YamlFileError(
                    self.name, int(key_node.start_mark.line) + 1, f"unknown key {key!r}; known: {known}"
                )
            found[key] = child
        for key in required:
            if key not in found:
                self.fail(f"add {key!r}: it is required here")
        return found

    def items(self) -> Iterator["Node"]:
        """The entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail("expected a list (`- entry` lines)")
        for index, entry in enumerate(self._node.value):
            yield Node(self.name, f"{self.path}[{index}]", entry)

    @property
    def is_mapping(self) -> bool:
        """Whether `mapping` would find one."""
        return isinstance(self._node, yaml.MappingNode)

    def text(self, pattern: re.Pattern[str] | None = None, hint: str = "") -> str:
        """A non-empty text; with a pattern, one that it matches whole."""
        value = self._scalar()
        if not value or (pattern is not None and not pattern.fullmatch(value)):
            self.fail(hint or "expected a text")
        return value

    def integer(self, lowest: int, highest: int) -> int:
        """A decimal integer within both limits."""
        value = self._scalar()
        if not _INTEGER.fullmatch(value) or not lowest <= int(value) <= highest:
            self.fail(f"expected a whole number from {lowest} to {highest}")
        return int(value)

    def boolean(self) -> bool:
        """`true` or `false`."""
        value = self._scalar()
        if value not in ("true", "false"):
            self.fail("expected true or false")
        return value == "true"

    def choice(self, allowed: Collection[str]) -> str:
        """One of `allowed`."""
        value = self._scalar()
        if value not in allowed:
            self.fail(f"expected one of: {', '.join(allowed)}")
        return value

    def duration_ms(self) -> int:
        """`250ms`, `30s`, `5m`, `24h` or `7d` in milliseconds."""
        found = _DURATION.fullmatch(self._scalar())
        if not found:
            self.fail("expected a duration such as 250ms, 30s, 5m, 24h or 7d")
        return int(found[1]) * _UNITS[found[2]]

    def time_ms(self) -> int:
        """`2026-11-21T22:00:00Z` in milliseconds since the epoch."""
        value = self._scalar()
        try:
            if not _TIME.fullmatch(value):
                raise ValueError
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("expected a UTC time such as 2026-11-21T22:00:00Z")
        delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000

    def _scalar(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            self.fail("expected a single value")
        return str(self._node.value)


def parse_yaml(data: bytes, *, name: str) -> Node:
    """The root of the one document in `data`; `name` is what complaints call the file."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise YamlFileError(name, line, "not UTF-8; save the file as UTF-8 text") from error
    try:
        _verify_plain(text, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlFileError(name, mark.line + 1 if mark else 1, f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise YamlFileError(name, 1, "not YAML: a character that YAML does not allow") from error
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    if root is None:
        raise YamlFileError(name, 1, "the file is empty")
    return Node(name, "", root)


def _verify_plain(text: str, name: str) -> None:
    """Refuse tags, anchors, aliases, deep nesting and a second document, before any tree is built."""
    documents = depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        mark = event.start_mark
        line = mark.line + 1 if mark is not None else 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise YamlFileError(name, line, "a second document; one file holds one")
        if depth > _DEPTH:
            raise YamlFileError(name, line, f"nested deeper than {_DEPTH} levels")
        if isinstance(event, yaml.NodeEvent) and (event.anchor is not None or getattr(event, "tag", None) is not None):
            raise YamlFileError(name, line, "tags, anchors and aliases are not read; write it out")
