# Python's view of the policy tables, the replay table and the hash below them. Needs policy.pxi, replay.pxi.
#
# PolicyView answers as native/_policy_py.py does, errors included; native.policy gives the numbers names.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from native.policy_types import PolicyError

_POLICY_REASONS = ("", "truncated", "magic", "layout", "value", "reference", "key", "index", "memory")


cdef gb_span span_of(bytes data):
    return gb_make_span(<const u8*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef str text_of(gb_span span):
    return (<const char*>span.p)[:span.n].decode("ascii")


cdef bytes digest_of(bytes value):
    if len(value) != 32:
        raise ValueError("a digest has 32 bytes")
    return value


def siphash(bytes key, bytes data):
    """SipHash-2-4 with a 64-bit result."""
    if len(key) != 16:
        raise ValueError("a SipHash key has 16 bytes")
    cdef gb_span k = span_of(key), d = span_of(data)
    return gb_siphash(k.p, d.p, d.n)


def build_index(bytes seed, list keys):
    """The index over records with these keys, in record order. Raises PolicyError("index") on a key that stands twice."""
    if len(seed) != 16:
        raise ValueError("a seed has 16 bytes")
    if len(set(keys)) != len(keys):
        raise PolicyError("index", "a name stands twice")
    cdef u32 records = len(keys), slots = gb_pol_slots(records), at, i
    if slots == 0:
        raise PolicyError("value", "too many records")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>slots * 8)
    cdef u8* p = <u8*>PyBytes_AS_STRING(out)
    cdef u64 hashed
    cdef gb_span key
    memset(p, 0, <size_t>slots * 8)
    for i in range(records):
        key = span_of(keys[i])
        hashed = gb_siphash(<const u8*>PyBytes_AS_STRING(seed), key.p, key.n)
        at = <u32>hashed & (slots - 1)
        while gb_ld32(p + <size_t>at * 8 + 4):
            at = (at + 1) & (slots - 1)
        gb_st32(p + <size_t>at * 8, <u32>(hashed >> 32))
        gb_st32(p + <size_t>at * 8 + 4, i + 1)
    return out


cdef class PolicyView:
    """Opened tables. Raises PolicyError at construction unless every byte is in order."""
    cdef gb_policy pol
    cdef bytes tables

    def __cinit__(self, bytes tables not None):
        self.tables = tables
        cdef gb_span data = span_of(tables)
        cdef int bad
        with nogil:
            bad = gb_policy_open(&self.pol, data.p, data.n)
        if bad:
            raise PolicyError(_POLICY_REASONS[bad])

    cdef u32 index(self, int section, index) except? 0xfffffffe:
        if not 0 <= index < self.pol.section[section].n:
            raise IndexError(index)
        return index

    def counts(self):
        """Records: subsystems, certificates, keys, methods, grants, agents."""
        s = self.pol.section
        return s[1].n, s[2].n, s[3].n, s[4].n, s[6].n, s[8].n

    def certificate(self, bytes digest not None):
        """(subsystem, not-after) of the live certificate with this SHA-256."""
        cdef i64 not_after = 0
        cdef u32 found = gb_policy_cert(&self.pol, span_of(digest_of(digest)).p, &not_after)
        return None if found == GB_NONE else (found, not_after)

    cdef find(self, int section, str name):
        cdef bytes key = name.encode()
        cdef u32 found = gb_pol_find(&self.pol, section, span_of(key))
        return None if found == GB_NONE else found

    def find_subsystem(self, str id not None):
        return self.find(GB_POL_SUBSYSTEMS, id)

    def find_method(self, str path not None):
        return self.find(GB_POL_METHODS, path)

    def find_grant(self, str grant_id not None):
        return self.find(GB_POL_GRANTS, grant_id)

    def subsystem(self, index):
        """(id, member prefix, cluster, active, is broker, calls per second, burst)."""
        cdef gb_subsystem s
        gb_policy_subsystem_get(&self.pol, self.index(GB_POL_SUBSYSTEMS, index), &s)
        return (text_of(s.id), text_of(s.member), text_of(s.cluster), bool(s.active), bool(s.is_broker),
                s.calls_per_second, s.burst)

    def key(self, bytes key_id not None):
        """(index, subsystem, not-before, not-after, point)."""
        cdef gb_key_record k
        cdef u32 found = gb_policy_key(&self.pol, span_of(digest_of(key_id)).p, &k)
        if found == GB_NONE:
            return None
        return found, k.subsystem, k.not_before, k.not_after, (<const char*>k.point65)[:65]

    def method(self, index):
        """(path, kind, idempotent, maximal lifetime)."""
        cdef gb_method m
        gb_policy_method_get(&self.pol, self.index(GB_POL_METHODS, index), &m)
        return text_of(m.path), m.kind, bool(m.idempotent), m.max_lifetime_ms

    def grant(self, index):
        """(id, client, provider, methods, purposes, not-before, not-after, operator made, four limits)."""
        cdef gb_grant g
        cdef u32 i
        gb_policy_grant_get(&self.pol, self.index(GB_POL_GRANTS, index), &g)
        methods = [gb_ld32(g.methods + <size_t>i * 4) for i in range(g.methods_n)]
        purposes = []
        for i in range(g.purposes_n):
            purposes.append(text_of(gb_pol_string(
                &self.pol, gb_pol_at(&self.pol, GB_POL_PURPOSES, gb_ld32(g.purposes + <size_t>i * 4)))))
        return (text_of(g.id), g.client, g.provider, methods, purposes, g.not_before, g.not_after,
                bool(g.operator_made), g.calls_per_second, g.burst, g.calls_per_day, g.bytes_per_day)

    cdef u32 or_none(self, int section, index) except? 0xfffffffe:
        return GB_NONE if index is None else self.index(section, index)

    def permits(self, str grant_id not None, client, provider, method, str purpose not None, i64 now_ms):
        """Check 8: index of the named grant if it permits exactly this, else None."""
        cdef bytes grant = grant_id.encode(), why = purpose.encode()
        cdef u32 found = 0
        if gb_policy_permits(&self.pol, span_of(grant), self.or_none(GB_POL_SUBSYSTEMS, client),
                             self.or_none(GB_POL_SUBSYSTEMS, provider), self.or_none(GB_POL_METHODS, method),
                             span_of(why), now_ms, &found):
            return found
        return None

    def agent(self, agent, client):
        """Check 3: True iff agent is listed for client."""
        return bool(gb_policy_agent(&self.pol, self.or_none(GB_POL_SUBSYSTEMS, agent),
                                    self.or_none(GB_POL_SUBSYSTEMS, client)))

    def time_permits(self, list questions, u32 rounds):
        """Nanoseconds for one permits(), measured without Python in between: the gate's cost of check 8."""
        cdef u32 n = len(questions), i, r, found = 0, hits = 0
        cdef long long started
        cdef gb_span* spans = <gb_span*>malloc(n * 2 * sizeof(gb_span))
        cdef u32* numbers = <u32*>malloc(n * 3 * sizeof(u32))
        for i in range(n):
            grant, client, provider, method, purpose = questions[i]
            spans[2 * i] = span_of(grant)
            spans[2 * i + 1] = span_of(purpose)
            numbers[3 * i] = client
            numbers[3 * i + 1] = provider
            numbers[3 * i + 2] = method
        with nogil:
            started = gb_mono_ns()
            for r in range(rounds):
                for i in range(n):
                    hits += gb_policy_permits(&self.pol, spans[2 * i], numbers[3 * i], numbers[3 * i + 1],
                                              numbers[3 * i + 2], spans[2 * i + 1], 1, &found)
            started = gb_mono_ns() - started
        free(spans)
        free(numbers)
        return <double>started / (<double>n * rounds), hits


cdef class ReplayTable:
    """The gate's replay table, for tests and for a provider's own ids. Thread-safe."""
    cdef gb_replay* table

    def __cinit__(self, u32 log2_buckets, i64 hold_ms, i64 mono_ms):
        self.table = gb_replay_new(log2_buckets, hold_ms, mono_ms)
        if self.table == NULL:
            raise ValueError("no replay table of that size can be made; use at most 2^28 buckets and a positive hold")

    def __dealloc__(self):
        gb_replay_free(self.table)

    def add(self, str client not None, bytes request_id not None, i64 mono_ms, i64 hold_ms=0):
        """0: first seen now and held from now; 1: seen before; 2: the table is full, nothing was added."""
        cdef bytes name = client.encode()
        if len(request_id) != 16:
            raise ValueError("a request id has 16 bytes")
        cdef gb_span c = span_of(name), i = span_of(request_id)
        return gb_replay_add_for(self.table, c, i.p, mono_ms, hold_ms if hold_ms > 0 else self.table.hold_ms)
