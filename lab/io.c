/*
 * io.c - the experiment `io`: what a byte costs through devices of different manners.
 *
 * Interface: experiments.h; its guest is guest/io.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"

#include <string.h>

#define TRAP_SHARE 8 /* of the bytes: an exit is dear there */
#define NO_EXIT 0.01 /* exits a byte: what is below is not due to the bytes */

enum { SERIAL_POLL, SERIAL_BLIND, DEBUG_OUT, DEBUG_REP, FWCFG_IN, FWCFG_REP, FWCFG_DMA, WAYS };

/* bytes: so many that a run of it takes some milliseconds. */
static const struct way {
    const char *task, *label;
    unsigned bytes;
    bool each; /* an exit for each byte */
} ways[WAYS] = {
    [SERIAL_POLL] = {"serial-poll", "serial port: IN status, OUT", 256, true},
    [SERIAL_BLIND] = {"serial-blind", "serial port: OUT", 256, true},
    [DEBUG_OUT] = {"debug-out", "debug port: OUT", 256, true},
    [DEBUG_REP] = {"debug-rep", "debug port: REP OUTSB", 512},
    [FWCFG_IN] = {"fwcfg-in", "fw_cfg: IN", 512, true},
    [FWCFG_REP] = {"fwcfg-rep", "fw_cfg: REP INSB", 4096},
    [FWCFG_DMA] = {"fwcfg-dma", "fw_cfg: one request", 8192},
};

enum { BT, INTERP, TRAP, ENGINES };
static const char *const engines[ENGINES] = {[BT] = "bt", [INTERP] = "interp", [TRAP] = "trap"};

struct result {
    bool right;
    double cycles, accesses, exits;
    uint64_t sum; /* of what was read */
};

static uint64_t sum_of(const struct lab_measured *m)
{
    size_t at = 0;

    return lab_record_number(lab_records_next(&m->run[1].guest, "sum", &at), "value");
}

static void add_row(struct json_object *table, const struct way *w, const char *engine,
                    const struct lab_measured *m, const struct result *r)
{
    struct json_object *row = lab_row_add(table, w->label);

    lab_row_text(row, engine);
    lab_row_measured(row, m, r->cycles);
    lab_row_measured(row, m, r->accesses);
    lab_row_measured(row, m, r->exits);
}

static int measure(const struct way *w, const char *engine, struct json_object *report, struct json_object *table,
                   struct result *r, struct error *error)
{
    const struct lab_task_spec spec = {"io", engine, w->task,
                                       w->bytes / (w->each && !strcmp(engine, "trap") ? TRAP_SHARE : 1), false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status) {
        *r = (struct result){m.right, m.cycles,
                             lab_measured_count(&m, "io_reads") + lab_measured_count(&m, "io_writes"),
                             lab_measured_exits(&m, engine), sum_of(&m)};
        add_row(table, w, engine, &m, r);
    }
    lab_measured_free(&m);
    return status;
}

/* r[engine][way] */
static void judge(struct json_object *report, struct result (*r)[WAYS])
{
    bool same = true, doubled = true, each = true, less = true;

    for (unsigned e = 0; e < ENGINES; e++) {
        const struct result *in = &r[e][FWCFG_IN], *rep = &r[e][FWCFG_REP], *dma = &r[e][FWCFG_DMA];

        same = same && in->sum && in->sum == rep->sum && in->sum == dma->sum;
        doubled = doubled && r[e][SERIAL_POLL].accesses == 2 && r[e][SERIAL_BLIND].accesses == 1;
        each = each && in->accesses == 1 && rep->accesses == 1 && dma->right && dma->accesses == 0;
        less = less && (in->exits < 0 || in->exits >= 1) && rep->exits < NO_EXIT && dma->exits < NO_EXIT;
    }
    lab_expect(report, same, "the three ways to read fw_cfg give the same bytes, under every engine");
    lab_expect(report, doubled, "asking for the status first doubles the accesses a byte");
    lab_expect(report, each, "IN and REP INSB access the port for each byte, a request does not");
    lab_expect(report, less, "IN leaves the guest's code for each byte, REP INSB and a request do not");
}

static void tell(struct json_object *report, const char *engine, const struct result *r)
{
    if (r[FWCFG_IN].exits < 0 || !r[FWCFG_IN].right || !r[FWCFG_REP].right || !r[FWCFG_DMA].right ||
        r[FWCFG_DMA].cycles <= 0)
        return;
    lab_say(report,
            "Under %s a byte from fw_cfg costs %.0f cycles by IN, %.0f in a REP INSB, and %.2f in a request: one "
            "exit for many bytes makes them %.1f times as cheap, one access for all of them %.0f times.",
            engine, r[FWCFG_IN].cycles, r[FWCFG_REP].cycles, r[FWCFG_DMA].cycles,
            r[FWCFG_IN].cycles / r[FWCFG_REP].cycles, r[FWCFG_IN].cycles / r[FWCFG_DMA].cycles);
}

static int run(struct json_object *report, struct error *error)
{
    static const char *const columns[] = {"way", "engine", "cycles", "port accesses", "exits", NULL};
    struct json_object *table = lab_table_add(report, "A byte", columns);
    struct result r[ENGINES][WAYS] = {0};
    int status = 0;

    for (unsigned e = 0; e < ENGINES && !status; e++) {
        for (unsigned w = 0; w < WAYS && !status; w++)
            status = measure(&ways[w], engines[e], report, table, &r[e][w], error);
        tell(report, engines[e], r[e]);
    }
    lab_plot_add(report, "Cycles a byte", "cycles", 2, 2);
    judge(report, r);
    return status;
}

const struct lab_experiment lab_io = {
    .name = "io",
    .title = "emulated devices and paravirtual requests, for the same bytes",
    .question =
        "A device that was made for wires is told one byte at a time, and each access is an exit from the "
        "guest's code. How much of that is left when the guest hands over many bytes at once, in a manner made "
        "for virtual machines?",
    .run = run,
};
