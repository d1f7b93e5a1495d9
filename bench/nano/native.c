/*
 * native.c - what user mode can run of the nanobenchmarks, on the host and under its operating system.
 *
 * usage: nano-native [NAME...] [time=MS]
 * Its lines are the guest's (nano.h). syscall, page-fault and divide-error are Linux's way of serving them; the
 * guest's are the bare events. Invariants: signals are raised by divide_error alone.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "nano.h"

#define CALIBRATION_NS 50000000u
#define PAGE 4096u
#define MOST_PAGES 4096u

uint8_t *nano_code_memory;
static volatile uint64_t signals;

void guest_put(const char *text)
{
    fputs(text, stdout);
}

static uint64_t nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t tsc_hz(void)
{
    uint64_t begin = nanoseconds(), first = guest_tsc(), passed;

    do
        passed = nanoseconds() - begin;
    while (passed < CALIBRATION_NS);
    return (guest_tsc() - first) * 1000000000u / passed;
}

/* By the instruction, as a libc might know the answer already. */
static uint64_t ask_pid(void)
{
    uint64_t result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getpid) : "rcx", "r11", "memory");
    return result;
}

static uint64_t getpid_syscall(uint64_t n)
{
    uint64_t sum = 0, cycles = GUEST_TIMED(n, sum += ask_pid());

    nano_check(sum == n * (uint64_t)getpid(), "another process's number");
    return cycles;
}

/* Skips the two bytes of DIV CL. */
static void on_divide_error(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    signals++;
}

static uint64_t divide_error(uint64_t n)
{
    struct sigaction action = {.sa_sigaction = on_divide_error, .sa_flags = SA_SIGINFO};
    uint64_t cycles;

    sigaction(SIGFPE, &action, NULL);
    signals = 0;
    cycles = GUEST_TIMED(n, __asm__ volatile("divb %%cl" : : "a"(1), "c"(0) : "cc", "memory"));
    nano_check(signals == n, "the handler ran another number of times");
    return cycles;
}

/* Stores to pages that were never touched, one for each unit. */
static uint64_t page_fault(uint64_t n)
{
    uint8_t *pages = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t at = 0, cycles;

    if (pages == MAP_FAILED) {
        nano_check(false, "no memory");
        return 0;
    }
    madvise(pages, n * PAGE, MADV_NOHUGEPAGE);
    cycles = GUEST_TIMED(n, (*(volatile uint8_t *)(pages + at) = 1, at += PAGE));
    for (at = 0; at < n; at++)
        nano_check(pages[at * PAGE] == 1, "a page lost what was stored");
    munmap(pages, n * PAGE);
    return cycles;
}

static const struct nano_bench native[] = {
    {"syscall", getpid_syscall, nano_empty},
    {"divide-error", divide_error, nano_empty},
    {"page-fault", page_fault, nano_empty, .most = MOST_PAGES},
    {NULL},
};

static const char *join(char **words, char *line, size_t size)
{
    size_t at = 0;

    line[0] = 0;
    for (; *words && at < size; words++)
        at += (size_t)snprintf(line + at, size - at, "%s ", *words);
    return line;
}

int main(int argc, char **argv)
{
    static const struct nano_bench *const tables[] = {native, nano_plain, nano_code, NULL};
    char line[512];

    (void)argc;
    nano_code_memory =
        mmap(NULL, NANO_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (nano_code_memory == MAP_FAILED) {
        perror("nano-native: no memory that can be written and executed");
        return 1;
    }
    nano_begin(tsc_hz(), join(argv + 1, line, sizeof line));
    nano_run(tables);
    return 0;
}
