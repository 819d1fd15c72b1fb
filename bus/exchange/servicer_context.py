"""What a stock servicer receives as its context: the shape of grpc.aio.ServicerContext over a verified call.

It gives the servicer its deadline, its way to answer an error, and of the metadata nothing: who asks is
`govbus_call()`. What the bus would not carry (metadata of the servicer's own) is refused, never dropped in silence.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from grpc import aio

from bus.exchange.context import IncomingCall
from bus.exchange.metadata import STATUS_DETAILS

__all__ = ["CallAborted", "ServedContext"]

_Pairs = Iterable[tuple[str, str | bytes]]


class CallAborted(Exception):
    """A servicer ended its call by `context.abort`."""


class ServedContext(aio.ServicerContext[Any, Any]):
    """One call being served."""

    def __init__(self, call: IncomingCall, write: Callable[[Any], Awaitable[None]] | None) -> None:
        """`write` sends one message of a server stream; None for a unary method."""
        self._call = call
        self._write = write
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._done = False
        self._callbacks: list[Callable[[Any], None]] = []
        self.status_details = b""

    async def read(self) -> Any:
        """The one request was handed to the method."""
        return aio.EOF

    async def write(self, message: Any) -> None:
        """Send one message of a server stream."""
        if self._write is None:
            raise RuntimeError("this method answers once: return the answer")
        await self._write(message)

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Refused unless empty."""
        _verify_none(initial_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Takes `grpc-status-details-bin` only."""
        for key, value in trailing_metadata or ():
            if key != STATUS_DETAILS:
                _verify_none((key,))
            self.status_details = value if isinstance(value, bytes) else value.encode()

    # Not a coroutine: it raises at once, so both `await context.abort(...)` and a plain function's call end the method.
    def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with this code and, if it was declared by `fixed_text`, this text."""
        if code is grpc.StatusCode.OK:
            raise ValueError("abort is for errors: return an answer instead")
        self.set_trailing_metadata(trailing_metadata)
        self._code, self._details = code, details
        raise CallAborted

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """As abort, from a stock status object."""
        self.abort(status.code, status.details, status.trailing_metadata)

    def set_code(self, code: grpc.StatusCode) -> None:
        """As in stock gRPC; the method then returns."""
        self._code = code

    def set_details(self, details: str) -> None:
        """As in stock gRPC; see `texts`."""
        self._details = details

    def code(self) -> grpc.StatusCode:
        """What was set."""
        return self._code

    def details(self) -> str:
        """What was set."""
        return self._details

    def invocation_metadata(self) -> Any:
        """Empty: what the bus carries is verified and told by govbus_call()."""
        return aio.Metadata()

    def trailing_metadata(self) -> Any:
        """Empty: trailers are the runtime's."""
        return aio.Metadata()

    def peer(self) -> str:
        """The verified client, by its SPIFFE ID; not the broker that the connection leads to."""
        return self._call.client

    def peer_identities(self) -> Iterable[bytes]:
        """The verified client."""
        return (self._call.client.encode("ascii"),)

    def peer_identity_key(self) -> str:
        """How peer_identities are named."""
        return "govbus_client"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """The verified client, in stock gRPC's form."""
        return {self.peer_identity_key(): self.peer_identities()}

    def time_remaining(self) -> float:
        """Seconds until the client stops waiting."""
        return self._call.remaining_s()

    def set_compression(self, compression: grpc.Compression) -> None:
        """Refused: compression on the bus is (protocol.md 2)."""
        if compression is not grpc.Compression.NoCompression:
            _verify_none((compression,))

    def disable_next_message_compression(self) -> None:
        """Nothing is ever compressed."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have `callback` told when the method has ended."""
        self._callbacks.append(callback)

    def done(self) -> bool:
        """Whether the method has ended."""
        return self._done

    def cancelled(self) -> bool:
        """A cancelled method is cancelled as a task; it does not see this."""
        return False

    def end(self) -> None:
        """Tell those who asked; called once by the runtime."""
        self._done = True
        for callback in self._callbacks:
            callback(self)


def _verify_none(pairs: Any) -> None:
    if pairs:
        raise ValueError("the bus carries no metadata or compression of a servicer: put it into the message")
