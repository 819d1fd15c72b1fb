"""A provider on real TLS that is as honest as a test wants: an HTTP/2 server, each frame of it a behaviour's choice.

Runs in a thread of its own. `calls` counts the requests that arrived whole, so that a test can say that it was not
touched; `seen` keeps them. A behaviour is a coroutine that is given the stream; the usual one echoes and signs.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from bus.edge.endpoint import Endpoint
from pki.signer import FileSigner
from tests.support.raw_client import Headers
from tests.support.raw_provider_answers import Draft, honest

__all__ = ["Behaviour", "ProviderStream", "RawProvider", "Seen"]

_WINDOW = 16 << 20


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    headers: Headers
    body: bytes
    trailers: Headers

    def value(self, key: str) -> str:
        (found,) = (value for name, value in self.headers if name == key)
        return found


@dataclass
class ProviderStream:
    """One call in a behaviour's hands."""

    link: "_Link"
    number: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    request_trailers: Headers = field(default_factory=list)
    reset: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def provider(self) -> "RawProvider":
        return self.link.provider

    @property
    def draft(self) -> Draft:
        """An honest answer to this request, to be sent or spoiled."""
        return Draft.of(self.headers, self.body, self.provider.identity, self.provider.signer)

    async def send_headers(self, headers: Headers, *, end: bool = False) -> None:
        self.link.h2.send_headers(self.number, headers, end_stream=end)
        await self.link.flush()

    async def send_data(self, data: bytes, *, end: bool = False) -> None:
        """Within the peer's windows; gives up when the stream was reset."""
        at = 0
        while at < len(data) and not self.reset.is_set():
            room = min(self.link.h2.local_flow_control_window(self.number), self.link.h2.max_outbound_frame_size)
            if room <= 0:
                await self.link.wait_window()
                continue
            self.link.h2.send_data(self.number, data[at : at + room])
            at += room
            await self.link.flush()
        if end and not self.reset.is_set():
            self.link.h2.end_stream(self.number)
            await self.link.flush()

    async def send(self, draft: Draft) -> None:
        """Headers, body, trailers; trailers-only when there is no body."""
        if not draft.body:
            await self.send_headers([*draft.headers, *draft.trailers()], end=True)
            return
        await self.send_headers(draft.headers)
        await self.send_data(draft.body)
        await self.send_headers(draft.trailers(), end=True)

    async def send_reset(self, code: h2.errors.ErrorCodes) -> None:
        self.link.h2.reset_stream(self.number, code)
        await self.link.flush()

    def die(self) -> None:
        """Break the connection, as a killed process does."""
        self.link.writer.transport.abort()


Behaviour = Callable[[ProviderStream], Awaitable[None]]


class RawProvider:
    """Listens between `start` and `stop`."""

    def __init__(self, home: Path, identity: str, endpoint: Endpoint) -> None:
        self.home = home
        self.identity = identity
        self.endpoint = endpoint
        self.signer = FileSigner.load(home / "signing-key.pem")
        self.behaviour: Behaviour = honest
        self.seen: list[Seen] = []
        self.cancelled = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="raw-provider", daemon=True)
        self._server: asyncio.Server | None = None
        self.links: set[_Link] = set()

    @property
    def calls(self) -> int:
        """Requests that arrived whole."""
        return len(self.seen)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._run(self._open())

    def restart(self) -> None:
        """End every connection and listen again, with the credentials that lie in `home` by now."""
        self._run(self._close())
        self._run(self._open())

    def stop(self) -> None:
        """End every connection."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Awaitable[None]) -> None:
        async def awaited() -> None:
            await work

        asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(10)

    async def _open(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.home / "trust.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.home / "tls" / "chain.pem", self.home / "tls" / "key.pem")
        context.set_alpn_protocols(["h2"])
        self._server = await asyncio.start_server(self._serve, self.endpoint.host, self.endpoint.port, ssl=context)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for link in list(self.links):
            link.writer.transport.abort()
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)


class _Link:
    """One connection from the broker."""

    def __init__(self, provider: RawProvider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.provider = provider
        self.reader = reader
        self.writer = writer
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.streams: dict[int, ProviderStream] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.moved = asyncio.Event()

    async def run(self) -> None:
        """Until the connection ends."""
        plain: socket.socket = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self.h2.increment_flow_control_window(_WINDOW)
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            await self.flush()
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                await self.flush()
        for stream in self.streams.values():
            stream.reset.set()
        self._moved()
        self.writer.close()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def wait_window(self) -> None:
        """Until a window has grown or a stream ended."""
        await self.moved.wait()

    def _moved(self) -> None:
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = [(str(name), str(value)) for name, value in event.headers or ()]
            number = event.stream_id or 0
            self.streams[number] = ProviderStream(self, number, headers)
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._moved()
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.DataReceived):
            stream.body += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream.number)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.request_trailers = [(str(name), str(value)) for name, value in event.headers or ()]
        elif isinstance(event, h2.events.StreamReset):
            self.provider.cancelled += 1
            stream.reset.set()
            self._moved()
        elif isinstance(event, h2.events.StreamEnded):
            self.provider.seen.append(Seen(stream.headers, stream.body, stream.request_trailers))
            task = asyncio.get_running_loop().create_task(self._behave(stream))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _behave(self, stream: ProviderStream) -> None:
        # The broker may reset a stream at any moment; what a behaviour still wanted to send is then moot.
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            await self.provider.behaviour(stream)
        del self.streams[stream.number]
