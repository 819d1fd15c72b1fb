"""Turns this process's signatures, hashes and trees into plain Python over pyca/cryptography and hashlib.

The Python forwarder is to be what one would write with grpcio and cryptography, but the functions it calls come from
`native`, compiled. `use_plain_python` puts the readable twins in their place; call it before anything imports them. The
codec and the policy lookups stay compiled: with protobuf and dictionaries they would be quick in plain Python too.
"""

import sys
from types import ModuleType, SimpleNamespace

import native.batch
import native.codec
import native.digest
import native.ecdsa
import native.merkle
from native import _batch_py, _digest_py, _ecdsa_py, _merkle_py
from native.headers import Signature

__all__ = ["use_plain_python"]

_TWINS: tuple[tuple[ModuleType, ModuleType], ...] = (
    (native.digest, _digest_py),
    (native.ecdsa, _ecdsa_py),
    (native.merkle, _merkle_py),
    (native.batch, _batch_py),
)


def use_plain_python() -> None:
    """Replace the public names of native's modules by their twins'; RuntimeError when it is too late for that."""
    late = [name for name in sys.modules if name.startswith(("bus.", "pki."))]
    if late:
        raise RuntimeError(f"{late[0]} has taken the compiled functions already: call this before importing it")
    _batch_py.codec = SimpleNamespace(encode=_encode)  # type: ignore[assignment, attr-defined]  # only encode is used
    for module, twin in _TWINS:
        for name in module.__all__:
            if hasattr(twin, name):
                setattr(module, name, getattr(twin, name))


def _encode(_: type, signature: Signature) -> bytes:
    return native.codec.encode_signature(signature)
