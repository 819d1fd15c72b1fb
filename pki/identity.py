"""Who a subsystem is: `spiffe://<trust-domain>/<class>/<member>/<subsystem>`.

Rules (SPIFFE-ID 2.1-2.3, narrowed so that every identity is also a DNS name):
1. Only lower-case ASCII; nothing is folded, decoded or normalised: what differs by a byte
   is somebody else.
2. Exactly three path segments, each a DNS label: 1-63 of [a-z0-9-], no hyphen at an end.
3. The trust domain is one or more such labels; the last is not all digits, so that no
   name can be read as an IPv4 address.
4. The whole id is at most 200 bytes. The derived DNS name has the same separators and no
   scheme, hence at most 191 bytes, inside DNS's 253 (RFC 1035 2.3.4).

The derived name runs from the specific to the general:
`spiffe://bus.gov.example/gov/mps/population` is `population.mps.gov.bus.gov.example`.
"""

import enum
import re
from dataclasses import dataclass

__all__ = [
    "IdentityError",
    "IdentityReason",
    "SubsystemId",
    "parse_spiffe_id",
    "verify_same_member",
    "verify_trust_domain",
]

MAX_ID_BYTES = 200
SCHEME = "spiffe://"

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


class IdentityReason(enum.Enum):
    """The rule that a text broke."""

    SCHEME = "scheme"
    """Does not start with `spiffe://`, byte for byte."""
    LENGTH = "length"
    """Longer than 200 bytes."""
    SHAPE = "shape"
    """Not a trust domain followed by exactly three segments."""
    TRUST_DOMAIN = "trust-domain"
    """The trust domain is not a DNS name of lower-case labels."""
    SEGMENT = "segment"
    """A segment is not a lower-case DNS label."""
    OTHER_MEMBER = "other-member"
    """Two subsystems of different members, where one member was required."""


class IdentityError(ValueError):
    """A text that names no subsystem; `reason` says by which rule."""

    def __init__(self, reason: IdentityReason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason


def verify_trust_domain(text: str) -> str:
    """Return `text` if it is a trust domain; raise IdentityError otherwise."""
    labels = text.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise IdentityError(
            IdentityReason.TRUST_DOMAIN,
            "a trust domain is dot-separated labels of [a-z0-9-], the last not all digits; for example bus.gov.example",
        )
    # The shortest id in this domain, spiffe://<td>/a/b/c, must fit.
    if len(SCHEME) + len(text) + len("/a/b/c") > MAX_ID_BYTES:
        raise IdentityError(IdentityReason.LENGTH, "the trust domain leaves no room for an id")
    return text


@dataclass(frozen=True, slots=True, order=True)
class SubsystemId:
    """One subsystem of one member. Building one checks it: every instance is valid."""

    trust_domain: str
    member_class: str
    member: str
    subsystem: str

    def __post_init__(self) -> None:
        verify_trust_domain(self.trust_domain)
        for segment in (self.member_class, self.member, self.subsystem):
            if not _LABEL.fullmatch(segment):
                raise IdentityError(
                    IdentityReason.SEGMENT,
                    "class, member and subsystem are each 1-63 of [a-z0-9-], with no hyphen at either end",
                )
        if len(self.spiffe_id) > MAX_ID_BYTES:
            raise IdentityError(IdentityReason.LENGTH, f"a SPIFFE ID here has at most {MAX_ID_BYTES} bytes")

    @property
    def spiffe_id(self) -> str:
        """`spiffe://<trust-domain>/<class>/<member>/<subsystem>`, ASCII."""
        return f"{SCHEME}{self.trust_domain}/{self.path}"

    @property
    def path(self) -> str:
        """`<class>/<member>/<subsystem>`: how people write it inside one instance."""
        return f"{self.member_class}/{self.member}/{self.subsystem}"

    @property
    def dns_name(self) -> str:
        """The one DNS SAN, which clients check: `<subsystem>.<member>.<class>.<trust-domain>`."""
        return f"{self.subsystem}.{self.member}.{self.member_class}.{self.trust_domain}"

    @property
    def member_key(self) -> tuple[str, str, str]:
        """(trust domain, class, member): equal for subsystems of the same member."""
        return (self.trust_domain, self.member_class, self.member)

    def __str__(self) -> str:
        return self.spiffe_id


def parse_spiffe_id(text: str) -> SubsystemId:
    """Read one subsystem's SPIFFE ID exactly; raise IdentityError for anything else."""
    if not text.startswith(SCHEME):
        raise IdentityError(IdentityReason.SCHEME, f"an identity starts with {SCHEME}")
    # Characters, not bytes, are counted here; the label rule leaves ASCII only.
    if len(text) > MAX_ID_BYTES:
        raise IdentityError(IdentityReason.LENGTH, f"a SPIFFE ID here has at most {MAX_ID_BYTES} bytes")
    parts = text[len(SCHEME) :].split("/")
    if len(parts) != 4:
        raise IdentityError(IdentityReason.SHAPE, "write spiffe://<trust-domain>/<class>/<member>/<subsystem>")
    return SubsystemId(*parts)


def verify_same_member(one: SubsystemId, other: SubsystemId) -> None:
    """Raise IdentityError(OTHER_MEMBER) unless both belong to one member."""
    if one.member_key != other.member_key:
        raise IdentityError(IdentityReason.OTHER_MEMBER, f"{one.path} and {other.path} are of different members")
