"""PortalService: who calls must know the socket's secret (adapters.portal.listening), what arrives is checked by the
contract's rules, then its procedure is run."""

from __future__ import annotations

from adapters.portal.asking import Asking  # isort: skip - first, before anything that imports gRPC

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from vn.portal.v1 import portal_pb2 as pb
from vn.portal.v1.portal_pb2_grpc import PortalServiceServicer

from adapters.portal.archive import Archive
from adapters.portal.birth import Birth
from adapters.refusals import Refusal, refuse
from adapters.source import Context
from bus.exchange.channel import Channel
from bus.exchange.refusal import RequestRefused
from bus.exchange.telemetry import serving
from bus.exchange.validation import verify_rules
from pki.identity import SubsystemId

__all__ = ["AT_ONCE", "METADATA_KEY", "Portal"]

AT_ONCE: Final = 64
"""Procedures, unless told otherwise: each has up to two calls in work and all its evidence in memory."""

_METHOD: Final = "/vn.portal.v1.PortalService/RegisterBirth"
METADATA_KEY: Final = "govbus-portal-secret"
"""Of the metadata."""

SECRET_UNKNOWN = Refusal(
    grpc.StatusCode.PERMISSION_DENIED,
    "SECRET_UNKNOWN",
    "send what lies in the file portal.secret beside the socket, read anew, as metadata govbus-portal-secret",
)
PORTAL_BUSY = Refusal(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "PORTAL_BUSY",
    "as many procedures run as the portal takes at once; send it again in a few seconds, nothing was begun",
)
HOME_UNUSABLE = Refusal(
    grpc.StatusCode.UNAVAILABLE,
    "HOME_UNUSABLE",
    "the portal cannot keep evidence in its home; look at disk and rights, then send it again, nothing happens twice",
)


class Portal(PortalServiceServicer):
    """The servicer. `new_case` makes a case id that names nobody; `secret` is what a caller must know; more than
    `at_once` procedures are refused."""

    def __init__(
        self,
        channel: Channel,
        portal: SubsystemId,
        archive: Archive,
        new_case: Callable[[], str],
        secret: str,
        at_once: int = AT_ONCE,
    ) -> None:
        self._channel = channel
        self._portal = portal
        self._archive = archive
        self._new_case = new_case
        self._secret = secret.encode()
        self._free = at_once

    async def RegisterBirth(
        self, request: pb.RegisterBirthRequest, context: Context
    ) -> AsyncIterator[pb.RegisterBirthResponse]:
        if not self._is_known(context):
            await refuse(context, SECRET_UNKNOWN)
        try:
            verify_rules(request)
        except RequestRefused as refused:
            text = f"{refused.reason}: {refused.metadata['field']} breaks its rule; see the contract"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        if not self._free:
            await refuse(context, PORTAL_BUSY)
        asking = Asking(self._channel, self._portal, self._archive, self._new_case())
        try:
            with self._taken(), serving(_METHOD, self._portal.spiffe_id, context.invocation_metadata() or ()):
                async for event in Birth(request, asking, self._archive).events():
                    yield event
        except OSError:
            await refuse(context, HOME_UNUSABLE)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """One procedure, until it has ended or its caller has left."""
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    def _is_known(self, context: Context) -> bool:
        said = [value for key, value in context.invocation_metadata() or () if key == METADATA_KEY]
        return len(said) == 1 and secrets.compare_digest(str(said[0]).encode(), self._secret)
