"""The contracts' reference pages: complete, whole, and readable without anything from anywhere else."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bus.exchange.meanings import meaning  # isort: skip - before gRPC

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from typer.testing import CliRunner
from vn.administrative.v1 import administrative_pb2

from bus.cli.main import app
from bus.edge.nation import contract_image
from bus.exchange.reasons import Reason
from bus.reference.pages import write_pages

TOP = Path(__file__).resolve().parents[3]
HOSTILE = '<script>alert("x")</script> & </p> {{ 7 * 7 }} `<img src="http://evil.example/x"/>`'


@dataclass(frozen=True)
class Reference:
    """What was written, read as a browser would find it."""

    folder: Path

    @cached_property
    def pages(self) -> dict[str, ET.Element]:
        """Parsed as XML: a page that is not well-formed fails here."""
        return {path.name: parsed(path) for path in self.folder.glob("*.html")}

    @cached_property
    def anchors(self) -> set[str]:
        """`page#id` of every anchor; none is there twice."""
        found = [f"{page}#{one.get('id')}" for page, root in self.pages.items() for one in root.iter() if one.get("id")]
        assert len(found) == len(set(found))
        return set(found)

    def text(self, anchor: str) -> str:
        """Everything that stands in the element of an anchor."""
        page, _, name = anchor.partition("#")
        (element,) = (one for one in self.pages[page].iter() if one.get("id") == name)
        return " ".join(" ".join(element.itertext()).split())


def parsed(path: Path) -> ET.Element:
    text = path.read_text("utf-8")
    assert text.startswith("<!doctype html>\n")
    return ET.fromstring(text.removeprefix("<!doctype html>"))  # noqa: S314 - written a moment ago


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """Every contract of ours, comments included, as `make docs` compiles them."""
    file = tmp_path_factory.mktemp("contracts") / "contracts.binpb"
    buf = Path(sys.executable).parent / "buf"
    subprocess.run([buf, "build", "protos", "-o", file], cwd=TOP, check=True, timeout=120)
    return FileDescriptorSet.FromString(file.read_bytes())


@pytest.fixture(scope="module")
def reference(image: FileDescriptorSet, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("the pages") / "docs"
    written = write_pages(image, folder)
    assert sorted(path.name for path in folder.iterdir()) == written
    return Reference(folder)


def declared(image: FileDescriptorSet) -> Iterator[str]:
    """The anchor that each thing in the set must have."""
    for file in image.file:
        if not file.name.startswith(("google/", "buf/")):
            page = f"{file.package}.html#{file.package}"
            for service in file.service:
                yield f"{page}.{service.name}"
                yield from (f"{page}.{service.name}.{one.name}" for one in service.method)
            for message in file.message_type:
                yield from of_message(message, f"{page}.{message.name}")
            for enum in file.enum_type:
                yield from (f"{page}.{enum.name}", *(f"{page}.{enum.name}.{one.name}" for one in enum.value))
            yield from (f"{page}.{one.name}" for one in file.extension)


def of_message(message: DescriptorProto, name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{one.name}" for one in message.field)
    for enum in message.enum_type:
        yield from (f"{name}.{enum.name}", *(f"{name}.{enum.name}.{one.name}" for one in enum.value))
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from of_message(nested, f"{name}.{nested.name}")


def test_everything_that_a_contract_declares_has_its_place(image: FileDescriptorSet, reference: Reference) -> None:
    wanted = set(declared(image))
    assert len(wanted) > 500
    assert wanted - reference.anchors == set()
    assert {f"reasons.html#{reason}" for reason in Reason} - reference.anchors == set()


def test_no_link_is_dead_and_nothing_comes_from_elsewhere(reference: Reference) -> None:
    files = {path.name for path in reference.folder.iterdir()}
    for page, root in reference.pages.items():
        for element in root.iter():
            assert element.tag not in ("iframe", "img", "object", "embed", "base")
            for place in filter(None, (element.get("href"), element.get("src"))):
                file, _, anchor = place.partition("#")
                assert (file or page) in files, (page, place)
                assert not anchor or f"{file or page}#{anchor}" in reference.anchors, (page, place)
    for name in ("style.css", "search.js"):
        text = (reference.folder / name).read_text("utf-8")
        assert not re.search(
            r"https?:|url\(|@import|\bfetch\b|XMLHttpRequest|\bimport\b *[({\"']", text.split("];\n")[-1]
        )


def test_search_finds_every_name_where_it_is(image: FileDescriptorSet, reference: Reference) -> None:
    first, _ = (reference.folder / "search.js").read_text("utf-8").split(";\n", 1)
    index = json.loads(first.removeprefix("const INDEX = "))
    places = {place for _, _, place, _ in index}
    assert set(declared(image)) - places == set()
    assert {place for place in places if "#" in place} - reference.anchors == set()


def test_page_says_who_may_call_what_is_allowed_and_how_it_is_classed(reference: Reference) -> None:
    page = "vn.population.v1.html#vn.population.v1."
    root = reference.pages["vn.population.v1.html"]
    (method,) = (
        one for one in root.iter("article") if one.find("h3") is not None and "GetPerson" in "".join(one[0].itertext())
    )
    said = " ".join(" ".join(method.itertext()).split())
    assert "Who may call The caller must hold a grant for this method" in said
    assert "idempotent yes" in said
    assert "max lifetime 10,000 ms" in said
    notice = reference.text(f"{page}RegisterNewbornRequest.birth_notice_number")
    for told in ("6-40 characters", "required", "matches ^[A-Z]", "data class personal", "vn.birth.notice-number"):
        assert told in notice
    whole = reference.text(f"{page}RegisterNewbornRequest.birth_date")
    assert "a birth needs year, month and day" in whole
    assert "name the mother, the father or both" in " ".join(root.itertext())
    links = {one.get("href") for one in root.iter("a")}
    assert "vn.common.v1.html#vn.common.v1.PersonNumber" in links
    for reason in Reason:
        assert meaning(reason).remedy in reference.text(f"reasons.html#{reason}")


def test_errors_of_a_method_stand_one_below_the_other(reference: Reference) -> None:
    paragraphs = ["".join(one.itertext()) for one in reference.pages["vn.population.v1.html"].iter("p")]
    assert "NOT_FOUND: nobody has this number." in paragraphs
    assert "ALREADY_EXISTS: same notice, other content." in paragraphs


def test_contract_of_a_stranger_stays_text(image: FileDescriptorSet, tmp_path: Path) -> None:
    other = FileDescriptorSet.FromString(image.SerializeToString())
    for file in other.file:
        for location in file.source_code_info.location:
            location.leading_comments = HOSTILE
    write_pages(other, tmp_path)
    for path in tmp_path.glob("*.html"):
        root = parsed(path)
        assert len(list(root.iter("script"))) == 1
        assert list(root.iter("img")) == []
    assert "{{ 7 * 7 }}" in "".join(parsed(tmp_path / "vn.population.v1.html").itertext())


@pytest.mark.parametrize("package", ["../outside", "/outside/of", "a b", "index", ".hidden"])
def test_name_that_a_contract_gives_itself_leads_to_no_file_outside(package: str, tmp_path: Path) -> None:
    hostile = FileDescriptorSet()
    hostile.file.add(name="hostile.proto", package=package).message_type.add(name="A")
    (tmp_path / "hostile.binpb").write_bytes(hostile.SerializeToString())
    out = tmp_path / "docs"
    refused = CliRunner().invoke(app, ["contract", "docs", str(tmp_path / "hostile.binpb"), "--out", str(out)])
    assert (refused.exit_code, "no name of a package" in refused.stderr) == (2, True)
    assert not out.exists()


def test_developer_with_a_pulled_set_gets_pages_of_it_and_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pulled.binpb").write_bytes(contract_image([administrative_pb2.DESCRIPTOR]))
    out = tmp_path / "the docs"
    out.mkdir()
    earlier = FileDescriptorSet()
    earlier.file.add(name="gone.proto", package="vn.gone.v1").message_type.add(name="Gone")
    assert "vn.gone.v1.html" in write_pages(earlier, out)
    (out / "notes.html").write_text("somebody's own page")
    made = CliRunner().invoke(app, ["contract", "docs", str(tmp_path / "pulled.binpb"), "--out", str(out)])
    assert made.exit_code == 0, made.stderr
    assert f"open {out / 'index.html'}" in made.stdout.replace("\n", "")
    assert "without their comments" in made.stderr
    pages = {path.name for path in out.glob("*.html")}
    assert pages == {
        *("index.html", "reasons.html", "notes.html"),
        *(f"vn.{name}.v1.html" for name in ("administrative", "common", "options")),
    }
    (tmp_path / "nothing").write_bytes(b"")
    refused = CliRunner().invoke(app, ["contract", "docs", str(tmp_path / "nothing"), "--out", str(out)])
    assert (refused.exit_code, "contract pull" in refused.stderr) == (2, True)
