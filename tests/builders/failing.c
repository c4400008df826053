/* Loaded before the C library: what one extension asks of it is counted, and refused where a
   test says so. What others ask is none of its business. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void __libc_free(void *);

enum { SLOTS = 1 << 15, DESCRIPTORS = 1 << 16 };

static uintptr_t lowest, highest;  /* where the extension's code is */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *live[SLOTS];          /* what it has and has not given back */
static char opened[DESCRIPTORS];
/* Counted since `failing_begin`; the first is what the next call will be. */
static long allocations, opens, threads;
static long blocks, descriptors, most_descriptors;
static long refused_allocation, refused_open, refused_thread, slow_open;
static int open_errno, statx_errno;

static int find(struct dl_phdr_info *info, size_t size, void *wanted) {
    (void)size;
    if (strstr(info->dlpi_name, wanted) == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            lowest = info->dlpi_addr + part->p_vaddr;
            highest = lowest + part->p_memsz;
        }
    }
    return 1;
}

/* Watch the library with `name` in its path. Returns whether it is loaded. */
int failing_watch(const char *name) {
    return dl_iterate_phdr(find, (void *)name);
}

/* Count from 1 anew, and refuse one allocation, file or thread by its number; 0 for none. */
void failing_begin(long allocation, long file, int file_errno, long thread, long slow) {
    pthread_mutex_lock(&lock);
    allocations = opens = threads = blocks = descriptors = most_descriptors = 0;
    memset(live, 0, sizeof(live));
    memset(opened, 0, sizeof(opened));
    refused_allocation = allocation;
    refused_open = file;
    open_errno = file_errno;
    refused_thread = thread;
    slow_open = slow;
    pthread_mutex_unlock(&lock);
}

/* Refuse statx(2) with an error from now on; 0 for not. */
void failing_statx(int error) { statx_errno = error; }

long failing_allocations(void) { return allocations; }
long failing_opens(void) { return opens; }
long failing_threads(void) { return threads; }
long failing_blocks(void) { return blocks; }
long failing_descriptors(void) { return descriptors; }
long failing_most_descriptors(void) { return most_descriptors; }

#define IS_WATCHED() \
    (lowest && (uintptr_t)__builtin_return_address(0) - lowest < highest - lowest)

static void **slot(void *block) {
    size_t i = ((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> 49;
    while (live[i] != NULL && live[i] != block)
        i = (i + 1) % SLOTS;
    return &live[i];
}

/* A slot is not given up: it may be on the way to another. */
static void keep(void *block) {
    if (block == NULL)
        return;
    pthread_mutex_lock(&lock);
    *slot(block) = block;
    blocks++;
    pthread_mutex_unlock(&lock);
}

static int drop(void *block) {
    int was_kept = 0;
    if (block == NULL)
        return 0;
    pthread_mutex_lock(&lock);
    if (blocks > 0) {
        void **at = slot(block);
        was_kept = *at == block;
        if (was_kept) {
            *at = (void *)1;
            blocks--;
        }
    }
    pthread_mutex_unlock(&lock);
    return was_kept;
}

static int is_refused(void) {
    int refused;
    pthread_mutex_lock(&lock);
    refused = ++allocations == refused_allocation;
    pthread_mutex_unlock(&lock);
    if (refused)
        errno = ENOMEM;
    return refused;
}

void *malloc(size_t size) {
    void *block;
    if (!IS_WATCHED())
        return __libc_malloc(size);
    if (is_refused())
        return NULL;
    keep(block = __libc_malloc(size));
    return block;
}

void *calloc(size_t count, size_t size) {
    void *block;
    if (!IS_WATCHED())
        return __libc_calloc(count, size);
    if (is_refused())
        return NULL;
    keep(block = __libc_calloc(count, size));
    return block;
}

void *realloc(void *old, size_t size) {
    void *block;
    if (!IS_WATCHED())
        return __libc_realloc(old, size);
    if (is_refused())
        return NULL;
    drop(old);
    keep(block = __libc_realloc(old, size));
    return block;
}

void free(void *block) {
    if (IS_WATCHED())
        drop(block);
    __libc_free(block);
}

typedef int Open(const char *, int, ...);
typedef int OpenAt(int, const char *, int, ...);

static int opening(int folder, const char *path, int flags, int mode) {
    static OpenAt *next;
    int fd, refused, is_slow;
    if (next == NULL)
        next = (OpenAt *)dlsym(RTLD_NEXT, "openat64");
    pthread_mutex_lock(&lock);
    refused = ++opens == refused_open;
    is_slow = opens == slow_open;
    pthread_mutex_unlock(&lock);
    if (is_slow)
        usleep(150000);
    if (refused) {
        errno = open_errno;
        return -1;
    }
    fd = next(folder, path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        pthread_mutex_lock(&lock);
        opened[fd] = 1;
        if (++descriptors > most_descriptors)
            most_descriptors = descriptors;
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

#define MODE(flags, mode) \
    do { \
        va_list more; \
        va_start(more, flags); \
        mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, int) : 0; \
        va_end(more); \
    } while (0)

/* An extension has these two or those of 64 bits, by how it was compiled. */
#define OPENING(open_name, openat_name) \
    int open_name(const char *path, int flags, ...) { \
        int mode; \
        MODE(flags, mode); \
        if (IS_WATCHED()) \
            return opening(AT_FDCWD, path, flags, mode); \
        return ((Open *)dlsym(RTLD_NEXT, #open_name))(path, flags, mode); \
    } \
    int openat_name(int folder, const char *path, int flags, ...) { \
        int mode; \
        MODE(flags, mode); \
        if (IS_WATCHED()) \
            return opening(folder, path, flags, mode); \
        return ((OpenAt *)dlsym(RTLD_NEXT, #openat_name))(folder, path, flags, mode); \
    }

OPENING(open, openat)
OPENING(open64, openat64)

/* statx(2) as a kernel has it that does not know it. */
long syscall(long number, ...) {
    static long (*next)(long, ...);
    long given[6];
    va_list more;
    if (next == NULL)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_statx && statx_errno && IS_WATCHED()) {
        errno = statx_errno;
        return -1;
    }
    return next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

int close(int fd) {
    static int (*next)(int);
    if (next == NULL)
        next = (int (*)(int))dlsym(RTLD_NEXT, "close");
    if (IS_WATCHED() && fd >= 0 && fd < DESCRIPTORS) {
        pthread_mutex_lock(&lock);
        descriptors -= opened[fd];
        opened[fd] = 0;
        pthread_mutex_unlock(&lock);
    }
    return next(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int refused = 0;
    if (next == NULL)
        next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    if (IS_WATCHED()) {
        pthread_mutex_lock(&lock);
        refused = ++threads == refused_thread;
        pthread_mutex_unlock(&lock);
    }
    return refused ? EAGAIN : next(thread, how, run, with);
}
