"""Writes the first inputs of every fuzz target into native/fuzz/corpus, the same bytes each time.

What the fuzzer finds is kept beside them under the SHA-1 of its content; seeds have names. Run after a change of a
format: python -m native.fuzz.make_seeds
"""

import sys
from pathlib import Path

from native.fuzz import seeds_gate, seeds_trust, seeds_wire

CORPUS = Path(__file__).resolve().parent / "corpus"


def all_seeds() -> dict[str, dict[str, bytes]]:
    """Target -> name -> input."""
    return {
        "codec": seeds_wire.codec_seeds(),
        "base64": seeds_wire.base64_seeds(),
        "frames": seeds_wire.frames_seeds(),
        "values": seeds_wire.values_seeds(),
        "merkle": seeds_trust.merkle_seeds(),
        "batch": seeds_trust.batch_seeds(),
        "policy": seeds_trust.policy_seeds(),
        "snapshot": seeds_trust.snapshot_seeds(),
        "journal": seeds_trust.journal_seeds(),
        "replay": seeds_wire.replay_seeds(),
        "gate": seeds_gate.seeds(),
    }


def main(corpus: Path = CORPUS) -> int:
    """Writes every seed below `corpus`."""
    for target, seeds in all_seeds().items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
