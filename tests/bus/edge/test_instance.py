"""An instance on disk: whole, private, and the same when it is made again (bus.edge.instance)."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.edge.broker_file import load_broker_config
from bus.edge.instance import Instance, make_instance
from bus.edge.snapshot_files import parse_endpoints
from bus.exchange.config import load_client_config, load_provider_config
from native.policy import Policy
from native.snapshot import BROKER_SCOPE, VerifiedSnapshot, verify_snapshot
from pki.identity import parse_spiffe_id
from tests.support.nation import BROKER, CALLER, METHOD, OTHER, PROVIDER, PURPOSE, make_small_nation, small_nation


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return make_small_nation(tmp_path / "a state with spaces")


def opened(instance: Instance, home: Path, scope: str) -> VerifiedSnapshot:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    data = (home / "snapshot.bin").read_bytes()
    return verify_snapshot(data, instance.policy_key_point, instance.trust_domain, scope, now_ms)


def permitted(policy: Policy, grant: str) -> bool:
    ids = [f"spiffe://bus.test.example/{path}" for path in (CALLER, PROVIDER)]
    client, provider = (policy.find_subsystem(one) for one in ids)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return policy.permits(grant, client, provider, policy.find_method(METHOD), PURPOSE, now_ms) is not None


def test_every_part_holds_the_grant_that_concerns_it(instance: Instance) -> None:
    assert permitted(opened(instance, instance.broker_home(BROKER), BROKER_SCOPE).policy, "grant-1")
    for path in (CALLER, PROVIDER):
        scope = instance.subsystem_id(path).spiffe_id
        assert permitted(opened(instance, instance.home(path), scope).policy, "grant-1")
    other = opened(instance, instance.home(OTHER), instance.subsystem_id(OTHER).spiffe_id).policy
    assert not permitted(other, "grant-1")
    assert other.find_subsystem(instance.subsystem_id(CALLER).spiffe_id) is None


def test_the_runtimes_can_read_their_files(instance: Instance) -> None:
    client = load_client_config(instance.config(CALLER))
    assert [broker.spiffe_id for broker in client.brokers] == [instance.subsystem_id(BROKER).spiffe_id]
    assert METHOD in client.grants[0].methods
    provider = load_provider_config(instance.config(PROVIDER))
    broker = load_broker_config(instance.broker_home(BROKER))
    assert broker.policy_key_point == instance.policy_key_point
    endpoints = parse_endpoints(broker.endpoints.read_bytes())
    assert {parse_spiffe_id(one).path: str(where[0]) for one, where in endpoints.items()} == {PROVIDER: provider.listen}
    assert str(broker.listen) == client.brokers[0].address


def test_nobody_else_can_enter_any_directory(instance: Instance) -> None:
    for directory in (instance.state, *(path for path in instance.state.rglob("*") if path.is_dir())):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700, directory


def test_every_private_key_is_its_owners_alone(instance: Instance) -> None:
    keys = [path for path in instance.state.rglob("*key.pem") if b"PRIVATE" in path.read_bytes()]
    assert len(keys) >= 2 * 4 + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_making_it_again_keeps_keys_ports_and_validities(instance: Instance) -> None:
    before = instance.policy()
    again = make_instance(instance.state, small_nation(), now=datetime.now(UTC) + timedelta(hours=1))
    after = again.policy()
    assert again.version == 2
    assert after.endpoints == before.endpoints
    assert [(key.key_id, key.not_before_ms) for key in after.tables.keys] == [
        (key.key_id, key.not_before_ms) for key in before.tables.keys
    ]


def test_a_renewed_certificate_is_live_and_the_former_is_not(instance: Instance) -> None:
    before = {one.digest for one in instance.policy().tables.certificates}
    instance.renew(now=datetime.now(UTC), paths=[CALLER])
    after = opened(instance, instance.broker_home(BROKER), BROKER_SCOPE)
    live = {one.digest for one in instance.policy().tables.certificates}
    assert len(live - before) == 1
    (gone,) = before - live
    assert after.policy.certificate(gone) is None


def test_an_edited_policy_is_published_as_the_next_version(instance: Instance) -> None:
    policy = instance.state / "policy.yaml"
    policy.write_text(policy.read_text().replace("grant-1", "grant-2"))
    assert instance.publish(now=datetime.now(UTC)).version == 2
    found = opened(instance, instance.broker_home(BROKER), BROKER_SCOPE)
    assert found.header.version == 2
    assert permitted(found.policy, "grant-2")
    assert not permitted(found.policy, "grant-1")
