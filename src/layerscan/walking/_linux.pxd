"""The kernel and thread interface that the walk stands on: statx(2),
getdents64(2), openat(2), POSIX threads, and relaxed atomics for the one flag
that is read without a lock."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <dirent.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <sys/resource.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <sys/sysmacros.h>
    #include <time.h>
    #include <unistd.h>

    /* As the kernel lays them out, getdents64(2). */
    struct ls_dirent {
        uint64_t ino;
        int64_t offset;
        unsigned short reclen;
        unsigned char type;
        char name[];
    };

    static inline long ls_getdents(int fd, void *buffer, size_t length) {
        return syscall(SYS_getdents64, fd, buffer, length);
    }

    static inline int ls_load(const int *flag) {
        return __atomic_load_n(flag, __ATOMIC_RELAXED);
    }

    static inline void ls_store(int *flag, int value) {
        __atomic_store_n(flag, value, __ATOMIC_RELAXED);
    }

    /* statx(2) as the kernel has it: C libraries older than glibc 2.28 and musl
       1.2.5 have no declaration of it, their kernel headers often no number. */
    struct ls_statx {
        uint32_t stx_mask, stx_blksize;
        uint64_t stx_attributes;
        uint32_t stx_nlink, stx_uid, stx_gid;
        uint16_t stx_mode, stx_pad;
        uint64_t stx_ino, stx_size, stx_blocks, stx_attributes_mask;
        struct { int64_t sec; uint32_t nsec; int32_t pad; } stx_times[4];
        uint32_t stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor;
        uint64_t stx_spare[14];
    };
    _Static_assert(sizeof(struct ls_statx) == 256, "the kernel writes 256 bytes");

    #ifdef SYS_statx
    #define LS_STATX SYS_statx
    #elif defined(__x86_64__) && !defined(__ILP32__)
    #define LS_STATX 332
    #elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
    #define LS_STATX 291
    #elif defined(__i386__) || defined(__powerpc__)
    #define LS_STATX 383
    #elif defined(__arm__)
    #define LS_STATX 397
    #elif defined(__s390x__)
    #define LS_STATX 379
    #endif

    /* Their values are the same everywhere, include/uapi/linux/{fcntl,stat}.h. */
    enum {
        LS_NO_AUTOMOUNT = 0x800, LS_DONT_SYNC = 0x4000,
        LS_TYPE = 1, LS_NLINK = 4, LS_INO = 0x100, LS_SIZE = 0x200, LS_BLOCKS = 0x400
    };

    static inline int ls_statx(int fd, const char *name, struct ls_statx *st) {
    #ifdef LS_STATX
        /* What the walk needs of an inode, and no more: each further field may cost
           the file system a lookup. Not synchronized: a network file system may
           answer from its cache. */
        return (int)syscall(LS_STATX, fd, name,
                            AT_SYMLINK_NOFOLLOW | LS_NO_AUTOMOUNT | LS_DONT_SYNC,
                            LS_TYPE | LS_NLINK | LS_INO | LS_SIZE | LS_BLOCKS, st);
    #else
        (void)fd, (void)name, (void)st;
        errno = ENOSYS;
        return -1;
    #endif
    }

    /* Where there is no statx, fstatat does: an old kernel says ENOSYS, an old
       seccomp filter EPERM. Returns 0 or the errno. */
    static inline int ls_stat(int fd, const char *name, struct ls_statx *st) {
        struct stat old;
        if (ls_statx(fd, name, st) == 0)
            return 0;
        if (errno != ENOSYS && errno != EINVAL && errno != EPERM)
            return errno;
        if (fstatat(fd, name, &old, AT_SYMLINK_NOFOLLOW | LS_NO_AUTOMOUNT) != 0)
            return errno;
        st->stx_mode = (uint16_t)old.st_mode;
        st->stx_nlink = (uint32_t)old.st_nlink;
        st->stx_ino = old.st_ino;
        st->stx_size = (uint64_t)old.st_size;
        st->stx_blocks = (uint64_t)old.st_blocks;
        st->stx_dev_major = major(old.st_dev);
        st->stx_dev_minor = minor(old.st_dev);
        return 0;
    }

    /* A directory, never through a symlink. O_NOATIME is allowed to the owner
       only (and to root): without it the walk writes access times. */
    static inline int ls_open_directory(int parent, const char *name) {
        const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
        int fd = openat(parent, name, flags | O_NOATIME);
        if (fd < 0 && errno == EPERM)
            fd = openat(parent, name, flags);
        return fd;
    }

    /* 0 when signalled, ETIMEDOUT when `milliseconds`, at most 1000, have passed.
       The condition must use the monotonic clock (ls_cond_init). */
    static inline int ls_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock,
                                       long milliseconds) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += milliseconds * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        return pthread_cond_timedwait(cond, lock, &until);
    }

    static inline void ls_cond_init(pthread_cond_t *cond) {
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(cond, &attributes);
        pthread_condattr_destroy(&attributes);
    }

    /* A thread that no signal is delivered to: signals are for the threads of
       the program that called the walk. The stack is small, since nothing here
       recurses. Returns 0 or the errno. */
    static inline int ls_thread_start(pthread_t *thread, void *(*run)(void *), void *argument) {
        sigset_t all, before;
        pthread_attr_t attributes;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 256 * 1024);
        int error = pthread_create(thread, &attributes, run, argument);
        pthread_attr_destroy(&attributes);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return error;
    }

    /* How many cores this process may run on. */
    static inline int ls_cores(void) {
        cpu_set_t cores;
        CPU_ZERO(&cores);
        if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 0)
            return CPU_COUNT(&cores);
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        return online > 0 ? (int)online : 1;
    }

    /* How many more descriptors this process may open, estimated from the
       lowest free one; -1 is no limit. */
    static inline long ls_descriptors_left(void) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
            return -1;
        int lowest = open("/", O_PATH | O_CLOEXEC);
        if (lowest < 0)
            return 0;
        close(lowest);
        return limit.rlim_cur > (rlim_t)lowest ? (long)limit.rlim_cur - lowest : 0;
    }
    """
    struct ls_dirent:
        uint64_t ino
        unsigned short reclen
        unsigned char type
        char name[1]

    struct Stat "ls_statx":
        unsigned short stx_mode
        uint32_t stx_nlink
        uint64_t stx_ino
        uint64_t stx_size
        uint64_t stx_blocks
        uint32_t stx_dev_major
        uint32_t stx_dev_minor

    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef unsigned long pthread_t

    int AT_FDCWD

    long ls_getdents(int fd, void *buffer, size_t length)
    int ls_load(const int *flag)
    void ls_store(int *flag, int value)
    int ls_stat(int fd, const char *name, Stat *st)
    int ls_open_directory(int parent, const char *name)
    long ls_descriptors_left()
    int ls_cores()
    int close(int fd)
    int usleep(unsigned int microseconds)

    int ls_thread_start(pthread_t *thread, void *(*run)(void *) noexcept nogil, void *argument)
    int pthread_join(pthread_t thread, void **result)
    int pthread_mutex_init(pthread_mutex_t *lock, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *lock)
    int pthread_mutex_lock(pthread_mutex_t *lock)
    int pthread_mutex_unlock(pthread_mutex_t *lock)
    void ls_cond_init(pthread_cond_t *cond)
    int ls_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, long milliseconds)
    int pthread_cond_destroy(pthread_cond_t *cond)
    int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
    int pthread_cond_signal(pthread_cond_t *cond)
    int pthread_cond_broadcast(pthread_cond_t *cond)
