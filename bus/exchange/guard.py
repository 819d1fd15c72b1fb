"""The provider's own judgement of a call that a broker delivered (protocol.md 8). It need not trust the broker.

In this order, numbered as the gate's checks (protocol.md 4):
 1. the connection's certificate is live, unexpired and an active broker's (PEER_NOT_BROKER; answered unsigned, since
    nothing is owed to a stranger);
 2. metadata: each key once, within limits, canonical;
 A. the admission: its gate key is certified by that broker's registered key, it names this request and signature;
 3. addressed: to this provider, through the broker at the other end, for the path that was called;
 4. time; 5. key; 6. signature; 7. not seen before by this provider; 8. the grant, and if the operator alone made it,
    whether this provider accepts that;
10. the body is the one committed to.
An unknown key, a missing grant or a snapshot too old has the file read again once, and where the snapshot comes through
the bus, has it asked for there: at most every second. Clock and bytes come in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused, ResponseRefused
from bus.exchange.replay import ReplayTable
from bus.exchange.trust import SnapshotFile, SnapshotView
from bus.exchange.verify_admission import GateKeys, verify_admission
from bus.exchange.verify_request import (
    Expected,
    Permit,
    UnverifiedRequest,
    VerifiedRequest,
    parse_request,
    permit,
    verify_body,
    verify_request,
)
from native.batch import SignatureCache
from native.headers import Admission

__all__ = ["Accepted", "Guard", "Peer"]

# An admission is given and used within one call; clocks may differ by 30 s on either side.
ADMISSION_AGE_MS: Final = 60_000
_MAY_BE_NEW: Final = frozenset(
    {
        Reason.PEER_NOT_BROKER,
        Reason.ADMISSION_INVALID,
        Reason.POLICY_STALE,
        Reason.KEY_UNKNOWN,
        Reason.KEY_NOT_VALID,
        Reason.NO_GRANT,
    }
)

_Pairs = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Peer:
    """An active broker whose live certificate the connection carries."""

    broker: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A call that passed every check but the body's."""

    permit: Permit
    admission: Admission


class Guard:
    """One provider's checks, with what it remembers of ids, signatures and gate keys."""

    def __init__(self, provider: str, snapshot: SnapshotFile, *, accept_operator_grants: bool) -> None:
        self._provider = provider
        self._snapshot = snapshot
        self._accept_operator_grants = accept_operator_grants
        self._cache = SignatureCache()
        self._gate_keys = GateKeys(Reason.ADMISSION_INVALID, self._cache)
        self._replay = ReplayTable()

    async def verify_peer(self, certificate_sha256: bytes | None, now_ms: int) -> Peer:
        """(1)"""
        try:
            return _broker_of(self._snapshot.current, certificate_sha256, now_ms)
        except RequestRefused as error:
            return _broker_of(await self._newer(error), certificate_sha256, now_ms)

    async def verify_call(self, peer: Peer, path: str, pairs: _Pairs, now_ms: int, monotonic_s: float) -> Accepted:
        """(2)-(8) and the admission; RequestRefused with the first reason."""
        found = metadata.take_request(pairs, metadata.TO_PROVIDER)  # (2)
        request = parse_request(found)
        view = self._snapshot.current
        try:
            view.verify_age(now_ms)
            verified, admission = self._verify_signed(request, found, peer, path, view, now_ms)  # (3)-(6)
        except RequestRefused as error:
            view = await self._newer(error)
            view.verify_age(now_ms)
            verified, admission = self._verify_signed(request, found, peer, path, view, now_ms)
        self._replay.verify_unseen(verified.header.client, verified.header.request_id, monotonic_s)  # (7)
        try:
            permitted = permit(verified, view, now_ms)  # (8)
        except RequestRefused as error:
            permitted = permit(verified, await self._newer(error), now_ms)
        if permitted.grant.operator_made and not self._accept_operator_grants:
            raise RequestRefused(Reason.GRANT_NOT_ACCEPTED)
        return Accepted(permitted, admission)

    def verify_body(self, accepted: Accepted, frames_digest: bytes) -> None:
        """(10)"""
        verify_body(accepted.permit, frames_digest)

    def _verify_signed(
        self,
        request: UnverifiedRequest,
        found: dict[str, bytes],
        peer: Peer,
        path: str,
        view: SnapshotView,
        now_ms: int,
    ) -> tuple[VerifiedRequest, Admission]:
        expected = Expected(path=path, broker=peer.broker, provider=self._provider)
        try:
            admission = verify_admission(
                found[metadata.ADMISSION],
                found[metadata.ADMISSION_SIGNATURE],
                self._gate_keys.verify(found, view, now_ms),
                broker=peer.broker,
                request_digest=request.digest,
                request_signature_digest=sha256(request.signature_bytes).digest(),
                cache=self._cache,
            )
        except ResponseRefused as error:
            raise RequestRefused(Reason.ADMISSION_INVALID) from error
        if abs(now_ms - admission.intent_time_ms) > ADMISSION_AGE_MS:
            raise RequestRefused(Reason.ADMISSION_INVALID)
        return verify_request(request, expected, view, now_ms, self._cache), admission

    async def _newer(self, error: RequestRefused) -> SnapshotView:
        """A newer snapshot that may know better, or `error` again."""
        if error.reason in _MAY_BE_NEW and await self._snapshot.newer():
            return self._snapshot.current
        raise error


def _broker_of(view: SnapshotView, certificate_sha256: bytes | None, now_ms: int) -> Peer:
    found = view.certificate(certificate_sha256) if certificate_sha256 else None
    if found is None or found.not_after_ms < now_ms:
        raise RequestRefused(Reason.PEER_NOT_BROKER)
    subsystem = view.subsystem(found.subsystem)
    if subsystem is None or not subsystem.active or not subsystem.is_broker:
        raise RequestRefused(Reason.PEER_NOT_BROKER)
    return Peer(subsystem.spiffe_id)
