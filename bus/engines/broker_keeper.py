"""A broker that enrolled by token looks after its home itself: certificate, signing key, snapshot, endpoints.

It asks the registry through the other brokers, by calls like anybody's (bus.exchange.keeper); what comes are files, and
bus.engines.broker and Envoy watch these. A broker below an instance's state directory is the supervisor's to look after
(bus.up.broker_part): whoever runs one from there leaves this out.
"""

import logging
import threading
from pathlib import Path
from typing import Self

from bus.exchange.config import ConfigError, load_client_config  # isort: skip - before gRPC
from bus.engines.supervisor import EngineError
from bus.exchange.keeper import Keeper
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile

__all__ = ["BrokerKeeper"]

CONFIG = "config.yaml"
_LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


class BrokerKeeper:
    """For one broker's directory, between `with` and its end; does nothing for one that did not enrol by token."""

    def __init__(self, directory: Path) -> None:
        """EngineError, SnapshotError, ProfileError or OSError for a home that cannot be used."""
        self._keeper: Keeper | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-keeper", daemon=True)
        if (directory / CONFIG).exists():
            try:
                identity = load_client_config(directory / CONFIG).identity
            except ConfigError as error:
                raise EngineError(f"{directory / CONFIG}: {error}") from error
            snapshot = SnapshotFile.of(identity)
            snapshot.load()
            self._keeper = Keeper(identity, SigningKeyFile(identity.signing_key), snapshot)

    def __enter__(self) -> Self:
        if self._keeper is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._keeper is not None:
            self._thread.join()
            self._keeper.stop()

    def _run(self) -> None:
        assert self._keeper is not None  # noqa: S101 (__enter__ asked)
        while not self._stopping.wait(_LOOK_SECONDS):
            self._keeper.look()
