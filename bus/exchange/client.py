"""`connect` and `connect_blocking`: a client's way to the bus."""

from bus.exchange.blocking import BlockingChannel
from bus.exchange.channel import Channel
from bus.exchange.config import ClientConfig
from bus.exchange.signing import HeaderSigner
from bus.exchange.signing_key import SigningKeyFile

__all__ = ["connect", "connect_blocking"]


def connect(config: ClientConfig, *, signer: HeaderSigner | None = None) -> Channel:
    """A channel for stock aio stubs. `signer` stands in for the configured key file (a token, for one).

    Connections are opened when first used; use the channel on one event loop.
    """
    return Channel(config, signer or SigningKeyFile(config.identity.signing_key))


def connect_blocking(config: ClientConfig, *, signer: HeaderSigner | None = None) -> BlockingChannel:
    """The same for stock stubs in code without an event loop, from any number of threads."""
    return BlockingChannel(lambda: connect(config, signer=signer))
