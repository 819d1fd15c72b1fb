"""`govbus snapshot`: the readable policy into signed snapshots, and a snapshot into something readable."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import Unable, echo_json, error_lines, print_table
from bus.edge.policy_file import parse_policy
from bus.edge.policy_pem import PemError, parse_signing_key_pem
from bus.edge.snapshot_files import BROKER_SNAPSHOT, compile_snapshots, peek_header, publish
from native.codec import CodecError
from native.headers import SnapshotHeader
from native.snapshot import verify_snapshot
from pki.files import ensure_private_directory
from pki.signer import FileSigner

__all__ = ["app", "read_policy_key"]

app = typer.Typer(no_args_is_help=True, help="Compile the readable policy into signed snapshots, or read one.")


@app.command("compile")
def compile_(
    policy: Annotated[Path, typer.Argument(help="The policy, YAML. Files that it names are relative to it.")],
    out: Annotated[Path, typer.Option(help="Directory for the snapshots; made if it is not there.")],
    key: Annotated[Path | None, typer.Option(help="Signing key (PKCS#8 PEM). Default: beside the policy.")] = None,
    make_key: Annotated[bool, typer.Option("--make-key", help="Make the signing key if it is not there.")] = False,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="Version. Default: one more than in OUT.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check POLICY and write the broker's snapshot and one for every subsystem, signed."""
    with error_lines():
        document = parse_policy(
            policy.read_bytes(), name=str(policy), read=lambda name: (policy.parent / name).read_bytes()
        )
        signer = _signer(key or policy.parent / "policy-signing-key.pem", make_key)
        ensure_private_directory(out.absolute())
        version = number or _last_version(out) + 1
        if version <= _last_version(out):
            raise Unable(
                f"{out} holds version {_last_version(out)} already; a version only ever grows, leave out --number"
            )
        compiled = compile_snapshots(
            document, signer, version=version, log_position=version, now_ms=time.time_ns() // 1_000_000
        )
        publish(compiled, out)
        if as_json:
            echo_json({"version": version, "scopes": {scope: len(data) for scope, data in compiled.snapshots.items()}})
        else:
            typer.echo(f"version {version}: {len(compiled.snapshots)} snapshots in {out}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A snapshot file.")],
    policy_key: Annotated[Path | None, typer.Option(help="PEM of the policy key: verify the signature too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a snapshot is, for whom, how old, and what it holds."""
    with error_lines():
        data = file.read_bytes()
        try:
            header = peek_header(data)
        except CodecError as error:
            raise Unable(f"{file} is no snapshot of this version") from error
        facts = _facts(header) | {"signature": "not checked; give --policy-key"}
        if policy_key is not None:
            point = read_policy_key(policy_key)
            found = verify_snapshot(data, point, header.trust_domain, header.scope, header.created_at_ms)
            names = ("subsystems", "certificates", "keys", "methods", "grants", "agents")
            counts = found.policy.counts()
            facts |= {"signature": "verified"} | dict(zip(names, map(str, counts), strict=True))
        if as_json:
            echo_json(facts)
        else:
            print_table(("", ""), [(name, value) for name, value in facts.items()])


def read_policy_key(path: Path) -> bytes:
    """The 65-byte point of a policy key in PEM."""
    try:
        return parse_signing_key_pem(path.read_bytes())[1]
    except PemError as error:
        raise Unable(f"{path}: {error}") from error


def _signer(path: Path, make: bool) -> FileSigner:
    if make:
        return FileSigner.load_or_create(path)
    try:
        return FileSigner.load(path)
    except FileNotFoundError as error:
        raise Unable(f"no signing key at {path}; name it with --key, or add --make-key for a new instance") from error


def _last_version(out: Path) -> int:
    path = out / BROKER_SNAPSHOT
    try:
        return peek_header(path.read_bytes()).version if path.exists() else 0
    except CodecError as error:
        raise Unable(f"{path} is no snapshot of this version; move it away") from error


def _facts(header: SnapshotHeader) -> dict[str, str]:
    created = datetime.fromtimestamp(header.created_at_ms / 1000, UTC)
    return {
        "trust_domain": header.trust_domain,
        "scope": header.scope,
        "version": str(header.version),
        "log_position": str(header.log_position),
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "alarm_after_s": str(header.alarm_after_ms // 1000),
        "refuse_after_s": str(header.refuse_after_ms // 1000),
        "tables_bytes": str(header.tables_size),
    }
