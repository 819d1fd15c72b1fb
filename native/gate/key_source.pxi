# Where a start's gate key comes from: memory, and nothing else.
#
# Rules
#  1. A sealed anonymous file (memfd_create(2)) that whoever started this process handed down, or a pipe (fifo(7)) that
#     belongs to this user alone, at whose other end the broker's keeper makes a key for each start. A key in an ordinary
#     file would be a key on a disk: refused, as is everything else.
#  2. A pipe is opened without waiting and then waited for, however long: the keeper may be the later of the two. It is
#     read to its end; an end without a byte is the keeper's refusal.
#  3. Whoever waits can be told to end: the first process of a container hears no SIGTERM that it does not ask for.
#  4. A file longer than `cap` minus one is none of ours.

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <limits.h>
    #include <poll.h>
    #include <pthread.h>
    #include <signal.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #ifndef F_GET_SEALS
    #define F_GET_SEALS 1034
    #endif
    #ifndef F_SEAL_WRITE
    #define F_SEAL_WRITE 8
    #endif
    #define GB_KEY_ABSENT (-1)
    #define GB_KEY_FOREIGN (-2)
    static int gb_key_open(const char *path, int *waits) {
        struct stat found;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) return GB_KEY_ABSENT;
        if (fstat(fd, &found) == 0) {
            *waits = S_ISFIFO(found.st_mode);
            if (*waits && found.st_uid == geteuid() && (found.st_mode & 0077) == 0) return fd;
            int seals = S_ISREG(found.st_mode) ? fcntl(fd, F_GET_SEALS) : -1;
            if (seals >= 0 && (seals & F_SEAL_WRITE)) {
                /* It may have been read by a process that crashed: start at its beginning. */
                lseek(fd, 0, SEEK_SET);
                return fd;
            }
        }
        close(fd);
        return GB_KEY_FOREIGN;
    }
    #define GB_KEY_TURN_MS 100
    /* 1: there is something to read, or the end; 0: not within `turns`; -1: the process was told to end. */
    static int gb_key_await(int fd, int turns) {
        struct pollfd one = {fd, POLLIN, 0};
        sigset_t asked, before, pending;
        int n = 0, ended = 0;
        sigemptyset(&asked);
        sigaddset(&asked, SIGTERM);
        sigaddset(&asked, SIGINT);
        pthread_sigmask(SIG_BLOCK, &asked, &before);
        while (n <= 0 && !ended && turns-- > 0) {
            n = poll(&one, 1, GB_KEY_TURN_MS);
            sigpending(&pending);
            ended = sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return ended ? -1 : n > 0;
    }
    static ssize_t gb_key_read(int fd, unsigned char *out, size_t cap) {
        size_t total = 0;
        while (total < cap) {
            ssize_t n = read(fd, out + total, cap - total);
            if (n == 0) return (ssize_t) total;
            if (n > 0) total += (size_t) n;
            else if (errno == EAGAIN ? gb_key_await(fd, INT_MAX) < 0 : errno != EINTR) return -1;
        }
        return -1;
    }
    """
    enum:
        GB_KEY_ABSENT
        GB_KEY_FOREIGN
    int gb_key_open(const char *path, int *waits) nogil
    int gb_key_await(int fd, int turns) nogil
    ssize_t gb_key_read(int fd, u8 *out, size_t cap) nogil

cdef enum:
    KEY_PATIENCE = 20       # tenths of a second; then it is said what is waited for
    KEY_FOR_EVER = 0x7fffffff

cdef ssize_t read_gate_key(const char *path, u8 *file, size_t cap) noexcept nogil:
    # Its size; -1 after saying why there is none.
    cdef int waits = 0
    cdef ssize_t size
    cdef int fd = gb_key_open(path, &waits)
    if fd == GB_KEY_ABSENT:
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_GATE_KEY cannot be opened; whoever starts this broker makes it: govbus broker run, or keep")
        return -1
    if fd < 0:
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_GATE_KEY is neither sealed memory nor a pipe of this user alone (0600); a key never lies in a file: look who put it there")
        return -1
    cdef int there = gb_key_await(fd, KEY_PATIENCE) if waits else 1
    if there == 0:
        say(ENVOY_LOG_WARN, b"govbus: waits for a gate key from the broker's keeper; what it says: the log of govbus broker keep")
        there = gb_key_await(fd, KEY_FOR_EVER)
    if there < 0:
        close(fd)
        say(ENVOY_LOG_WARN, b"govbus: told to end before it had a gate key")
        return -1
    size = gb_key_read(fd, file, cap)
    close(fd)
    if size == 0:
        say(ENVOY_LOG_CRITICAL, b"govbus: the broker's keeper gave no gate key; it says why in its log")
        return -1
    if size < 0:
        say(ENVOY_LOG_CRITICAL, b"govbus: GOVBUS_GATE_KEY cannot be read, or is too long for a gate key")
    return size
