/*
 * engines.c - the experiment `engines`: the same programs natively and under each way to run a guest.
 *
 * Interface: experiments.h; its guest is guest/engines.c. The programs are the same object code in the guest and
 * here.
 */
#include "lab/experiments.h"
#include "lab/guest/program.h"
#include "lab/measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define BATCHES 30u

enum { NATIVE, TRAP, BT, TLB, INTERP, ENGINES };
static const char *const engines[ENGINES] = {
    [NATIVE] = "native", [TRAP] = "trap", [BT] = "bt", [TLB] = "bt,tier=tlb", [INTERP] = "interp"};

/* rounds: such that a batch takes about a millisecond; fewer interpreted, and fewer of what traps. */
static const struct task {
    const char *name, *label;
    uint64_t (*program)(uint64_t rounds); /* NULL: a kernel's, not for a process */
    unsigned rounds, interpreted, trapped;
} tasks[] = {
    {"sieve", "sieve: bytes in a loop", lab_program_sieve, 40, 2, 40},
    {"random-access", "random access: loads and stores", lab_program_random, 100, 4, 100},
    {"calls", "calls: a recursive function", lab_program_calls, 200, 4, 200},
    {"bytecode", "bytecode: indirect jumps", lab_program_bytecode, 200, 4, 200},
    {"kernel", "kernel: CLI, STI, CR3", NULL, 500, 500, 20},
    {"system-call", "system call: INT, IRET", NULL, 500, 500, 20},
};
#define TASKS (sizeof tasks / sizeof *tasks)

struct result {
    bool right;
    double cycles, exits;
    uint64_t value; /* the program's result, of a given number of rounds */
};

/* --- natively --- */

static uint64_t now(void)
{
    return __builtin_ia32_rdtsc();
}

/* In a child process: the lines that the guest would print. */
static void run_natively(const void *argument)
{
    const struct task *t = argument;
    uint64_t best = UINT64_MAX, value = 0;

    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t begin = now(), cycles;

        value = t->program(t->rounds);
        cycles = now() - begin;
        best = cycles < best ? cycles : best;
    }
    printf("lab result task=%s value=%" PRIu64 "\nlab time cycles=%" PRIu64 "\nlab end\n", t->name, value, best);
}

static uint64_t value_of(const struct lab_run *run)
{
    size_t at = 0;

    return lab_record_number(lab_records_next(&run->guest, "result", &at), "value");
}

static int measure_natively(const struct task *t, struct json_object *report, struct result *r,
                            struct error *error)
{
    const struct lab_child child = {NULL, engines[NATIVE], t->name, NULL};
    struct lab_run run = {.stats = NULL};
    size_t at = 0;
    int status = t->program ? lab_run_native(&run, run_natively, t, LAB_SECONDS, error) : 0;

    if (!status && t->program) {
        lab_run_add(report, &child, &run);
        r->cycles = (double)lab_record_number(lab_records_next(&run.guest, "time", &at), "cycles") / t->rounds;
        r->value = value_of(&run);
        r->right = !run.failure[0] && r->cycles > 0;
        if (!r->right)
            lab_expect(report, false, "%s comes to its end natively", t->name);
    }
    lab_run_free(&run);
    return status;
}

/* --- in a guest --- */

static unsigned rounds_of(const struct task *t, unsigned engine)
{
    return engine == INTERP ? t->interpreted : engine == TRAP ? t->trapped : t->rounds;
}

static int measure(const struct task *t, unsigned engine, struct json_object *report, struct result *r,
                   struct error *error)
{
    const struct lab_task_spec spec = {"engines", engines[engine], t->name, rounds_of(t, engine) / 2, false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status)
        *r = (struct result){m.right, m.cycles, lab_measured_exits(&m, engines[engine]), value_of(&m.run[1])};
    lab_measured_free(&m);
    return status;
}

static int measure_all(const struct task *t, struct json_object *report, struct result r[ENGINES],
                       struct error *error)
{
    int status = measure_natively(t, report, &r[NATIVE], error);

    for (unsigned e = TRAP; e < ENGINES && !status; e++)
        status = measure(t, e, report, &r[e], error);
    return status;
}

/* --- what is to be seen --- */

static void put(struct json_object *row, const struct result *r, double value)
{
    if (r->right && value >= 0)
        lab_row_number(row, value);
    else
        lab_row_none(row);
}

static void add_tables(struct json_object *report, struct result (*r)[ENGINES])
{
    static const char *const times[] = {"program", "native", "trap", "bt", "bt,tier=tlb", "interp", NULL};
    static const char *const exits[] = {"program", "trap", "bt", "bt,tier=tlb", NULL};
    struct json_object *table = lab_table_add(report, "Cycles a round", times);

    for (unsigned t = 0; t < TASKS; t++) {
        struct json_object *row = lab_row_add(table, tasks[t].label);

        for (unsigned e = 0; e < ENGINES; e++)
            put(row, &r[t][e], r[t][e].cycles);
    }
    lab_plot_add(report, "Cycles a round", "cycles", 1, ENGINES);
    table = lab_table_add(report, "Times native", times);
    for (unsigned t = 0; t < TASKS; t++) {
        struct json_object *row = tasks[t].program ? lab_row_add(table, tasks[t].label) : NULL;

        for (unsigned e = 0; row && e < ENGINES; e++)
            put(row, &r[t][e], r[t][NATIVE].right ? r[t][e].cycles / r[t][NATIVE].cycles : -1);
    }
    table = lab_table_add(report, "Exits to the monitor a round", exits);
    for (unsigned t = 0; t < TASKS; t++) {
        struct json_object *row = lab_row_add(table, tasks[t].label);

        for (unsigned e = TRAP; e < INTERP; e++)
            put(row, &r[t][e], r[t][e].exits);
    }
}

/* A result is comparable where as many rounds were made. */
static void judge(struct json_object *report, struct result (*r)[ENGINES])
{
    bool same = true, undisturbed = true, trapped = true;

    for (unsigned t = 0; t < TASKS; t++) {
        if (tasks[t].program) {
            same = same && r[t][NATIVE].value && r[t][TRAP].value == r[t][NATIVE].value &&
                   r[t][BT].value == r[t][NATIVE].value && r[t][TLB].value == r[t][NATIVE].value;
            undisturbed = undisturbed && r[t][TRAP].exits < 1 && r[t][BT].exits < 1;
        } else {
            trapped = trapped && r[t][TRAP].exits >= 1 && r[t][BT].right && r[t][BT].exits < 1;
        }
    }
    lab_expect(report, same, "each program has the same result natively, under trap and under bt");
    lab_expect(report, undisturbed, "programs without a sensitive instruction hardly ever leave their code");
    lab_expect(report, trapped,
               "what a kernel does traps each time under trap, and stays in translated code under bt");
}

/* Geometric mean over the programs; 0 if one is missing. */
static double mean_ratio(struct result (*r)[ENGINES], unsigned engine)
{
    double sum = 0;
    unsigned count = 0;

    for (unsigned t = 0; t < TASKS; t++) {
        if (!tasks[t].program)
            continue;
        if (!r[t][engine].right || !r[t][NATIVE].right)
            return 0;
        sum += log(r[t][engine].cycles / r[t][NATIVE].cycles);
        count++;
    }
    return exp(sum / count);
}

static void tell(struct json_object *report, struct result (*r)[ENGINES])
{
    const struct result *system_call = r[TASKS - 1];

    if (mean_ratio(r, TRAP) > 0 && mean_ratio(r, BT) > 0 && mean_ratio(r, INTERP) > 0)
        lab_say(report,
                "Programs take %.2f times their native time under trap, %.2f translated, and %.0f interpreted "
                "(geometric means).",
                mean_ratio(r, TRAP), mean_ratio(r, BT), mean_ratio(r, INTERP));
    if (system_call[TRAP].right && system_call[BT].right && system_call[BT].cycles > 0)
        lab_say(
            report,
            "A system call inside of the guest costs %.0f cycles and %.0f exits by trapping, %.0f cycles and %.0f "
            "exits translated.",
            system_call[TRAP].cycles, system_call[TRAP].exits, system_call[BT].cycles, system_call[BT].exits);
}

static int run(struct json_object *report, struct error *error)
{
    struct result r[TASKS][ENGINES] = {0};
    int status = 0;

    for (unsigned t = 0; t < TASKS && !status; t++)
        status = measure_all(&tasks[t], report, r[t], error);
    add_tables(report, r);
    judge(report, r);
    tell(report, r);
    return status;
}

const struct lab_experiment lab_engines = {
    .name = "engines",
    .title = "an emulator, trap-and-emulate and binary translation against native",
    .question = "The same object code is run as a process, deprivileged by trap-and-emulate, translated, and "
                "interpreted. Which is how fast, and how often does the monitor have to step in?",
    .run = run,
};
