"""The brokers and what of them ends, for bus.up.report."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from bus.edge.broker_file import load_broker_config
from bus.edge.yaml_reader import YamlFileError
from bus.up.broker import certificate_ends, renewal_time
from bus.up.journals import journal_use
from bus.up.report_parts import ALONE, Found, Part, State, iso, time_text
from pki.gatekey import GATE_KEY_LIFETIME

__all__ = ["brokers", "certificates"]

_SETTLING_MS = 15_000
_OVERDUE_MS = 600_000
_KEY_OVERDUE_MS = 29 * 86_400_000  # it is replaced 30 days before its end


def brokers(found: Found) -> list[Part]:
    """One part each; a lone broker's is called `broker`."""
    paths = found.layout.broker_paths(found.facts)
    return [_broker(found, path, "broker" if len(paths) == 1 else f"broker {path}") for path in paths]


def _broker(found: Found, path: str, name: str) -> Part:
    told, header = (found.told.get("brokers") or {}).get(path) or {}, found.header
    home = found.layout.broker_home(path)
    age_ms = None if header is None else found.now_ms - header.created_at_ms
    use = journal_use(home / "journal")
    facts: dict[str, Any] = {
        "path": path,
        "listen": _listen(home),
        "pid": told.get("pid"),
        "starts": told.get("starts", 0),
        "policy_version": told.get("in_force"),
        "policy_age_s": None if age_ms is None else age_ms // 1000,
        "journal": {
            "files": use.files,
            "bytes": use.bytes,
            "free_bytes": shutil.disk_usage(home).free if home.is_dir() else None,
            "full_in_days": use.days_left(shutil.disk_usage(home).free) if home.is_dir() else None,
        },
        "calls": {name: value for name, value in (told.get("calls") or {}).items() if value and _is_of_calls(name)},
    }
    since = iso(told.get("since_ms"))
    if not told.get("ready") and (left := found.left.get(f"broker-{home.name}")):
        return Part(name, State.STALE, since, facts | {"pid": left}, f"{ALONE}, by the policy that it has")
    if not told.get("ready") and told.get("waits"):
        return Part(name, State.STARTING, None, facts, told["waits"])
    if not told.get("ready"):
        said = "it starts with the supervisor" if found.pid is None else "it is started again; why: govbus logs broker"
        return Part(name, State.DOWN, since, facts, said)
    if header is not None and age_ms is not None:
        if told.get("in_force", 0) < header.version and age_ms > _SETTLING_MS:
            said = "it has not taken the newest policy; why: govbus logs broker"
            return Part(name, State.STALE, since, facts, said)
        if age_ms > header.alarm_after_ms:
            said = f"its policy is old; it refuses all calls from {found.ages[1]}"
            return Part(name, State.STALE, since, facts, said)
    return Part(name, State.UP, since, facts, "")


def _is_of_calls(name: str) -> bool:
    """Not what the gate tells of its own workings: that is for docs/metrics.md."""
    return not name.startswith("govbusboot.")


def certificates(found: Found) -> Part:
    """What ends when: certificates, and the keys that sign."""
    authority = found.layout.state / "authority"
    homes = [found.layout.broker_home(path) for path in found.layout.broker_paths(found.facts)]
    try:
        ends, renewal = min(map(certificate_ends, homes)), min(map(renewal_time, homes))
        issuing = x509.load_pem_x509_certificate((authority / "issuing.pem").read_bytes())
        root = x509.load_pem_x509_certificate((authority / "root.pem").read_bytes())
    except (OSError, ValueError) as error:
        said = f"they cannot be read ({type(error).__name__}): govbus doctor"
        return Part("certificates", State.DOWN, None, {}, said)
    told = (found.told.get("brokers") or {}).values()
    own = (found.told.get("key_ends_ms") or {}).values()
    keys = [one for one in (*(each.get("key_ends_ms") for each in told), *own) if one]
    facts = {
        "broker_ends": time_text(ends),
        "broker_renews_at": time_text(renewal),
        "issuing_ca_ends": time_text(issuing.not_valid_after_utc),
        "root_ends": time_text(root.not_valid_after_utc),
        "signing_key_ends": iso(min(keys, default=None)),
        "gate_key_ends": iso(_gate_key_ends(list(told))),
    }
    now = datetime.fromtimestamp(found.now_ms / 1000, UTC)
    if now > ends:
        return Part(
            "certificates", State.DOWN, time_text(ends), facts, "a start renews it: govbus down, then govbus up"
        )
    if (now - renewal).total_seconds() * 1000 > _OVERDUE_MS:
        said = "renewal is overdue; why: govbus logs supervisor"
        return Part("certificates", State.STALE, time_text(renewal), facts, said)
    if keys and min(keys) - found.now_ms < _KEY_OVERDUE_MS:
        said = "a signing key is to be replaced by itself and was not; why: govbus logs supervisor"
        return Part("certificates", State.STALE, None, facts, said)
    return Part("certificates", State.UP, None, facts, "")


def _gate_key_ends(told: list[dict[str, Any]]) -> int | None:
    """The first one's: made at each start of a gate, which is started again before it ends."""
    starts = [int(one["since_ms"]) for one in told if one.get("ready") and one.get("since_ms")]
    return min(starts) + int(GATE_KEY_LIFETIME.total_seconds() * 1000) if starts else None


def _listen(home: Path) -> str | None:
    try:
        return str(load_broker_config(home).listen)
    except (OSError, YamlFileError):
        return None
