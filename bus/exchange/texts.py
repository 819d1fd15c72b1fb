"""The texts that a provider may answer beside a gRPC code: those its program declared before the server started.

grpc-message never carries data (protocol.md 8). A text is therefore declared once, as a constant, by `fixed_text`;
what a servicer says otherwise is replaced by a text that only names the code. A server takes the declared texts when
it starts and learns no more, so nothing made from a request can become one of its texts.
"""

from typing import Final

import grpc

__all__ = ["answered_text", "declared_texts", "fixed_text"]

MAX_TEXT: Final = 256

_declared: set[str] = set()


def fixed_text(text: str) -> str:
    """Declare `text` (1-256 visible ASCII characters); returns it. Call it where constants are made."""
    if not 0 < len(text) <= MAX_TEXT or not text.isascii() or not text.isprintable():
        raise ValueError("a text of an answer is 1-256 visible ASCII characters")
    _declared.add(text)
    return text


def declared_texts() -> frozenset[str]:
    """What is declared now."""
    return frozenset(_declared)


def answered_text(code: grpc.StatusCode, said: str, declared: frozenset[str]) -> str:
    """What travels for what a servicer said."""
    return said if said in declared else f"The service answers {code.name}."
