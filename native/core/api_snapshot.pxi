# The gate's own opening of a snapshot file, for tests beside native/snapshot.py. Needs snapshot.pxi, api_policy.pxi.

_SNAPSHOT_REASONS = ("", "format", "header", "signature", "trust_domain", "scope", "version", "log_position", "future",
                     "stale", "digest", "tables")


def open_snapshot(bytes data not None, bytes point not None, str trust_domain not None, str scope not None,
                  i64 now_ms, u64 floor_version, u64 floor_log_position):
    """(reason, version, log position) as the gate judges the file; the reason is "" when it would serve from it."""
    if len(point) != 65:
        raise ValueError("a P-256 point has 65 bytes")
    cdef bytes domain = trust_domain.encode(), its_scope = scope.encode()
    cdef gb_snapshot snapshot
    cdef gb_snapshot_pins pins
    cdef gb_span file = span_of(data)
    cdef gb_pubkey* key = gb_pubkey_new(span_of(point).p)
    cdef int bad
    if key == NULL:
        raise ValueError("the policy key is no point of P-256")
    pins.key = key
    pins.trust_domain = span_of(domain)
    pins.scope = span_of(its_scope)
    pins.floor_version = floor_version
    pins.floor_log_position = floor_log_position
    pins.now_ms = now_ms
    with nogil:
        bad = gb_snapshot_open(&snapshot, file.p, file.n, &pins)
    answer = (_SNAPSHOT_REASONS[bad], snapshot.header.version, snapshot.header.log_position)
    gb_pubkey_free(key)
    return answer
