"""The texts that a provider may answer beside a gRPC code: those its program declared before it began to serve.

grpc-message never carries data (protocol.md 8). A text is therefore declared once, as a constant, by `fixed_text`;
what a servicer says otherwise is replaced by a text that only names the code. Declaring ends when the first server
starts, so nothing made from a request can become one.
"""

from typing import Final

import grpc

__all__ = ["answered_text", "close_texts", "fixed_text"]

MAX_TEXT: Final = 256

_declared: set[str] = set()
_open = True


def fixed_text(text: str) -> str:
    """Declare `text` (1-256 visible ASCII characters); returns it. Call it where constants are made."""
    if not 0 < len(text) <= MAX_TEXT or not text.isascii() or not text.isprintable():
        raise ValueError("a text of an answer is 1-256 visible ASCII characters")
    if text not in _declared and not _open:
        raise RuntimeError("texts are declared before serving begins: make this one a constant of its module")
    _declared.add(text)
    return text


def close_texts() -> None:
    """From now on no new text is declared in this process."""
    global _open
    _open = False


def answered_text(code: grpc.StatusCode, said: str) -> str:
    """What travels for what a servicer said."""
    return said if said in _declared else f"The service answers {code.name}."
