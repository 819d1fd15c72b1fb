"""`govbus key` and `govbus cert`: what subsystems sign and connect with. Both come in by enrolment and by calls of
their owners, never by the operator: a key enters with a proof that its holder has it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bus.cli import registry_authority
from bus.cli.key_rotate import rotate
from bus.cli.output import Unable, error_lines
from bus.cli.registry_open import At, Operator, Reason, change, now_ms, view
from bus.cli.registry_show import Columns, digest_like, known, list_entries, short, show_entry, state_of
from bus.cli.up import JsonOption, StateOption
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked
from bus.up.report_parts import iso

__all__ = ["certs", "keys"]

keys = typer.Typer(no_args_is_help=True, help="Signing keys: list, show, revoke; rotate one's own.")
certs = typer.Typer(no_args_is_help=True, help="TLS certificates: list, show, revoke; the CAs above.")

KeyId = Annotated[str, typer.Argument(help="SHA-256 of its SPKI, or the first 8 or more hex digits.")]
Digest = Annotated[str, typer.Argument(help="SHA-256 of the certificate, or the first 8 or more hex digits.")]
Owner = Annotated[str | None, typer.Option(help="Only those of this subsystem.")]


@keys.command("list")
def list_keys(subsystem: Owner = None, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List all signing keys that were ever registered."""
    with error_lines():
        now = view(state, at)
        if subsystem is not None:
            known(subsystem, now.subsystems, "subsystem")
        shown = {key_id.hex(): one for key_id, one in now.keys.items() if subsystem in (None, one.subsystem)}
        columns: Columns = {
            "key": short,
            "subsystem": "subsystem",
            "state": _key_state,
            "from": "not_before",
            "until": _last_day,
        }
        list_entries(shown, columns, as_json)


def _last_day(entry: Mapping[str, Any]) -> str:
    return str(entry["not_after"])[:10]


def _key_state(entry: Mapping[str, Any]) -> str:
    now = iso(now_ms()) or ""
    if state_of(entry) != "active":
        return state_of(entry)
    return "to come" if now < entry["not_before"] else "ended" if now > entry["not_after"] else "active"


@keys.command("show")
def show_key(key_id: KeyId, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one signing key."""
    with error_lines():
        found = view(state, at).keys
        name = digest_like(found, key_id, "key").hex()
        show_entry({one.hex(): entry for one, entry in found.items()}, name, "key", as_json)


@keys.command("revoke")
def revoke_key(
    key_id: KeyId, reason: Reason, operator: Operator = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """What it signs from now on is refused; what was recorded before stays proved."""
    change(state, operator, reason, as_json, lambda now: [SigningKeyRevoked(digest_like(now.keys, key_id, "key"))])


@certs.command("list")
def list_certs(subsystem: Owner = None, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the live certificates."""
    with error_lines():
        now = view(state, at)
        if subsystem is not None:
            known(subsystem, now.subsystems, "subsystem")
        shown = {digest.hex(): one for digest, one in now.certificates.items() if subsystem in (None, one.subsystem)}
        columns: Columns = {"certificate": short, "subsystem": "subsystem", "from": "not_before", "until": "not_after"}
        list_entries(shown, columns, as_json)


@certs.command("show")
def show_cert(digest: Digest, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one live certificate."""
    with error_lines():
        found = view(state, at).certificates
        name = digest_like(found, digest, "cert").hex()
        show_entry({one.hex(): entry for one, entry in found.items()}, name, "cert", as_json)


@certs.command("revoke")
def revoke_cert(
    digest: Digest, reason: Reason, operator: Operator = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """It is live no more; its subsystem enrols again."""
    change(
        state,
        operator,
        reason,
        as_json,
        lambda now: [CertificateRevoked(digest_like(now.certificates, digest, "cert"))],
    )


@certs.command("revoke-issuer")
def revoke_issuer(
    issuer: Annotated[str, typer.Argument(help="The issuing CA's key id, 64 hex digits (`govbus cert show`).")],
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """No certificate of this issuing CA is live any more, brokers' included."""
    with error_lines():
        try:
            key_id = bytes.fromhex(issuer)
        except ValueError as error:
            raise Unable("write the issuing CA's key id as 64 hex digits; see `govbus cert show`") from error
    change(state, operator, reason, as_json, lambda _: [IssuerRevoked(key_id)])


keys.command()(rotate)
certs.command()(registry_authority.authorities)
certs.command("new-issuer")(registry_authority.new_issuer)
certs.command("new-root")(registry_authority.new_root)
certs.command("retire-root")(registry_authority.retire)
