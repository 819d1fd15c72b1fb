# Python's view of cutting parts out of policy tables. Needs policy_cut_write.pxi, api_policy.pxi.


cdef class PolicyCutter:
    """Whole tables, judged by steps 1 to 4 of policy_check.pxi (no point is looked at), and the parts cut out of them.

    Raises PolicyError at construction. Not for several threads at once.
    """
    cdef gb_policy pol
    cdef gb_cut cutting
    cdef u32* brokers
    cdef u32 brokers_n
    cdef readonly bytes tables

    def __cinit__(self, bytes tables not None):
        self.tables = tables
        cdef gb_span data = span_of(tables)
        cdef int bad
        cdef bint ready = False
        with nogil:
            bad = gb_policy_check(&self.pol, data.p, data.n)
            if bad == 0:
                ready = gb_cut_open(&self.cutting, &self.pol) and self.find_brokers()
        if bad:
            raise PolicyError(_POLICY_REASONS[bad])
        if not ready:
            raise MemoryError

    def __dealloc__(self):
        gb_cut_close(&self.cutting)
        free(self.brokers)

    cdef bint find_brokers(self) noexcept nogil:
        cdef u32 i, n = self.pol.section[GB_POL_SUBSYSTEMS].n
        self.brokers = <u32*>malloc((<size_t>n + 1) * 4)
        if self.brokers == NULL:
            return False
        for i in range(n):
            if gb_ld32(gb_pol_at(&self.pol, GB_POL_SUBSYSTEMS, i) + 20) & GB_SUBSYSTEM_BROKER:
                self.brokers[self.brokers_n] = i
                self.brokers_n += 1
        return True

    cdef u32 number(self, str id) except? 0xfffffffe:
        cdef bytes name = id.encode()
        cdef u32 found = gb_pol_find(&self.pol, GB_POL_SUBSYSTEMS, span_of(name))
        if found == GB_NONE:
            raise PolicyError("reference", f"{id} is not in the tables")
        return found

    def cut(self, str id not None, bytes seed not None):
        """The tables of one subsystem; `seed`: 16 random bytes."""
        cdef u32 reader = self.number(id)
        cdef gb_span key = span_of(seed)
        cdef size_t size
        if key.n != 16:
            raise ValueError("a seed has 16 bytes")
        gb_cut_choose(&self.cutting, reader, self.brokers, self.brokers_n)
        size = gb_cut_plan(&self.cutting, reader)
        cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        gb_cut_write(&self.cutting, reader, <u8*>PyBytes_AS_STRING(out), size, key.p)
        gb_cut_forget(&self.cutting)
        return out

    def readers(self, str id not None):
        """Ids of those whose part names this subsystem: itself, by grant, by agency; of a broker that is everybody."""
        cdef u32 s = self.number(id), i
        cdef const u8* record
        cdef gb_cut* cut = &self.cutting
        found = []
        if gb_ld32(gb_pol_at(&self.pol, GB_POL_SUBSYSTEMS, s) + 20) & GB_SUBSYSTEM_BROKER:
            for i in range(self.pol.section[GB_POL_SUBSYSTEMS].n):
                found.append(text_of(gb_pol_string(&self.pol, gb_pol_at(&self.pol, GB_POL_SUBSYSTEMS, i))))
            return found
        gb_cut_choose(cut, s, NULL, 0)
        for i in range(cut.subsystems_n):
            found.append(text_of(gb_pol_string(&self.pol, gb_pol_at(&self.pol, GB_POL_SUBSYSTEMS, cut.subsystems[i]))))
        gb_cut_forget(cut)
        return found
