"""Reading a journal costs as much as there is to read."""

import time
from pathlib import Path

from native.journal import find_call, load_segments
from tests.native.journals import Broker, call


def test_reserved_room_is_not_counted_for_every_group(tmp_path: Path) -> None:
    broker = Broker(tmp_path, segment_bytes=16 << 20)
    journal = broker.open()
    for _ in range(300):
        call(journal)
    segments = list(load_segments(broker.directory))
    began = time.process_time()
    assert find_call(segments, bytes(16)) is None
    assert time.process_time() - began < 3  # 0.1 s; counting 16 MiB for each group takes 5
    journal.close()
