"""Rotation against whoever held a subsystem's key for a moment: what he registers ends with the next."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.postgres_database import Database
from bus.exchange.reasons import Reason
from bus.registry.enrolment import EnrolmentRefused, KeyProof
from bus.registry.keys import SigningKeyAdded, SigningKeyRetired
from bus.registry.rotation import OVERLAP_MS, Rotator, rotation_changes
from pki.enrolment import prove_possession
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.support.enrolment import Enrolling, enrolling
from tests.support.nation import CALLER

DAY = 86_400_000


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[Enrolling]:
    with enrolling(tmp_path / "a state", database) as world:
        yield world


def test_key_laid_up_for_later_is_refused(world: Enrolling) -> None:
    with pytest.raises(EnrolmentRefused) as refused:
        rotate(world, starts_in_ms=OVERLAP_MS + 60_000)
    assert refused.value.reason is Reason.KEY_VALIDITY


def test_key_that_starts_as_late_as_it_may_ends_with_the_next_rotation(world: Enrolling) -> None:
    laid_up = rotate(world, starts_in_ms=OVERLAP_MS - 10_000)
    state = world.registry.state()
    signer, start = KeySigner(generate_private_key()), state.time_ms + 12_000
    changes, _ = rotation_changes(
        state, SigningKeyAdded(CALLER, signer.key_id, signer.public_point, start, start + DAY)
    )
    retired = [one for one in changes if isinstance(one, SigningKeyRetired)]
    assert laid_up in {one.key_id for one in retired}
    assert all(one.not_after_ms == start + OVERLAP_MS for one in retired)


def rotate(world: Enrolling, starts_in_ms: int) -> bytes:
    subsystem, signer = world.instance.subsystem_id(CALLER), KeySigner(generate_private_key())
    start = int(time.time() * 1000) + starts_in_ms
    proof = KeyProof(
        signer.spki, start, start + 90 * DAY, prove_possession(signer, subsystem, signer.spki, start, start + 90 * DAY)
    )
    Rotator(world.registry, lambda _: True, world.clock).rotate(proof, subsystem)
    return signer.key_id
