"""Envoy's admin interface over its unix socket: readiness, statistics, draining. Local only, one request a connection.

Every failure is an OSError: the socket is not there yet, the process is gone, or the answer was not HTTP.
"""

import http.client
import json
import socket
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from bus.engines.runner import Started
from bus.engines.supervisor import Supervisor

__all__ = ["AdminError", "EnvoyAdmin"]

_TIMEOUT = 5.0
_LONGEST_BYTES = 64 << 20  # one that strangers have taken over may run in another container
_GONE_SECONDS = 20.0


class AdminError(OSError):
    """The admin interface answered something else than expected."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(str(self._path))


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
        found = json.loads(self._ok("GET", f"/stats?format=json&type=All{query}"))
        entries = cast("list[dict[str, Any]]", found.get("stats", []))
        return {entry["name"]: int(entry["value"]) for entry in entries if isinstance(entry.get("value"), int)}

    def exposition(self, pattern: str) -> str:
        """Statistics whose names match `pattern`, histograms too, in Prometheus' text format."""
        return self._ok("GET", f"/stats/prometheus?filter={quote(pattern, safe='')}").decode()

    def settle(self, seconds: float) -> None:
        """Stop accepting, tell every client to go elsewhere, wait for running calls, at most `seconds`."""
        self._ok("POST", "/drain_listeners?graceful")
        active = "http.edge.downstream_rq_active"
        Supervisor.pause_until(lambda: self.stats(active).get(active, 0) == 0, seconds)

    def started(self) -> Started:
        """When this process began, and the zone it was started in: a name that bus.engines.envoy gives."""
        told = json.loads(self._ok("GET", "/server_info"))
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
        return cast("dict[str, Any]", json.loads(self._ok("GET", f"/config_dump?{query}")))

    def _ok(self, method: str, target: str) -> bytes:
        status, body = self._request(method, target)
        if status != 200:
            raise AdminError(f"Envoy's admin interface answered {status} to {target.partition('?')[0]}")
        return body

    def _request(self, method: str, target: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self.path)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            body = response.read(_LONGEST_BYTES + 1)
            if len(body) > _LONGEST_BYTES:
                raise AdminError(f"the answer to {target.partition('?')[0]} has no end")
            return response.status, body
        except http.client.HTTPException as error:
            raise AdminError(f"not an HTTP answer from {self.path}") from error
        finally:
            connection.close()
