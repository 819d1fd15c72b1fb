"""docs/tutorial-adapter.md is true: what a newcomer writes is 60 lines, the commands do what the text says in a fresh
nation, and they print what stands there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bus.engines.support import free_port, trace_collector  # isort: skip - before gRPC

import pytest
from psycopg.conninfo import conninfo_to_dict

from bus.engines.postgres_database import Database
from tests.adapters.test_traces import Collected

TOP = Path(__file__).resolve().parents[2]
TEXT = (TOP / "docs" / "tutorial-adapter.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PRINTED = re.findall(r"^```sh\n.*?^```\n\n```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
WRITTEN = {name: text for _, name, text in BLOCKS if name}
TABLE = next(text for kind, _, text in BLOCKS if kind == "sql")
ADAPTER = "gov/moit/licences"
HOME = "/srv/empty"
CAP_S = 400
STATEMENTS = Counter({"licence.by_number": 2, "licence.of_ward": 2})


def script() -> str:
    """Before the end it waits until the test has every span: what ends loses those that it has not sent."""
    *blocks, end = (text for kind, _, text in BLOCKS if kind == "sh")
    waiting = "touch called\nuntil [ -e traced ]; do sleep 0.2; done\n"
    return "\n".join((*blocks, waiting, end)).replace("127.0.0.1:7301", f"127.0.0.1:{free_port()}")


def environment(folder: Path, database: Database) -> dict[str, str]:
    """A newcomer's: the clone, and libpq's variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOVBUS", "OTEL_", "PG", "XDG_"))}
    where = {
        f"PG{name}": str(conninfo_to_dict(database.dsn)[name.lower()]) for name in ("HOST", "PORT", "USER", "PASSWORD")
    }
    return kept | where | {"PGDATABASE": database.name, "HOME": str(folder), "GOVBUS": str(TOP), "LC_ALL": "C.UTF-8"}


def test_newcomer_writes_no_more_than_is_promised() -> None:
    assert sorted(WRITTEN) == ["example/licences/v1/licences.proto", "licences.py"]
    lines = [line for text in WRITTEN.values() for line in text.splitlines() if line.strip()]
    assert 40 < len(lines) <= 60
    assert max(map(len, lines)) <= 120


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """An empty directory; whatever still runs from it at the end is ended."""
    yield tmp_path
    if (tmp_path / "state").exists():
        govbus = Path(sys.executable).with_name("govbus")
        down = await asyncio.create_subprocess_exec(govbus, "down", "--state", tmp_path / "state")
        await asyncio.wait_for(down.wait(), 120)


async def test_table_becomes_a_service_that_is_granted_called_and_traced(folder: Path, database: Database) -> None:
    for name, text in WRITTEN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    with database.connect(autocommit=True) as connection:
        connection.execute(TABLE.encode())
    async with trace_collector() as (where, received), asyncio.TaskGroup() as tasks:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{where}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
        running = tasks.create_task(run(script(), folder, environment(folder, database) | told))
        while not (running.done() or (folder / "called").exists()):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.2)
        collected = Collected(received)
        while not (running.done() or is_whole(collected)):
            await collected.wait_for(len(collected.spans) + 1)
        (folder / "traced").touch()
    verify_printed(running.result(), folder)
    verify_answers(folder)
    verify_spans(collected)


async def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """What the commands print, one after another; all that they started is ended if one fails."""
    trap = "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
    process = await asyncio.create_subprocess_exec(
        *("/bin/bash", "-c", "\n".join(("set -euo pipefail", trap, script))),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), CAP_S)
        assert process.returncode == 0, said.decode()[-3000:]
        return said.decode()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)


def is_whole(collected: Collected) -> bool:
    """Whether every statement has come, and the spans above it up to the broker's."""
    asked = [span for _, span in collected.spans.values() if span.name in STATEMENTS]
    return Counter(span.name for span in asked) >= STATEMENTS and all(
        "govbus-broker" in collected.path_above(span) for span in asked
    )


def verify_printed(said: str, folder: Path) -> None:
    """Line by line and in this order, `...` being anything; times, numbers and the directory are each run's own."""
    lines = iter(said.splitlines())
    for line in "".join(PRINTED).splitlines():
        if line == "...":
            continue
        wanted = re.escape(line.replace(HOME, str(folder))).replace(r"\.\.\.", ".*")
        if not line.startswith('  "'):
            wanted = re.sub(r"\d[\d:TZ\\.-]*", lambda _: r"[\d:TZ.-]+", wanted)
        assert any(re.fullmatch(wanted, one) for one in lines), f"not printed: {line}\n{said[-6000:]}"


def verify_answers(folder: Path) -> None:
    first, second = (json.loads((folder / f"{name}.json").read_bytes()) for name in ("first", "second"))
    assert [each["number"] for each in first["answer"]["licences"]] == ["GP-0001", "GP-0002"]
    assert second["answer"]["licences"] == [{"number": "GP-0003", "holder": "Công ty Ba", "issuedOn": "2025-11-20"}]
    assert not second["answer"].get("nextPageToken")
    assert not (folder / "state").exists()


def verify_spans(collected: Collected) -> None:
    asked = [(name, span) for name, span in collected.spans.values() if span.name in STATEMENTS]
    assert {name for name, _ in asked} == {ADAPTER}
    for _, span in asked:
        service, above = collected.spans[span.parent_span_id]
        assert service == ADAPTER
        assert above.name.startswith("example.licences.v1.LicenceService/")
        assert above.trace_id == span.trace_id
        assert collected.path_above(span)[:2] == [ADAPTER, "govbus-broker"]
    for value in ("GP-0003", "GP-9999", "00004", "Công ty"):
        assert value.encode() not in collected.raw
