"""Full disks, one part's after the other and then the whole machine's: calls go on, what was acknowledged stays, and
everything goes on by itself once there is room. A full disk under the journal alone is test_journal_unwritable.
"""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bus.edge.snapshot_files import snapshot_name
from bus.engines.postgres_database import DatabaseUnavailable
from bus.engines.supervisor import EngineError
from bus.registry.event import Event
from bus.registry.grants import GrantMade
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from bus.up.control import ask
from tests.integration.live import Live, running_live
from tests.support.live import ACT, BYSTANDER, CALLER, METHODS, PURPOSE, UNITS, home_of, make_live, wait_until
from tests.support.live_judge import judge_registry
from tests.support.registered import now_ms
from tests.support.small_disk import fill, mount_small_disk, own_mounts

AWAY = (DatabaseUnavailable, EngineError)
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An instance on a disk of its own, with smaller ones for the database, the snapshots and one home; what the
    provider writes down is not on them."""
    folder = tmp_path_factory.mktemp("full")
    with own_mounts():
        mount_small_disk(folder / "a disk", 1200)
        layout = make_live(folder / "a disk" / "a state")
        mount_small_disk(layout.state / "postgres", 400)
        mount_small_disk(layout.state / "snapshots", 1)
        mount_small_disk(home_of(layout, UNITS), 1)
        with running_live(folder, layout) as found:
            yield found


def change(live: Live) -> SubsystemSuspended | SubsystemResumed:
    suspended = live.running.registry.state().subsystems[BYSTANDER].suspended_ms is not None
    return SubsystemResumed(BYSTANDER) if suspended else SubsystemSuspended(BYSTANDER)


def record_on(live: Live, acknowledged: list[Event]) -> None:
    """Until it fails; a full disk has some room left in files that were there before."""
    for _ in range(2000):
        acknowledged += live.running.registry.record([change(live)], ACT)


def test_full_snapshot_directory_leaves_the_former_policy_until_there_is_room(
    full: Live, caplog: pytest.LogCaptureFixture
) -> None:
    version = full.running.version
    with full.load() as load:
        load.goes_on()
        ballast = fill(full.layout.state / "snapshots")
        position = full.record(change(full))
        wait_until(lambda: "the policy is not published" in caplog.text)
        load.goes_on(50)
        assert full.running.version == version
        ballast.unlink()
        full.wait_in_force(position)
        load.goes_on()
    assert load.failed == []


def test_full_home_keeps_nobody_else_waiting_and_is_brought_its_policy_later(
    full: Live, caplog: pytest.LogCaptureFixture
) -> None:
    home = home_of(full.layout, UNITS)
    former = (home / "snapshot.bin").read_bytes()
    with full.load() as load:
        load.goes_on()
        ballast = fill(home)
        now = now_ms()
        full.put_in_force(GrantMade(f"more-{now}", CALLER, UNITS, METHODS, (PURPOSE,), now, now + 3_600_000))
        wait_until(lambda: f"does not reach {home.name}" in caplog.text)
        assert (home / "snapshot.bin").read_bytes() == former
        load.goes_on(50)
        ballast.unlink()
        published = full.layout.state / "snapshots" / snapshot_name(full.spiffe(UNITS))
        wait_until(lambda: (home / "snapshot.bin").read_bytes() == published.read_bytes() != former)
        load.goes_on()
    assert load.failed == []


def test_certificate_that_cannot_be_renewed_in_a_full_home_is_renewed_once_there_is_room(full: Live) -> None:
    home = home_of(full.layout, UNITS)
    # Due, with its minute of backdating, twenty seconds after its issue.
    full.certify(UNITS, home, timedelta(seconds=60))
    former, log = os.readlink(home / "tls"), full.provider.log
    with full.load() as load:
        ballast = fill(home)
        wait_until(lambda: "the TLS certificate is not renewed" in log.read_text())
        assert os.readlink(home / "tls") == former
        load.goes_on(50)
        ballast.unlink()
        wait_until(lambda: os.readlink(home / "tls") != former)
        load.goes_on(50)
    assert load.failed == []


def test_full_disk_of_the_database_stops_changes_only_and_loses_none(full: Live) -> None:
    acknowledged: list[Event] = []
    with full.load() as load:
        load.goes_on()
        ballast = fill(full.layout.state / "postgres" / "data")
        with pytest.raises(AWAY):
            record_on(full, acknowledged)
        load.goes_on(50)
        ballast.unlink()
        full.put_in_force(change(full))
        load.goes_on()
    assert load.failed == []
    assert judge_registry(full.running.registry, acknowledged) > len(acknowledged) > 0


def test_full_disk_of_the_machine_stops_nothing_that_runs_and_everything_goes_on_when_there_is_room(
    full: Live,
) -> None:
    with full.load() as load:
        load.goes_on()
        several = [fill(one) for one in (full.layout.state, *small_disks(full))]
        with contextlib.suppress(*AWAY):
            record_on(full, [])
        load.goes_on(200)
        for ballast in several:
            ballast.unlink()
        full.put_in_force(change(full))
        load.goes_on()
    assert load.failed == []
    wait_until(lambda: (ask(full.layout.ledger_writer) or {}).get("behind") == 0)


def small_disks(live: Live) -> list[Path]:
    state = live.layout.state
    return [state / "postgres" / "data", state / "snapshots", home_of(live.layout, UNITS)]
