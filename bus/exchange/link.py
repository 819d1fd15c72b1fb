"""One broker instance as a client reaches it: a gRPC channel that never resends and notices a dead peer.

Rules (protocol.md 6, engines.md): `grpc.enable_retries=0`, since a resent id is a replay; keepalive finds a frozen
broker within two seconds; a request is handed over only on a ready connection, so whatever fails before was never sent
and any method may try the next broker. New TLS material gives a new channel; the old one finishes what runs on it.
"""

import asyncio
from typing import Final

import grpc
from grpc import aio

from bus.exchange.config import BrokerAddress
from bus.exchange.tls import TlsWatch, broker_dns_name

__all__ = ["BrokerLink", "RawStream", "RawUnary"]

MAX_WIRE_MESSAGE: Final = 4 * 1024 * 1024
MAX_METADATA: Final = 16 * 1024
GRACE_S: Final = 60.0

RawUnary = aio.UnaryUnaryMultiCallable[bytes, bytes]
RawStream = aio.UnaryStreamMultiCallable[bytes, bytes]


class BrokerLink:
    """A broker's address and the channel to it; used on one event loop."""

    def __init__(self, broker: BrokerAddress, tls: TlsWatch) -> None:
        self.spiffe_id = broker.spiffe_id
        self._address = broker.address
        self._name = broker_dns_name(broker.spiffe_id)
        self._tls = tls
        self._generation = 0
        self._channel: aio.Channel | None = None
        self._unary: dict[str, RawUnary] = {}
        self._stream: dict[str, RawStream] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def ready(self, limit_s: float) -> bool:
        """Whether there is a connection within `limit_s`; False at once when the broker refuses one."""
        channel = self._current()
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            failed = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
            left = end - loop.time()
            if state in failed or left <= 0:
                return False
            try:
                await asyncio.wait_for(channel.wait_for_state_change(state), left)
            except TimeoutError:
                return False
            state = channel.get_state(try_to_connect=True)
        return True

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        """The connection's state now."""
        return self._current().get_state(try_to_connect)

    def unary(self, method: str) -> RawUnary:
        """Bytes in, bytes out."""
        channel = self._current()
        found = self._unary.get(method)
        if found is None:
            found = self._unary[method] = channel.unary_unary(method)
        return found

    def stream(self, method: str) -> RawStream:
        """Bytes in, many bytes out."""
        channel = self._current()
        found = self._stream.get(method)
        if found is None:
            found = self._stream[method] = channel.unary_stream(method)
        return found

    async def close(self, grace: float | None) -> None:
        """Close the channel; calls in flight have `grace` seconds."""
        if self._channel is not None:
            await self._channel.close(grace)
            self._channel = None
        for task in tuple(self._closing):
            task.cancel()

    def _current(self) -> aio.Channel:
        if self._channel is None or self._generation != self._tls.generation:
            old, self._channel = self._channel, self._open()
            self._generation = self._tls.generation
            self._unary.clear()
            self._stream.clear()
            if old is not None:
                task = asyncio.get_running_loop().create_task(old.close(GRACE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._channel

    def _open(self) -> aio.Channel:
        options: list[tuple[str, int | str]] = [
            # The address is dialed as given; the certificate must bear the broker's own DNS name.
            ("grpc.ssl_target_name_override", self._name),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", MAX_WIRE_MESSAGE),
            ("grpc.max_send_message_length", MAX_WIRE_MESSAGE),
            ("grpc.max_metadata_size", MAX_METADATA),
            ("grpc.absolute_max_metadata_size", MAX_METADATA),
            ("grpc.keepalive_time_ms", 1_000),
            ("grpc.keepalive_timeout_ms", 500),
            ("grpc.http2.ping_timeout_ms", 500),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        return aio.secure_channel(self._address, self._tls.material.client_credentials(), options)
