"""What a killed supervisor left running, ended in order by whoever holds the instance's lock.

Brokers first, each drained; then members; PostgreSQL last, by a fast shutdown. A supervisor that runs does this itself.
"""

import contextlib
import os
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bus.edge.broker_file import load_broker_config
from bus.edge.yaml_reader import YamlFileError
from bus.engines.admin import EnvoyAdmin
from bus.engines.postgres_leftovers import end_process
from bus.engines.records import Living, Record, Records
from bus.engines.run_directory import find_run_directory
from bus.up.layout import Layout

__all__ = ["end_left"]

_BROKER: Final = "broker-"
_SERVER: Final = "postgres"
_STEPS: Final = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
_DRAIN_SECONDS: Final = 10.0


def end_left(layout: Layout) -> bool:
    """Whether anything ran."""
    records = Records(layout.engines)
    found = list(records.living())
    for stage in (_is_broker, _is_member, _is_server):
        ending = [one for one in found if stage(one)]
        if ending:
            with ThreadPoolExecutor(len(ending)) as pool:
                list(pool.map(lambda one: _end(layout, records.of(one.name), one), ending))
    return bool(found)


def _is_broker(one: Living) -> bool:
    return one.name.startswith(_BROKER)


def _is_server(one: Living) -> bool:
    return one.name.endswith(_SERVER)


def _is_member(one: Living) -> bool:
    return not _is_broker(one) and not _is_server(one)


def _end(layout: Layout, record: Record, one: Living) -> None:
    record.note_ending(one.pid)
    try:
        if _is_server(one):
            end_process(one.pidfd)
            return
        if _is_broker(one):
            _drain(layout.state / "brokers" / one.name.removeprefix(_BROKER))
        for number, seconds in _STEPS:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(one.pidfd, number)
            if select.select([one.pidfd], [], [], seconds)[0]:
                return
    finally:
        os.close(one.pidfd)
        record.remove()


def _drain(home: Path) -> None:
    try:
        seconds = float(load_broker_config(home).drain_seconds)
    except (OSError, YamlFileError):
        seconds = _DRAIN_SECONDS
    if (directory := find_run_directory(home / "envoy")) is not None:
        with contextlib.suppress(OSError):
            EnvoyAdmin(directory / "admin").settle(seconds)
