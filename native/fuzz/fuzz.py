"""Builds the fuzz drivers and runs them: `make fuzz` for new inputs, the smoke test for those that are known.

Two drivers over one C file that Cython makes of targets.pyx: clang's libFuzzer, guided by coverage, and a blind one
for gcc that replays the corpus and mutates it (standalone.c). Both with the address and undefined-behaviour sanitizers.
Like the gate, both are linked so that the Python half of Cython's output falls away.

    python -m native.fuzz.fuzz smoke [--runs N]                   replay and mutate with gcc
    python -m native.fuzz.fuzz run [--seconds S] [TARGET ...]     libFuzzer on each target, one after another
    python -m native.fuzz.fuzz keep                               take what reaches new code into the corpus
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


class CannotBuild(Exception):
    """What is missing, and what to do about it."""


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
    files = [*HERE.glob("*.p[yx][xi]"), *HERE.glob("*.[ch]"), *HERE.parent.glob("*/*.pxi"), Path(__file__)]
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
        raise CannotBuild(f"{Path(compiler).name} has no working sanitizers here (libasan, libubsan)")


def build(folder: Path, *, guided: bool) -> Path:
    """The driver for the sources as they are: guided is libFuzzer's, else gcc's. Raises CannotBuild."""
    folder.mkdir(parents=True, exist_ok=True)
    driver = folder / f"{'guided' if guided else 'plain'}-{_sources()}"
    if driver.exists():
        return driver
    compiler = _clang() if guided else _tool("gcc")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        _check_sanitizers(compiler, work)
        source, unit, built = work / "targets.c", work / "targets.o", work / "driver"
        cython = [sys.executable, "-m", "cython", "-3", "-I", ".", "native/fuzz/targets.pyx", "-o", str(source)]
        _run(cython, "Cython")
        include = ["-I", sysconfig.get_path("include"), "-I", str(HERE)]
        flags = [*COMPILE, *SECTIONS, *(CLANG if guided else GCC)]
        _run([compiler, *flags, "-w", *include, "-c", str(source), "-o", str(unit)], "compiling the targets")
        main = HERE / ("libfuzzer.c" if guided else "standalone.c")
        last = ["-fsanitize=fuzzer"] if guided else []
        _run([compiler, *COMPILE, *last, *include, str(main), str(unit), *LINK, "-o", str(built)], "linking the driver")
        built.replace(driver)
    return driver


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


def smoke(runs: int) -> int:
    driver = build(TOP / "build" / "fuzz", guided=False)
    return subprocess.run([str(driver), str(CORPUS), str(runs)], check=False).returncode


def run(names: list[str], seconds: int) -> int:
    """Each target for so many seconds; new inputs stay in build/fuzz/found. The number of targets that failed."""
    driver = build(TOP / "build" / "fuzz", guided=True)
    failed = 0
    for name, longest in targets().items():
        if names and name not in names:
            continue
        found = FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-max_len={longest}", "-timeout=20", "-rss_limit_mb=2048"]
        command = [str(driver), *options, f"-artifact_prefix={FOUND}/crash-{name}-", str(found), str(CORPUS / name)]
        done = subprocess.run(
            command, env={**os.environ, "GOVBUS_FUZZ_TARGET": name}, capture_output=True, text=True, check=False
        )
        lines = done.stderr.splitlines()
        last = [line for line in lines if re.search(r"^#\d+|SUMMARY|promise|Test unit written", line)]
        print(f"{name}:", last[-1] if last else done.stderr[-2000:], flush=True)
        if done.returncode:
            failed += 1
            print(done.stderr[-6000:], file=sys.stderr)
    return failed


def keep() -> int:
    """Takes from build/fuzz/found what reaches code that neither the seeds nor a smaller input reaches."""
    driver = build(TOP / "build" / "fuzz", guided=True)
    for name in targets():
        before = set(os.listdir(CORPUS / name))
        command = [str(driver), "-merge=1", str(CORPUS / name), str(FOUND / name)]
        subprocess.run(command, env={**os.environ, "GOVBUS_FUZZ_TARGET": name}, capture_output=True, check=True)
        for new in set(os.listdir(CORPUS / name)) - before:
            if (CORPUS / name / new).stat().st_size > KEEP_BYTES:
                (CORPUS / name / new).unlink()
        print(f"{name}: {len(os.listdir(CORPUS / name)) - len(before)} new")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m native.fuzz.fuzz", description="Fuzz the native parsers.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("smoke").add_argument("--runs", type=int, default=20_000)
    guided = actions.add_parser("run")
    guided.add_argument("--seconds", type=int, default=60)
    guided.add_argument("target", nargs="*", help=f"of {', '.join(targets())}; all unless named")
    actions.add_parser("keep")
    chosen = parser.parse_args()
    unknown = set(getattr(chosen, "target", [])) - set(targets())
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    try:
        if chosen.action == "smoke":
            return smoke(chosen.runs)
        return run(chosen.target, chosen.seconds) if chosen.action == "run" else keep()
    except CannotBuild as missing:
        print(f"fuzz: {missing}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
