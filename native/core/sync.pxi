# Threads, locks, randomness: the little of POSIX that the journal and the replay table need. Needs base.pxi.
#
# Condition variables wait on the monotonic clock, so a step of the wall clock neither wakes nor delays anybody.
# Flags that are read without a lock go through gb_atomic_*.

cdef extern from *:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <sys/random.h>
    #include <time.h>

    typedef pthread_mutex_t gb_mutex;
    typedef pthread_cond_t gb_cond;
    typedef pthread_t gb_thread;
    typedef void *(*gb_thread_main)(void *);

    static inline void gb_cond_init(pthread_cond_t *c) {
        pthread_condattr_t a;
        pthread_condattr_init(&a);
        pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
        pthread_cond_init(c, &a);
        pthread_condattr_destroy(&a);
    }
    /* Waits until signalled or until the monotonic clock passes at_ns; spurious returns are the caller's business. */
    static inline void gb_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, long long at_ns) {
        struct timespec t = {at_ns / 1000000000LL, at_ns % 1000000000LL};
        pthread_cond_timedwait(c, m, &t);
    }
    static inline long long gb_mono_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
    }
    static inline void gb_sleep_until(long long at_ns) {
        struct timespec t = {at_ns / 1000000000LL, at_ns % 1000000000LL};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) { }
    }
    static inline int gb_random(unsigned char *out, size_t n) {
        while (n) {
            ssize_t got = getrandom(out, n, 0);
            if (got < 0) { if (errno == EINTR) continue; return 0; }
            out += got; n -= (size_t)got;
        }
        return 1;
    }
    static inline int gb_errno(void) { return errno; }
    static inline int gb_atomic_load(const int *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void gb_atomic_store(int *p, int v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline int gb_atomic_add(int *p, int v) { return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL); }
    static inline long long gb_atomic_load64(const long long *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void gb_atomic_store64(long long *p, long long v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    """
    ctypedef struct gb_mutex:
        pass
    ctypedef struct gb_cond:
        pass
    ctypedef struct gb_thread:
        pass
    ctypedef void* (*gb_thread_main)(void*) noexcept nogil
    int gb_mutex_init_ "pthread_mutex_init"(gb_mutex*, void*) nogil
    int gb_mutex_destroy "pthread_mutex_destroy"(gb_mutex*) nogil
    int gb_mutex_lock "pthread_mutex_lock"(gb_mutex*) nogil
    int gb_mutex_unlock "pthread_mutex_unlock"(gb_mutex*) nogil
    void gb_cond_init(gb_cond*) nogil
    int gb_cond_destroy "pthread_cond_destroy"(gb_cond*) nogil
    int gb_cond_signal "pthread_cond_signal"(gb_cond*) nogil
    int gb_cond_wait "pthread_cond_wait"(gb_cond*, gb_mutex*) nogil
    void gb_cond_wait_until(gb_cond*, gb_mutex*, long long) nogil
    int gb_thread_create "pthread_create"(gb_thread*, void*, gb_thread_main, void*) nogil
    int gb_thread_join "pthread_join"(gb_thread, void**) nogil
    long long gb_mono_ns() nogil
    void gb_sleep_until(long long) nogil
    int gb_random(u8*, size_t) nogil
    int gb_errno() nogil
    int gb_atomic_load(const int*) nogil
    void gb_atomic_store(int*, int) nogil
    int gb_atomic_add(int*, int) nogil
    long long gb_atomic_load64(const long long*) nogil
    void gb_atomic_store64(long long*, long long) nogil


cdef inline void gb_mutex_init(gb_mutex* m) noexcept nogil:
    gb_mutex_init_(m, NULL)
