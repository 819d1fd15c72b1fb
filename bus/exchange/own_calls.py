"""How a subsystem asks the registry for its own things: a channel of its own for RenewalService, one process at a time.

Nothing that goes through here renews itself, and no other call waits for it.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from govbus.registry.v1 import renewal_pb2 as pb

from bus.exchange.config import ClientConfig, Identity, Renewal
from bus.exchange.errors import CallError
from bus.exchange.reasons import Reason
from bus.exchange.signing import HeaderSigner

__all__ = ["CALL_S", "alone", "confirm", "own_channel", "own_config"]

CALL_S: Final = 30.0
_CONFIRM: Final = "/govbus.registry.v1.RenewalService/Confirm"
_CASE: Final = "own-credentials"
_TAKEN_UP_S: Final = 20.0
_REACHED_S: Final = 3.0
_ASK_AGAIN_S: Final = 0.2


def own_config(identity: Identity, *, proved_by_content: bool = False) -> ClientConfig:
    """Of a channel that does not look after itself. The identity has a `renewal`."""
    renewal = _renewal(identity)
    return ClientConfig(
        replace(identity, renewal=None),
        renewal.brokers,
        purpose=renewal.purpose,
        case_id=_CASE,
        proved_by_content=proved_by_content,
    )


@asynccontextmanager
async def own_channel(config: ClientConfig, identity: Identity, signer: HeaderSigner) -> AsyncIterator[Any]:
    """A view of a new channel, to the provider of RenewalService; its methods take no idempotency key of chance."""
    from bus.exchange.channel import Channel  # channel -> runtime -> keeper -> here

    async with Channel(config, signer) as channel:
        yield channel.using(provider=_renewal(identity).provider)


async def confirm(config: ClientConfig, identity: Identity, signer: HeaderSigner, not_yet: frozenset[Reason]) -> None:
    """Ask through every broker that can be reached until each takes the new credentials; whatever else it says, raised.

    `not_yet`: how a broker says that it does not know them so far.
    """
    for broker in config.brokers:
        end = time.monotonic() + _TAKEN_UP_S
        async with own_channel(replace(config, brokers=(broker,)), identity, signer) as channel:
            try:
                await asyncio.wait_for(channel.channel_ready(), _REACHED_S)
            except TimeoutError:
                continue  # what is down takes up the newest policy when it starts
            ask = channel.unary_unary(_CONFIRM, pb.ConfirmRequest.SerializeToString, pb.ConfirmResponse.FromString)
            while True:
                try:
                    await ask(pb.ConfirmRequest(), timeout=CALL_S)
                except CallError as error:
                    if error.reason is Reason.BROKER_UNREACHABLE:
                        break  # it went down just now
                    if error.reason not in not_yet or time.monotonic() > end:
                        raise
                    await asyncio.sleep(_ASK_AGAIN_S)
                else:
                    break


@contextmanager
def alone(home: Path) -> Iterator[bool]:
    """True inside if no other process renews or rotates in this home."""
    file = os.open(home / "renewal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


def _renewal(identity: Identity) -> Renewal:
    assert identity.renewal is not None  # noqa: S101 (who looks after itself has one)
    return identity.renewal
