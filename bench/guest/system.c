/* system.c - benchmarks of the guest's kernel: system calls, processes, memory management, files. */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096u

char bench_true_path[4096];

static uint64_t getpid_loop(void)
{
    enum { CALLS = 50000 };
    long pid = getpid();

    for (int i = 0; i < CALLS; i++)
        if (syscall(SYS_getpid) != pid)
            return 0;
    return CALLS;
}

/* Two processes hand one byte to and fro. */
static uint64_t pipe_round_trip(void)
{
    enum { TRIPS = 1000 };
    int there[2], back[2], status;
    char byte = 1;
    pid_t child;

    if (pipe(there) || pipe(back))
        return 0;
    child = fork();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
            ;
        _exit(byte == (char)TRIPS ? 0 : 1);
    }
    for (int i = 1; i <= TRIPS; i++) {
        char answer;

        byte = (char)i;
        if (write(there[1], &byte, 1) != 1 || read(back[0], &answer, 1) != 1 || answer != byte)
            return 0;
    }
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
    return waitpid(child, &status, 0) == child && status == 0 ? TRIPS : 0;
}

static uint64_t fork_wait(void)
{
    enum { FORKS = 40 };

    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();

        if (child == 0)
            _exit(i);
        if (child < 0 || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != i)
            return 0;
    }
    return FORKS;
}

static uint64_t fork_exec(void)
{
    enum { FORKS = 25 };
    char *argv[] = {bench_true_path, NULL};

    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            execv(bench_true_path, argv);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return 0;
    }
    return FORKS;
}

static void *map_pages(size_t pages)
{
    void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
    return p;
}

static uint64_t page_fault(void)
{
    enum { PAGES = 4096 };
    volatile char *p = map_pages(PAGES);
    uint64_t sum = 0;

    for (size_t i = 0; i < PAGES; i++)
        p[i * PAGE] = (char)i;
    for (size_t i = 0; i < PAGES; i++)
        sum += p[i * PAGE] == (char)i;
    munmap((void *)p, PAGES * (size_t)PAGE);
    return sum == PAGES ? PAGES : 0;
}

static uint64_t protect(void)
{
    enum { CALLS = 4000 };
    static char *p;

    if (!p) {
        p = map_pages(16);
        memset(p, 1, 16 * PAGE);
    }
    for (int i = 0; i < CALLS; i++) {
        char *page = p + (size_t)(i % 16) * PAGE;

        if (mprotect(page, PAGE, PROT_READ) || page[i % PAGE] == 0 || mprotect(page, PAGE, PROT_READ | PROT_WRITE))
            return 0;
        page[i % PAGE] = 1;
    }
    return 2 * CALLS;
}

static uint64_t map_unmap(void)
{
    enum { CALLS = 4000 };

    for (int i = 0; i < CALLS; i++) {
        char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return 0;
        p[0] = 1;
        if (munmap(p, 4 * PAGE))
            return 0;
    }
    return CALLS;
}

/* A file in memory: create, write, read back, remove. */
static uint64_t tmpfs(void)
{
    enum { FILES = 100, BLOCKS = 16 };
    static char from[PAGE], to[PAGE];
    uint64_t done = 0;

    memset(from, 0x5a, sizeof from);
    for (int i = 0; i < FILES; i++) {
        int fd = open("/dev/shm/novt-bench", O_RDWR | O_CREAT | O_TRUNC, 0600);

        if (fd < 0)
            return 0;
        for (int j = 0; j < BLOCKS; j++)
            done += write(fd, from, PAGE) == PAGE;
        lseek(fd, 0, SEEK_SET);
        for (int j = 0; j < BLOCKS; j++)
            done += read(fd, to, PAGE) == PAGE && !memcmp(from, to, PAGE);
        close(fd);
        done += unlink("/dev/shm/novt-bench") == 0;
    }
    return done == FILES * (2 * BLOCKS + 1) ? done : 0;
}

/* One process's share of the work: a table of 64 KiB, through all of which each step leads. */
static uint32_t visit(unsigned steps)
{
    enum { WORDS = 16384 };
    static uint32_t table[WORDS];
    uint32_t at = 1, sum = 0;

    for (uint32_t i = 0; i < WORDS; i++)
        table[i] = i * 2654435761u;
    for (unsigned i = 0; i < steps; i++) {
        sum += table[at % WORDS] + table[at / 3 % WORDS];
        table[at / 5 % WORDS] ^= sum;
        at = at * 1664525 + 1013904223;
    }
    return sum;
}

/* Many processes that are always ready to run, on one CPU: the scheduler lets them take turns. */
static uint64_t busy(unsigned processes)
{
    enum { STEPS = 1 << 28 };
    cpu_set_t one;
    uint32_t want = 0;
    int results[2];
    bool good = true;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (sched_setaffinity(0, sizeof one, &one) || pipe(results))
        return 0;
    for (unsigned i = 0; i < processes; i++)
        if (fork() == 0) {
            uint32_t sum = visit(STEPS / processes);

            _exit(write(results[1], &sum, sizeof sum) == sizeof sum ? 0 : 1);
        }
    for (unsigned i = 0; i < processes; i++) {
        uint32_t sum;
        int status;

        good &= wait(&status) > 0 && status == 0 && read(results[0], &sum, sizeof sum) == sizeof sum;
        want = i ? want : sum;
        good &= sum == want;
    }
    close(results[0]);
    close(results[1]);
    return good ? STEPS : 0;
}

static uint64_t busy_alone(void)
{
    return busy(1);
}

static uint64_t busy_many(void)
{
    return busy(64);
}

static bool has_shm(void)
{
    return access("/dev/shm", W_OK) == 0;
}

static bool has_true(void)
{
    return access(bench_true_path, X_OK) == 0;
}

const struct bench bench_system[] = {
    {"getpid", "system", getpid_loop, 40, NULL},
    {"pipe", "system", pipe_round_trip, 12, NULL},
    {"fork", "system", fork_wait, 60, NULL},
    {"fork-exec", "system", fork_exec, 40, has_true},
    {"page-fault", "system", page_fault, 50, NULL},
    {"mprotect", "system", protect, 16, NULL},
    {"mmap", "system", map_unmap, 24, NULL},
    {"tmpfs", "system", tmpfs, 60, has_shm},
    {"busy-1", "busy", busy_alone, 1, NULL},
    {"busy-64", "busy", busy_many, 1, NULL},
    {NULL, NULL, NULL, 0, NULL},
};
