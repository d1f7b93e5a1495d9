/*
 * nano.h - a nanobenchmark is a row of a table: a function that does an operation n times and counts the cycles.
 *
 * Three parts: the measuring (measure.c) and what any privilege can run (plain.c, code.c) are shared; the bare
 * guest (guest.c, events.c) and the native program (native.c) add their own rows, and say where lines go.
 */
#ifndef NOVT_BENCH_NANO_NANO_H
#define NOVT_BENCH_NANO_NANO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/guest.h"

struct nano_bench {
    const char *name;
    uint64_t (*batch)(uint64_t units); /* TSC cycles of so many units, the loop around them included */
    uint64_t (*empty)(uint64_t units); /* to subtract: the same loop with nothing in it; NULL: 0 */
    uint64_t most;                     /* units a batch has room for; 0: any number */
    unsigned operations;               /* a unit's, if it is more than one */
    bool (*available)(void);           /* NULL: always */
};

extern const struct nano_bench nano_plain[], nano_code[];
extern const struct nano_bench nano_events[], nano_privileged[]; /* the guest's alone */
/* Memory that can be written and executed, for code.c: the program's part provides it. */
#define NANO_CODE_SIZE (8u << 20)
extern uint8_t *nano_code_memory;

void nano_put_number(uint64_t value);

/* Prints nano-tsc. `words` choose benchmarks by name, and time=MS each one's share; others are ignored. */
void nano_begin(uint64_t hz, const char *words);
/* Measures what the words choose of these tables (a NULL behind the last), then prints nano-end. */
void nano_run(const struct nano_bench *const *tables);
/* A batch that finds its own result wrong says so; then no number is printed. */
void nano_check(bool right, const char *otherwise);
/* The line of the benchmark that is running, up to the reason, which the caller adds. */
void nano_put_wrong(void);
uint64_t nano_empty(uint64_t units);

#endif
