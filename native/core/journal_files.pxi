# The journal's directory: one lock, segments that are reserved on disk before they are used. Needs journal_format.pxi, sync.pxi.
#
#  1. `lock` is held by flock for the life of the process: one writer per directory.
#  2. `reserve-N.seg` is allocated (fallocate), reads as zeros, and is synced, name included, before it counts as room.
#  3. A reserve becomes `journal-S.seg` (S = its first sequence) by: header written, file synced, renamed, directory synced.
#     Only then is a record written to it. Names have equal length, so the rename asks for no room of its own.
#  4. Every path is opened below the directory's descriptor: moving or removing the directory cannot mix two journals.
# KNOWN: on copy-on-write file systems (btrfs, zfs) fallocate promises no room for an overwrite; a write that then fails
# breaks the journal for good until restart, and nothing that was not written was acknowledged.

cdef extern from *:
    """
    #include <dirent.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/file.h>
    #include <sys/stat.h>
    #include <unistd.h>

    static int gb_open_dir(const char *path) { return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
    /* Descriptor of the locked file, -1 with errno; EWOULDBLOCK: another process holds it. */
    static int gb_lock_file(int dir) {
        int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) { int e = errno; close(fd); errno = e; return -1; }
        return fd;
    }
    static void gb_j_name(char *out40, const char *kind7, unsigned long long number) {
        snprintf(out40, 40, "%s-%020llu.seg", kind7, number);
    }
    static int gb_j_open(int dir, const char *name) { return openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW); }
    /* A new file of that size whose blocks are allocated; -1 with errno, and no file left behind. */
    static int gb_j_create(int dir, const char *name, long long size) {
        int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) return -1;
        int failed;
        do { failed = fallocate(fd, 0, 0, size) != 0; } while (failed && errno == EINTR);
        if (!failed) return fd;
        int e = errno;
        unlinkat(dir, name, 0);
        close(fd);
        errno = e;
        return -1;
    }
    static long long gb_j_size(int fd) { struct stat s; return fstat(fd, &s) == 0 ? (long long)s.st_size : -1; }
    static int gb_j_write(int fd, const unsigned char *p, size_t n, long long at) {
        while (n) {
            ssize_t done = pwrite(fd, p, n, at);
            if (done < 0) { if (errno == EINTR) continue; return -1; }
            if (done == 0) { errno = EIO; return -1; }
            p += done; at += done; n -= (size_t)done;
        }
        return 0;
    }
    static int gb_j_read(int fd, unsigned char *p, size_t n, long long at) {
        while (n) {
            ssize_t done = pread(fd, p, n, at);
            if (done < 0) { if (errno == EINTR) continue; return -1; }
            if (done == 0) { errno = EIO; return -1; }
            p += done; at += done; n -= (size_t)done;
        }
        return 0;
    }
    static int gb_j_sync(int fd) { return fdatasync(fd); }
    static int gb_j_sync_all(int fd, int dir) { return fsync(fd) == 0 && fsync(dir) == 0 ? 0 : -1; }
    /* reserve -> journal, durably. */
    static int gb_j_promote(int dir, const char *from, const char *to) {
        return renameat(dir, from, dir, to) == 0 && fsync(dir) == 0 ? 0 : -1;
    }
    static int gb_j_remove(int dir, const char *name) { return unlinkat(dir, name, 0); }

    typedef int (*gb_j_each)(void *, unsigned long long);
    /* Calls each(opaque, number) for every `kind7-<20 digits>.seg`; -1 with errno. */
    static int gb_j_list(int dir, const char *kind7, gb_j_each each, void *opaque) {
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) { if (fd >= 0) close(fd); return -1; }
        struct dirent *e;
        int answer = 0;
        for (errno = 0; !answer && (e = readdir(d)) != NULL; errno = 0) {
            unsigned long long number = 0;
            int digits = 0;
            if (strlen(e->d_name) != 32 || memcmp(e->d_name, kind7, 7) || e->d_name[7] != '-') continue;
            if (memcmp(e->d_name + 28, ".seg", 4)) continue;
            for (; digits < 20 && e->d_name[8 + digits] >= '0' && e->d_name[8 + digits] <= '9'; digits++)
                number = number * 10 + (unsigned)(e->d_name[8 + digits] - '0');
            if (digits == 20) answer = each(opaque, number);
        }
        if (!answer && errno) answer = -1;
        int keep = errno;
        closedir(d);
        errno = keep;
        return answer;
    }
    static int gb_close(int fd) { return fd >= 0 ? close(fd) : 0; }
    static int gb_no_space(int e) { return e == ENOSPC || e == EDQUOT || e == EFBIG; }
    static int gb_j_ascending(const void *a, const void *b) {
        unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;
        return x < y ? -1 : x > y;
    }
    static void gb_j_sort(unsigned long long *p, size_t n) { if (n) qsort(p, n, sizeof *p, gb_j_ascending); }
    """
    ctypedef int (*gb_j_each)(void*, unsigned long long) noexcept nogil
    int gb_open_dir(const char* path) nogil
    int gb_lock_file(int dir) nogil
    void gb_j_name(char* out40, const char* kind7, u64 number) nogil
    int gb_j_open(int dir, const char* name) nogil
    int gb_j_create(int dir, const char* name, i64 size) nogil
    i64 gb_j_size(int fd) nogil
    int gb_j_write(int fd, const u8* p, size_t n, i64 at) nogil
    int gb_j_read(int fd, u8* p, size_t n, i64 at) nogil
    int gb_j_sync(int fd) nogil
    int gb_j_sync_all(int fd, int dir) nogil
    int gb_j_promote(int dir, const char* from_, const char* to) nogil
    int gb_j_remove(int dir, const char* name) nogil
    int gb_j_list(int dir, const char* kind7, gb_j_each each, void* opaque) nogil
    int gb_close(int fd) nogil
    int gb_no_space(int error) nogil
    void gb_j_sort(u64* p, size_t n) nogil
    enum:
        GB_EWOULDBLOCK "EWOULDBLOCK"

# Numbers of segments, growing.
ctypedef struct gb_j_numbers:
    u64* p
    size_t n
    size_t cap


cdef inline int gb_j_numbers_add(void* opaque, unsigned long long number) noexcept nogil:
    cdef gb_j_numbers* list_ = <gb_j_numbers*>opaque
    cdef u64* grown
    if list_.n == list_.cap:
        grown = <u64*>realloc(list_.p, (list_.cap * 2 + 64) * sizeof(u64))
        if grown == NULL:
            return -1
        list_.p = grown
        list_.cap = list_.cap * 2 + 64
    list_.p[list_.n] = number
    list_.n += 1
    return 0
