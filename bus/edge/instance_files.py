"""The files of a new instance that people read: policy.yaml, each subsystem's config.yaml, each broker's broker.yaml.

Values in, text out. Plain YAML without anchors, in the order a reader wants.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import yaml

from bus.edge.endpoint import Endpoint
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan
from bus.edge.policy_model import PolicyDocument
from pki.identity import SubsystemId

__all__ = ["broker_yaml", "policy_yaml", "subsystem_yaml"]

_YEAR_MS = 365 * 86_400_000


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def policy_yaml(nation: Nation, endpoints: Mapping[str, Sequence[Endpoint]], *, since_ms: int, now_ms: int) -> bytes:
    """The instance's policy; files are named as make_instance lays them out."""
    validity = {"not_before": _time(since_ms), "not_after": _time(now_ms + _YEAR_MS)}
    return _dump(
        {
            "version": 1,
            "trust_domain": nation.trust_domain,
            "alarm_after": nation.alarm_after,
            "refuse_after": nation.refuse_after,
            "subsystems": [
                *(_subsystem(one, "brokers", endpoints, validity) for one in nation.brokers),
                *(_subsystem(one, "subsystems", endpoints, validity) for one in nation.subsystems),
            ],
            "descriptors": ["contracts.binpb"],
            "grants": [_grant(one, since_ms, now_ms) for one in nation.grants],
            **(
                {"agents": [{"agent": agent, "for": [client]} for agent, client in nation.agents]}
                if nation.agents
                else {}
            ),
        },
        "The policy of this instance. Edit it, then run `govbus instance publish` on the directory it lies in.",
    )


def subsystem_yaml(document: PolicyDocument, identity: SubsystemId) -> bytes:
    """bus.exchange.config's file for one subsystem: whom it may call by which grants, and where it listens."""
    spiffe = identity.spiffe_id
    content: dict[str, object] = {
        "version": 1,
        "identity": spiffe,
        "tls": {"certificate": "tls/chain.pem", "key": "tls/key.pem", "authorities": "trust.pem"},
        "signing_key": "signing-key.pem",
        "snapshot": "snapshot.bin",
        "policy_key": "policy-key.pem",
    }
    grants = [grant for grant in document.tables.grants if grant.client == spiffe]
    if grants:
        content["client"] = {
            "brokers": [
                {"identity": one.id, "address": str(document.endpoints[one.id][0])}
                for one in document.tables.subsystems
                if one.is_broker and one.id in document.endpoints
            ],
            "grants": [
                {
                    "id": grant.grant_id,
                    "provider": grant.provider,
                    "methods": list(grant.methods),
                    "purposes": list(grant.purposes),
                }
                for grant in grants
            ],
        }
    if spiffe in document.endpoints:
        content["provider"] = {"listen": str(document.endpoints[spiffe][0]), "accept_operator_grants": True}
    return _dump(content, "Made by the instance tooling; see bus/exchange/config.py for every key.")


def broker_yaml(document: PolicyDocument, identity: SubsystemId) -> bytes:
    """bus.edge.broker_file's file for one broker instance."""
    return _dump(
        {
            "version": 1,
            "identity": identity.spiffe_id,
            "listen": str(document.endpoints[identity.spiffe_id][0]),
            "policy_key": "policy-key.pem",
            "snapshot": "snapshot.bin",
            "endpoints": "endpoints.json",
        },
        "Made by the instance tooling; see bus/edge/broker_file.py for every key.",
    )


def _subsystem(
    plan: SubsystemPlan, folder: str, endpoints: Mapping[str, Sequence[Endpoint]], validity: Mapping[str, str]
) -> dict[str, object]:
    home = f"{folder}/{plan.path.replace('/', '.')}"
    entry: dict[str, object] = {"id": plan.path}
    if folder == "brokers":
        entry["broker"] = True
    if not plan.active:
        entry["active"] = False
    if endpoints.get(plan.path):
        entry["endpoints"] = [str(one) for one in endpoints[plan.path]]
    entry["certificates"] = [f"{home}/tls/chain.pem"]
    entry["keys"] = [{"spki": f"{home}/signing-public.pem", **validity}]
    return entry


def _grant(plan: GrantPlan, since_ms: int, now_ms: int) -> dict[str, object]:
    return {
        "id": plan.grant_id,
        "client": plan.client,
        "provider": plan.provider,
        "methods": list(plan.methods),
        "purposes": list(plan.purposes),
        "not_before": _time(since_ms if plan.not_before_ms is None else plan.not_before_ms),
        "not_after": _time(now_ms + _YEAR_MS if plan.not_after_ms is None else plan.not_after_ms),
        "operator_made": plan.operator_made,
    }


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _dump(content: object, comment: str) -> bytes:
    text = yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=118)
    return f"# {comment}\n{text}".encode()
