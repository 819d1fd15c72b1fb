"""Identities are one exact text each; whatever differs by a byte is refused or is somebody else."""

import pytest

from pki.identity import (
    IdentityError,
    IdentityReason,
    SubsystemId,
    parse_spiffe_id,
    verify_same_member,
    verify_trust_domain,
)

POPULATION = SubsystemId("bus.gov.example", "gov", "mps", "population")


def test_spiffe_id_and_dns_name_are_derived_from_the_same_four_words() -> None:
    assert POPULATION.spiffe_id == "spiffe://bus.gov.example/gov/mps/population"
    assert POPULATION.dns_name == "population.mps.gov.bus.gov.example"
    assert POPULATION.path == "gov/mps/population"
    assert parse_spiffe_id(POPULATION.spiffe_id) == POPULATION


@pytest.mark.parametrize(
    "text",
    ["spiffe://a/b/c/d", "spiffe://xn--td/1/2/3", f"spiffe://td/{'a' * 63}/{'b' * 63}/c-1", "spiffe://1.a/g/m/s"],
)
def test_extreme_but_lawful_ids_round_trip(text: str) -> None:
    assert parse_spiffe_id(text).spiffe_id == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", IdentityReason.SCHEME),
        ("bus.gov.example/gov/mps/population", IdentityReason.SCHEME),
        ("SPIFFE://bus.gov.example/gov/mps/population", IdentityReason.SCHEME),
        (" spiffe://bus.gov.example/gov/mps/population", IdentityReason.SCHEME),
        ("https://bus.gov.example/gov/mps/population", IdentityReason.SCHEME),
        ("spiffe://", IdentityReason.SHAPE),
        ("spiffe://bus.gov.example", IdentityReason.SHAPE),
        ("spiffe://bus.gov.example/gov/mps", IdentityReason.SHAPE),
        ("spiffe://bus.gov.example/gov/mps/population/", IdentityReason.SHAPE),
        ("spiffe://bus.gov.example/gov/mps/population/x", IdentityReason.SHAPE),
        ("spiffe:///gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://Bus.gov.example/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://bus_gov/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://bus..example/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://bus.example./gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://-bus.example/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://bus.example:443/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://user@bus.example/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://10.0.0.1/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        ("spiffe://bus.gov.example//mps/population", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/../population", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/Population", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/pop%75lation", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/pop.ulation", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/pop_ulation", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/population\n", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/population?x", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/population#x", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/-population", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/population-", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/d\N{LATIN SMALL LETTER A WITH GRAVE}n", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/popul\N{CYRILLIC SMALL LETTER A}tion", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/\N{FULLWIDTH DIGIT ONE}", IdentityReason.SEGMENT),
        ("spiffe://bus.gov.example/gov/mps/\0", IdentityReason.SEGMENT),
        (f"spiffe://bus.gov.example/gov/mps/{'a' * 64}", IdentityReason.SEGMENT),
        (f"spiffe://{'a' * 64}.example/gov/mps/population", IdentityReason.TRUST_DOMAIN),
        (f"spiffe://{'a' * 63}.{'b' * 63}/gov/mps/{'c' * 63}", IdentityReason.LENGTH),
        ("spiffe://" + "a" * 100_000, IdentityReason.LENGTH),
    ],
)
def test_any_other_spelling_is_refused(text: str, reason: IdentityReason) -> None:
    with pytest.raises(IdentityError) as caught:
        parse_spiffe_id(text)
    assert caught.value.reason is reason


def test_longest_id_is_200_bytes_and_its_dns_name_fits_dns() -> None:
    longest = parse_spiffe_id(f"spiffe://{'a' * 63}.{'b' * 59}/g/m/{'c' * 63}")
    assert len(longest.spiffe_id) == 200
    assert len(longest.dns_name) == 191
    with pytest.raises(IdentityError) as caught:
        parse_spiffe_id(f"spiffe://{'a' * 63}.{'b' * 60}/g/m/{'c' * 63}")
    assert caught.value.reason is IdentityReason.LENGTH


def test_an_id_cannot_be_built_around_the_parser() -> None:
    with pytest.raises(IdentityError):
        SubsystemId("bus.gov.example", "gov", "mps/population", "x")


def test_trust_domain_without_room_for_an_id_is_refused() -> None:
    with pytest.raises(IdentityError) as caught:
        verify_trust_domain(".".join(["a" * 62] * 3))
    assert caught.value.reason is IdentityReason.LENGTH


@pytest.mark.parametrize(
    "other",
    [
        SubsystemId("bus.gov.example", "gov", "moj", "population"),
        SubsystemId("bus.gov.example", "com", "mps", "population"),
        SubsystemId("other.example", "gov", "mps", "population"),
    ],
)
def test_member_of_another_class_code_or_domain_is_another_member(other: SubsystemId) -> None:
    verify_same_member(POPULATION, SubsystemId("bus.gov.example", "gov", "mps", "agent"))
    with pytest.raises(IdentityError) as caught:
        verify_same_member(POPULATION, other)
    assert caught.value.reason is IdentityReason.OTHER_MEMBER
