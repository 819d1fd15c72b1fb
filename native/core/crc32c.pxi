# CRC32C (Castagnoli, RFC 3720 B.4), with the processor's instruction where it has one. Needs base.pxi.
#
# Chosen at run time, so one build runs everywhere: SSE4.2 on x86-64, the CRC extension on arm64, else a table that is made
# once. KNOWN: the arm64 branch is compiled by no machine of ours yet.

cdef extern from *:
    """
    #include <pthread.h>
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>
    #if defined(__aarch64__)
    #include <sys/auxv.h>
    #include <arm_acle.h>
    #ifndef HWCAP_CRC32
    #define HWCAP_CRC32 (1 << 7)
    #endif
    #endif

    static uint32_t gb_crc_table[256];
    static pthread_once_t gb_crc_made = PTHREAD_ONCE_INIT;
    static void gb_crc_make(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
            gb_crc_table[i] = c;
        }
    }
    static uint32_t gb_crc_by_table(uint32_t c, const unsigned char *p, size_t n) {
        pthread_once(&gb_crc_made, gb_crc_make);
        while (n--) c = (c >> 8) ^ gb_crc_table[(c ^ *p++) & 0xff];
        return c;
    }

    #if defined(__x86_64__)
    __attribute__((target("sse4.2")))
    static uint32_t gb_crc_by_cpu(uint32_t c, const unsigned char *p, size_t n) {
        uint64_t wide = c, word;
        for (; n >= 8; n -= 8, p += 8) { memcpy(&word, p, 8); wide = __builtin_ia32_crc32di(wide, word); }
        c = (uint32_t)wide;
        while (n--) c = __builtin_ia32_crc32qi(c, *p++);
        return c;
    }
    static int gb_crc_cpu(void) { return __builtin_cpu_supports("sse4.2"); }
    #elif defined(__aarch64__)
    __attribute__((target("+crc")))
    static uint32_t gb_crc_by_cpu(uint32_t c, const unsigned char *p, size_t n) {
        uint64_t word;
        for (; n >= 8; n -= 8, p += 8) { memcpy(&word, p, 8); c = __crc32cd(c, word); }
        while (n--) c = __crc32cb(c, *p++);
        return c;
    }
    static int gb_crc_cpu(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
    #else
    #define gb_crc_by_cpu gb_crc_by_table
    static int gb_crc_cpu(void) { return 0; }
    #endif

    /* The register, not the checksum: start with ~0, end by inverting. */
    static inline uint32_t gb_crc_update(uint32_t c, const unsigned char *p, size_t n) {
        return gb_crc_cpu() ? gb_crc_by_cpu(c, p, n) : gb_crc_by_table(c, p, n);
    }
    """
    u32 gb_crc_update(u32 register_, const u8* p, size_t n) nogil
    u32 gb_crc_by_table(u32 register_, const u8* p, size_t n) nogil


cdef inline u32 gb_crc32c(const u8* p, size_t n) noexcept nogil:
    return ~gb_crc_update(~<u32>0, p, n)
