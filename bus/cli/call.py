"""`govbus call`: JSON in and out over any registered contract, signed by the caller's own keys like any program's call.

The caller is a subsystem's home: keys, certificate, brokers and its part of the policy, as `govbus enrol` leaves them.
What is asked for is what that policy lists (`--list`); how it is written, what the contract says (`--describe`).
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from bus.exchange import CallError, ConfigError, connect  # isort: skip - before gRPC

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from govbus.registry.v1 import directory_pb2

from bus.cli.call_caller import Caller, NotPermitted, caller_at, choose, home_of, newest, provider_identity
from bus.cli.call_contract import GET_CONTRACT, MethodName, contract_in, directory_route, installed_contract
from bus.cli.call_describe import proto_of, template_of
from bus.cli.call_json import json_of, parse_body, show_json
from bus.cli.call_result import Outcome, tell
from bus.cli.call_trace import spans_of
from bus.cli.output import Unable, echo_json, error_lines, print_table
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.exchange.channel import ChannelView
from bus.exchange.evidence import CallEvidence
from bus.exchange.otlp import Exported
from bus.exchange.tls import TlsError
from bus.up.report import iso

__all__ = ["call"]

_INTERRUPTED: Final = 130
_SILENT_S: Final = 2.0

_T = TypeVar("_T")


@dataclass(slots=True)
class _Asked:
    """One use of the command."""

    caller: Caller
    purpose: str
    case_id: str
    official: str | None
    timeout: float
    descriptor_set: Path | None
    exported: Exported
    evidence: list[CallEvidence] = field(default_factory=list)

    def using(self, channel: ChannelView, purpose: str, provider: str, grant: str) -> ChannelView:
        return channel.using(
            purpose=purpose,
            case_id=self.case_id,
            official=self.official,
            provider=provider_identity(self.caller, provider),
            grant_id=grant,
            on_evidence=self.evidence.append,
        )


def call(
    method: Annotated[str | None, typer.Argument(help="package.Service/Method; --list shows which.")] = None,
    body: Annotated[str, typer.Argument(help="The request as JSON, @FILE, or - for standard input.")] = "{}",
    home: Annotated[Path | None, typer.Option(help="Who calls: the directory that `govbus enrol` made.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Who calls: <class>/<member>/<subsystem> with a home in the state.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; signed and recorded. Default: the home's, if any.")] = None,
    case: Annotated[str | None, typer.Option(help="Case id. Default: the home's, or a new one.")] = None,
    official: Annotated[str | None, typer.Option(help="Who asks, by a pseudonym that the member made.")] = None,
    provider: Annotated[str | None, typer.Option(help="Whom to ask. Default: the one that a grant fits.")] = None,
    grant: Annotated[str | None, typer.Option(help="Under which grant. Default: the one that fits.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds for the call. Default: the home's.")] = None,
    descriptor_set: Annotated[
        Path | None, typer.Option(help="FileDescriptorSet with the contract. Default: the bus's directory is asked.")
    ] = None,
    evidence: Annotated[Path | None, typer.Option(help="Write the call's evidence, bodies included, here.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List what this subsystem may call now.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Show what the method takes and gives.")] = False,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a method with JSON. Exit codes: 1 error of the provider, 2 nothing was asked, 3 the bus refused."""
    with error_lines(), _unusable_homes():
        layout = layout_of(state)
        caller = caller_at(home_of(home, layout, as_))
        if list_:
            _list(newest(caller), as_json)
            return
        if method is None:
            raise Unable("name a method as package.Service/Method; see --list")
        name = MethodName(method)
        config = caller.config
        with spans_of(layout, caller) as exported:
            asked = _Asked(
                caller=caller,
                purpose=purpose or config.purpose,
                case_id=case or config.case_id or f"call-{secrets.token_hex(6)}",
                official=official,
                timeout=timeout or config.timeout_ms / 1000,
                descriptor_set=descriptor_set,
                exported=exported,
            )
            with _interrupted():
                if describe:
                    _describe(_permitted(asked, lambda: asyncio.run(_find(asked, name))), as_json)
                    _tell_ungranted(asked, name.path)
                    return
                text = _text(body)
                chosen = _permitted(asked, lambda: choose(asked.caller, name.path, asked.purpose, provider, grant))
                found = _permitted(asked, lambda: asyncio.run(_find(asked, name)))
                outcome = asyncio.run(_call(asked, found, chosen, text, as_json))
            raise typer.Exit(tell(outcome, asked.caller, evidence, as_json))


def _permitted(asked: _Asked, work: Callable[[], _T]) -> _T:
    """What `work` gives; once more with a newer policy when the one that is here lists no grant for it."""
    try:
        return work()
    except NotPermitted:
        version = asked.caller.view.version
        asked.caller = newest(asked.caller)
        if asked.caller.view.version == version:
            raise
        return work()


@contextmanager
def _interrupted() -> Iterator[None]:
    """Ctrl-C ends the command with the status of one."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("govbus: interrupted; the provider may have acted", err=True)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _unusable_homes() -> Iterator[None]:
    """Keys, certificates and brokers that cannot be used; a contract that the directory does not give."""
    try:
        yield
    except (ConfigError, TlsError) as error:
        raise Unable(str(error)) from error
    except CallError as error:
        raise Unable(f"the directory gave no contract: {error}") from error


def _list(caller: Caller, as_json: bool) -> None:
    found = caller.permitted()
    if as_json:
        rows = [
            {
                "method": one.method[1:],
                "provider": one.provider,
                "grant": one.grant,
                "purposes": list(one.purposes),
                "stream": one.stream,
                "not_after": iso(one.not_after_ms),
                "provider_active": one.provider_active,
            }
            for one in found
        ]
        echo_json(rows)
        return
    marks = {True: "", False: " (suspended)"}
    print_table(
        ("method", "provider", "grant", "purposes", "answers", "until"),
        [
            (
                one.method[1:],
                one.provider + marks[one.provider_active],
                one.grant,
                " ".join(one.purposes),
                "many" if one.stream else "one",
                str(iso(one.not_after_ms)),
            )
            for one in found
        ],
    )
    typer.echo(f"{caller.identity.path}, policy version {caller.view.version}", err=True)


def _describe(method: MethodDescriptor, as_json: bool) -> None:
    request, answer, proto = template_of(method.input_type), template_of(method.output_type), proto_of(method)
    if as_json:
        path = f"{method.containing_service.full_name}/{method.name}"
        stream = bool(method.server_streaming)
        echo_json({"method": path, "stream": stream, "request": request, "answer": answer, "proto": proto})
        return
    typer.echo(f"// request as JSON\n{show_json(request)}\n\n{proto}")


def _tell_ungranted(asked: _Asked, method: str) -> None:
    """A method may be read about by who may not call it: say so before the body is written."""
    for caller in (asked.caller, newest(asked.caller, quiet=True)):
        if any(one.method == method for one in caller.permitted()):
            return
    typer.echo(f"govbus: no grant in force lets {asked.caller.identity.path} call it; see --list", err=True)


def _text(body: str) -> str:
    try:
        if body == "-":
            return sys.stdin.read()
        return Path(body[1:]).read_text("utf-8") if body.startswith("@") else body
    except UnicodeDecodeError:
        raise Unable("the body is not UTF-8") from None


async def _find(asked: _Asked, name: MethodName) -> MethodDescriptor:
    """The method's descriptor; the directory is asked only where neither file nor installation has it."""
    if asked.descriptor_set is not None:
        return contract_in(asked.descriptor_set.read_bytes(), name, str(asked.descriptor_set))
    if found := installed_contract(name):
        return found
    route, purpose = directory_route(asked.caller.permitted(), asked.purpose)
    async with connect(asked.caller.config) as channel:
        view = asked.using(channel, purpose, route.provider, route.grant)
        answer_type = directory_pb2.GetContractResponse
        ask = view.unary_unary(GET_CONTRACT, directory_pb2.GetContractRequest.SerializeToString, answer_type.FromString)
        with _waiting():
            answer = await ask(directory_pb2.GetContractRequest(service=name.service), timeout=asked.timeout)
    asked.evidence.clear()
    asked.exported.trace_id = None
    return contract_in(answer.file_descriptor_set, name, "what the directory keeps")


async def _call(asked: _Asked, method: MethodDescriptor, chosen: tuple[str, str], body: str, as_json: bool) -> Outcome:
    request = parse_body(body, method.input_type)
    async with connect(asked.caller.config) as channel:
        view = asked.using(channel, asked.purpose, *chosen)
        began = time.monotonic()
        outcome = Outcome(bool(method.server_streaming), [], None, None, 0.0)
        try:
            with _waiting():
                await _answers(view, method, request, asked, outcome, as_json)
        except CallError as error:
            outcome = replace(outcome, error=error)
        milliseconds = (time.monotonic() - began) * 1000
    last = asked.evidence[-1] if asked.evidence else outcome.error and outcome.error.evidence
    trace_id = asked.exported.trace_id
    return replace(outcome, evidence=last or None, milliseconds=milliseconds, trace_id=trace_id, provider=chosen[0])


async def _answers(
    view: ChannelView,
    method: MethodDescriptor,
    request: Message,
    asked: _Asked,
    outcome: Outcome,
    as_json: bool,
) -> None:
    """Every answer as JSON into `outcome`; a stream's are printed as they come, unless one document is wanted."""
    parse = GetMessageClass(method.output_type).FromString
    pool = method.containing_service.file.pool
    path = f"/{method.containing_service.full_name}/{method.name}"
    if not outcome.stream:
        made: Any = view.unary_unary(path, type(request).SerializeToString, parse)
        outcome.answers.append(json_of(await made(request, timeout=asked.timeout), pool))
        return
    made = view.unary_stream(path, type(request).SerializeToString, parse)
    async for answer in made(request, timeout=asked.timeout):
        found = json_of(answer, pool)
        if as_json:
            outcome.answers.append(found)
            continue
        outcome.answers[:] = [None]  # that there was one; the rest of a long stream is not kept
        typer.echo(show_json(found, indent=None))
        sys.stdout.flush()


@contextmanager
def _waiting() -> Iterator[None]:
    """Say so when it takes longer than a person expects."""
    notice = asyncio.get_running_loop().call_later(_SILENT_S, lambda: typer.echo("waiting for the answer", err=True))
    try:
        yield
    finally:
        notice.cancel()
