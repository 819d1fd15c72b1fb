"""An instance inside this process: what its supervisor does by itself, hours later."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.edge.ports import keep_ports
from bus.registry.fold import Act
from bus.registry.subsystems import EndpointsSet
from bus.up.broker import live_digest, make_fresh, renewal_time
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.running import Options, Running
from pki.authority import Authority
from tests.support.joined import wait_until


def test_brokers_certificate_is_renewed_before_it_ends_and_shown_when_it_is_live(tmp_path: Path) -> None:
    layout, steps = Layout(tmp_path / "state"), list[str]()
    with Running(layout, Options(), steps.append) as running:
        home, broker = layout.broker_home(running.facts.broker), layout.identity(running.facts)
        running.tick()
        new = live_digest(home)
        assert datetime.now(UTC) < renewal_time(home)

        # One that is past two thirds of its life when it is issued: it is backdated by a minute.
        now = datetime.now(UTC)
        authority = Authority.open(layout.state, running.facts.trust_domain, now=now)
        old = make_fresh(authority, broker, now=now, lifetime=timedelta(seconds=20))
        (event,) = running.registry.record([old.change], Act("ops:test", "an old certificate"))
        assert wait_in_force(layout, event.position) is not None
        old.use(home)
        assert live_digest(home) == old.change.digest != new
        assert datetime.now(UTC) >= renewal_time(home)

        running.tick()
        renewed = running.registry.state().subsystems[broker.path].certificates[-1]
        assert live_digest(home) == old.change.digest, "not before it is published"
        assert wait_in_force(layout, event.position + 1) is not None
        running.tick()
        assert live_digest(home) == renewed
        assert datetime.now(UTC) < renewal_time(home)
    assert steps[-1].startswith("ending")


def test_broker_that_has_served_does_not_wait_for_the_registry(tmp_path: Path) -> None:
    """Whatever PostgreSQL does meanwhile. Where the registry then says another address, the broker goes there."""
    layout = Layout(tmp_path / "state")
    with Running(layout, Options(), lambda _: None) as running:
        broker, first = running.facts.broker, running.address
    open_before: list[str] = []

    def say(step: str) -> None:
        if step == "PostgreSQL":
            wait_until(lambda: is_open(first), "the broker beside PostgreSQL")
            open_before.append(first)

    with Running(layout, Options(), say) as running:
        assert open_before == [first] == [running.address]
        other = f"127.0.0.1:{keep_ports(layout.state, ['another port'])['another port']}"
        running.registry.record([EndpointsSet(broker, (other,))], Act("ops:test", "it moves"))
    assert not is_open(first)
    with Running(layout, Options(), say) as running:
        assert running.address == other
        assert is_open(other)
        assert not is_open(first)
        assert running.tell()["brokers"][broker]["pid"]


def is_open(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
