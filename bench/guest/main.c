/*
 * main.c - runs the benchmarks and prints a line for each: name, group, operations, seconds, ns an operation.
 *
 * usage: bench [-s SCALE] [-t SECONDS] [-m] [-l] [NAME...]
 *   -s  multiplies the number of batches (default 1: a few tenths of a second each, natively)
 *   -t  no new batch of a benchmark is begun after that many seconds (default 3): slow engines do less work
 *   -m  says when the clock starts, for a guest whose clock is not to be trusted: whoever reads can take the time
 *   -l  lists the names
 * A benchmark whose result is wrong prints WRONG and makes the exit status 1. The first batch warms up and is
 * not counted.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct work {
    double scale, limit;
    bool mark;
};

static bool run(const struct bench *b, const struct work *work)
{
    unsigned batches = (unsigned)(b->batches * work->scale);
    double begin, seconds;
    uint64_t operations = b->batch();

    if (!operations) {
        printf("bench %s %s WRONG\n", b->name, b->group);
        return false;
    }
    if (work->mark) {
        printf("bench-begin %s\n", b->name);
        fflush(stdout);
    }
    operations = 0;
    begin = now();
    for (unsigned i = 0; i == 0 || (i < batches && now() - begin < work->limit); i++) {
        uint64_t n = b->batch();

        if (!n) {
            printf("bench %s %s WRONG\n", b->name, b->group);
            return false;
        }
        operations += n;
    }
    seconds = now() - begin;
    printf("bench %s %s %llu %.6f %.4f\n", b->name, b->group, (unsigned long long)operations, seconds,
           seconds * 1e9 / (double)operations);
    fflush(stdout);
    return true;
}

/* Each benchmark has a process of its own, so that none inherits another's memory. */
static bool run_apart(const struct bench *b, const struct work *work)
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        bool good = run(b, work);

        fflush(stdout);
        _exit(good ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || (WIFEXITED(status) && WEXITSTATUS(status)))
        return false;
    if (WIFSIGNALED(status))
        printf("bench %s %s WRONG\n", b->name, b->group);
    return WIFEXITED(status);
}

static bool chosen(const char *name, char **names)
{
    bool yes = !*names;

    for (; *names; names++)
        yes |= !strcmp(name, *names);
    return yes;
}

int main(int argc, char **argv)
{
    static const struct bench *const tables[] = {bench_integer, bench_memory, bench_float, bench_system};
    struct work work = {.scale = 1, .limit = 3};
    bool list = false, good = true;
    char self[4000];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    int option;

    self[n > 0 ? n : 0] = 0;
    snprintf(bench_true_path, sizeof bench_true_path, "%s/bench-true", dirname(self));
    while ((option = getopt(argc, argv, "s:t:ml")) >= 0)
        switch (option) {
        case 's':
            work.scale = atof(optarg);
            break;
        case 't':
            work.limit = atof(optarg);
            break;
        case 'm':
            work.mark = true;
            break;
        case 'l':
            list = true;
            break;
        default:
            fprintf(stderr, "usage: bench [-s SCALE] [-t SECONDS] [-m] [-l] [NAME...]\n");
            return 2;
        }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct bench *b = tables[t]; b->name; b++) {
            if (!chosen(b->name, argv + optind))
                continue;
            if (list)
                printf("%s\n", b->name);
            else if (b->available && !b->available())
                printf("bench %s %s MISSING\n", b->name, b->group);
            else
                good &= run_apart(b, &work);
        }
    return good ? 0 : 1;
}
