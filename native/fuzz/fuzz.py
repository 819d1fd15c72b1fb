"""Builds the fuzz drivers and runs them: `make fuzz` for new inputs, the smoke test for those that are known.

Two programs: the parsers (targets.pyx), and the whole gate (gate_script.pyx) driven by a stand-in for Envoy. Each with
two drivers: clang's libFuzzer, guided by coverage, and a blind one for gcc that replays the corpus and mutates it
(standalone.c). All with the address and undefined-behaviour sanitizers, and linked like the gate, so that the Python
half of Cython's output falls away.

    python -m native.fuzz.fuzz smoke [--runs N] [TARGET ...]      replay and mutate with gcc
    python -m native.fuzz.fuzz run [--seconds S] [TARGET ...]     libFuzzer on each target, one after another
    python -m native.fuzz.fuzz keep [TARGET ...]                  take what reaches new code into the corpus
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
CORPUS = HERE / "corpus"
FOUND = TOP / "build" / "fuzz" / "found"
CLANG_PACKAGES = ("clang-14", "libclang-rt-14-dev")
KEEP_BYTES = 3_000  # a larger input is kept only if it is a seed

SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SECTIONS = ["-ffunction-sections", "-fdata-sections", "-fvisibility=hidden", "-DCYTHON_NO_PYINIT_EXPORT"]
COMPILE = ["-g1", "-O1", "-fno-omit-frame-pointer", "-fno-pie", "-Werror=implicit-function-declaration", *SANITIZE]
LINK = ["-no-pie", "-Wl,--gc-sections,-z,start-stop-gc", "-lcrypto"]
# Registered globals would keep Cython's module tables, and with them the interpreter. clang can drop unused ones.
GCC = ["--param", "asan-globals=0"]
CLANG = ["-fsanitize=fuzzer-no-link", "-fsanitize-address-globals-dead-stripping"]
GATE = "gate"
# Of each program: what Cython compiles, what goes beside it, what chooses its targets in driver.h.
PARSERS_UNITS: list[str] = ["native/fuzz/targets.pyx"]
GATE_UNITS: list[str] = ["native/gate/gate.pyx", "native/fuzz/gate_script.pyx"]


class CannotBuild(Exception):
    """What is missing, and what to do about it."""


class NoSanitizers(CannotBuild):
    """The compiler is there, but not what makes fuzzing worth while."""


def targets() -> dict[str, int]:
    """Name -> longest input, as driver.h has them."""
    text = (HERE / "driver.h").read_text(encoding="utf-8")
    return {name: int(longest) for name, longest in re.findall(r"\bX\((\w+), (\d+)\)", text)}


def _tool(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise CannotBuild(f"{' or '.join(names)} is not installed")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"{what} failed:\n{done.stderr[-4000:]}")


def _sources() -> str:
    """Changes whenever a driver must be built anew."""
    files = [*HERE.glob("*.[ch]"), *HERE.parent.glob("*/*.pyx"), *HERE.parent.glob("*/*.pxi"), Path(__file__)]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _check_sanitizers(compiler: str, folder: Path) -> None:
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n", encoding="ascii")
    command = [compiler, "-fsanitize=address,undefined", str(probe), "-o", str(folder / "probe")]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or subprocess.run([str(folder / "probe")], capture_output=True, check=False).returncode:
        raise NoSanitizers(f"{Path(compiler).name} has no working sanitizers here (libasan, libubsan)")


def build(folder: Path, target: str, *, guided: bool) -> Path:
    """The driver of a target, for the sources as they are: guided is libFuzzer's, else gcc's. Raises CannotBuild."""
    folder.mkdir(parents=True, exist_ok=True)
    program = GATE if target == GATE else "parsers"
    driver = folder / f"{program}-{'guided' if guided else 'plain'}-{_sources()}"
    if driver.exists():
        return driver
    compiler = _clang() if guided else _tool("gcc")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        _check_sanitizers(compiler, work)
        include = ["-I", sysconfig.get_path("include"), "-I", str(HERE)]
        objects = [
            _compile(compiler, unit, work, [*COMPILE, *SECTIONS, *(CLANG if guided else GCC), *include])
            for unit in (GATE_UNITS if program == GATE else PARSERS_UNITS)
        ]
        mains = [str(HERE / ("libfuzzer.c" if guided else "standalone.c"))]
        if program == GATE:
            mains += ["-DFUZZ_GATE", str(HERE / "envoy.c")]
        if guided:
            mains.append("-fsanitize=fuzzer")
        built = work / "driver"
        _run([compiler, *COMPILE, *include, *mains, *objects, *LINK, "-o", str(built)], "linking the driver")
        built.replace(driver)
    return driver


def _compile(compiler: str, unit: str, work: Path, flags: list[str]) -> str:
    """A .pyx below TOP to an object file."""
    source, compiled = work / f"{Path(unit).stem}.c", work / f"{Path(unit).stem}.o"
    _run([sys.executable, "-m", "cython", "-3", "--line-directives", "-I", ".", unit, "-o", str(source)], "Cython")
    _run([compiler, *flags, "-w", "-c", str(source), "-o", str(compiled)], f"compiling {unit}")
    return str(compiled)


def _clang() -> str:
    """clang with libFuzzer, installed if that is possible here."""
    try:
        return _tool("clang-14", "clang")
    except CannotBuild:
        pass
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        print("installing", *CLANG_PACKAGES, file=sys.stderr)
        _run([apt, "-qq", "update"], "apt-get update")
        _run([apt, "-qq", "install", "-y", "--no-install-recommends", *CLANG_PACKAGES], "apt-get install")
        return _tool("clang-14", "clang")
    raise CannotBuild(f"please install {' '.join(CLANG_PACKAGES)} (Debian names)")


def smoke(names: list[str], runs: int) -> int:
    """Corpus and mutations of each target, blind; the number of targets that failed."""
    folder = TOP / "build" / "fuzz"
    drivers = [(str(build(folder, name, guided=False)), name) for name in names]
    return sum(
        1 for driver, name in drivers if subprocess.run([driver, str(CORPUS), str(runs), name], check=False).returncode
    )


def _libfuzzer(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    driver = build(TOP / "build" / "fuzz", name, guided=True)
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the folder inside has a random name
    with tempfile.TemporaryDirectory(prefix="govbus-fuzz-", dir=place) as work:
        environment = {**os.environ, "GOVBUS_FUZZ_TARGET": name, "GOVBUS_FUZZ_FOLDER": work}
        return subprocess.run(
            [str(driver), *arguments], env=environment, capture_output=True, text=True, errors="replace", check=False
        )


def run(names: list[str], seconds: int) -> int:
    """Each target for so many seconds; new inputs stay in build/fuzz/found. The number of targets that failed."""
    failed = 0
    for name in names:
        found = FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={seconds}", f"-max_len={targets()[name]}", "-timeout=20", "-rss_limit_mb=4096"]
        done = _libfuzzer(name, *limits, f"-artifact_prefix={FOUND}/crash-{name}-", str(found), str(CORPUS / name))
        lines = done.stderr.splitlines()
        last = [line for line in lines if re.search(r"^#\d+|SUMMARY|promise|Test unit written", line)]
        print(f"{name}:", last[-1] if last else done.stderr[-2000:], flush=True)
        if done.returncode:
            failed += 1
            print(done.stderr[-6000:], file=sys.stderr)
    return failed


def keep(names: list[str]) -> int:
    """Takes from build/fuzz/found what reaches code that no input of the corpus reaches; large ones stay out."""
    for name in names:
        before = set(os.listdir(CORPUS / name))
        done = _libfuzzer(name, "-set_cover_merge=1", "-use_counters=0", str(CORPUS / name), str(FOUND / name))
        if done.returncode:
            raise CannotBuild(f"merging {name} failed:\n{done.stderr[-4000:]}")
        for new in set(os.listdir(CORPUS / name)) - before:
            if (CORPUS / name / new).stat().st_size > KEEP_BYTES:
                (CORPUS / name / new).unlink()
        print(f"{name}: {len(os.listdir(CORPUS / name)) - len(before)} new")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m native.fuzz.fuzz", description="Fuzz the native parsers.")
    parser.add_argument("action", choices=["smoke", "run", "keep"])
    parser.add_argument("--runs", type=int, default=20_000, help="mutations of each target, for smoke")
    parser.add_argument("--seconds", type=int, default=60, help="for each target, for run")
    parser.add_argument("target", nargs="*", help=f"of {', '.join(targets())}; all unless named")
    chosen = parser.parse_intermixed_args()
    names = chosen.target or list(targets())
    if not set(names) <= set(targets()):
        parser.error(f"targets are {', '.join(targets())}")
    try:
        if chosen.action == "smoke":
            return smoke(names, chosen.runs)
        return run(names, chosen.seconds) if chosen.action == "run" else keep(names)
    except CannotBuild as missing:
        print(f"fuzz: {missing}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
