"""The data planes that are compared, each a process that forwards calls from the client to the provider.

bare       Envoy with the product's own hardened configuration, the gate left out; the client names the route
govbus     the same Envoy with the gate and its journal
python     a plain grpcio.aio + cryptography forwarder that makes the same checks
"""

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from benchmarks.journal import CommitCounter
from benchmarks.tools import Tool
from benchmarks.world import World
from bus.edge.endpoint import Endpoint
from bus.edge.ports import keep_ports
from bus.edge.settings import CLUSTER_HEADER, EdgeSettings, TlsFiles, Upstream
from bus.engines.broker import Broker
from bus.engines.envoy import Envoy
from pki.files import ensure_private_directory

__all__ = ["BareEnvoy", "Govbus", "Plane", "PythonForwarder"]


class Plane(Protocol):
    """A running data plane."""

    @property
    def listen(self) -> Endpoint:
        """Where clients connect."""

    @property
    def pid(self) -> int:
        """The process whose CPU is counted."""

    @property
    def headers(self) -> tuple[str, ...]:
        """What the client has to add, name=value."""

    @property
    def gives_receipts(self) -> bool:
        """Whether answers carry the broker's proofs."""

    def commits(self) -> tuple[int, int] | None:
        """Admissions and receipts in its journal so far, and the commits that hold them; None: unknown."""

    def __enter__(self) -> "Plane": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class BareEnvoy:
    """The edge as configured for a broker, with the broker's certificate, without the gate."""

    gives_receipts = False

    def __init__(self, world: World) -> None:
        state = ensure_private_directory(world.instance.state / "bare")
        self.listen = Endpoint("127.0.0.1", keep_ports(state, ["bare"])["bare"])
        self.headers = (f"{CLUSTER_HEADER}={world.provider.dns_name}",)
        self._world = world
        self._state = state
        self._envoy = Envoy(state, self._settings, gate=None, concurrency=1)

    def _settings(self, admin: Path) -> EdgeSettings:
        home = self._world.broker_home
        return EdgeSettings(
            broker=self._world.broker.spiffe_id,
            listen=self.listen,
            admin_socket=admin,
            directory=self._state / "envoy",
            tls=TlsFiles(home, home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"),
            upstreams=(Upstream(self._world.provider.dns_name, (self._world.provider_listens,)),),
            gate=None,
            drain_seconds=1,
        )

    @property
    def pid(self) -> int:
        return self._envoy.supervisor.pid or 0

    def commits(self) -> None:
        return None

    def __enter__(self) -> "BareEnvoy":
        self._envoy.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._envoy.stop()


class Govbus:
    """The broker, started from its directory as in production."""

    gives_receipts = True
    headers: tuple[str, ...] = ()

    def __init__(self, world: World) -> None:
        self.listen = world.listen
        self.broker = Broker(world.broker_home)
        self._journal = CommitCounter(self.broker.config.journal)

    @property
    def pid(self) -> int:
        return self.broker.envoy.supervisor.pid or 0

    def commits(self) -> tuple[int, int]:
        return self._journal.counts()

    def __enter__(self) -> "Govbus":
        self.broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop()


class PythonForwarder:
    """benchmarks.python_forwarder in a process of its own, with the broker's identity and policy.

    Plain Python over pyca/cryptography, or with `compiled` govbus's own signatures, hashes and trees.
    """

    gives_receipts = True
    headers: tuple[str, ...] = ()

    def __init__(self, world: World, *, compiled: bool) -> None:
        state = ensure_private_directory(world.instance.state / ("compiled" if compiled else "python"))
        self.listen = Endpoint("127.0.0.1", keep_ports(state, ["python"])["python"])
        module = [sys.executable, "-m", "benchmarks.forwarder_process"]
        self._command = [*module, str(world.broker_home), str(self.listen), str(state / "journal")]
        if compiled:
            self._command.append("--compiled")

    @property
    def pid(self) -> int:
        return self._tool.process.pid

    def commits(self) -> None:
        return None

    def __enter__(self) -> "PythonForwarder":
        self._tool = Tool(self._command)
        try:
            self._tool.hear()
        except BaseException:
            self._tool.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        self._tool.__exit__(*exception)
