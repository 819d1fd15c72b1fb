"""The files: index.html, one page a package, reasons.html, and beside them one style and one script.

They open from a disk, without a server and without a network; nothing in them names another host. Everything that a
contract brings is escaped, and each page is well-formed XML, which a test reads it as.
"""

import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from jinja2 import Environment, PackageLoader, StrictUndefined

from bus.exchange.meanings import Meaning, meaning
from bus.exchange.reasons import Reason
from bus.reference.model import Entry, Package, packages_of
from bus.reference.text import parse_comment, summary_of
from pki.files import PUBLIC, write_atomic

__all__ = ["INDEX", "REASONS", "write_pages"]

INDEX: Final = "index.html"
REASONS: Final = "reasons.html"
_STYLE, _SCRIPT = "style.css", "search.js"
_OURS: Final = b'<meta name="generator" content="govbus contract docs" />'
_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def write_pages(image: FileDescriptorSet, folder: Path) -> list[str]:
    """Write the reference of `image` into `folder`, made if it is not there; the names of the files.

    Pages of an earlier run are written over, and those of packages that are gone are removed: no page stays that
    nothing leads to. Pages of others stay. ValueError where a package's name is none, as a file's path: nothing is
    written.
    """
    packages = packages_of(image)
    for package in packages:
        if not _NAME.fullmatch(package.name) or _page(package.name) in (INDEX, REASONS):
            raise ValueError(f"{package.name!r} is no name of a package; ask whoever made this contract")
    meanings = [meaning(reason) for reason in Reason]
    environment = _environment(packages)
    made = {
        INDEX: environment.get_template(INDEX).render(page="", packages=packages, image=image),
        REASONS: environment.get_template(REASONS).render(page=REASONS, checks=_by_check(meanings)),
    }
    template = environment.get_template("package.html")
    for package in packages:
        made[_page(package.name)] = template.render(page=_page(package.name), package=package)
    made[_STYLE] = _source(_STYLE)
    made[_SCRIPT] = (
        f"const INDEX = {json.dumps(list(_found(packages, meanings)), ensure_ascii=True)};\n{_source(_SCRIPT)}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob("*.html"):
        if former.name not in made and _OURS in former.read_bytes():
            former.unlink()
    for name, content in made.items():
        write_atomic(folder / name, content.encode(), mode=PUBLIC)
    return sorted(made)


def _page(package: str) -> str:
    return f"{package}.html"


def _source(name: str) -> str:
    return (files("bus.reference") / "templates" / name).read_text("utf-8")


def _environment(packages: Sequence[Package]) -> Environment:
    made = Environment(
        loader=PackageLoader("bus.reference"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    places = dict(_places(packages))
    made.globals["href"] = places.get
    made.globals["short"] = _short
    made.filters["paragraphs"] = parse_comment
    made.filters["summary"] = summary_of
    return made


def _places(packages: Sequence[Package]) -> Iterator[tuple[str, str]]:
    """Full name -> where it is described."""
    for package in packages:
        page = _page(package.name)
        yield package.name, page
        for entry in (*package.services, *package.messages, *package.enums):
            yield entry.full_name, f"{page}#{entry.full_name}"
        for service in package.services:
            yield from ((one.full_name, f"{page}#{one.full_name}") for one in service.methods)


def _short(full_name: str, package: str) -> str:
    """As a reader of `package` writes it."""
    return full_name.removeprefix(f"{package}.")


def _by_check(meanings: Sequence[Meaning]) -> list[tuple[int, list[Meaning]]]:
    """The gate's checks in their order, then (0) what the provider's runtime and the client find."""
    checks = sorted({one.check for one in meanings}, key=lambda check: check or 99)
    return [(check, [one for one in meanings if one.check == check]) for check in checks]


def _found(packages: Sequence[Package], meanings: Sequence[Meaning]) -> Iterator[tuple[str, str, str, str]]:
    """(name, what it is, where, in a sentence) of everything that the search finds."""
    for package in packages:
        page = _page(package.name)
        yield package.name, "package", page, summary_of("".join(package.comments[:1]))
        members: list[tuple[str, Entry]] = []
        members += [("service", one) for one in package.services]
        members += [("message", one) for one in package.messages]
        members += [("enum", one) for one in package.enums]
        members += [("method", one) for service in package.services for one in service.methods]
        members += [("field", one) for message in package.messages for one in message.fields]
        members += [("value", one) for enum in package.enums for one in enum.values]
        members += [("option", one) for one in package.extensions]
        for kind, entry in members:
            yield entry.full_name, kind, f"{page}#{entry.full_name}", summary_of(entry.comment)
    for found in meanings:
        yield str(found.reason), "refusal", f"{REASONS}#{found.reason}", found.text
