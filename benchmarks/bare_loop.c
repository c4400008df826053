/* What the kernel needs to walk a tree: the yardstick of the benchmarks.
 *
 *     bare_loop THREADS PATH      prints the sum of st_blocks
 *
 * getdents64 and statx for each entry, directories on one shared stack, the
 * entries of each read sorted by inode. Nothing else: no errors, no limit on
 * memory, no progress, no second total, and an inode with several names counts
 * for each of them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFER = 32 * 1024, MOST = BUFFER / 24 };

struct record { uint64_t ino; int64_t off; unsigned short len; unsigned char type; char name[]; };
struct directory { struct directory *next; char path[]; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct directory *stack;
static int busy, waiting;
static uint64_t total;

static int by_inode(const void *a, const void *b) {
    uint64_t x = (*(struct record **)a)->ino, y = (*(struct record **)b)->ino;
    return (x > y) - (x < y);
}

static void push(const char *folder, const char *name) {
    size_t length = strlen(folder) + strlen(name) + 2;
    struct directory *found = malloc(sizeof *found + length);
    snprintf(found->path, length, "%s/%s", folder, name);
    pthread_mutex_lock(&lock);
    found->next = stack;
    stack = found;
    if (waiting)
        pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
}

static uint64_t measure(int fd, const char *folder, const char *name) {
    struct statx st;
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC,
              STATX_TYPE | STATX_NLINK | STATX_INO | STATX_BLOCKS, &st) != 0)
        return 0;
    if (S_ISDIR(st.stx_mode))
        push(folder, name);
    return st.stx_blocks;
}

static uint64_t read_directory(const char *path) {
    static __thread char buffer[BUFFER];
    static __thread struct record *entries[MOST];
    uint64_t blocks = 0;
    long length;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while ((length = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        int count = 0;
        for (long at = 0; at < length;) {
            struct record *record = (struct record *)(buffer + at);
            at += record->len;
            if (strcmp(record->name, ".") && strcmp(record->name, ".."))
                entries[count++] = record;
        }
        qsort(entries, count, sizeof *entries, by_inode);
        for (int i = 0; i < count; i++)
            blocks += measure(fd, path, entries[i]->name);
    }
    close(fd);
    return blocks;
}

static void *work(void *unused) {
    (void)unused;
    uint64_t blocks = 0;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct directory *mine = stack;
        if (mine) {
            stack = mine->next;
            busy++;
            pthread_mutex_unlock(&lock);
            blocks += read_directory(mine->path);
            free(mine);
            pthread_mutex_lock(&lock);
            busy--;
        } else if (busy) {
            waiting++;
            pthread_cond_wait(&more, &lock);
            waiting--;
        } else {
            break;
        }
    }
    total += blocks;
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(int argc, char **argv) {
    struct statx st;
    if (argc != 3 || statx(AT_FDCWD, argv[2], AT_SYMLINK_NOFOLLOW, STATX_BLOCKS, &st) != 0)
        return 2;
    int threads = atoi(argv[1]);
    pthread_t *pool = calloc(threads, sizeof *pool);
    push(argv[2], "");
    for (int i = 0; i < threads; i++)
        pthread_create(&pool[i], NULL, work, NULL);
    for (int i = 0; i < threads; i++)
        pthread_join(pool[i], NULL);
    printf("%llu\n", (unsigned long long)(total + st.stx_blocks));
    return 0;
}
