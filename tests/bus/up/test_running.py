"""An instance inside this process: what its supervisor does by itself, hours later."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.registry.fold import Act
from bus.up.broker import live_digest, make_fresh, renewal_time
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.running import Options, Running
from pki.authority import Authority


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
