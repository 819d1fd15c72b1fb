"""`govbus cert authorities | new-issuer | new-root | retire-root`: the instance's own CAs, overlapping as they change.

For the operator of the machine where the authority's keys are. What everybody believes follows within a second where
the registry runs, and elsewhere with the next snapshot (pki.succession says what to wait for).
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from cryptography import x509

from bus.cli.output import Unable, echo_json, error_lines, print_table
from bus.cli.registry_open import view
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.layout import Layout
from pki.authority import Authority
from pki.succession import add_issuer, add_root, ca_id, retire_root
from pki.trust import TrustBundle

__all__ = ["authorities", "new_issuer", "new_root", "retire"]

_GOING_OVER = timedelta(hours=24)


def authorities(state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the roots and issuing CAs that everybody believes, and how many certificates of each are live."""
    with error_lines():
        authority = _authority(layout_of(state))
        live: dict[bytes, int] = {}
        for one in view(state, None).certificates.values():
            live[one.issuer] = live.get(one.issuer, 0) + 1
        rows = [("root", root, authority.issuer.root == root, None) for root in authority.trust.roots] + [
            ("issuing", one.certificate, one == authority.issuer, live.get(ca_id(one.certificate), 0))
            for one in authority.trust.issuers
        ]
        shown = [
            {
                "kind": kind,
                "id": ca_id(certificate).hex(),
                "current": current,
                "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "live": count,
            }
            for kind, certificate, current, count in rows
        ]
        if as_json:
            echo_json(shown)
            return
        print_table(("kind", "issues", "until", "live", "id"), [_row(one) for one in shown])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    live = "-" if one["live"] is None else str(one["live"])
    return one["kind"], "yes" if one["current"] else "no", one["not_after"][:10], live, one["id"]


def new_issuer(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Make another issuing CA, of the newest root; it issues from now on, the former ones stay believed."""
    with error_lines():
        layout = layout_of(state)
        authority = _authority(layout)
        newest = authority.trust.roots[0]
        if newest != authority.issuer.root and _age(newest) < _GOING_OVER:
            typer.echo(
                "the newest root is younger than a day: who has not asked for its policy since does not believe it yet",
                err=True,
            )
        _made(add_issuer(layout.state, authority.trust_domain, now=datetime.now(UTC)), "issuing CA", as_json)


def new_root(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Make another root, believed beside the former; give everybody a day, then make a new issuing CA."""
    with error_lines():
        layout = layout_of(state)
        authority = _authority(layout)
        _made(add_root(layout.state, authority.trust_domain, now=datetime.now(UTC)), "root", as_json)


def retire(
    root: str = typer.Argument(help="Its id, or the first 8 or more hex digits (`govbus cert authorities`)."),
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A former root, and its issuing CAs, are believed no longer. Refused while certificates of it are live."""
    with error_lines():
        layout = layout_of(state)
        authority = _authority(layout)
        ids = [ca_id(one) for one in authority.trust.roots]
        found = [one for one in ids if len(root) >= 8 and one.hex().startswith(root.lower())]
        if len(found) != 1:
            raise Unable("name one root by eight or more of its first hex digits; see `govbus cert authorities`")
        under = {ca_id(one.certificate) for one in authority.trust.issuers if ca_id(one.root) == found[0]}
        live = [
            one for one in view(state, None).certificates.values() if one.issuer in under and _live(one.not_after_ms)
        ]
        if live:
            hours = -(-max(one.not_after_ms - _now_ms() for one in live) // 3_600_000)
            raise Unable(f"{len(live)} live certificates are under this root; the last ends within {hours} h")
        bundle = retire_root(layout.state, authority.trust_domain, found[0], now=datetime.now(UTC))
        _told(bundle, found[0], as_json)


def _told(bundle: TrustBundle, root: bytes, as_json: bool) -> None:
    if as_json:
        echo_json({"retired": root.hex(), "roots": [ca_id(one).hex() for one in bundle.roots]})
    else:
        typer.echo(f"root {root.hex()} is believed no longer")


def _made(certificate: x509.Certificate, what: str, as_json: bool) -> None:
    if as_json:
        echo_json({"made": what, "id": ca_id(certificate).hex()})
    else:
        typer.echo(f"{what} {ca_id(certificate).hex()}")


def _authority(layout: Layout) -> Authority:
    return Authority.open(layout.state, layout.expect().trust_domain, now=datetime.now(UTC))


def _age(certificate: x509.Certificate) -> timedelta:
    return datetime.now(UTC) - certificate.not_valid_before_utc


def _live(not_after_ms: int) -> bool:
    return not_after_ms >= _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
