"""Another signing key for a subsystem that has one (protocol.md 1): what is asked is judged and recorded.

rotate, first failure counts and nothing is recorded:
1. the new key is a P-256 key, proved by itself over (subsystem, key, validity); at most two years, and it starts
   within OVERLAP_MS: one laid up for later would outlive the rotations until then, whoever laid it up
2. at most one rotation an hour, so that nobody fills everybody's snapshots with keys
3. one transaction: the new key, which starts 10 s after it at the earliest, and the end of the former ones; a key that
   was ever known is refused there

That a current key of the subsystem has signed the call is the gate's and this provider's runtime's word: a call comes
here no other way. Former keys overlap for OVERLAP_MS, a broker's for longer than the gate keys live that it certified.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bus.exchange.reasons import Reason
from bus.registry.change import Change
from bus.registry.enrolment import EnrolmentRefused, KeyProof, refused, verified_key
from bus.registry.fold import Act
from bus.registry.key_start import record_key
from bus.registry.keys import SigningKeyAdded, SigningKeyRetired
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.state import KeyEntry, RegistryState
from pki.gatekey import GATE_KEY_LIFETIME
from pki.identity import SubsystemId
from pki.keys import signing_key_id

__all__ = ["OVERLAP_MS", "Rotated", "Rotator", "rotation_changes"]

OVERLAP_MS: Final = 3_600_000
_BROKER_OVERLAP_MS: Final = int(GATE_KEY_LIFETIME.total_seconds() * 1000) + 86_400_000


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key that is recorded."""

    starts_ms: int
    former_end_ms: int


class Rotator:
    """For one instance; for use by several threads."""

    def __init__(self, registry: Registry, wait_published: Callable[[int], bool], clock_ms: Callable[[], int]) -> None:
        """As Enroller."""
        self._registry, self._wait_published, self._clock_ms = registry, wait_published, clock_ms

    def rotate(self, proof: KeyProof, subsystem: SubsystemId) -> Rotated:
        """EnrolmentRefused; or the database's own errors. Answers when the key stands in the published policy."""
        state, now_ms = self._registry.state(), self._clock_ms()
        point = verified_key(proof, subsystem, now_ms)  # 1
        if proof.not_before_ms > now_ms + OVERLAP_MS:  # 1
            raise EnrolmentRefused(Reason.KEY_VALIDITY)
        key_id = signing_key_id(proof.spki)
        recent = [one for one in _keys_of(state, subsystem.path).values() if one.not_before_ms > now_ms - OVERLAP_MS]
        if len(recent) > 1 and key_id not in state.keys:  # 2
            raise EnrolmentRefused(Reason.ROTATION_RUNNING)

        def record(earliest_ms: int) -> tuple[int, Rotated]:
            starts_ms = max(proof.not_before_ms, earliest_ms)
            key = SigningKeyAdded(subsystem.path, key_id, point, starts_ms, proof.not_after_ms)
            changes, former_end_ms = rotation_changes(state, key)
            events = self._registry.record(changes, Act(subsystem.spiffe_id, "rotated its signing key"))  # 3
            return events[-1].position, Rotated(starts_ms, former_end_ms)

        try:
            position, rotated = record_key(record, self._clock_ms)
        except Refusal as refusal:
            raise refused(refusal) from refusal
        self._wait_published(position)
        return rotated


def rotation_changes(state: RegistryState, key: SigningKeyAdded) -> tuple[list[Change], int]:
    """The key, the end of every other one of its subsystem that would outlive the overlap; and the last end of them."""
    overlap = _BROKER_OVERLAP_MS if state.subsystems[key.subsystem].is_broker else OVERLAP_MS
    end = key.not_before_ms + overlap
    former = _keys_of(state, key.subsystem)
    retired = [
        SigningKeyRetired(key_id, end) for key_id, one in former.items() if one.not_before_ms < end < one.last_ms
    ]
    return [key, *retired], max((min(end, one.last_ms) for one in former.values()), default=key.not_before_ms)


def _keys_of(state: RegistryState, path: str) -> dict[bytes, KeyEntry]:
    return {key_id: one for key_id, one in state.keys.items() if one.subsystem == path and one.last_ms >= state.time_ms}
