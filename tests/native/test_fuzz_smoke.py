"""The fuzz corpus replayed and mutated under sanitizers, with a fixed seed: what once broke a promise does so no more.

New inputs are `make fuzz`'s business. Skipped, with the reason, where gcc has no sanitizers.
"""

import os
import subprocess
from pathlib import Path

import pytest

from native.fuzz import fuzz, make_seeds

RUNS = 1_500


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shared = fuzz.TOP / "build" / "fuzz"
    place = shared if shared.is_dir() else fuzz.TOP
    if not os.access(place, os.W_OK):
        shared = tmp_path_factory.mktemp("fuzz")
    try:
        return fuzz.build(shared, guided=False)
    except fuzz.CannotBuild as missing:
        if "sanitizers" not in str(missing):
            raise
        pytest.skip(str(missing))


def start(driver: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(driver), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("target", fuzz.targets())
def test_no_input_breaks_a_promise_or_memory(driver: Path, tmp_path: Path, target: str) -> None:
    done = start(driver, tmp_path, str(fuzz.CORPUS), str(RUNS), target)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{RUNS} mutations" in done.stdout


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
