"""`govbus contract`: for developers, what a subsystem may call as one descriptor set; typed Python and pages from it.

Other languages take the same descriptor set: docs/contracts.md has one line for each.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from bus.exchange import ConfigError, connect  # isort: skip - before gRPC

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from bus.cli.call_caller import Caller, caller_at, home_of
from bus.cli.contract_check import check
from bus.cli.contract_fetch import callable_services, fetch_contracts
from bus.cli.output import Unable, echo_json, error_lines
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.exchange.tls import TlsError
from bus.reference.model import packages_of
from bus.reference.pages import INDEX, write_pages
from pki.files import PUBLIC, write_atomic

__all__ = ["app"]

_INSTALLED: Final = ("google/protobuf/", "buf/validate/")
"""Files whose Python comes with protobuf and with govbus."""

app = typer.Typer(no_args_is_help=True, help="Contracts for developers: pull, stub, docs, check.")
app.command()(check)


@app.command()
def pull(
    services: Annotated[
        list[str] | None, typer.Argument(help="package.Service ...; default: all that this subsystem may call.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Who asks: the directory that `govbus enrol` made.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Who asks: <class>/<member>/<subsystem> with a home in the state.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="Why. Default: the one that the grant for the directory allows.")] = "",
    out: Annotated[Path, typer.Option(help="The FileDescriptorSet to write.")] = Path("contracts.binpb"),
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each call.")] = 10.0,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the contracts that the bus's directory keeps, imports included, as one FileDescriptorSet."""
    with error_lines():
        try:
            caller = caller_at(home_of(home, layout_of(state), as_))
            wanted = services or callable_services(caller)
            image = asyncio.run(_fetch(caller, wanted, purpose or caller.config.purpose, timeout))
        except (ConfigError, TlsError) as error:
            raise Unable(str(error)) from error
        write_atomic(out, image, mode=PUBLIC)
    if as_json:
        echo_json({"file": str(out), "services": wanted, "bytes": len(image)})
    else:
        typer.echo(f"{out}: {', '.join(wanted)}\nnext: govbus contract stub {out} --out stubs")


async def _fetch(caller: Caller, services: list[str], purpose: str, seconds: float) -> bytes:
    async with connect(caller.config) as channel:
        return await fetch_contracts(channel, caller, services, purpose, seconds)


@app.command()
def stub(
    file: Annotated[Path, typer.Argument(help="A FileDescriptorSet, as `contract pull` writes it.")],
    out: Annotated[Path, typer.Option(help="Directory to write into; put it on PYTHONPATH.")] = Path("stubs"),
    as_json: JsonOption = False,
) -> None:
    """Write typed Python messages and stubs, which `bus.exchange.connect` and `serve` take as they are."""
    with error_lines():
        written = _generate(file, out)
    if as_json:
        echo_json({"directory": str(out), "modules": written})
        return
    for module in written:
        typer.echo(module)
    typer.echo(f"{len(written)} modules in {out}", err=True)


@app.command()
def docs(
    file: Annotated[Path, typer.Argument(help="A FileDescriptorSet, as `contract pull` writes it.")],
    out: Annotated[Path, typer.Option(help="Directory to write into; open index.html in it.")] = Path("contract-docs"),
    as_json: JsonOption = False,
) -> None:
    """Write reference pages, to be read in a browser without a network: methods, fields with limits, refusals."""
    with error_lines():
        image = _read_set(file)
        if not packages_of(image):
            raise Unable(f"{file} has nothing to describe; make one with `govbus contract pull`")
        try:
            written = write_pages(image, out)
        except ValueError as error:
            raise Unable(str(error)) from error
    if not any(one.source_code_info.location for one in image.file):
        typer.echo(
            "the contracts came without their comments: limits and options are there, explanations not", err=True
        )
    if as_json:
        echo_json({"directory": str(out), "files": written})
    else:
        typer.echo(f"wrote {len(written)} files; open {out / INDEX}")


def _read_set(file: Path) -> FileDescriptorSet:
    try:
        return FileDescriptorSet.FromString(file.read_bytes())
    except DecodeError as error:
        raise Unable(f"{file} is no FileDescriptorSet; make one with `govbus contract pull`") from error


def _generate(file: Path, out: Path) -> list[str]:
    files = _read_set(file).file
    names = [each.name for each in files if not each.name.startswith(_INSTALLED)]
    if not names:
        raise Unable(f"{file} has nothing to generate from; make one with `govbus contract pull`")
    out.mkdir(parents=True, exist_ok=True)
    plugins = Path(sys.executable).parent
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={file}"),
            *(f"--python_out={out}", f"--grpc_python_out={out}"),
            *(f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}", f"--mypy_out=quiet:{out}"),
            *(f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}", f"--mypy_grpc_out=quiet:{out}"),
            *names,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise Unable(f"protoc refused {file}: {ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else '?'}")
    for each in files:
        if each.name in names and not each.service:
            for ending in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                (out / each.name.replace(".proto", ending)).unlink(missing_ok=True)
    return [each.name.removesuffix(".proto").replace("/", ".") + "_pb2" for each in files if each.name in names]
