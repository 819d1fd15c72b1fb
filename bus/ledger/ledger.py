"""The ledger at work: looks at every source, integrates what is new, and publishes a checkpoint for it.

1. A round asks each source once, all at the same time, and integrates what they answer as one batch; while any source
   had more, the next round follows at once, else after `pause_s`. So new entries are in a checkpoint within a second
   while the disk keeps up. A source that takes longer than `patience_s`, for its database is gone, is heard in a later
   round and keeps nobody waiting.
2. A source that cannot be read, or is refused, does not stop the others; it is asked again twice a second. A refusal is
   logged once, and its evidence is in `status`.
3. What fails in the ledger itself (disk, sequencer) ends `run` with that error: whoever supervises starts it anew.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from bus.ledger.checkpoint import SignedCheckpoint
from bus.ledger.head import Position
from bus.ledger.sequencer import Sequencer
from bus.ledger.source import Portion, Source, SourceRefused, SourceUnavailable

__all__ = ["Ledger", "LedgerStatus", "SourceStatus"]

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.2
RETRY_MS: Final = 500
PATIENCE_S: Final = 0.2
_READERS: Final = 32


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """`lag_ms`: everything that the source said longer ago than this is in the checkpoint; None before that is known.
    `error`: what stands in the way, and what to do; empty when nothing does."""

    lag_ms: int | None
    error: str
    evidence: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """What the ledger knows of itself."""

    checkpoint: SignedCheckpoint
    sources: Mapping[str, SourceStatus]

    @property
    def lag_ms(self) -> int | None:
        """Of the source that is furthest behind; None while one was never read to its end."""
        lags = [source.lag_ms for source in self.sources.values()]
        return None if None in lags else max((lag for lag in lags if lag is not None), default=0)


@dataclass(slots=True)
class _Followed:
    """What is known of a source between rounds."""

    source: Source
    asked: Future[Portion] | None = None
    asked_at_ms: int = 0
    complete_at_ms: int | None = None
    error: str = ""
    evidence: Mapping[str, bytes] = field(default_factory=dict)
    again_at_ms: int = 0


class Ledger:
    """`status`, `position` and `checkpoint` are for any thread, the rest for one. Closing waits for readers."""

    def __init__(
        self,
        sequencer: Sequencer,
        sources: Sequence[Source],
        clock_ms: Callable[[], int],
        *,
        pause_s: float = PAUSE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`clock_ms` never runs backwards: lag is measured by it. ValueError when two sources have one name."""
        self._sequencer = sequencer
        self._followed: dict[str, _Followed] = {}
        for source in sources:
            self.follow(source)
        self._clock_ms = clock_ms
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._readers = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="ledger-source")

    def follow(self, source: Source) -> None:
        """One more source, from the next round on. ValueError when one of that name is followed already."""
        if source.name in self._followed:
            raise ValueError("two sources have the same name; each instance has one journal directory")
        self._followed = {**self._followed, source.name: _Followed(source)}  # `status` reads it on other threads

    def close(self) -> None:
        """Stop reading; the sources may be closed after this, and the sequencer."""
        self._readers.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def checkpoint(self) -> SignedCheckpoint:
        """The newest."""
        return self._sequencer.checkpoint

    def run(self, stop: threading.Event) -> None:
        """Follow all sources until `stop` is set. Whatever was read by then is integrated."""
        while not stop.is_set():
            if not self.round():
                stop.wait(self._pause_s)

    def round(self) -> bool:
        """Rule 1, once; whether some source had more."""
        self._ask()
        wait([one.asked for one in self._followed.values() if one.asked], timeout=self._patience_s)
        portions: dict[str, Portion] = {}
        for name, followed in self._followed.items():
            portion = self._heard(followed)
            if portion is not None:
                portions[name] = portion
        entries = [entry for portion in portions.values() for entry in portion.entries]
        moved = {name: one.position for name, one in portions.items() if self._moves(name, one)}
        if entries or moved:
            self._sequencer.integrate(entries, moved)
        for name, portion in portions.items():
            if portion.complete:
                self._followed[name].complete_at_ms = self._followed[name].asked_at_ms
        return any(portion.more for portion in portions.values())

    def ask_anew(self) -> None:
        """Let no source rest in the next round; what its error was is not held against it."""
        for one in self._followed.values():
            one.again_at_ms, one.error = 0, ""

    def status(self) -> LedgerStatus:
        """How far every source is."""
        now_ms = self._clock_ms()
        return LedgerStatus(
            self._sequencer.checkpoint,
            {
                name: SourceStatus(
                    None if one.complete_at_ms is None else now_ms - one.complete_at_ms, one.error, one.evidence
                )
                for name, one in self._followed.items()
            },
        )

    def _moves(self, name: str, portion: Portion) -> bool:
        return bool(portion.position) and portion.position != self.position(name)

    def position(self, name: str) -> Position | None:
        """Up to where a source is in the checkpoint; None before its first entry."""
        return self._sequencer.positions.get(name)

    def _ask(self) -> None:
        """Every source that is not being read already, and that rule 2 does not let rest."""
        now_ms = self._clock_ms()
        for name, one in self._followed.items():
            if one.asked is None and now_ms >= one.again_at_ms:
                one.asked, one.asked_at_ms = self._readers.submit(one.source.read, self.position(name)), now_ms

    def _heard(self, followed: _Followed) -> Portion | None:
        """What a source answered, None while it has not; rule 2."""
        if followed.asked is None or not followed.asked.done():
            return None
        asked, followed.asked = followed.asked, None
        try:
            portion = asked.result()
        except (SourceUnavailable, SourceRefused) as error:
            refused = isinstance(error, SourceRefused)
            if str(error) != followed.error:
                log.log(logging.ERROR if refused else logging.WARNING, "%s: %s", followed.source.name, error)
            followed.error, followed.again_at_ms = str(error), self._clock_ms() + RETRY_MS
            followed.evidence = error.evidence if isinstance(error, SourceRefused) else {}
            return None
        followed.error, followed.evidence = "", {}
        return portion
