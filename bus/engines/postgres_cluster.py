"""A data directory: made by initdb in one step, configured afresh at every start.

1. `data` appears whole or not at all: initdb works in `data.new`, which is renamed when it is complete.
2. Passwords are SCRAM for everything, the superuser's included. Only unix sockets are served, and a role reaches only
   the database of its own name.
3. The log gets no statement, no parameter and no row: errors are the client's to report, and their details may name
   people.
4. What was committed is on the disk: fsync, full page writes and synchronous commit are on and are not for tuning.
   `local.conf` in the state directory is for the rest.
5. As root, the server cannot walk to a directory below a 0700 one; it is handed the open directory and names it
   /proc/self/fd/N.
"""

import os
import shutil
import subprocess
from pathlib import Path

from bus.engines.postgres_account import Account
from bus.engines.postgres_binaries import Binaries
from bus.engines.postgres_owners import ADMINISTRATOR
from bus.engines.supervisor import EngineError
from pki.files import write_atomic

__all__ = ["configure", "make_cluster", "open_directory", "promises"]

_INITDB_SECONDS = 120.0
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

_TUNING = """\
# Written at every start by govbus. Your own settings go to local.conf in the directory above this one.
max_connections = 200
shared_buffers = 128MB
wal_level = replica
max_wal_size = 1GB
min_wal_size = 80MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
idle_in_transaction_session_timeout = 5min
jit = off
"""

_ACCESS = f"""\
# Written at every start by govbus: SCRAM only, unix sockets only, each role into the database of its own name.
local  all       {ADMINISTRATOR}  scram-sha-256
local  sameuser  all           scram-sha-256
"""


def make_cluster(home: Path, binaries: Binaries, account: Account, password: str) -> Path:
    """`home/data`, made if it is not there, with `password` for the superuser; EngineError if initdb fails."""
    data = home / "data"
    if data.is_dir():
        _verify_version(data, binaries)
        return data
    staging = home / "data.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    account.own(staging)
    directory, secret = open_directory(staging), os.memfd_create("govbus-initdb", os.MFD_CLOEXEC)
    try:
        os.write(secret, password.encode("ascii") + b"\n")
        _initdb(binaries, account, directory, secret)
    finally:
        os.close(directory)
        os.close(secret)
    staging.rename(data)
    _fsync(home)
    return data


def configure(home: Path, account: Account) -> None:
    """Write the two files that govbus keeps in the data directory."""
    local = home / "local.conf"
    own = local.read_text(encoding="utf-8") if local.exists() else ""
    for name, text in (("postgresql.conf", f"{_TUNING}\n# local.conf\n{own}"), ("pg_hba.conf", _ACCESS)):
        path = home / "data" / name
        write_atomic(path, text.encode())
        account.own(path)


def promises(sockets: Path) -> list[str]:
    """Settings that no file can change, as arguments of postgres."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": _quoted(sockets),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_sync_retry": "off",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_min_messages": "log",  # above ERROR: what a statement got wrong is not logged
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_statement": "none",
        "log_min_duration_statement": "-1",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def open_directory(path: Path) -> int:
    """A descriptor that stands for the directory, whoever may walk to it."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _initdb(binaries: Binaries, account: Account, directory: int, secret: int) -> None:
    command = [
        str(binaries.initdb),
        f"--pgdata=/proc/self/fd/{directory}",
        f"--pwfile=/proc/self/fd/{secret}",
        f"--username={ADMINISTRATOR}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--sync-method=syncfs",  # one call instead of a thousand; the kernel reports its errors since 5.8
        "--no-instructions",
    ]
    try:
        done = subprocess.run(
            account.launch(command),
            pass_fds=(directory, secret),
            env=_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INITDB_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"initdb was not done after {_INITDB_SECONDS:g} s; is the disk full or very slow?") from error
    if done.returncode != 0:
        lines = done.stdout.decode("utf-8", "replace").splitlines()[-6:]
        raise EngineError("initdb failed:" + "".join(f"\n  {line}" for line in lines))


def _verify_version(data: Path, binaries: Binaries) -> None:
    made_by = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    if made_by != binaries.version.partition(".")[0]:
        raise EngineError(
            f"{data} was made by PostgreSQL {made_by}, and this is {binaries.version}; dump it with the govbus that"
            " made it, and load the dump into a fresh state directory"
        )


def _quoted(sockets: Path) -> str:
    """unix_socket_directories is a list: a name with a comma or a space stands in quotes."""
    return '"' + str(sockets).replace('"', '""') + '"'


def _fsync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
