"""Who lives in the attacked world: one of every kind that a check must tell apart.

Made by the real instance tooling; what that cannot say (keys past their end, certificates listed as ended) is written
into policy.yaml, as an operator would.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

import yaml

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan
from pki.files import write_atomic
from pki.keys import encode_public_pem
from pki.signer import FileSigner
from tests.support.nation import echo_contract

__all__ = [
    "ABSENT",
    "AGENT",
    "BROKER",
    "BROKER_2",
    "CALLER",
    "ENDED",
    "OTHER",
    "PROVIDER",
    "PURPOSE",
    "PUSH",
    "SAY",
    "SUSPENDED",
    "TWIN",
    "WATCH",
    "extra_key",
    "make_world_instance",
]

BROKER, BROKER_2 = "gov/ndc/broker-1", "gov/ndc/broker-2"
PROVIDER = "gov/mps/population"
TWIN = "gov/mps/twin"
"""Another provider, with a key of its own; nobody listens there."""
ABSENT = "gov/mps/absent"
"""A provider where nobody listens; CALLER has a grant for it."""
ASLEEP = "gov/mps/asleep"
"""A suspended provider; CALLER has a grant for it."""
CALLER = "gov/moj/civil-status"
AGENT = "gov/moj/agent"
"""Of the caller's member, listed as its agent."""
COLLEAGUE = "gov/moj/colleague"
"""Of the caller's member, agent of nobody."""
OTHER = "gov/mof/tax"
"""Registered, without any grant."""
SUSPENDED = "gov/moh/clinic"
"""With a grant, but not active."""
ENDED = "gov/moh/ended"
"""With a grant; the policy lists its certificate with an end in the past."""
PURPOSE = "civil.birth"
SERVICE = "/test.v1.EchoService"
SAY, WATCH, PUSH = f"{SERVICE}/Say", f"{SERVICE}/Watch", f"{SERVICE}/Push"
_HOUR_MS = 3_600_000


def world_nation(now: datetime, **plan: Any) -> Nation:
    """CALLER may ask PROVIDER anything for PURPOSE; the other grants are each short of something."""
    now_ms = int(now.timestamp() * 1000)
    everything = (f"{SERVICE}/*",)
    hours = [now_ms + hours * _HOUR_MS for hours in (-2, -1, 1, 2)]
    return Nation(
        trust_domain="bus.test.example",
        brokers=(SubsystemPlan(BROKER), SubsystemPlan(BROKER_2)),
        subsystems=(
            *(SubsystemPlan(path, serves=True) for path in (PROVIDER, TWIN, ABSENT)),
            SubsystemPlan(ASLEEP, serves=True, active=False),
            SubsystemPlan(SUSPENDED, active=False),
            *(SubsystemPlan(path) for path in (CALLER, AGENT, COLLEAGUE, OTHER, ENDED)),
        ),
        grants=(
            GrantPlan("grant-1", CALLER, PROVIDER, everything, (PURPOSE,)),
            GrantPlan("grant-say", CALLER, PROVIDER, (SAY,), (PURPOSE,)),
            GrantPlan("grant-ended", CALLER, PROVIDER, everything, (PURPOSE,), True, hours[0], hours[1]),
            GrantPlan("grant-coming", CALLER, PROVIDER, everything, (PURPOSE,), True, hours[2], hours[3]),
            GrantPlan("grant-absent", CALLER, ABSENT, everything, (PURPOSE,)),
            GrantPlan("grant-asleep", CALLER, ASLEEP, everything, (PURPOSE,)),
            GrantPlan("grant-suspended", SUSPENDED, PROVIDER, everything, (PURPOSE,)),
            GrantPlan("grant-ended-certificate", ENDED, PROVIDER, everything, (PURPOSE,)),
            GrantPlan("grant-colleague", COLLEAGUE, PROVIDER, everything, (PURPOSE,)),
        ),
        contracts=echo_contract(),
        agents=((AGENT, CALLER),),
        **plan,
    )


def make_world_instance(state: Path, **plan: Any) -> Instance:
    """The instance, published, with the drain of its broker cut short."""
    now = datetime.now(UTC)
    instance = make_instance(state, world_nation(now, **plan), now=now)
    path = instance.state / "policy.yaml"
    document = yaml.safe_load(path.read_text())
    by_id = {entry["id"]: entry for entry in document["subsystems"]}
    leaf = PEM_cert_to_DER_cert(
        (instance.home(ENDED) / "tls" / "chain.pem").read_text().partition("-----END")[0] + _END
    )
    by_id[ENDED]["certificates"] = [{"sha256": sha256(leaf).hexdigest(), "not_after": _time(now - timedelta(hours=1))}]
    for name, begin, end in (("ended", -2, -1), ("coming", 1, 2)):
        extra_key(instance, name)
        validity = {"not_before": _time(now + timedelta(hours=begin)), "not_after": _time(now + timedelta(hours=end))}
        by_id[CALLER]["keys"].append({"spki": f"extra-{name}.pem", **validity})
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    instance.publish(now=now)
    return instance


def extra_key(instance: Instance, name: str) -> FileSigner:
    """A further signing key, made at the first call; its public half lies beside policy.yaml."""
    signer = FileSigner.load_or_create(instance.state / f"extra-{name}-key.pem")
    write_atomic(instance.state / f"extra-{name}.pem", encode_public_pem(signer.public_point))
    return signer


_END = "-----END CERTIFICATE-----\n"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
