"""What an Envoy in another container that strangers have taken over answers its keeper: never an end, never a hang,
never anything but an OSError; and what it leaves behind in the directories that it may write to."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bus.engines import admin as admin_module
from bus.engines.admin import EnvoyAdmin
from bus.engines.share import Share
from bus.up.metrics_gate import gate_points

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
ENDLESS = {
    "a byte now and then": (HEAD, b" ", 0.2),
    "heads that are to be continued": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.0),
    "a body without an end": (HEAD, b"[" * 65536, 0.0),
    "a head without an end": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 8192, 0.0),
}
WRONG = (
    *(b"", b"\0" * 100, b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[]"),
    *(HEAD + body for body in (b"", b"[1]", b"[" * 1_000_000, b"9" * 100_000, b"\xff\xfe", b'{"stats": [1]}')),
    *(HEAD + body for body in (b'{"stats": {"name": 1}}', b'{"stats": [{"value": 1}]}')),
)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[bytes, bytes, float], EnvoyAdmin]]:
    """An admin interface that says `first`, then `again` for ever, every so many seconds."""
    ended = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "socket"

    def serve(first: bytes, again: bytes, seconds: float) -> None:
        with suppress(OSError):
            while not ended.is_set():
                connection, _ = listener.accept()
                with suppress(OSError), connection:
                    connection.recv(65536)
                    connection.sendall(first)
                    while again and not ended.wait(seconds):
                        connection.sendall(again)

    def answering(first: bytes, again: bytes, seconds: float) -> EnvoyAdmin:
        listener.bind(str(path))
        listener.listen()
        threads.append(threading.Thread(target=serve, args=(first, again, seconds), daemon=True))
        threads[-1].start()
        return EnvoyAdmin(path)

    yield answering
    ended.set()
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("how", ENDLESS)
def test_answer_that_does_not_end_is_given_up(
    how: str, answering: Callable[[bytes, bytes, float], EnvoyAdmin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_module, "_ANSWER_SECONDS", 1.0)
    with pytest.raises(OSError, match=r"no end|longer than|timed out"):
        answering(*ENDLESS[how]).started()


@pytest.mark.parametrize("answer", WRONG, ids=range(len(WRONG)))
def test_answer_that_is_none_of_envoys_is_an_oserror(
    answer: bytes, answering: Callable[[bytes, bytes, float], EnvoyAdmin]
) -> None:
    asked = answering(answer, b"", 0.0)
    with pytest.raises(OSError, match="from"):
        asked.started()
    with pytest.raises(OSError, match="from"):
        asked.stats("listener_manager.")


def test_link_in_the_sockets_place_leads_to_no_other_socket(
    tmp_path: Path, answering: Callable[[bytes, bytes, float], EnvoyAdmin]
) -> None:
    answering(HEAD + b"{}", b"", 0.0)
    (tmp_path / "admin").symlink_to(tmp_path / "socket")
    with pytest.raises(OSError, match="not a socket"):
        EnvoyAdmin(tmp_path / "admin").started()


def test_figures_that_are_none_hold_up_nobody() -> None:
    """The supervisor reads them, with everything else of it waiting."""
    for text in ("a{\n" * 300_000, "a{" + "b" * 2_000_000 + "} 1", "a" * 2_000_000, 'a{b="' * 300_000):
        assert gate_points("gov/ndc/broker-1", text, 0) == []


def test_envoy_that_opens_its_directories_to_others_keeps_no_keeper_from_starting(tmp_path: Path) -> None:
    share = Share.at(tmp_path / "share")
    share.make()
    share.socket.parent.chmod(0o777)
    share.make()
    assert os.stat(share.socket.parent).st_mode & 0o777 == 0o700


def test_lock_on_a_file_that_envoy_reads_keeps_no_keeper_from_starting(tmp_path: Path) -> None:
    share = Share.at(tmp_path / "share")
    share.make()
    with share.held():
        seen = [path for place in (share.files, share.socket.parent) for path in place.rglob("*")]
    assert seen == []
    assert (share.directory / "lock").exists()
