"""Identities, keys, certificates and signers of one govbus instance (protocol.md 1).

- `pki.identity`     SubsystemId <-> SPIFFE ID, and the DNS name derived from it
- `pki.keys`         what a P-256 public key must look like; key ids
- `pki.trust`        TrustBundle: the instance's roots and issuing CAs, checked once
- `pki.profiles`     verify_tls_certificate, verify_csr: the certificate profile, check by check
- `pki.authority`    the instance root and issuing CA in the state directory; issuing
- `pki.signer`       Signer: who signs headers; FileSigner keeps its key in a file
- `pki.credentials`  one subsystem's TLS key, chain and signer, as files
- `pki.gatekey`      the broker's short-lived gate key and its certification
- `pki.files`        atomic writes and permission checks

Verifying modules take bytes and time as arguments and touch no file, clock or socket.
"""
