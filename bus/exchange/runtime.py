"""A client's state shared by all its calls, and one attempt of a unary call from message to verified answer.

The steps of an attempt: choose provider and grant; compose the header (fresh id, fresh salt); have it signed with
whatever else is signed now; send; verify response, binding and receipt. A refusal by the policy's age or the header's
own rules is raised before anything is sent.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from grpc import ChannelConnectivity, aio
from opentelemetry.trace import Span

from bus.exchange import metadata, telemetry
from bus.exchange.compose import Destination, Statement, answer_of, compose_request, frames_of
from bus.exchange.config import ClientConfig
from bus.exchange.context import CallOptions, incoming_call
from bus.exchange.errors import CallError
from bus.exchange.evidence import CallEvidence
from bus.exchange.exceptions import BrokerUnreachable
from bus.exchange.keeper import Keeper, newest_key
from bus.exchange.link import BrokerLink
from bus.exchange.outcome import Asked, Judge, evidence_of, refused_before_sending, refused_locally, unverified
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused, ResponseRefused
from bus.exchange.retry import may_retry, pause_after, reaching, retrying
from bus.exchange.routes import Routes
from bus.exchange.signing import BatchSigner, HeaderSigner
from bus.exchange.tls import TlsWatch
from bus.exchange.trust import SnapshotFile, SnapshotView
from bus.exchange.verify_admission import GateKeys
from bus.exchange.verify_response import Answer, encode_grpc_message
from bus.exchange.watch import Watch
from native.batch import SignatureCache
from native.digest import REQUEST_TYPE, FrameHasher, header_digest

__all__ = ["ClientRuntime", "Prepared"]

CONNECT_S: Final = 2.0
RANDOM_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """One logical call: everything that stays the same over its attempts."""

    method: str
    message: bytes
    options: CallOptions
    provider: str
    grant_id: str
    idempotent: bool
    max_lifetime_ms: int
    statement: Statement
    deadline: float

    def remaining_s(self) -> float:
        """Seconds until the caller stops waiting."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True, slots=True)
class Signed:
    """One attempt's request, ready to travel over `link`."""

    link: BrokerLink
    pairs: tuple[tuple[str, str | bytes], ...]
    asked: Asked


class ClientRuntime:
    """One client on one event loop."""

    def __init__(self, config: ClientConfig, signer: HeaderSigner) -> None:
        identity = config.identity
        self.config = config
        self.tls = TlsWatch(identity.tls)
        self.snapshot = SnapshotFile.of(identity)
        self.snapshot.load()
        self.signer = BatchSigner(newest_key(signer), on_batch=telemetry.record_batch)
        cache = SignatureCache()
        self.judge = Judge(GateKeys(Reason.RECEIPT_INVALID, cache), cache)
        self.links = tuple(BrokerLink(broker, self.tls) for broker in config.brokers)
        self.turn = count()
        self._routes: Routes | None = None
        self._keeper = Keeper(identity, signer, self.snapshot, self.signer)
        self._watch = Watch(self._keeper.look, self.tls.refresh)

    async def close(self, grace: float | None = None) -> None:
        """End all connections; calls in flight have `grace` seconds."""
        self._watch.stop()
        await asyncio.to_thread(self._keeper.stop)
        await asyncio.gather(*(link.close(grace) for link in self.links))
        self.signer.close()

    async def pause(self) -> None:
        """Between two looks at connections that fail at once."""
        await asyncio.sleep(0.05)

    def prepare(self, method: str, message: bytes, options: CallOptions, timeout: float | None) -> Prepared:
        """Choose provider and grant and fix the deadline; RefusedLocally when the call cannot be made."""
        self._watch.start()
        config = self.config
        purpose = options.purpose if options.purpose is not None else config.purpose
        if not purpose:
            raise refused_locally(Reason.FIELD_INVALID, details={"field": "purpose"})
        now_ms = _now_ms()
        view = self.snapshot.current
        chosen = self._choose(view, method, purpose, options, now_ms)
        if chosen is None and self.snapshot.refetch():
            view = self.snapshot.current
            chosen = self._choose(view, method, purpose, options, now_ms)
        record = view.method(method)
        if chosen is None or record is None:
            raise refused_locally(Reason.NO_GRANT)
        key = options.idempotency_key
        if key is None:
            # Who may ask again must be recognised by the provider: "it was not called" is only the broker's word.
            key = "" if record.server_stream else secrets.token_hex(16)
        statement = Statement(
            client=config.identity.spiffe_id,
            purpose=purpose,
            case_id=options.case_id if options.case_id is not None else config.case_id,
            official=options.official if options.official is not None else config.official,
            idempotency_key=key,
        )
        seconds = config.timeout_ms / 1000 if timeout is None else timeout
        served = incoming_call()
        if served is not None:
            seconds = min(seconds, served.remaining_s())
        return Prepared(
            method=method,
            message=message,
            options=options,
            provider=chosen[0],
            grant_id=chosen[1],
            idempotent=record.idempotent,
            max_lifetime_ms=record.max_lifetime_ms,
            statement=statement,
            deadline=time.monotonic() + seconds,
        )

    async def unary(self, call: Prepared, span: Span) -> bytes:
        """The verified answer's message, asked for again where that is allowed."""
        start = next(self.turn)
        try:
            return await self._attempt(call, span, start)
        except CallError as error:
            if not may_retry(error, idempotent=call.idempotent, left_s=call.remaining_s()):
                raise
            told = error
        span.add_event("retry", {telemetry.REASON: str(told.reason)})
        await asyncio.sleep(pause_after(told))
        async for attempt in retrying(idempotent=call.idempotent, left_s=call.remaining_s()):
            with attempt:
                start += 1
                try:
                    return await self._attempt(call, span, start)
                except BrokerUnreachable as error:
                    raise told from error  # that nothing was sent now says nothing of what was sent before
                except CallError as error:
                    told = error
                    raise
        raise told  # unreachable: tenacity returns or raises; this tells the type checker so

    async def _attempt(self, call: Prepared, span: Span, turn: int) -> bytes:
        signed = await self.sign(call, span, turn)
        raw = signed.link.unary(call.method)(call.message, timeout=max(call.remaining_s(), 0.0), metadata=signed.pairs)
        try:
            response = await raw
            hasher = frames_of(response)
            answer = answer_of(hasher, 0, b"", b"")
            trailers = await raw.trailing_metadata()
        except aio.AioRpcError as error:
            raise self.failed(signed, error, FrameHasher(), call.options) from None
        if self.config.proved_by_content:
            return response
        found = self.verify(signed, answer, trailers)
        if call.options.on_evidence:
            call.options.on_evidence(self.evidence(signed, answer, found, (response,)))
        return response

    async def sign(self, call: Prepared, span: Span, turn: int) -> Signed:
        """A fresh request for the broker whose turn it is, or for the next that can be reached."""
        link = await self._ready_link(call, turn)
        view = self.snapshot.current
        now_ms = _now_ms()
        salt = os.urandom(metadata.SALT_BYTES)
        try:
            if not self.config.proved_by_content:
                view.verify_age(now_ms)
            identifier, header = compose_request(
                call.statement,
                Destination(call.provider, link.spiffe_id, call.method, call.grant_id, call.max_lifetime_ms),
                message=call.message,
                salt=salt,
                random=os.urandom(RANDOM_BYTES),
                now_ms=now_ms,
                timeout_ms=int(call.remaining_s() * 1000),
            )
        except RequestRefused as error:
            raise refused_before_sending(error) from error
        telemetry.name_request(identifier, span)
        signature = await self.signer.sign(REQUEST_TYPE, header)
        return Signed(
            link=link,
            pairs=(
                (metadata.REQUEST, header),
                (metadata.REQUEST_SIGNATURE, signature),
                (metadata.REQUEST_SALT, salt),
                *telemetry.traceparent_of(span),
            ),
            asked=Asked(
                request_id=identifier,
                digest=header_digest(REQUEST_TYPE, header),
                provider=call.provider,
                broker=link.spiffe_id,
                sent_ms=now_ms,
                header=header,
                signature=signature,
                salt=salt,
                message=call.message,
            ),
        )

    def verify(
        self, signed: Signed, answer: Answer, trailers: Sequence[tuple[str, str | bytes]] | aio.Metadata | None
    ) -> dict[str, bytes]:
        """The metadata of an answer that verifies; RefusedLocally otherwise."""
        found = metadata.found_in(trailers, metadata.TO_CLIENT)
        try:
            try:
                self.judge.verify_answer(signed.asked, answer, found, self.snapshot.current, _now_ms())
            except ResponseRefused:
                # Perhaps by a key registered since the snapshot was read: look once, at most every second.
                if not self.snapshot.refetch():
                    raise
                self.judge.verify_answer(signed.asked, answer, found, self.snapshot.current, _now_ms())
        except ResponseRefused as error:
            raise unverified(error, signed.asked, answer, found, self.snapshot.current.version) from error
        return found

    def evidence(
        self, signed: Signed, answer: Answer, found: dict[str, bytes], messages: tuple[bytes, ...]
    ) -> CallEvidence:
        """Everything that travelled, `found` as `verify` gave it."""
        return evidence_of(signed.asked, answer, found, self.snapshot.current.version, messages)

    def failed(self, signed: Signed, error: aio.AioRpcError, frames: FrameHasher, options: CallOptions) -> CallError:
        """The exception for a call that ended with `error` after `frames`."""
        trailers = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
        found = metadata.found_in(trailers, metadata.TO_CLIENT)
        details = next((value for key, value in trailers if key == metadata.STATUS_DETAILS), b"")
        answer = answer_of(
            frames,
            error.code().value[0],
            encode_grpc_message(error.details() or ""),
            details if isinstance(details, bytes) else b"",
        )
        judged = self.judge.judge_error(signed.asked, answer, found, self.snapshot.current, _now_ms())
        if judged.receipt_refused and self.snapshot.refetch():
            judged = self.judge.judge_error(signed.asked, answer, found, self.snapshot.current, _now_ms())
        if options.on_evidence and judged.evidence:
            options.on_evidence(judged.evidence)
        return judged

    async def _ready_link(self, call: Prepared, turn: int) -> BrokerLink:
        """The next broker in turn that is connected; if none is, the first that can be before the deadline.

        Nothing was sent until then: BrokerUnreachable means that, streams included.
        """
        if call.remaining_s() <= 0:
            raise refused_locally(Reason.DEADLINE)
        async for attempt in reaching(call.remaining_s()):
            with attempt:
                return await self._look_for_link(call, turn)
        raise refused_locally(Reason.BROKER_UNREACHABLE)  # unreachable, as above

    async def _look_for_link(self, call: Prepared, turn: int) -> BrokerLink:
        links = self.links
        order = [links[(turn + offset) % len(links)] for offset in range(len(links))]
        for link in order:
            if link.state(try_to_connect=True) is ChannelConnectivity.READY:
                return link
        for link in order:
            if await link.ready(max(0.0, min(call.remaining_s(), CONNECT_S))):
                return link
        raise refused_locally(Reason.BROKER_UNREACHABLE)

    def _choose(
        self, view: SnapshotView, method: str, purpose: str, options: CallOptions, now_ms: int
    ) -> tuple[str, str] | None:
        routes = self._routes
        if routes is None or routes.version != view.version:
            routes = self._routes = Routes(self.config.identity.spiffe_id, self.config.grants, view)
        return routes.choose(method, purpose, options.provider, options.grant_id, now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
