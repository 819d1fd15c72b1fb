"""Where Prometheus scrapes this process: `GET /metrics` on one address, in the clear, and nothing else.

It tells counts and ages, never of a person or a call; still, whoever reaches it knows how much is going on, so nobody
opens it by default and it belongs on loopback or a network of the operator's own. What stands there is made anew at
most once a second, whoever asks; a connection has some seconds and there are few at a time.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from bus.exchange.config import ConfigError
from bus.exchange.metrics_text import CONTENT_TYPE

__all__ = ["MetricsPort"]

_SECONDS: Final = 5.0
_AT_ONCE: Final = 8
_FRESH_S: Final = 1.0


class MetricsPort:
    """Open between `with` and its end. ConfigError where it cannot be opened."""

    def __init__(self, host: str, port: int, text: Callable[[], str]) -> None:
        """`text` is asked on a thread of the server, one at a time."""
        self._text, self._lock = text, threading.Lock()
        self._kept, self._kept_until = b"", 0.0
        try:
            self._server = _Server((host, port), _handler_for(self._page))
        except OSError as error:
            raise ConfigError(
                f"metrics cannot be served at {host}:{port} ({error.strerror or error}); name another host:port"
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _page(self) -> bytes:
        with self._lock:
            if time.monotonic() >= self._kept_until:
                self._kept = self._text().encode()
                self._kept_until = time.monotonic() + _FRESH_S
            return self._kept


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of its own while there is a place; whoever comes then is let go."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back, after some seconds at the latest: also of who sends a byte now and then."""
        last = threading.Timer(_SECONDS, _hang_up, [request])
        last.daemon = True
        last.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            last.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away, or sent what is no HTTP, is nobody's concern."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _handler_for(page: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS
        server_version, sys_version = "govbus", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404, "the metrics are at /metrics")
                return
            body = page()
            self.send_response(200)
            self.send_header("content-type", CONTENT_TYPE)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: addresses of scrapers are nobody's business."""

    return Handler
