"""Whether a broker's signing key may certify a gate key now (protocol.md 9, 10): by the policy that its gate is given.

A gate key counts for providers, clients and the ledger only where its certifier was in force at that moment, and a
journal that begins with another one is never accepted. A key starts some seconds after its publication, so a broker
that just enrolled waits; so does one whose key ended or was revoked, until another one is in its place.
"""

from datetime import UTC, datetime

from native.policy import Policy

__all__ = ["key_obstacle"]


def key_obstacle(policy: Policy, key_id: bytes, owner: str, now_ms: int) -> str:
    """What keeps `owner`'s key from certifying at `now_ms`; empty when nothing does."""
    found = policy.key(key_id)
    if found is None or found.subsystem != owner:
        return "starts when a policy names its signing key, which the one here does not"
    if now_ms < found.not_before_ms:
        return f"starts at {_text(found.not_before_ms)}, when its signing key is in force"
    if now_ms > found.not_after_ms:
        return f"starts when it has another signing key; its own ended at {_text(found.not_after_ms)}"
    return ""


def _text(time_ms: int) -> str:
    """Rounded up: at that second it is in force."""
    return datetime.fromtimestamp(-(-time_ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
