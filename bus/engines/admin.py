"""Envoy's admin interface over its unix socket: readiness, statistics, draining. Local only, one request a connection.

Every failure is an OSError: the socket is not there yet, the process is gone, or the answer was none of Envoy's. One
that strangers have taken over may run in another container and answer anything, so an answer is read whole, within a
time and a length, before a byte of it is looked at; and a link in the socket's place is not followed.
"""

import http.client
import io
import json
import os
import socket
import stat
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from bus.engines.runner import Started
from bus.engines.supervisor import Supervisor

__all__ = ["AdminError", "EnvoyAdmin"]

_ANSWER_SECONDS = 10.0
_LONGEST_BYTES = 4 << 20  # some thousand providers' figures; JSON takes thirty times its length when it is read
_WHOLE_BYTES = 64 << 20  # the whole configuration, which only people and tests ask for
_PIECE = 1 << 16
_GONE_SECONDS = 20.0


class AdminError(OSError):
    """The admin interface answered something else than expected."""


class _Answer:
    """As much of a socket as http.client reads from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """The answer, whole."""
        del mode
        return io.BytesIO(self._data)


class EnvoyAdmin:
    """The admin interface behind the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ready(self) -> bool:
        """True when Envoy is live and every listener that it knows is active."""
        status, _ = self._request("GET", "/ready")
        if status != 200:
            return False
        stats = self.stats("listener_manager.")
        return (
            stats.get("listener_manager.total_listeners_active", 0) > 0
            and stats.get("listener_manager.total_listeners_warming", 0) == 0
        )

    def refused_listeners(self) -> bool:
        """True when a listener could not be made or opened, for whatever reason the log gives."""
        stats = self.stats("listener_manager.")
        refused = ("listener_manager.listener_create_failure", "listener_manager.lds.update_rejected")
        return any(stats.get(name, 0) for name in refused)

    def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose names start with `prefix`; histograms are left out."""
        query = f"&filter={quote(f'^{prefix}', safe='')}" if prefix else ""
        found = self._document(f"/stats?format=json&type=All{query}")
        try:
            return {one["name"]: one["value"] for one in found.get("stats", []) if isinstance(one.get("value"), int)}
        except (KeyError, TypeError, AttributeError) as error:
            raise AdminError(f"no statistics from {self.path}") from error

    def exposition(self, pattern: str) -> str:
        """Statistics whose names match `pattern`, histograms too, in Prometheus' text format."""
        return self._ok("GET", f"/stats/prometheus?filter={quote(pattern, safe='')}").decode("utf-8", "replace")

    def settle(self, seconds: float) -> None:
        """Stop accepting, tell every client to go elsewhere, wait for running calls, at most `seconds`."""
        self._ok("POST", "/drain_listeners?graceful")
        active = "http.edge.downstream_rq_active"
        Supervisor.pause_until(lambda: self.stats(active).get(active, 0) == 0, seconds)

    def started(self) -> Started:
        """When this process began, and the zone it was started in: a name that bus.engines.envoy gives."""
        told = self._document("/server_info")
        try:
            options = told["command_line_options"]
            return Started(str(options["service_zone"]), float(told["uptime_current_epoch"].removesuffix("s")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AdminError(f"no server information from {self.path}") from error

    def end(self, seconds: float) -> None:
        """The same as `settle`, then end the process; returns when it answers no more."""
        self.settle(seconds)
        self._ok("POST", "/quitquitquit")
        Supervisor.pause_until(lambda: not self._answers(), _GONE_SECONDS)

    def _answers(self) -> bool:
        try:
            self.started()
        except OSError:
            return False
        return True

    def config_dump(self, resource: str | None = None) -> dict[str, Any]:
        """The whole configuration in force, for people and tests; or one repeated field of it, as `ecds_filters`."""
        query = "include_eds" if resource is None else f"resource={resource}"
        return self._document(f"/config_dump?{query}", _LONGEST_BYTES if resource else _WHOLE_BYTES)

    def _document(self, target: str, longest: int = _LONGEST_BYTES) -> dict[str, Any]:
        """A JSON object."""
        try:
            found = json.loads(self._ok("GET", target, longest))
        except (ValueError, RecursionError) as error:
            raise AdminError(f"not JSON from {self.path}") from error
        if not isinstance(found, dict):
            raise AdminError(f"not a JSON object from {self.path}")
        return cast("dict[str, Any]", found)

    def _ok(self, method: str, target: str, longest: int = _LONGEST_BYTES) -> bytes:
        status, body = self._request(method, target, longest)
        if status != http.client.OK:
            raise AdminError(f"Envoy's admin interface answered {status} to {target.partition('?')[0]}")
        return body

    def _request(self, method: str, target: str, longest: int = _LONGEST_BYTES) -> tuple[int, bytes]:
        asked = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = _Answer(self._exchange(asked.encode("ascii"), longest))
        try:
            response = http.client.HTTPResponse(cast("socket.socket", answer), method=method)
            response.begin()
            return response.status, response.read()
        except (http.client.HTTPException, ValueError) as error:
            raise AdminError(f"not an HTTP answer from {self.path}") from error

    def _exchange(self, asked: bytes, longest: int) -> bytes:
        """What came back until the other side closed."""
        until, found = time.monotonic() + _ANSWER_SECONDS, bytearray()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            _connect(connection, self.path)
            connection.sendall(asked)
            while (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(_PIECE)
                if not piece:
                    return bytes(found)
                found += piece
                if len(found) > longest:
                    raise AdminError(f"the answer from {self.path} is longer than {longest >> 20} MiB")
        raise TimeoutError(f"the answer from {self.path} came to no end within {_ANSWER_SECONDS:.0f} s")


def _connect(connection: socket.socket, path: Path) -> None:
    """To the socket at `path` itself: where Envoy may put a link, it would lead to any socket of ours."""
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(place).st_mode):
            raise AdminError(f"{path} is not a socket; look who put it there")
        connection.connect(f"/proc/self/fd/{place}")
    finally:
        os.close(place)
