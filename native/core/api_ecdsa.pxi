# Python's side of ecdsa.pxi: key objects, and the calls for many that release the interpreter.

import base64 as _base64

from native.errors import KeyInvalid, SignatureInvalid


cdef class PublicKey:
    """A P-256 public key, prepared for verifying; shared freely between threads."""

    cdef gb_pubkey* key

    def __init__(self):
        raise TypeError("use PublicKey.from_point or PublicKey.from_spki")

    def __dealloc__(self):
        gb_pubkey_free(self.key)

    @staticmethod
    def from_point(bytes point not None):
        """From the uncompressed point, 65 bytes; KeyInvalid when it is not on the curve."""
        cdef PublicKey self = PublicKey.__new__(PublicKey)
        if len(point) == 65:
            self.key = gb_pubkey_new(<const u8*><const char*>point)
        if self.key == NULL:
            raise KeyInvalid("not an uncompressed P-256 point on the curve: give 0x04 || x || y, 65 bytes")
        return self

    @staticmethod
    def from_spki(bytes der not None):
        """From SubjectPublicKeyInfo DER of an uncompressed P-256 point, in its only encoding."""
        cdef const u8* p = <const u8*><const char*>der
        if len(der) != GB_SPKI_PREFIX + 65 or memcmp(p, gb_spki_prefix, GB_SPKI_PREFIX) != 0:
            raise KeyInvalid("not the SPKI of an uncompressed P-256 point: export the key as DER SubjectPublicKeyInfo")
        return PublicKey.from_point(der[GB_SPKI_PREFIX:])

    @property
    def key_id(self):
        """SHA-256 of the SPKI."""
        return PyBytes_FromStringAndSize(<const char*>self.key.id, 32)

    @property
    def point(self):
        return PyBytes_FromStringAndSize(<const char*>self.key.point, 65)

    @property
    def spki(self):
        return PyBytes_FromStringAndSize(<const char*>gb_spki_prefix, GB_SPKI_PREFIX) + self.point

    def verify(self, bytes message not None, bytes signature not None):
        """Raises SignatureInvalid unless signature, 64 bytes r || s with low s, is this key's over message."""
        cdef const u8* p = <const u8*><const char*>message
        cdef const u8* s = <const u8*><const char*>signature
        cdef size_t n = <size_t>len(message)
        cdef int good = 0
        if len(signature) == 64:
            with nogil:
                good = gb_verify(self.key, p, n, s)
        if not good:
            raise SignatureInvalid()

    def __eq__(self, other):
        return isinstance(other, PublicKey) and memcmp(self.key.point, (<PublicKey>other).key.point, 65) == 0

    def __hash__(self):
        return hash(self.point)

    def __repr__(self):
        return f"PublicKey({self.key_id.hex()[:16]})"


cdef class PrivateKey:
    """A P-256 signing key in this process's memory. Never printed, never pickled."""

    cdef gb_privkey* key

    def __init__(self):
        raise TypeError("use PrivateKey.generate, PrivateKey.from_pem or PrivateKey.from_der")

    def __dealloc__(self):
        gb_privkey_free(self.key)

    @staticmethod
    def generate():
        """A new key from libcrypto's random generator."""
        cdef PrivateKey self = PrivateKey.__new__(PrivateKey)
        with nogil:
            self.key = gb_privkey_generate()
        if self.key == NULL:
            raise MemoryError("libcrypto could not make a key")
        return self

    @staticmethod
    def from_der(bytes der not None):
        """From unencrypted PKCS #8 or SEC 1 DER; KeyInvalid for anything but a whole P-256 key pair."""
        cdef PrivateKey self = PrivateKey.__new__(PrivateKey)
        self.key = gb_privkey_new_der(<const u8*><const char*>der, <size_t>len(der))
        if self.key == NULL:
            raise KeyInvalid("not an unencrypted P-256 private key: give PKCS #8 or SEC 1")
        return self

    @staticmethod
    def from_pem(bytes pem not None):
        """From exactly one unencrypted PEM block, `PRIVATE KEY` or `EC PRIVATE KEY`."""
        return PrivateKey.from_der(_pem_body(pem))

    def to_der(self):
        """PKCS #8."""
        cdef u8 out[512]
        cdef ssize_t n = gb_privkey_der(self.key, out, sizeof(out))
        if n < 0:
            raise MemoryError("libcrypto could not encode the key")
        der = PyBytes_FromStringAndSize(<const char*>out, n)
        OPENSSL_cleanse(out, sizeof(out))
        return der

    def to_pem(self):
        """PKCS #8, unencrypted."""
        text = _base64.b64encode(self.to_der())
        lines = [text[i : i + 64] for i in range(0, len(text), 64)]
        return b"\n".join([b"-----BEGIN PRIVATE KEY-----", *lines, b"-----END PRIVATE KEY-----", b""])

    @property
    def public_key(self):
        return PublicKey.from_point(PyBytes_FromStringAndSize(<const char*>self.key.point, 65))

    @property
    def key_id(self):
        """SHA-256 of the SPKI."""
        return PyBytes_FromStringAndSize(<const char*>self.key.id, 32)

    def sign(self, bytes message not None):
        """64 bytes r || s with low s."""
        cdef u8 out[64]
        cdef const u8* p = <const u8*><const char*>message
        cdef size_t n = <size_t>len(message)
        cdef int good
        with nogil:
            good = gb_sign(self.key, p, n, out)
        if not good:
            raise MemoryError("libcrypto could not sign")
        return PyBytes_FromStringAndSize(<const char*>out, 64)

    def __repr__(self):
        return f"PrivateKey({self.key_id.hex()[:16]})"


def _pem_body(bytes pem):
    first, *middle, last = [line.strip() for line in pem.strip().splitlines()] if pem.count(b"\n") > 1 else (b"", b"")
    for label in (b"PRIVATE KEY", b"EC PRIVATE KEY"):
        if first == b"-----BEGIN " + label + b"-----" and last == b"-----END " + label + b"-----":
            try:
                return _base64.b64decode(b"".join(middle), validate=True)
            except ValueError:
                break
    raise KeyInvalid("not one unencrypted PEM private key: decrypt it, or remove what stands around it")


ctypedef struct gb_job:
    const void* key
    gb_span message
    const u8* signature
    u8 value[64]
    int good


cdef void gb_verify_jobs(gb_job* jobs, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if jobs[i].signature != NULL:
            jobs[i].good = gb_verify(
                <const gb_pubkey*>jobs[i].key, jobs[i].message.p, jobs[i].message.n, jobs[i].signature
            )


cdef void gb_sign_jobs(gb_job* jobs, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        jobs[i].good = gb_sign(<const gb_privkey*>jobs[i].key, jobs[i].message.p, jobs[i].message.n, jobs[i].value)


cdef gb_job* gb_jobs_new(size_t n) except NULL:
    cdef gb_job* jobs = <gb_job*>calloc(n if n else 1, sizeof(gb_job))
    if jobs == NULL:
        raise MemoryError
    return jobs


def verify_many(items):
    """
    Verifies (PublicKey, message, signature) triples without holding the interpreter.

    Raises SignatureInvalid whose indexes name every one that fails.
    """
    cdef list checked = [(<PublicKey?>key, <bytes?>message, <bytes?>signature) for key, message, signature in items]
    cdef size_t n = <size_t>len(checked), i
    cdef gb_job* jobs = gb_jobs_new(n)
    try:
        for i in range(n):
            key, message, signature = checked[i]
            jobs[i].key = (<PublicKey>key).key
            jobs[i].message = gb_bytes_span(<bytes>message)
            if len(<bytes>signature) == 64:
                jobs[i].signature = <const u8*><const char*><bytes>signature
        with nogil:
            gb_verify_jobs(jobs, n)
        bad = tuple([i for i in range(n) if not jobs[i].good])
    finally:
        free(jobs)
    if bad:
        raise SignatureInvalid(bad)


def sign_many(PrivateKey key not None, messages):
    """Signs each message without holding the interpreter; signatures in the same order."""
    cdef list checked = [<bytes?>message for message in messages]
    cdef size_t n = <size_t>len(checked), i
    cdef gb_job* jobs = gb_jobs_new(n)
    try:
        for i in range(n):
            jobs[i].key = key.key
            jobs[i].message = gb_bytes_span(<bytes>checked[i])
        with nogil:
            gb_sign_jobs(jobs, n)
        if not all([jobs[i].good for i in range(n)]):
            raise MemoryError("libcrypto could not sign")
        return [PyBytes_FromStringAndSize(<const char*>jobs[i].value, 64) for i in range(n)]
    finally:
        free(jobs)
