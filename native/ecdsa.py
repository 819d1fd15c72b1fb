"""P-256 with SHA-256: keys, signing, verifying, one and many.

A signature is r || s, 64 bytes, 1 <= r < n and 1 <= s <= n/2, so that one signature has one spelling; high s is
refused although ECDSA itself would accept it. A key's id is SHA-256 of its SPKI with the uncompressed point. Every call
releases the interpreter while libcrypto works. The readable definition is native._ecdsa_py.
"""

from native._fast import PrivateKey, PublicKey, sign_many, verify_many
from native.errors import KeyInvalid, SignatureInvalid

__all__ = ["KeyInvalid", "PrivateKey", "PublicKey", "SignatureInvalid", "sign_many", "verify_many"]
