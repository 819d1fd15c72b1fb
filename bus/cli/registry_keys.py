"""`govbus key` and `govbus cert`: what subsystems sign and connect with. Both come in by enrolment and by calls of
their owners, never by the operator: a key enters with a proof that its holder has it.
"""

from typing import Annotated

import typer

from bus.cli import registry_authority
from bus.cli.key_rotate import rotate
from bus.cli.output import Unable, error_lines
from bus.cli.registry_open import At, Operator, Reason, change, digest_like, list_entries, show_entry, view
from bus.cli.up import JsonOption, StateOption
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked

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
        found = view(state, at).keys.items()
        shown = {key_id.hex(): one for key_id, one in found if subsystem in (None, one.subsystem)}
        list_entries(shown, ("subsystem", "not_before", "not_after", "revoked"), as_json)


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
        found = view(state, at).certificates.items()
        shown = {digest.hex(): one for digest, one in found if subsystem in (None, one.subsystem)}
        list_entries(shown, ("subsystem", "not_before", "not_after"), as_json)


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
