"""The fuzz corpus replayed and mutated under sanitizers, with a fixed seed: what once broke a promise does so no more.

New inputs are `make fuzz`'s business. The whole gate (calls through its hooks, journal included) takes longer to build
and runs with the long tests. Skipped, with the reason, where gcc has no sanitizers.
"""

import os
import subprocess
from pathlib import Path

import pytest

from native.fuzz import fuzz, make_seeds
from native.journal import load_segments, read_groups
from native.journal_records import CleanStop, Intent, Outcome, parse_record

RUNS = 1_500


PARSERS = [name for name in fuzz.targets() if name != fuzz.GATE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where drivers are built, shared between runs where that is possible."""
    shared = fuzz.TOP / "build" / "fuzz"
    writable = os.access(shared if shared.is_dir() else fuzz.TOP, os.W_OK)
    return shared if writable else tmp_path_factory.mktemp("fuzz")


def build(folder: Path, target: str) -> Path:
    try:
        return fuzz.build(folder, target, guided=False)
    except fuzz.NoSanitizers as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def driver(folder: Path) -> Path:
    return build(folder, PARSERS[0])


def start(driver: Path, tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(driver), *arguments],
        cwd=tmp_path,
        env={**os.environ, "GOVBUS_FUZZ_FOLDER": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("target", PARSERS)
def test_no_input_breaks_a_promise_or_memory(driver: Path, tmp_path: Path, target: str) -> None:
    done = start(driver, tmp_path, str(fuzz.CORPUS), str(RUNS), target)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{RUNS} mutations" in done.stdout


@pytest.mark.soak
def test_no_call_breaks_a_promise_of_the_gate_its_memory_or_its_journal(folder: Path, tmp_path: Path) -> None:
    driver = build(folder, fuzz.GATE)
    done = start(driver, tmp_path, str(fuzz.CORPUS), str(RUNS), fuzz.GATE, GOVBUS_FUZZ_KEEP="1")
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{RUNS} mutations" in done.stdout
    (journal,) = tmp_path.glob("govbus-fuzz-*")
    entries = [parse_record(record) for group in read_groups(load_segments(journal)) for record in group.records]
    intents = [entry.admission.sequence for entry in entries if isinstance(entry, Intent)]
    settled = [entry.receipt.intent_sequence for entry in entries if isinstance(entry, Outcome)]
    assert len(intents) > 100
    assert sorted(settled) == intents
    assert isinstance(entries[-1], CleanStop)


@pytest.mark.soak
@pytest.mark.parametrize("call", ["unary", "stream"])
@pytest.mark.parametrize(("moment", "reason"), [("intent", "JOURNAL_UNAVAILABLE"), ("outcome", "OUTCOME_UNRECORDED")])
def test_nothing_goes_on_that_a_dying_journal_did_not_record(
    folder: Path, tmp_path: Path, call: str, moment: str, reason: str
) -> None:
    driver, script = build(folder, fuzz.GATE), fuzz.CORPUS / fuzz.GATE / call
    done = start(driver, tmp_path, "-1", fuzz.GATE, str(script), GOVBUS_FUZZ_BREAK=moment, GOVBUS_FUZZ_SHOW="1")
    assert done.returncode == 0, done.stderr[-4000:]
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("misdeed", "sign"), [("-overrun", "heap-buffer-overflow"), ("-overflow", "signed integer overflow")]
)
def test_the_sanitizers_are_there(driver: Path, tmp_path: Path, misdeed: str, sign: str) -> None:
    done = start(driver, tmp_path, misdeed)
    assert done.returncode != 0
    assert sign in done.stderr


def test_the_driver_needs_no_interpreter(driver: Path) -> None:
    symbols = subprocess.run(["nm", str(driver)], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line for line in symbols if line.split()[-1].lstrip("_").startswith("Py")] == []


def test_the_committed_seeds_are_what_the_encoders_write() -> None:
    seeds = make_seeds.all_seeds()
    assert set(seeds) == set(fuzz.targets())
    for target, inputs in seeds.items():
        for name, data in inputs.items():
            committed = fuzz.CORPUS / target / name
            assert committed.read_bytes() == data, f"run: python -m native.fuzz.make_seeds ({target}/{name})"


def test_the_corpus_stays_small() -> None:
    sizes = [file.stat().st_size for file in fuzz.CORPUS.rglob("*") if file.is_file()]
    assert len(sizes) < 500
    assert sum(sizes) < 500_000
