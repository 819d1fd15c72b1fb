"""Why a key or certificate is refused: one named reason each (style.md, rule 7).

Tests and metrics use the reason, never the text. The text never quotes the rejected
bytes: a certificate from a stranger may carry anything, personal data included.
"""

import enum

__all__ = ["ProfileError", "ProfileReason"]


class ProfileReason(enum.Enum):
    """The first check of the profile that failed."""

    MALFORMED = "malformed"
    """Not exactly one DER structure of the expected kind."""
    VERSION = "version"
    """Not X.509 version 3."""
    KEY_NOT_P256 = "key-not-p256"
    """The public key is of another algorithm or on another curve."""
    KEY_MALFORMED = "key-malformed"
    """Not the one accepted encoding (uncompressed, named curve), or not a point of the curve."""
    KEY_WEAK = "key-weak"
    """The private key is public knowledge (a trivially small scalar)."""
    SIGNATURE_ALGORITHM = "signature-algorithm"
    """Signed with anything but ECDSA over SHA-256."""
    SERIAL = "serial"
    """The serial number is not positive, too short to be 64 random bits, or over 20 bytes."""
    SUBJECT_NOT_EMPTY = "subject-not-empty"
    """A leaf certificate or CSR names somebody outside the SAN."""
    EXTENSION_NOT_ALLOWED = "extension-not-allowed"
    """An extension outside the profile, or one with the wrong criticality."""
    BASIC_CONSTRAINTS = "basic-constraints"
    """A leaf that says CA, or says nothing; a CA that does not, or with another path length."""
    KEY_USAGE = "key-usage"
    """Other than exactly digitalSignature (leaf) or keyCertSign and cRLSign (CA)."""
    EXTENDED_KEY_USAGE = "extended-key-usage"
    """Other than exactly serverAuth and clientAuth."""
    URI_SAN = "uri-san"
    """Not exactly one URI SAN."""
    DNS_SAN = "dns-san"
    """Not exactly one DNS SAN."""
    OTHER_SAN = "other-san"
    """A SAN that is neither URI nor DNS (address, mail, directory name...)."""
    IDENTITY_MALFORMED = "identity-malformed"
    """The URI SAN is not a subsystem's SPIFFE ID."""
    DNS_NOT_DERIVED = "dns-not-derived"
    """The DNS SAN is not the name derived from the SPIFFE ID."""
    TRUST_DOMAIN = "trust-domain"
    """An identity of another trust domain than the bundle's."""
    UNEXPECTED_IDENTITY = "unexpected-identity"
    """A sound certificate or CSR, but of another subsystem than the expected one."""
    UNKNOWN_ISSUER = "unknown-issuer"
    """No issuing CA (or root) of this instance made it: a stranger's or another instance's."""
    BAD_SIGNATURE = "bad-signature"
    """It names a known issuer, whose key did not sign it."""
    ISSUER_NOT_VALID_NOW = "issuer-not-valid-now"
    """The issuing CA or the root above it is expired or not yet valid."""
    VALIDITY_TOO_LONG = "validity-too-long"
    """Valid for longer than the profile's limit."""
    NOT_YET_VALID = "not-yet-valid"
    """Starts in the future: compare the clocks of both machines."""
    EXPIRED = "expired"
    """Ended in the past: renew it."""
    CA_PROFILE = "ca-profile"
    """A CA certificate of the bundle breaks the CA profile in another way."""
    PROOF_OF_POSSESSION = "proof-of-possession"
    """The CSR is not signed by the key that it asks to certify."""
    KEY_MISMATCH = "key-mismatch"
    """Private key and certificate do not belong together."""


class ProfileError(Exception):
    """A key, CSR or certificate that is refused; `reason` says by which check."""

    def __init__(self, reason: ProfileReason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
