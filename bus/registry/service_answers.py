"""What the registry's services have in common: refusals with a reason, pages, and work off the event loop."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, NoReturn

from bus.exchange import Reason, fixed_text, govbus_call
from bus.exchange.meanings import encode_refusal, meaning
from pki.identity import SubsystemId, parse_spiffe_id

__all__ = ["caller", "page_of", "refuse"]

USUAL_PAGE: Final = 100
LARGEST_PAGE: Final = 1_000

# Texts must be declared before the server starts (bus.exchange.texts).
for _reason in Reason:
    fixed_text(meaning(_reason).text)


def caller() -> SubsystemId:
    """The client of the signed request that is being served."""
    return parse_spiffe_id(govbus_call().client)


def refuse(context: Any, reason: Reason, metadata: Mapping[str, str] | None = None) -> NoReturn:
    """End the call with the reason, in the form of protocol.md 5, signed by this provider."""
    found = meaning(reason)
    context.abort(found.code, found.text, (("grpc-status-details-bin", encode_refusal(reason, metadata or {})),))
    raise AssertionError("abort raises")


def page_of(
    names: Iterable[str], page_size: int, page_token: str, largest: int = LARGEST_PAGE
) -> tuple[list[str], str]:
    """The names after the token, in order, and the token of the page after; empty when there is none."""
    size = min(page_size, LARGEST_PAGE) if page_size > 0 else USUAL_PAGE
    found = list(islice((name for name in sorted(names) if name > page_token), size + 1))
    return found[:size], found[size - 1] if len(found) > size else ""
