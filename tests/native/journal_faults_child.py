"""What happens to a journal in a process whose files may not grow: python -m tests.native.journal_faults_child."""

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from native.journal import JournalError
from tests.native.journals import REQUEST_SIGNATURE, SMALL, Broker, call, done, request


def reason_of(attempt: Any) -> str:
    """Why an attempt was refused."""
    try:
        attempt()
    except JournalError as error:
        return error.reason
    return "acknowledged"


def opening(directory: Path) -> dict[str, Any]:
    """Opens under the limit."""
    return {"refused": reason_of(lambda: Broker(directory).open().close())}


def failing_write(directory: Path) -> dict[str, Any]:
    """Lowers the limit below what is reserved already: the next write fails although there is room."""
    journal = Broker(directory).open()
    before = reason_of(lambda: call(journal))
    header = request()
    intent = journal.submit_intent(header, REQUEST_SIGNATURE).wait()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    # The first may have broken the journal before the next is submitted: refused then or at the wait, it is the same.
    during = [reason_of(lambda: journal.submit_intent(request(), REQUEST_SIGNATURE).wait()) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, hard))
    after = {
        "intent": reason_of(lambda: journal.submit_intent(request(), REQUEST_SIGNATURE)),
        "outcome": reason_of(lambda: done(journal, header, intent)),
        "state": journal.state,
        "although": "the limit is gone",
    }
    journal.close()
    return {"before": before, "during": during, "after": after, "open": 1, "sequences": [intent[0]]}


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead of death, as Envoy would see it
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    scenario = {"open": opening, "write fails": failing_write}[sys.argv[1]]
    print(json.dumps(scenario(Path(sys.argv[2]))))
