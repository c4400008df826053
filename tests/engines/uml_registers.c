/* Lets User Mode Linux run on a processor with more registers than it knows of.
 *
 * It saves and restores 832 bytes of them (up to AVX). A kernel takes only all
 * that the processor has (xstateregs_set in arch/x86/kernel/fpu/regset.c: EFAULT
 * otherwise), so with AVX-512 or AMX no program starts. Preloaded, this puts
 * UML's part over all of them as they are.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ALL = 16384, HEADER = 512 }; /* AMX takes 11 KiB; XSTATE_BV is at 512 */

static long set_all(pid_t pid, const struct iovec *known)
{
    static _Thread_local uint8_t all[ALL] __attribute__((aligned(64)));
    struct iovec whole = { all, sizeof all };
    uint64_t there;

    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) != 0)
        return -1;
    memcpy(&there, all + HEADER, sizeof there);
    memcpy(all, known->iov_base, known->iov_len);
    uint64_t features;
    memcpy(&features, all + HEADER, sizeof features);
    features |= there & ~(uint64_t)7; /* beyond x87, SSE and AVX: as they are */
    memcpy(all + HEADER, &features, sizeof features);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    long peeked = 0;
    int peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
    long result = syscall(SYS_ptrace, request, pid, address, peeks ? (void *)&peeked : data);
    if (result == -1 && errno == EFAULT && request == PTRACE_SETREGSET
        && address == (void *)NT_X86_XSTATE)
        return set_all(pid, data);
    if (peeks && result == 0) {
        errno = 0;
        return peeked;
    }
    return result;
}
