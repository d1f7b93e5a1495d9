/*
 * host.c - system calls without libc.
 *
 * Interface: host.h. Invariant: nothing here refers to the FS segment.
 */
#include "memory/host.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}

int host_map(void *at, size_t size, int protection, int flags, int fd, uint64_t offset)
{
    long got = call(SYS_mmap, (long)at, (long)size, protection, flags, fd, (long)offset);

    if (got < 0 && got > -4096)
        return (int)got;
    if (got == (long)at)
        return 0;
    host_unmap((void *)got, size); /* a kernel that does not know MAP_FIXED_NOREPLACE, and something is there */
    return -EEXIST;
}

void *host_allocate(size_t size)
{
    long got =
        call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return got < 0 && got > -4096 ? NULL : (void *)got;
}

int host_unmap(void *at, size_t size)
{
    return (int)call(SYS_munmap, (long)at, (long)size, 0, 0, 0, 0);
}

int host_protect(void *at, size_t size, int protection)
{
    return (int)call(SYS_mprotect, (long)at, (long)size, protection, 0, 0, 0);
}

int host_signal(int thread, int number)
{
    return (int)call(SYS_tgkill, call(SYS_getpid, 0, 0, 0, 0, 0, 0), thread, number, 0, 0, 0);
}

void host_sleep(uint32_t nanoseconds)
{
    const struct timespec t = {.tv_nsec = nanoseconds};

    call(SYS_nanosleep, (long)&t, 0, 0, 0, 0, 0);
}
