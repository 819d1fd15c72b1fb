"""A process that journals calls which count, and says what was acknowledged, for tests that kill it."""

import os
import random
import sys
import time
from pathlib import Path

from native._fast import QuotaTable
from native.journal import JournalError
from tests.native.journals import REQUEST_SIGNATURE, Broker, done
from tests.native.quotas import GRANTS, UNCOUNTED, request_by
from tests.native.samples import NOW, octets


def main(directory: str, segment_bytes: str, seed: str) -> None:
    """Prints `ready`, then a line for each round of calls that ended; some calls are left open, some are given back."""
    chance, table = random.Random(int(seed)), QuotaTable(8)
    journal = Broker(Path(directory), int(segment_bytes)).open(quota=table)
    print("ready", flush=True)
    while True:
        began = []
        for _ in range(chance.randrange(1, 12)):
            header = request_by(grant := chance.choice((*GRANTS, UNCOUNTED)), os.urandom(16))
            call = None if grant == UNCOUNTED else table.take(grant, 1, NOW, calls=1 << 40)[2]
            if call is not None:
                call.add_bytes(0, chance.randrange(1 << 20), NOW)
                if chance.random() < 0.1:
                    call.give_back()
                    continue
            try:
                began.append((header, journal.submit_intent(header, REQUEST_SIGNATURE, counted=call)))
            except JournalError as error:  # a slow disk has not reserved the next segment yet: given back
                if error.reason != "full":
                    raise
                time.sleep(0.01)
        intents = [(header, pending, pending.wait()) for header, pending in began]
        ended = [
            done(journal, h, i, intent=p, released=octets(1), released_bytes=chance.randrange(1 << 20))
            for h, p, i in intents
            if chance.random() < 0.8
        ]
        for pending in ended:
            pending.wait()
        print(len(intents), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
