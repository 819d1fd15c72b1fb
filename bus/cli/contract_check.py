"""`govbus contract check`: whether a contract could be registered, asked before, and what it would break.

The same comparison as at the registry's door (docs/decisions/0036-buf-judges-contracts.md), with one of

    the registry        of the instance in the state directory, whole: for its operator
    the directory       over the bus, as `contract pull` asks it: for a developer with --home or --as
    a file              that was pulled before, --against FILE: without either

Nothing is recorded. Exit code 1: it would be refused.
"""

import asyncio
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from bus.exchange import CallError, ConfigError, Reason, connect  # isort: skip - before gRPC

from govbus.registry.v1 import directory_pb2

from bus.cli.call_caller import Caller, caller_at, home_of, provider_identity
from bus.cli.call_contract import GET_CONTRACT, directory_route
from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, printable
from bus.cli.progress import Progress
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.exchange.channel import ChannelView
from bus.exchange.tls import TlsError
from bus.registry.contract_buf import Break, find_breaks
from bus.registry.contract_compare import ContractBreaks, Former, verify_compatible
from bus.registry.contract_set import LARGEST_BYTES, ContractSet, parse_contract

__all__ = ["check"]

LIST_SERVICES: Final = "/govbus.registry.v1.DirectoryService/ListServices"
_PACKAGED: Final = ("govbus", "vn", "buf")
_PAGE: Final = 1_000
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Registered:
    """What a contract is held against."""

    told: str
    """Where it is from, for people."""
    formers: tuple[Former, ...]
    offered: frozenset[str]


def check(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A FileDescriptorSet, or the .proto files' folder.")],
    against: Annotated[Path | None, typer.Option(help="Compare with this set and ask nobody.")] = None,
    home: Annotated[Path | None, typer.Option(help="Ask the directory: where `govbus enrol` made who asks.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Ask the directory as <class>/<member>/<subsystem> of this state.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="Why. Default: the one that the grant for the directory allows.")] = "",
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a contract would break of those that are registered. Default: the registry in the state directory."""
    with error_lines(), Progress(quiet=as_json, patient=True) as progress:
        progress("reading the contract")
        new = parse_contract(_image_of(path))
        progress("comparing it with what is registered")
        breaks: tuple[Break, ...] = ()
        refused: ContractBreaks | None = None
        try:
            if against is not None:
                told = _verify_against(new, parse_contract(_read(against)), str(against))
            elif home is not None or as_ is not None:
                caller = caller_at(home_of(home, layout_of(state), as_))
                found = asyncio.run(_ask(caller, new, purpose or caller.config.purpose))
                verify_compatible(new, found.formers, found.offered, find_breaks)
                told = found.told
            else:
                told = _verify_here(new, state)
        except ContractBreaks as refusal:
            refused, breaks, told = refusal, refusal.breaks, ""
        except (ConfigError, TlsError) as error:
            raise Unable(str(error)) from error
    _tell(path, new, refused, breaks, told, as_json)


def _tell(
    path: Path, new: ContractSet, refused: ContractBreaks | None, breaks: Sequence[Break], told: str, as_json: bool
) -> None:
    services = sorted(new.methods)
    if as_json:
        several = [{"file": one.file, "rule": one.rule, "element": one.element, "text": one.text} for one in breaks]
        earlier = refused is not None and refused.older
        answer = {"file": str(path), "services": services, "compatible": refused is None, "breaks": several}
        echo_json(answer | {"earlier_form": earlier})
    elif refused is None:
        typer.echo(f"{path} breaks nothing of {told}")
        typer.echo(f"it declares {', '.join(services) or 'no service'}")
    else:
        for one in breaks:
            typer.echo(printable(str(one)))
        typer.echo(f"govbus: {len(breaks)} breaking; {refused.advice}", err=True)
    if refused is not None:
        raise typer.Exit(NEGATIVE)


def _image_of(path: Path) -> bytes:
    """The set in a file, or of all .proto files below a folder, with what comes with govbus to import."""
    if not path.is_dir():
        return _read(path)
    names = sorted(str(one.relative_to(path)) for one in path.rglob("*.proto"))
    if not names:
        raise Unable(f"{path} holds no .proto file; name the folder that their import paths begin in")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set")
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{path}", *(f"-I{root}" for root in _roots())),
                *("--include_imports", "--include_source_info", f"-o{out}", *names),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise Unable(f"protoc refused {path}:\n{ran.stderr.strip()[:2000]}")
        return out.read_bytes()


def _read(path: Path) -> bytes:
    """No more than a contract may have, and a byte that says that it has more."""
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES + 1)


def _roots() -> list[str]:
    """Where the contracts begin that come with govbus, as contracts import them."""
    found = (importlib.util.find_spec(name) for name in _PACKAGED)
    return sorted({str(Path(place).parent) for one in found if one for place in one.submodule_search_locations or ()})


def _verify_against(new: ContractSet, old: ContractSet, told: str) -> str:
    verify_compatible(new, [Former(old, old.services)], old.services, find_breaks)
    return told


def _verify_here(new: ContractSet, state: Path | None) -> str:
    from bus.cli.registry_open import open_registry  # a database's libraries: for its operator only

    with open_registry(layout_of(state)) as registry:
        now = registry.state()
        registry.contracts.compare(now, new)
    return f"{len({one.image for one in now.services.values()})} registered contracts"


async def _ask(caller: Caller, new: ContractSet, purpose: str) -> Registered:
    """What the directory has: all of it where it may be listed, else of the services that the contract declares."""
    permitted = caller.permitted()
    route, purpose = directory_route(permitted, purpose)
    identity = provider_identity(caller, route.provider)
    listing = next((one.grant for one in permitted if one.method == LIST_SERVICES and purpose in one.purposes), None)
    async with connect(caller.config) as channel:
        view = channel.using(purpose=purpose, case_id="contracts", provider=identity, grant_id=route.grant)
        if listing is None:
            images = await _images(view, sorted(new.methods))
            formers = [Former(parse_contract(image), frozenset({name})) for name, image in images.items()]
            told = "what is registered of its own services (all that may be compared without a grant for ListServices)"
            return Registered(told, tuple(formers), frozenset(new.methods))
        services = await _services(view.using(grant_id=listing))
        several: dict[bytes, list[str]] = {}
        for one in services:
            several.setdefault(one.contract_sha256, []).append(one.name)
        images = await _images(view, [names[0] for names in several.values()])
    formers = [
        Former(parse_contract(images[names[0]]), frozenset(names) & new.methods.keys())
        for names in several.values()
        if names[0] in images
    ]
    offered = frozenset(one.name for one in services if one.providers)
    return Registered(f"{len(formers)} registered contracts", tuple(formers), offered)


async def _services(view: ChannelView) -> list[directory_pb2.Service]:
    answer_type = directory_pb2.ListServicesResponse
    ask = view.unary_unary(LIST_SERVICES, directory_pb2.ListServicesRequest.SerializeToString, answer_type.FromString)
    found, token = list[directory_pb2.Service](), ""
    while True:
        try:
            page = await ask(directory_pb2.ListServicesRequest(page_size=_PAGE, page_token=token), timeout=_SECONDS)
        except CallError as error:
            raise Unable(f"the directory listed no services: {error}") from error
        found += page.services
        token = page.next_page_token
        if not token:
            return found


async def _images(view: ChannelView, names: Sequence[str]) -> dict[str, bytes]:
    """By service; what is not registered is not there."""
    answer_type = directory_pb2.GetContractResponse
    ask = view.unary_unary(GET_CONTRACT, directory_pb2.GetContractRequest.SerializeToString, answer_type.FromString)
    found = dict[str, bytes]()
    for name in names:
        try:
            answer = await ask(directory_pb2.GetContractRequest(service=name), timeout=_SECONDS)
        except CallError as error:
            if error.reason is Reason.ENTRY_UNKNOWN:
                continue
            raise Unable(f"the directory gave no contract: {error}") from error
        found[name] = answer.file_descriptor_set
    return found
