"""The home of the registry itself is made at the first start, also on a machine that stands still meanwhile."""

from datetime import UTC, datetime
from pathlib import Path

from bus.edge.endpoint import Endpoint
from bus.registry.draft import Draft
from bus.registry.keys import PUBLICATION_MS
from bus.registry.registry import Registry
from bus.registry.service_home import HomePlan, provide_home
from pki.authority import Authority
from pki.identity import SubsystemId
from pki.signer import FileSigner
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, point


def test_first_start_on_a_machine_that_stands_still_says_anew_when_its_key_begins(
    registry: Registry, clock: Clock, tmp_path: Path
) -> None:
    domain, halts = Draft(registry.state()).founded().trust_domain, iter((3_000, 3_000, 60_000))
    authority = Authority.open(tmp_path / "state", domain, now=datetime.fromtimestamp(clock.now / 1000, UTC))
    identity = SubsystemId(domain, "gov", "mps", "registry")
    plan = HomePlan(identity, tmp_path / "homes" / "registry", Endpoint("127.0.0.1", 7000), point("policy"), ACT)

    def read_then_halt() -> int:
        now = clock.now
        clock.now += next(halts, 0)
        return now

    assert provide_home(plan, registry, authority, read_then_halt, lambda _: True)
    key = registry.state().keys[FileSigner.load(plan.home / "signing-key.pem").key_id]
    assert next(halts, None) is None, "the machine stood still, and the first starts were refused"
    assert key.not_before_ms >= clock.now + PUBLICATION_MS
    assert not provide_home(plan, registry, authority, lambda: clock.now, lambda _: True)
