"""What a subsystem may do by itself, again and again, must not grow the policy that every gate holds."""

from tests.bus.registry.support import CIVIL, DAY, HOUR, NOW, POPULATION, Log, certificate, nation, signing_key


def test_certificates_renewed_without_end_are_refused_until_some_are_over() -> None:
    log = Log(nation())
    log.record(*(certificate(CIVIL, f"again-{number}") for number in range(255)))
    assert log.refusal(certificate(CIVIL, "one more")) == "in-use"
    assert log.refusal(certificate(POPULATION, "somebody else's")) is None
    later = NOW + DAY + 1
    assert log.refusal(certificate(CIVIL, "tomorrow", not_before=later), at_ms=later) is None


def test_signing_keys_asked_for_all_at_once_are_refused_in_the_transaction() -> None:
    """The rotation's own limit is judged before the transaction, by a state that others may share."""
    log = Log(nation())
    log.record(*(signing_key(CIVIL, f"again-{number}", not_before=NOW + HOUR) for number in range(15)))
    assert log.refusal(signing_key(CIVIL, "one more", not_before=NOW + HOUR)) == "in-use"
    assert log.refusal(signing_key(POPULATION, "somebody else's", not_before=NOW + HOUR)) is None
