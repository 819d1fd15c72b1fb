"""tests.native.journal_child under a broker key that the test knows: python -m ... KEY DIRECTORY SEGMENT_BYTES SEED."""

import sys
from pathlib import Path

from native.ecdsa import PrivateKey
from tests.native import journal_child, journals

if __name__ == "__main__":
    journals.BROKER_KEY = PrivateKey.from_der(Path(sys.argv[1]).read_bytes())
    journal_child.main(*sys.argv[2:])
