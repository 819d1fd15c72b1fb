"""A Jaeger that is none: whatever it answers to `govbus explain --jaeger`, a person gets one line of text, no more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from bus.cli.main import app

ID = "0" * 32
SPAN = b'{"spanID":"1","processID":"p","operationName":"/a","startTime":%s,"duration":1,"tags":[]}'
TRACE = b'{"data":[{"traceID":"1","processes":{"p":{"serviceName":"a"}},"spans":[' + SPAN + b"]}]}"
ANSWERS = {
    "a reason that commands a terminal": b"HTTP/1.1 500 \x1b[31mX\x1b]0;owned\x07\r\nContent-Length: 0\r\n\r\n",
    "brackets without end": b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 500_000,
    "times that are none": b"HTTP/1.1 200 OK\r\n\r\n" + TRACE % b'"x"',
    "a redirection to itself": b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(params=ANSWERS)
def jaeger(request: pytest.FixtureRequest) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection:
                    connection.recv(65536)
                    connection.sendall(ANSWERS[request.param])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(30)


def test_costs_the_spans_alone(jaeger: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("journal")
    done = CliRunner().invoke(app, ["explain", ID, "--journal", str(empty), "--jaeger", jaeger], color=True)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "its spans are not told" in done.stderr
    assert all(line.isprintable() for line in done.output.split("\n"))
