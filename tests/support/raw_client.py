"""An HTTP/2 client that sends whatever it is told: one TLS connection, frames in the caller's hands, answers as found.

What grpcio would never send (split, truncated, compressed and superfluous frames, duplicated keys, trailers, a reset at
any moment) is sent here. It decides nothing; reading the refusal out of an answer is the SDK's own function.
"""

import base64
import itertools
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import Frame, GoAwayFrame

from bus.edge.endpoint import Endpoint
from bus.exchange.meanings import parse_refusal
from bus.exchange.reasons import Reason

__all__ = ["Answer", "Headers", "RawConnection", "client_context"]

Headers = list[tuple[str, str]]
WAIT_S = 10.0
_WINDOW = 8 << 20


@dataclass
class Answer:
    """How a stream ended, byte for byte as far as the client saw it."""

    headers: Headers = field(default_factory=list)
    trailers: Headers = field(default_factory=list)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False
    lost: bool = False

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.ended or self.reset is not None or self.lost

    @property
    def last(self) -> Headers:
        """Where gRPC's status stands: the trailers, or the headers of a trailers-only answer."""
        return self.trailers or self.headers

    def value(self, key: str) -> str | None:
        """The one value of `key` there; None if absent."""
        found = [value for name, value in self.last if name == key]
        assert len(found) <= 1, f"{key} stands {len(found)} times"
        return found[0] if found else None

    def binary(self, key: str) -> bytes:
        """The decoded value of a `-bin` key; empty if absent."""
        text = self.value(key) or ""
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)

    @property
    def code(self) -> int | None:
        """grpc-status; None when there is none."""
        text = self.value("grpc-status")
        return None if text is None else int(text)

    @property
    def refusal(self) -> tuple[Reason, dict[str, str]] | None:
        """Reason and metadata that grpc-status-details-bin names."""
        return parse_refusal(self.binary("grpc-status-details-bin"))

    @property
    def keys(self) -> set[str]:
        """Every metadata key of the answer."""
        return {name for name, _ in (*self.headers, *self.trailers)}


def client_context(home: Path) -> ssl.SSLContext:
    """TLS 1.3 with the certificate of a subsystem's directory."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(home / "trust.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(home / "tls" / "chain.pem", home / "tls" / "key.pem")
    context.set_alpn_protocols(["h2"])
    return context


class _Patient(h2.connection.H2Connection):
    """Reads on behind a GOAWAY that says no more than "no new streams": h2 itself would refuse the answers that run."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        found = super()._receive_goaway_frame(frame)
        if frame.error_code == 0:
            self.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        return found


class RawConnection:
    """One connection. Methods that wait raise TimeoutError after 10 s."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, server_name: str) -> None:
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout=WAIT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = context.wrap_socket(plain, server_hostname=server_name)
        except OSError:
            plain.close()
            raise
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = _Patient(config)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self.h2.increment_flow_control_window(_WINDOW)
        self.answers: dict[int, Answer] = {}
        self.flush()

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self.socket.close()

    def open(self, headers: Headers, *, end: bool = False) -> int:
        """Send request headers; the stream's number."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False, pieces: Iterable[int] = ()) -> None:
        """Send body bytes, cut where `pieces` say; stops early when the answer is already there."""
        cuts = [0, *pieces, len(data)]
        for start, stop in itertools.pairwise(cuts):
            at = start
            while at < stop:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, stop - at)
                if room <= 0:
                    self._receive(time.monotonic() + WAIT_S)
                    if self.answers[stream].over:
                        return
                    continue
                self.h2.send_data(stream, data[at : at + room])
                at += room
                self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def trailers(self, stream: int, trailers: Headers) -> None:
        """End the request with trailers."""
        self.h2.send_headers(stream, trailers, end_stream=True)
        self.flush()

    def reset(self, stream: int) -> None:
        """Cancel, as a caller that does not want the answer any more."""
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def answer(self, stream: int, *, seconds: float = WAIT_S) -> Answer:
        """Wait for the end of a stream."""
        found = self.answers[stream]
        until = time.monotonic() + seconds
        while not found.over:
            self._receive(until)
        return found

    def wait_data(self, stream: int, size: int) -> bytes:
        """Wait until so many bytes of the answer's body are there."""
        found = self.answers[stream]
        until = time.monotonic() + WAIT_S
        while len(found.data) < size and not found.over:
            self._receive(until)
        return found.data

    def call(self, headers: Headers, body: bytes) -> Answer:
        """One ordinary call."""
        stream = self.open(headers)
        self.send(stream, body, end=True)
        return self.answer(stream)

    def alive(self) -> bool:
        """Whether the broker still keeps this connection; its pings are answered in passing."""
        probe = self.answers.setdefault(0, Answer())
        try:
            while not probe.lost:
                self._receive(time.monotonic())
        except TimeoutError:
            return True
        return False

    def ended(self) -> bool:
        """Whether the broker closes this connection within 5 s."""
        until = time.monotonic() + 5
        probe = self.answers.setdefault(0, Answer())
        try:
            while not probe.lost:
                self._receive(until)
        except TimeoutError:
            return False
        return True

    def flush(self) -> None:
        """Send what h2 has ready."""
        data = self.h2.data_to_send()
        if data:
            try:
                self.socket.sendall(data)
            except OSError:
                self._lose()

    def _lose(self) -> None:
        for answer in self.answers.values():
            answer.lost = answer.lost or not answer.over

    def _receive(self, until: float) -> None:
        self.socket.settimeout(max(until - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise TimeoutError("no answer within the time this test allows") from None
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None)
        answer = self.answers.get(stream) if stream else None
        if isinstance(event, h2.events.ConnectionTerminated) and event.error_code:
            self._lose()
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = [(str(name), str(value)) for name, value in event.headers or ()]
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = [(str(name), str(value)) for name, value in event.headers or ()]
        elif isinstance(event, h2.events.DataReceived):
            answer.data += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code or 0)
