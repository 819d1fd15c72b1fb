# What the gate needs of the operating system, beyond native/core/base.pxi.

cdef extern from *:
    """
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/resource.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>
    #include <openssl/crypto.h>
    """

cdef extern from "<stdlib.h>" nogil:
    char *getenv(const char *name)

cdef extern from "<fcntl.h>" nogil:
    int open(const char *path, int flags)
    enum:
        O_RDONLY
        O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int fd, void *out, size_t n)
    int close(int fd)

cdef extern from "<sys/resource.h>" nogil:
    int setpriority(int which, unsigned int who, int nice)
    enum:
        PRIO_PROCESS

cdef extern from "<sys/stat.h>" nogil:
    cdef struct stat_t "stat":
        long st_size
    int fstat(int fd, stat_t *out)

cdef extern from "<time.h>" nogil:
    enum:
        CLOCK_BOOTTIME

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void *p, size_t n)
    int OPENSSL_init_crypto(unsigned long long options, const void *settings)
    enum:
        OPENSSL_INIT_NO_ATEXIT
