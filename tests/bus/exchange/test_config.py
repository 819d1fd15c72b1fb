"""The configuration file is a contract with the instance tooling: read exactly, refused with the key's name."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.exchange.config import ConfigError, load_client_config, load_provider_config

BROKER = "spiffe://bus.gov.example/gov/ndc/broker-1"


def whole() -> dict[str, Any]:
    return {
        "version": 1,
        "identity": "spiffe://bus.gov.example/gov/moj/civil-status",
        "tls": {"certificate": "tls/chain.pem", "key": "tls/key.pem", "authorities": "trust.pem"},
        "signing_key": "signing-key.pem",
        "snapshot": "snapshot.bin",
        "policy_key": "policy-key.pem",
        "client": {
            "brokers": [{"identity": BROKER, "address": "127.0.0.1:7443"}],
            "purpose": "civil.birth",
            "grants": [
                {
                    "id": "grant-7",
                    "provider": "spiffe://bus.gov.example/gov/mps/population",
                    "methods": ["/a.B/C"],
                    "purposes": ["civil.birth"],
                }
            ],
        },
        "provider": {"listen": "127.0.0.1:0"},
    }


RENEWAL = {
    "provider": "spiffe://bus.test.example/gov/ndc/registry",
    "purpose": "govbus.renewal",
    "brokers": [{"identity": BROKER, "address": "x:1"}],
}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "subsystem.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_both_sides_are_read_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, whole())
    client, provider = load_client_config(path), load_provider_config(str(path))
    assert client.identity == provider.identity
    assert client.identity.tls.key == tmp_path / "tls/key.pem"
    assert client.identity.policy_key == tmp_path / "policy-key.pem"
    assert client.brokers[0].spiffe_id == BROKER
    assert client.grants[0].methods == frozenset({"/a.B/C"})
    assert (client.timeout_ms, provider.accept_operator_grants) == (10_000, False)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"identity": "population"}, "identity"),
        ({"surprise": 1}, "surprise"),
        ({"tls": {"certificate": "a", "key": "b"}}, "authorities"),
        ({"signing_key": ""}, "signing_key"),
        ({"snapshot": 5}, "snapshot"),
        ({"client": {"brokers": []}}, "brokers"),
        ({"client": {"brokers": [{"identity": BROKER}]}}, "address"),
        ({"client": {"brokers": [{"identity": BROKER, "address": "x:1"}], "timeout_ms": 0}}, "timeout_ms"),
        ({"client": {"brokers": [{"identity": BROKER, "address": "x:1"}], "grants": [{"id": "g"}]}}, "provider"),
        ({"client": []}, "client"),
        ({"scope": "everything"}, "scope"),
        ({"renewal": RENEWAL | {"snapshot": "yes"}}, "snapshot"),
        ({"renewal": RENEWAL | {"settle_ms": 0}}, "settle_ms"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_client_config(write(tmp_path, whole() | change))


@pytest.mark.parametrize(
    ("side", "named"),
    [
        ({}, "listen"),
        ({"listen": "127.0.0.1:0", "accept_operator_grants": "yes"}, "accept_operator_grants"),
        ({"listen": "127.0.0.1:0", "drain_ms": True}, "drain_ms"),
    ],
)
def test_provider_side_that_does_not_fit_is_named(tmp_path: Path, side: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_provider_config(write(tmp_path, whole() | {"provider": side}))


def test_side_that_is_not_there_is_named(tmp_path: Path) -> None:
    content = whole()
    del content["provider"]
    with pytest.raises(ConfigError, match="provider"):
        load_provider_config(write(tmp_path, content))


def test_text_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="YAML"):
        load_client_config(path)
