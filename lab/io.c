/*
 * io.c - the experiment `io`: what a byte costs through devices of different manners.
 *
 * Interface: experiments.h; its guest is guest/io.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"

#include <stdio.h>

static const char *const engines[] = {"bt", "interp"};
#define ENGINES (sizeof engines / sizeof *engines)

/* bytes: so many that a run of it takes some milliseconds. */
static const struct way {
    const char *task, *device, *manner;
    unsigned bytes;
    bool reads; /* fw_cfg's item, whose sum is known to be the same */
} ways[] = {
    {"serial-poll", "serial port (16550)", "IN of the status, OUT, for each byte", 2048, false},
    {"serial-blind", "serial port (16550)", "OUT for each byte", 2048, false},
    {"debug-out", "debug port", "OUT for each byte", 2048, false},
    {"debug-rep", "debug port", "one REP OUTSB", 4096, false},
    {"fwcfg-in", "fw_cfg", "IN for each byte", 2048, true},
    {"fwcfg-rep", "fw_cfg", "one REP INSB", 4096, true},
    {"fwcfg-dma", "fw_cfg", "one request for all (paravirtual)", 8192, true},
};
#define WAYS (sizeof ways / sizeof *ways)

struct result {
    bool right;
    double cycles, accesses, exits;
    uint64_t sum;
};

static uint64_t sum_of(const struct lab_measured *m)
{
    size_t at = 0;

    return lab_record_number(lab_records_next(&m->run[1].guest, "sum", &at), "value");
}

/* A run of the translator is entered again after each exit; for the interpreter each instruction is one. */
static int measure(const struct way *w, const char *engine, struct json_object *report, struct json_object *table,
                   struct result *result, struct error *error)
{
    struct lab_measured m;
    int status = lab_measure(&m, &(struct lab_task_spec){"io", engine, w->task, w->bytes}, report, error);
    struct json_object *row;
    char label[80];

    if (!status) {
        *result = (struct result){m.right, m.cycles,
                                  lab_measured_count(&m, "io_reads") + lab_measured_count(&m, "io_writes"),
                                  lab_measured_count(&m, "interpreted"), sum_of(&m)};
        snprintf(label, sizeof label, "%s: %s", w->device, w->manner);
        row = lab_row_add(table, label);
        lab_row_text(row, engine);
        lab_row_measured(row, &m, m.cycles);
        lab_row_measured(row, &m, result->accesses);
        lab_row_measured(row, &m, result->exits);
    }
    lab_measured_free(&m);
    return status;
}

static int run(struct json_object *report, struct error *error)
{
    static const char *const columns[] = {"way", "engine", "cycles a byte", "port accesses a byte", "emulated instructions a byte", NULL};
    struct json_object *table = lab_table_add(report, "One byte", columns);
    struct result r[ENGINES][WAYS];
    int status = 0;

    for (unsigned e = 0; e < ENGINES && !status; e++)
        for (unsigned w = 0; w < WAYS && !status; w++)
            status = measure(&ways[w], engines[e], report, table, &r[e][w], error);
    return status;
}

const struct lab_experiment lab_io = {
    .name = "io",
    .title = "emulated devices against paravirtual requests, for the same bytes",
    .question = "A device that was made for wires is told one byte at a time, and each access is an exit from the guest's "
                "code. How much of that is left when the guest hands over many bytes at once, in a manner made for virtual "
                "machines?",
    .run = run,
};
