"""The ledger: one append-only Merkle log over all journals and the registry, whose past nobody can change unnoticed.

Pure, time and bytes come in:
- `ed25519`, `note`, `checkpoint`   what is signed, and the strict reading of it
- `tiles`, `tree`, `proof`          C2SP tlog-tiles: growing, roots, inclusion and consistency
- `entry`, `head`                   what is recorded, and how far
Kept and served:
- `storage`, `index`, `sequencer`   one writer, crash-safe at every point, never two histories
- `source`, `journal_source`, `registry_source`, `snapshot_source`, `ledger`   who is followed, and the loop
- `reader`, `service`, `keys`       proofs for others
"""
