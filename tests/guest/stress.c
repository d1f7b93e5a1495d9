/*
 * stress.c - runs in the guest: an address space that changes at random, against a model of it.
 *
 * usage: stress [-t SECONDS] [-s SEED]
 * Maps, unmaps, protects, writes, reads and forks at random over PAGES pages; a model says of each page whether it
 * is there, what may be done with it and what it holds. Every access is made under a handler: it must succeed, or
 * fault at this address, as the model says. A child checks all that it has inherited, changes it, and must leave
 * the parent's alone. Prints "stress: N steps agree" and exits with 0, or the first disagreement and 1.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 512u
#define PAGE 4096u
#define WORDS 4u /* of a page that are looked at, spread over it */

struct page {
    bool mapped, readable, writable;
    uint32_t word[WORDS];
};

static struct page model[PAGES];
static uint8_t *area;
static uint32_t seed = 1;
static unsigned long steps;
static sigjmp_buf back;
static void *volatile fault_address;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(seed ^ seed >> 16) * limit >> 32);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    fault_address = info->si_addr;
    siglongjmp(back, 1);
}

static void fail(const char *what, unsigned page)
{
    printf("stress: step %lu, page %u (%s%s%s): %s\n", steps, page, model[page].mapped ? "mapped" : "not mapped",
           model[page].readable ? ", readable" : "", model[page].writable ? ", writable" : "", what);
    exit(1);
}

static volatile uint32_t *word_of(unsigned page, unsigned i)
{
    return (volatile uint32_t *)(void *)(area + (size_t)page * PAGE + i * (PAGE / WORDS) + i * 4);
}

static void load(unsigned page, unsigned i)
{
    bool allowed = model[page].mapped && model[page].readable;
    uint32_t value = 0;

    fault_address = NULL;
    if (sigsetjmp(back, 0) == 0) {
        value = *word_of(page, i);
        if (!allowed)
            fail("a load has succeeded", page);
        if (value != model[page].word[i])
            fail("a load gives another value", page);
    } else if (allowed || fault_address != (void *)(uintptr_t)word_of(page, i)) {
        fail("a load has faulted", page);
    }
}

static void store(unsigned page, unsigned i, uint32_t value)
{
    bool allowed = model[page].mapped && model[page].writable;

    fault_address = NULL;
    if (sigsetjmp(back, 0) == 0) {
        *word_of(page, i) = value;
        if (!allowed)
            fail("a store has succeeded", page);
        model[page].word[i] = value;
    } else if (allowed || fault_address != (void *)(uintptr_t)word_of(page, i)) {
        fail("a store has faulted", page);
    }
}

static void check_all(void)
{
    for (unsigned page = 0; page < PAGES; page++)
        load(page, random_below(WORDS));
}

static void change_mapping(void)
{
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
    unsigned first = random_below(PAGES), count = 1 + random_below(random_below(8) ? 6 : 64),
             kind = random_below(4);
    int protection = protections[random_below(4)], status = 0;
    void *at = area + (size_t)first * PAGE;

    if (count > PAGES - first)
        count = PAGES - first;
    if (kind == 0)
        status = munmap(at, (size_t)count * PAGE);
    else if (kind == 1)
        status = mmap(at, (size_t)count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at;
    for (unsigned page = first; page < first + count; page++) {
        struct page *p = &model[page];

        if (kind >= 2) { /* page by page: not all of them are there */
            if (p->mapped && mprotect(area + (size_t)page * PAGE, PAGE, protection))
                fail("mprotect has failed", page);
        } else {
            memset(p, 0, sizeof *p);
            p->mapped = kind == 1;
        }
        p->readable = p->mapped && protection != PROT_NONE;
        p->writable = p->mapped && protection & PROT_WRITE;
    }
    if (status)
        fail("munmap or mmap has failed", first);
}

/* The child has the same pages; what it writes is its own. */
static void fork_and_check(void)
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < 40; i++)
            store(random_below(PAGES), random_below(WORDS), ~seed);
        check_all();
        fflush(stdout);
        _exit(0);
    }
    for (unsigned i = 0; i < 10; i++) /* before, while or after the child does */
        store(random_below(PAGES), random_below(WORDS), seed);
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        fail("a child has failed", 0);
    check_all();
}

static void step(void)
{
    unsigned choice = random_below(1000);

    steps++;
    if (choice < 20)
        change_mapping();
    else if (choice < 22)
        fork_and_check();
    else if (choice < 24)
        check_all();
    else if (choice < 500)
        store(random_below(PAGES), random_below(WORDS), seed);
    else
        load(random_below(PAGES), random_below(WORDS));
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    unsigned seconds = 10;
    time_t end;
    int option;

    while ((option = getopt(argc, argv, "t:s:")) >= 0)
        switch (option) {
        case 't':
            seconds = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 's':
            seed = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        default:
            fprintf(stderr, "usage: stress [-t SECONDS] [-s SEED]\n");
            return 2;
        }
    sigaction(SIGSEGV, &action, NULL);
    area = mmap(NULL, (size_t)PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return 2;
    for (unsigned page = 0; page < PAGES; page++)
        model[page].mapped = true;
    end = time(NULL) + seconds;
    while (time(NULL) < end)
        for (unsigned i = 0; i < 200; i++)
            step();
    printf("stress: %lu steps agree\n", steps);
    return 0;
}
