"""A ledger's keys and entries for tests: real keys, made for each run."""

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus.ledger.note import NoteSigner
from bus.ledger.sequencer import Sequencer
from bus.ledger.tiles import Tile
from bus.ledger.tree import Edge

ORIGIN = "bus.test.example/ledger"


def signer(origin: str = ORIGIN) -> NoteSigner:
    return NoteSigner.create(origin, Ed25519PrivateKey.generate())


def entries(count: int, seed: int | None = None) -> list[bytes]:
    """Entries that nobody made before; with a seed always the same."""
    if seed is None:
        return [os.urandom(32) for _ in range(count)]
    return [(seed * 1_000_000 + at).to_bytes(32, "big") for at in range(count)]


def grown(*batches: Iterable[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
    """A tree in memory and all tiles that growing it wrote."""
    edge, tiles = Edge(), dict[Tile, bytes]()
    for batch in batches:
        edge, written = edge.append(list(batch))
        tiles |= written
    return edge, tiles


def ledger(directory: Path, key: NoteSigner, *sizes: int) -> list[bytes]:
    """A closed ledger in `directory` with batches of these sizes; the checkpoint after each."""
    with Sequencer(directory, key) as sequencer:
        return [sequencer.integrate(entries(size), {"source": {"at": size}}).note for size in sizes]
