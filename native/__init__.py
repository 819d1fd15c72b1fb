"""Bytes in, bytes out: wire codec, digests, signatures, Merkle, policy tables, journal, the Envoy gate."""
