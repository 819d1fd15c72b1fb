"""Compiles the load tools with the system's C compiler into benchmarks/native/build (git-ignored).

signing.pyx goes through Cython to C and is linked into plain executables: its functions touch no Python object, and the
linker drops the half that does. Only what is older than its sources is made again.
"""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BuildError", "Tools", "build_tools", "has_nghttp2"]

_ROOT = Path(__file__).resolve().parent.parent
_SOURCE = _ROOT / "benchmarks" / "native"
_BUILD = _SOURCE / "build"
_COMPILE = ["-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", "-ffunction-sections", "-fdata-sections"]
_STRICT = ["-Wall", "-Wextra", "-Werror"]
_LINK = ["-Wl,--gc-sections", "-Wl,-z,relro,-z,now"]
_TOOLS = {
    "corpus": (["corpus.c", "common.c"], ["-lcrypto"]),
    "echo": (["echo.c", "connection.c", "common.c"], ["-lnghttp2", "-lssl", "-lcrypto"]),
    "load": (["load.c", "report.c", "connection.c", "common.c"], ["-lnghttp2", "-lssl", "-lcrypto"]),
}


class BuildError(RuntimeError):
    """A tool did not compile; the text is the compiler's."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The executables."""

    corpus: Path
    echo: Path
    load: Path


def has_nghttp2() -> bool:
    """Whether the one library that nothing else here needs is installed (`make bench` installs it)."""
    probe = ["cc", "-E", "-x", "c", "-include", "nghttp2/nghttp2.h", "/dev/null"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def build_tools(directory: Path = _BUILD) -> Tools:
    """Compile what is out of date; the executables' paths."""
    directory.mkdir(parents=True, exist_ok=True)
    shared = [*_SOURCE.glob("*.h"), Path(__file__)]
    signing = directory / "signing.o"
    if _older(signing, [_SOURCE / "signing.pyx", *(_ROOT / "native" / "core").glob("*.pxi"), *shared]):
        _compile_signing(directory, signing)
    for name, (sources, libraries) in _TOOLS.items():
        paths = [_SOURCE / source for source in sources]
        target = directory / name
        if _older(target, [*paths, signing, *shared]):
            command = ["cc", *_COMPILE, *_STRICT, f"-I{_SOURCE}", *map(str, paths), str(signing), *_LINK, *libraries]
            _run([*command, "-o", str(target)])
    return Tools(directory / "corpus", directory / "echo", directory / "load")


def _compile_signing(directory: Path, target: Path) -> None:
    generated = directory / "signing.c"
    cython = [sys.executable, "-m", "cython", "-3", "-I", ".", "benchmarks/native/signing.pyx", "-o", str(generated)]
    _run(cython)
    # Cython's own C is not held to our warnings; an implicit declaration would still be a wrong call.
    include = f"-I{sysconfig.get_path('include')}"
    _run(["cc", *_COMPILE, "-Werror=implicit-function-declaration", include, "-c", str(generated), "-o", str(target)])


def _older(target: Path, sources: list[Path]) -> bool:
    if not target.exists():
        return True
    made = target.stat().st_mtime_ns
    return any(source.stat().st_mtime_ns > made for source in sources)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
