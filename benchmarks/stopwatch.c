/* Runs a program, and says how long it took and how much memory it had.
 *
 *     stopwatch FD PROGRAM ARGUMENT...
 *
 * Writes "nanoseconds peak-KiB wait-status" to descriptor FD. The peak is
 * ru_maxrss of wait4(2). Linux takes over into it the peak of the process that
 * started the program, up to its execve: started from Python it would be that of
 * Python. This program is so small that its own does not show.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    int report = atoi(argv[1]), status = 0;
    struct rusage used = {0};
    fcntl(report, F_SETFD, FD_CLOEXEC);
    long long start = now();
    pid_t child = vfork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        return 1;
    dprintf(report, "%lld %ld %d\n", now() - start, used.ru_maxrss, status);
    return 0;
}
