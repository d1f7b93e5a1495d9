/*
 * bench.h - one benchmark is one row of a table: a function that does a batch of work.
 *
 * A batch takes about 5 to 20 ms natively, checks its own result and returns how many operations it did,
 * or 0 when the result was wrong. The runner repeats batches and reports nanoseconds an operation.
 */
#ifndef NOVT_BENCH_GUEST_BENCH_H
#define NOVT_BENCH_GUEST_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
    const char *name;
    const char *group;       /* "compute", "system", "smc" or "busy" */
    uint64_t (*batch)(void); /* operations done; 0: the result was wrong */
    unsigned batches;        /* at scale 1: a native run of a few tenths of a second */
    bool (*available)(void); /* NULL: always */
};

extern const struct bench bench_integer[], bench_memory[], bench_float[], bench_system[];

/* Path of the tiny program that fork+exec runs; it lies beside the benchmark. */
extern char bench_true_path[4096];

#define KEEP(value) __asm__ volatile("" : "+r"(value))
#define NOINLINE __attribute__((noinline))

#endif
