"""The directory that a broker's keeper and an Envoy in another container, or unit, have in common; and nothing else.

    <share>/envoy/        what Envoy reads, and only the keeper writes:
      bootstrap.json      and the other rendered files (bus.edge.envoy_config), modules/, snapshots/
      tls -> tls-<id>/    a copy of the broker's certificate and TLS key, trust.pem beside it
      gate-key            the pipe that gives a key a start (bus.engines.key_pipe)
      environment         NAME='value' lines; written last: when it is there, all of it is
    <share>/admin/        what Envoy writes: the socket of its admin interface
    <share>/lock          held by the keeper; Envoy does not see it

The broker's home with its signing key is no part of it. Both sides see the share under one path and are one user.
"""

import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.engines.supervisor import EngineError
from pki.credentials import store_tls
from pki.files import ensure_private_directory, read_private

__all__ = ["Share", "TlsCopy", "environment_lines", "take_back"]

_LONGEST_SOCKET = 107  # unix(7)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """Its paths; absolute."""

    directory: Path

    @property
    def files(self) -> Path:
        """What Envoy reads."""
        return self.directory / "envoy"

    @property
    def environment(self) -> Path:
        """What its process is given."""
        return self.files / "environment"

    @property
    def pipe(self) -> Path:
        """Where its gate key comes from."""
        return self.files / "gate-key"

    @property
    def socket(self) -> Path:
        """Its admin interface."""
        return self.directory / "admin" / "socket"

    @classmethod
    def at(cls, directory: Path) -> "Share":
        """EngineError for a path that cannot be one. Nothing is made."""
        share = cls(directory.absolute())
        length = len(os.fsencode(share.socket))
        if length > _LONGEST_SOCKET:
            raise EngineError(
                f"{share.socket} is {length} bytes long, and a socket's path {_LONGEST_SOCKET} at most; share a shorter"
                " directory, such as /run/govbus"
            )
        return share

    def make(self) -> None:
        """Its two directories, private; FilePermissionError for ones that others can enter."""
        ensure_private_directory(self.files)
        take_back(self.socket.parent)

    @contextmanager
    def held(self) -> Iterator[None]:
        """It is this process's alone until the end; EngineError where another keeper has it.

        The lock lies where Envoy does not see it: whoever may read a file may lock it, and for ever.
        """
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise EngineError(
                    f"another broker's keeper has {self.directory}; give each a share of its own, or end that one"
                ) from error
            yield
        finally:
            os.close(descriptor)


def take_back(directory: Path) -> None:
    """Make a directory that Envoy writes to private, also where Envoy has opened it to others: it holds no secret of
    this side's, and one that strangers have taken over must not keep this side from its next start."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(directory.lstat().st_mode):  # what it lies in is not Envoy's to write to: no link gets here
            directory.chmod(0o700)
    ensure_private_directory(directory)


class TlsCopy:
    """Follows the certificate, TLS key and trust of a home, which change by rename, into a share."""

    def __init__(self, home: Path, share: Share) -> None:
        self._home, self._share = home, share
        self._seen: tuple[str, int] | None = None

    def follow(self) -> None:
        """Copy them if they changed; whatever load of theirs fails."""
        generation, trust = os.readlink(self._home / "tls"), self._home / "trust.pem"
        now = generation, trust.stat().st_ino
        if now == self._seen:
            return
        key, chain = (read_private(self._home / generation / name) for name in ("key.pem", "chain.pem"))
        store_tls(self._share.files, key, chain, trust.read_bytes())
        if self._seen is not None:
            log.info("Envoy is given the renewed certificate")
        self._seen = now


def environment_lines(environment: Mapping[str, str]) -> bytes:
    """As a POSIX shell and systemd's EnvironmentFile= read it; EngineError for a value that neither could."""
    for name, value in environment.items():
        if not value.isprintable() or "'" in value or "\\" in value:
            raise EngineError(f"{name} cannot be told to Envoy's container: {value!r}; use plainer names")
    return "".join(f"{name}='{value}'\n" for name, value in environment.items()).encode()
