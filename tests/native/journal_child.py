"""A process that journals calls and says what was acknowledged, for tests that kill it."""

import os
import random
import sys
from pathlib import Path

from tests.native.journals import REQUEST_SIGNATURE, Broker, done, request


def main(directory: str, segment_bytes: str, seed: str) -> None:
    """Prints `I <sequence> <request id>` once an intent is durable, `O <intent sequence>` once its outcome is."""
    chance = random.Random(int(seed))
    journal = Broker(Path(directory), int(segment_bytes)).open()
    print("ready", flush=True)
    while True:
        ids = [os.urandom(16) for _ in range(chance.randrange(1, 12))]
        headers = [request(each) for each in ids]
        intents = [p.wait() for p in [journal.submit_intent(h, REQUEST_SIGNATURE) for h in headers]]
        for intent, each in zip(intents, ids, strict=True):
            print("I", intent[0], each.hex())
        sys.stdout.flush()
        kept = [pair for pair in zip(headers, intents, strict=True) if chance.random() < 0.8]
        for pending, (_, intent) in zip([done(journal, h, i) for h, i in kept], kept, strict=True):
            pending.wait()
            print("O", intent[0])
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
