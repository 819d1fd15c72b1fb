"""The ledger's process: one sequencer over the instance's journals, registry and snapshots, and its service on the bus.

   python -m bus.up.ledger_process STATE

1. One such process a state directory (a lock says so); a successor waits for the one before it to be gone.
2. Each checkpoint is kept beside the keys too, outside the log's own directory: opening a log that was set back to an
   older copy, or lost, is refused by it. So are a head that its tiles do not give, and another key's. Nothing is
   written then; what is wrong and what to do is told, and looked at again until a person has mended it.
3. The sequencer does not need the registry, the service or anybody's answer; the service serves while the log is open.
4. No checkpoint is signed for nothing: two notes over one tree would be the same bytes. The publisher's hourly
   snapshot is an entry, so a checkpoint that is older than that says that something stands still.
5. SIGTERM: what the sources have said by then is integrated, within some seconds. Where it comes because the supervisor
   died, the next one's process, which waits for this one's end, does that.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from bus.exchange import load_provider_config, serve  # isort: skip - before gRPC, see bus.exchange.tls

from govbus.ledger.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server

from bus.ledger.checkpoint import CheckpointInvalid, LedgerInconsistent
from bus.ledger.head import HeadInvalid
from bus.ledger.keys import load_or_create_salt_key, load_or_create_signer
from bus.ledger.ledger import PAUSE_S, Ledger
from bus.ledger.reader import LedgerReader
from bus.ledger.sequencer import Sequencer, SequencerBroken
from bus.ledger.service import LedgerServicer
from bus.ledger.storage import LedgerLocked
from bus.up.control import Control
from bus.up.layout import Facts, Layout, ledger_origin
from bus.up.ledger_sources import Sources
from native.snapshot import SnapshotError
from pki.errors import ProfileError
from pki.files import ensure_private_directory, write_atomic

__all__ = ["LedgerProcess", "may_end"]

_SIGNALS: Final = {signal.SIGINT, signal.SIGTERM}
_AGAIN_S: Final = 5.0
_LOOK_S: Final = 1.0
_LAST_MS: Final = 5_000
_INCONSISTENT: Final = "inconsistent.txt"

# ValueError: a key's file, or the policy key's, is not what it must be.
_HALTS: Final = (
    LedgerInconsistent,
    HeadInvalid,
    CheckpointInvalid,
    LedgerLocked,
    SequencerBroken,
    ProfileError,
    ValueError,
    OSError,
)

log = logging.getLogger("bus.up.ledger_process")  # also when this is __main__


class LedgerProcess:
    """What runs between start and end; `tell` is for any thread."""

    def __init__(self, layout: Layout, facts: Facts, orphaned: Callable[[], bool]) -> None:
        """`orphaned`: whether the supervisor is gone."""
        self._layout, self._facts, self._orphaned = layout, facts, orphaned
        self._began_ms = time.time_ns() // 1_000_000
        self._stop = threading.Event()
        self._open: tuple[Ledger, Sources] | None = None
        self._halted = ""
        self._serving = False
        self._telling = threading.Lock()

    def run(self) -> bool:
        """Until SIGTERM or SIGINT, which the caller has blocked; False when a thread ended by itself."""
        threads = [
            threading.Thread(target=self._sequence, name="sequencer", daemon=True),
            threading.Thread(target=lambda: asyncio.run(self._serve()), name="service", daemon=True),
        ]
        for one in threads:
            one.start()
        while all(one.is_alive() for one in threads):
            if signal.sigtimedwait(_SIGNALS, 0.5) is not None:
                break
        else:
            return False
        self._stop.set()
        for one in threads:
            one.join()
        return True

    def tell(self) -> dict[str, Any]:
        """For bus.up.report, as JSON."""
        found: dict[str, Any] = {
            "pid": os.getpid(),
            "since_ms": self._began_ms,
            "serving": self._serving,
            "halted": self._halted,
        }
        opened = self._open
        if opened is not None:
            ledger, sources = opened
            status = ledger.status()
            with self._telling:
                found["behind"] = _behind(ledger, sources)
            found["size"], found["lag_ms"] = status.checkpoint.size, status.lag_ms
            found["sources"] = {
                name: {"lag_ms": one.lag_ms, "error": one.error} for name, one in status.sources.items()
            }
        return found

    def _sequence(self) -> None:
        while not self._stop.is_set():
            try:
                with self._opened() as (ledger, sources):
                    self._open, self._halted = (ledger, sources), ""
                    try:
                        self._follow(ledger, sources)
                    finally:
                        self._open = None
            except _HALTS as error:
                self._halt(error)
                self._stop.wait(_AGAIN_S)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Ledger, Sources]]:
        home = ensure_private_directory(self._layout.ledger_writer)
        begun = (self._layout.ledger / "head").exists()
        signer = load_or_create_signer(home / "signing-key.pem", ledger_origin(self._facts), begun=begun)
        sources = Sources(self._layout, self._facts, load_or_create_salt_key(home / "salt-key", begun=begun))
        known = home / "checkpoint"
        with ExitStack() as stack:
            stack.callback(sources.close)
            notes = (known.read_bytes(),) if known.exists() else ()
            sequencer = stack.enter_context(Sequencer(self._layout.ledger, signer, known=notes))
            followed = (sources.registry, sources.snapshots)
            yield stack.enter_context(Ledger(sequencer, followed, _monotonic_ms)), sources

    def _follow(self, ledger: Ledger, sources: Sources) -> None:
        kept, look_at = b"", 0.0
        stopped_at: int | None = None
        while True:
            if stopped_at is None and self._stop.is_set():
                stopped_at, look_at = _monotonic_ms(), 0.0
                ledger.ask_anew()  # also a journal that was begun a moment ago
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _LOOK_S
                for source in sources.new_journals():
                    ledger.follow(source)
            more = ledger.round()
            if ledger.checkpoint.note != kept:
                kept = ledger.checkpoint.note
                write_atomic(self._layout.ledger_writer / "checkpoint", kept)
            if stopped_at is None and not more:
                self._stop.wait(PAUSE_S)
            elif stopped_at is not None and may_end(ledger, _monotonic_ms() - stopped_at, orphaned=self._orphaned()):
                return

    def _halt(self, error: Exception) -> None:
        text = str(error)
        if isinstance(error, LedgerInconsistent):
            evidence = b"\n".join((b"smaller:", error.smaller, b"larger:", error.larger))
            write_atomic(self._layout.ledger_writer / _INCONSISTENT, evidence)
            text += f"; they are in {self._layout.ledger_writer / _INCONSISTENT}"
        elif isinstance(error, OSError):
            text = f"{error.strerror or error}: {error.filename or self._layout.ledger}"
        if text != self._halted:
            log.error("the ledger stands still: %s", text)
        self._halted = text

    async def _serve(self) -> None:
        home = self._layout.ledger_home(self._facts)
        told = ""
        while not self._stop.is_set():
            if self._open is not None and (home / "snapshot.bin").exists() and (home / "config.yaml").exists():
                try:
                    await self._serve_from(home)
                except (SnapshotError, ProfileError, ValueError, RuntimeError, OSError) as error:
                    if str(error) != told:
                        told = str(error)
                        log.warning("the service does not start: %s; tried again", told)
                    await asyncio.to_thread(self._stop.wait, _AGAIN_S)
            await asyncio.to_thread(self._stop.wait, PAUSE_S)

    async def _serve_from(self, home: Path) -> None:
        servicer = LedgerServicer(LedgerReader.open(self._layout.ledger))
        async with serve(load_provider_config(home / "config.yaml"), [(add_LedgerServiceServicer_to_server, servicer)]):
            self._serving = True
            try:
                while self._open is not None and not await asyncio.to_thread(self._stop.wait, PAUSE_S):
                    pass
            finally:
                self._serving = False


def may_end(ledger: Ledger, for_ms: int, *, orphaned: bool) -> bool:
    """Whether every source that can be read was read to its end since `for_ms` ago, or has had its time.

    Without a supervisor nothing is waited for: its database and brokers end too, and the next process waits for this.
    """
    sources = ledger.status().sources.values()
    return (
        orphaned
        or for_ms > _LAST_MS
        or all(one.error or (one.lag_ms is not None and one.lag_ms <= for_ms) for one in sources)
    )


def _behind(ledger: Ledger, sources: Sources) -> int:
    """Records that stand in a journal and not in the ledger."""
    behind = 0
    for name, tail in list(sources.tails.items()):
        position = ledger.position(name)
        try:
            behind += max(0, tail.newest() - int(position["sequence"] if position else 0))
        except OSError:
            continue
    return behind


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def main() -> None:
    """Run for the state directory that the first argument names."""
    # Blocked before any thread starts: the signals wait for sigtimedwait, whoever gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(format="[%(asctime)sZ][ledger] %(message)s", datefmt="%Y-%m-%dT%H:%M:%S", level=logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # what matters of it is raised
    layout, parent = Layout(Path(sys.argv[1])), os.getppid()
    process = LedgerProcess(layout, layout.expect(), lambda: os.getppid() != parent)
    descriptor = os.open(layout.ledger_writer / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with Control(layout.ledger_writer, process.tell):
        done = process.run()
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
