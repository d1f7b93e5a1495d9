/*
 * visible.c - the experiment `visible`: what a guest sees of the machine below it.
 *
 * Interface: experiments.h; its guest is guest/visible.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OPERATIONS 400u /* of a batch */
#define BATCHES 30u     /* natively */

enum { BT, HIDDEN, INTERP, TRAP, VIEWS };
static const struct view {
    const char *name, *engine, *cpu;
} views[VIEWS] = {
    [BT] = {"bt", "bt", NULL},
    [HIDDEN] = {"bt, -cpu max,-hypervisor", "bt", "max,-hypervisor"},
    [INTERP] = {"interp", "interp", NULL},
    [TRAP] = {"trap", "trap", NULL},
};

enum { ADD, RDTSC, CPUID, DIVIDE_ERROR, IN, TIMED };
static const char *const timed[TIMED] = {
    [ADD] = "add", [RDTSC] = "rdtsc", [CPUID] = "cpuid", [DIVIDE_ERROR] = "divide-error", [IN] = "in"};

/* --- what instructions tell --- */

static const struct lab_record *find_sight(const struct lab_run *run, const char *name)
{
    const struct lab_record *sees;
    size_t at = 0;

    while ((sees = lab_records_next(&run->guest, "sees", &at)))
        if (lab_record_text(sees, "name") && !strcmp(lab_record_text(sees, "name"), name))
            return sees;
    return NULL;
}

static void put_hex(struct json_object *row, const struct lab_record *sees, const char *key)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIx64, lab_record_number(sees, key));
    if (lab_record_text(sees, key))
        lab_row_text(row, text);
    else
        lab_row_none(row);
}

/* Rows are what the translator's guest has looked at. */
static void add_sights(struct json_object *report, const struct lab_run *run)
{
    static const char *const columns[] = {"what", "on bare hardware", "bt", "bt, -hypervisor", "interp", "trap",
                                          NULL};
    struct json_object *table = lab_table_add(report, "What the guest reads (hexadecimal)", columns), *row;
    const struct lab_record *sees;
    size_t at = 0;

    while ((sees = lab_records_next(&run[BT].guest, "sees", &at))) {
        row = lab_row_add(table, lab_record_text(sees, "name"));
        put_hex(row, sees, "bare");
        for (unsigned v = 0; v < VIEWS; v++)
            put_hex(row, find_sight(&run[v], lab_record_text(sees, "name")), "value");
    }
    row = lab_row_add(table, "CPUID leaf 40000000");
    lab_row_none(row);
    for (unsigned v = 0; v < VIEWS; v++) {
        size_t first = 0;
        const char *name = lab_record_text(lab_records_next(&run[v].guest, "vendor", &first), "name");

        lab_row_text(row, name ? name : "-");
    }
}

/* Sights that differ from bare hardware, the hypervisor bit apart. */
static unsigned count_odd(const struct lab_run *run)
{
    const struct lab_record *sees;
    unsigned odd = 0;
    size_t at = 0;

    while ((sees = lab_records_next(&run->guest, "sees", &at)))
        odd += lab_record_text(sees, "bare") && strcmp(lab_record_text(sees, "name"), "hypervisor-bit") != 0 &&
               lab_record_number(sees, "value") != lab_record_number(sees, "bare");
    return odd;
}

static void judge_sights(struct json_object *report, const struct lab_run *run)
{
    unsigned seen = 0;

    for (size_t i = 0; i < run[BT].guest.count; i++)
        seen += !strcmp(run[BT].guest.record[i].kind, "sees");
    lab_expect(report, seen && !count_odd(&run[BT]) && !count_odd(&run[INTERP]) && !count_odd(&run[HIDDEN]),
               "under bt and interp every instruction tells what it would on bare hardware");
    lab_expect(report, count_odd(&run[TRAP]) > 0, "under trap some tell about the host");
    lab_expect(report,
               lab_record_number(find_sight(&run[BT], "hypervisor-bit"), "value") == 1 &&
                   lab_record_text(find_sight(&run[HIDDEN], "hypervisor-bit"), "value") &&
                   lab_record_number(find_sight(&run[HIDDEN], "hypervisor-bit"), "value") == 0,
               "CPUID says that there is a hypervisor, unless it is told not to");
    lab_say(report,
            "%u things that the guest has looked at differ from bare hardware under bt, %u under interp, %u "
            "under trap (the bit by which CPUID admits to a hypervisor apart).",
            count_odd(&run[BT]), count_odd(&run[INTERP]), count_odd(&run[TRAP]));
}

static int look(struct json_object *report, struct error *error)
{
    struct lab_run run[VIEWS] = {0};
    int status = 0;

    for (unsigned v = 0; v < VIEWS && !status; v++) {
        const struct lab_child child = {"visible", views[v].engine, "do=look n=1", views[v].cpu};

        status = lab_run_start(&run[v], &child, error);
        if (!status)
            lab_run_add(report, &child, &run[v]);
        if (!status && run[v].failure[0])
            lab_expect(report, false, "%s: the guest comes to its end, but: %s", views[v].name, run[v].failure);
    }
    if (!status) {
        add_sights(report, run);
        judge_sights(report, run);
    }
    for (unsigned v = 0; v < VIEWS; v++)
        lab_run_free(&run[v]);
    return status;
}

/* --- how long things take --- */

/* What an unprivileged process can time: the others need a kernel. */
static uint64_t time_nothing(void)
{
    uint64_t begin = __builtin_ia32_rdtsc();

    for (unsigned n = OPERATIONS; n; n--)
        __asm__ volatile("" : "+r"(n));
    return __builtin_ia32_rdtsc() - begin;
}

static uint64_t time_rdtsc(void)
{
    uint64_t begin = __builtin_ia32_rdtsc();

    for (unsigned n = OPERATIONS; n; n--)
        __asm__ volatile("rdtsc" : "+r"(n) : : "eax", "edx");
    return __builtin_ia32_rdtsc() - begin;
}

static uint64_t time_cpuid(void)
{
    uint64_t begin = __builtin_ia32_rdtsc();
    unsigned leaf;

    for (unsigned n = OPERATIONS; n; n--) {
        leaf = 0;
        __asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx");
    }
    return __builtin_ia32_rdtsc() - begin;
}

static const struct native {
    const char *name;
    uint64_t (*time)(void);
} natives[TIMED] = {[RDTSC] = {"rdtsc", time_rdtsc}, [CPUID] = {"cpuid", time_cpuid}};

/* In a child process, as a guest. */
static void run_natively(const void *argument)
{
    const struct native *native = argument;
    uint64_t best = UINT64_MAX, empty = UINT64_MAX;

    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t cycles = native->time(), nothing = time_nothing();

        best = cycles < best ? cycles : best;
        empty = nothing < empty ? nothing : empty;
    }
    printf("lab time cycles=%" PRIu64 "\nlab end\n", best > empty ? best - empty : 0);
}

static int put_native_time(const struct native *native, struct json_object *report, struct json_object *row,
                           double *cycles, struct error *error)
{
    const struct lab_child child = {NULL, "native", native->name, NULL};
    struct lab_run run = {.stats = NULL};
    size_t at = 0;
    int status = lab_run_native(&run, run_natively, native, LAB_SECONDS, error);

    if (!status) {
        lab_run_add(report, &child, &run);
        *cycles =
            (double)lab_record_number(lab_records_next(&run.guest, "time", &at), "cycles") / (double)OPERATIONS;
        lab_row_number(row, *cycles);
    }
    lab_run_free(&run);
    return status;
}

static int put_time(const char *name, const struct view *v, struct json_object *report, struct json_object *row,
                    double *cycles, struct error *error)
{
    const struct lab_task_spec spec = {"visible", v->engine, name,
                                       v == &views[TRAP] ? OPERATIONS / 8 : OPERATIONS / 2, false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status) {
        *cycles = m.cycles;
        lab_row_measured(row, &m, m.cycles);
    }
    lab_measured_free(&m);
    return status;
}

static int time_all(struct json_object *report, struct error *error)
{
    static const char *const columns[] = {"what", "a process of the host", "bt", "interp", "trap", NULL};
    static const unsigned order[] = {BT, INTERP, TRAP};
    struct json_object *table = lab_table_add(report, "How long it takes (cycles)", columns);
    double native[TIMED] = {0}, cycles[TIMED][VIEWS] = {0};
    int status = 0;

    for (unsigned i = 0; i < TIMED && !status; i++) {
        struct json_object *row = lab_row_add(table, timed[i]);

        if (natives[i].time)
            status = put_native_time(&natives[i], report, row, &native[i], error);
        else
            lab_row_none(row);
        for (unsigned k = 0; k < 3 && !status; k++)
            status = put_time(timed[i], &views[order[k]], report, row, &cycles[i][order[k]], error);
    }
    lab_plot_add(report, "Cycles each", "cycles", 1, 4);
    if (!status && native[RDTSC] > 0 && native[CPUID] > 0)
        lab_say(report,
                "RDTSC takes %.0f cycles in a process of this host, %.0f under bt and %.0f under trap; CPUID "
                "takes %.0f, %.0f and %.0f. Where every answer is right, this is what is left to tell a monitor "
                "by.",
                native[RDTSC], cycles[RDTSC][BT], cycles[RDTSC][TRAP], native[CPUID], cycles[CPUID][BT],
                cycles[CPUID][TRAP]);
    return status;
}

static int run(struct json_object *report, struct error *error)
{
    int status = look(report, error);

    return status ? status : time_all(report, error);
}

const struct lab_experiment lab_visible = {
    .name = "visible",
    .title = "what a guest can and cannot see of novt",
    .question =
        "An instruction may tell about the machine by what it answers, or by how long it takes. What does a "
        "guest find that looks for the monitor below it, and what would it have found on bare hardware?",
    .run = run,
};
