"""Brings certificates from the outbox to the central store, as long as the service runs.

No registration waits for the store, and none is lost while it is away: what was not acknowledged is tried again, after
a pause that grows to five minutes. What is refused for its own content is set aside and told of; the others go on. Each
is put for the purpose and in the case of its birth, and in its trace. The same bytes under the same number and version
may be put any number of times.
"""

from __future__ import annotations

from adapters.runtime import answered_by_provider  # isort: skip - first, before anything that imports gRPC

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
from opentelemetry.context import attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.common.v1.identifiers_pb2 import PersonNumber
from vn.store.v1.store_pb2 import PutRequest

from adapters.civilstatus.book import BirthBook
from adapters.civilstatus.outbox import Letter, postpone, set_aside, take, tick_off
from adapters.registration import parse_registration_number
from adapters.source import Told
from adapters.sql.patience import end_task
from adapters.sql.transactions import FAULTS

if TYPE_CHECKING:
    from vn.store.v1.store_pb2_grpc import StoreServiceAsyncStub

__all__ = ["RECORD_TYPE", "Deposits", "request_of"]

RECORD_TYPE: Final = BirthCertificate.DESCRIPTOR.full_name
VERSION: Final = 1  # a certificate is issued once
PATIENCE_S: Final = 10.0
LOOK_S: Final = 2.0  # for what fell due; what is registered now is brought at once
LONGEST_LOOK_S: Final = 60.0  # while the store takes nothing
_AT_ONCE: Final = 5  # together no longer than a letter is ours

_propagator = TraceContextTextMapPropagator()
log = logging.getLogger(__name__)


class Deposits:
    """What runs beside the servicer. `scope` makes a call say the case it belongs to, and what it is for."""

    def __init__(
        self, book: BirthBook, store: StoreServiceAsyncStub, scope: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._book = book
        self._store = store
        self._scope = scope
        self._behind = False

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running, of the book; letters are brought meanwhile."""
        async with self._book.running(told):
            bringing = asyncio.create_task(self._bring())
            try:
                yield
            finally:
                await end_task(bringing)

    async def _bring(self) -> None:
        pause = LOOK_S
        while True:
            self._book.entered.clear()
            more = False
            try:
                more = await self._bring_some()
            except FAULTS:
                pass  # the database is away, which health says already
            except Exception as error:  # noqa: BLE001 (ended, it would leave all certificates where they are, unseen)
                log.error("certificates are not brought (%s); trying again", type(error).__name__)
            if not more:
                pause = min(2 * pause, LONGEST_LOOK_S) if self._behind else LOOK_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._book.entered.wait(), pause)

    async def _bring_some(self) -> bool:
        """Whether there may be more that is taken. While nothing is, one certificate asks for all."""
        most = 1 if self._behind else _AT_ONCE
        letters = await self._book.do(partial(take, most=most))
        ended = _Ended.BROUGHT
        for letter in letters:
            if ended is not _Ended.AWAY:
                ended = await self._put(letter)
            await self._book.do(partial(_SETTLED[ended], letter=letter))
        return len(letters) == most and ended is not _Ended.AWAY

    async def _put(self, letter: Letter) -> _Ended:
        token = attach(_propagator.extract({"traceparent": letter.traceparent}))
        try:
            with self._scope(letter.case_id):
                await self._store.Put(request_of(letter.certificate), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            if error.code() in _OF_THIS_ONE:
                return _refused(f"the store refuses a certificate ({error.code().name})")
            self._tell_behind(error)
            return _Ended.AWAY
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one, the others are brought)
            return _refused(f"a certificate cannot be brought ({type(error).__name__})")
        finally:
            detach(token)
        if self._behind:
            log.warning("the store takes certificates again")
        self._behind = False
        return _Ended.BROUGHT

    def _tell_behind(self, error: grpc.RpcError) -> None:
        """Once, until the store takes certificates again."""
        if not self._behind:
            who = "the store does not take certificates" if answered_by_provider(error) else "the store is not reached"
            if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                who = "no grant lets certificates be put into the store, ask its member for one"
            log.warning("%s (%s); they wait in the outbox until it takes them", who, error.code().name)
        self._behind = True


class _Ended(Enum):
    """How bringing one certificate ended."""

    BROUGHT = "brought"
    REFUSED = "refused"
    """This one; others may be taken."""
    AWAY = "away"
    """None is taken now."""


_SETTLED: Final = {_Ended.BROUGHT: tick_off, _Ended.REFUSED: set_aside, _Ended.AWAY: postpone}
_OF_THIS_ONE: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS})
"""Codes that say of a record itself that it cannot be, whoever says so, the store or the bus on the way."""


def _refused(what: str) -> _Ended:
    """Told each time: somebody has to look. Which one it is, the log must not say."""
    log.error("%s; it is tried once an hour; find it in the book's table outbox, with the most attempts", what)
    return _Ended.REFUSED


def request_of(certificate: bytes) -> PutRequest:
    """The record of a certificate: the bytes as issued, under its number in this office's book."""
    found = BirthCertificate.FromString(certificate)
    parents = [parent.person_number.value for parent in (found.mother, found.father) if parent.person_number.value]
    return PutRequest(
        record_type=RECORD_TYPE,
        key=parse_registration_number(found.registration_number).in_book,
        version=VERSION,
        body=certificate,
        subjects=[PersonNumber(value=value) for value in sorted({found.child_number.value, *parents})],
    )
