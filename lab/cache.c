/*
 * cache.c - the experiment `cache`: what translated code costs when it is new, known, chained, and changed.
 *
 * Interface: experiments.h; its guest is guest/cache.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"

#define RING 32 /* jumps that are one operation of the task (guest/cache.c) */
#define FEW 0.01

enum {
    COLD,
    WARM,
    INTERPRETED,
    CHAINED,
    UNCHAINED,
    CACHED,
    UNCACHED,
    PREDICTED,
    UNPREDICTED,
    PATCHED,
    RETRANSLATED,
    REVIVED,
    BESIDE,
    STEPS
};

static const struct step {
    const char *label, *engine, *task;
    unsigned operations, parts; /* parts: of an operation, that the table is about */
} steps[STEPS] = {
    [COLD] = {"a call of new code", "bt", "cold", 200, 1},
    [WARM] = {"a call of known code", "bt", "warm", 8192, 1},
    [INTERPRETED] = {"the same, interpreted", "interp", "warm", 512, 1},
    [CHAINED] = {"a direct jump, chained", "bt", "ring", 5000, RING},
    [UNCHAINED] = {"the same, not chained", "bt,chain=off", "ring", 200, RING},
    [CACHED] = {"a call through a register, target cached", "bt", "indirect", 10000, 1},
    [UNCACHED] = {"the same, not cached", "bt,jump-cache=off", "indirect", 5000, 1},
    [PREDICTED] = {"a call and its return, predicted", "bt", "direct-call", 20000, 1},
    [UNPREDICTED] = {"the same, not predicted", "bt,return-stack=off", "direct-call", 20000, 1},
    [PATCHED] = {"a call of code whose operand has changed", "bt", "smc-new", 1000, 1},
    [RETRANSLATED] = {"the same, translated anew", "bt,patch=off", "smc-new", 100, 1},
    [REVIVED] = {"a call of code written with the same bytes", "bt", "smc-same", 500, 1},
    [BESIDE] = {"a call of code beside data that is written", "bt", "smc-data", 1000, 1},
};

struct result {
    bool right;
    double cycles, blocks, lookups, dropped, writes;
};

static int measure(const struct step *s, struct json_object *report, struct json_object *table, struct result *r,
                   struct error *error)
{
    const struct lab_task_spec spec = {"cache", s->engine, s->task, s->operations, false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);
    bool translates = s->engine[0] == 'b';

    if (!status) {
        struct json_object *row = lab_row_add(table, s->label);

        *r = (struct result){m.right,
                             m.cycles / s->parts,
                             lab_measured_count(&m, "blocks") / s->parts,
                             lab_measured_count(&m, "lookups") / s->parts,
                             lab_measured_count(&m, "invalidated_blocks") / s->parts,
                             lab_measured_count(&m, "code_writes") / s->parts};
        lab_row_text(row, s->engine);
        lab_row_measured(row, &m, r->cycles);
        lab_row_measured(row, &m, translates ? r->blocks : -1);
        lab_row_measured(row, &m, translates ? r->lookups : -1);
        lab_row_measured(row, &m, translates ? r->dropped : -1);
        lab_row_measured(row, &m, translates ? r->writes : -1);
    }
    lab_measured_free(&m);
    return status;
}

static void judge(struct json_object *report, const struct result *r)
{
    lab_expect(report, r[COLD].blocks >= 1 - FEW && r[WARM].blocks < FEW,
               "new code is translated when it is first called, known code is not again");
    lab_expect(report, r[CHAINED].lookups < FEW && r[UNCHAINED].lookups >= 1 - FEW,
               "a chained jump needs no lookup, without chaining each needs one");
    lab_expect(report, r[CACHED].lookups < FEW && r[UNCACHED].lookups >= 1 - FEW,
               "a jump through a register finds its target without a lookup only with the jump cache");
    lab_expect(report, r[PREDICTED].lookups < FEW, "a direct call and its return need no lookup");
    lab_expect(report, r[RETRANSLATED].dropped >= 1 - FEW && r[RETRANSLATED].blocks >= 1 - FEW,
               "code that has changed is dropped and translated anew, where nothing adapts to it");
    lab_expect(report, r[PATCHED].writes >= 1 - FEW && r[PATCHED].blocks < FEW && r[PATCHED].dropped < FEW,
               "with patch=on the operand is loaded when it is used: writes to it drop nothing");
    lab_expect(report, r[REVIVED].dropped >= 1 - FEW && r[REVIVED].blocks < FEW,
               "code that is written with the same bytes is dropped, but comes back without being translated");
    lab_expect(report, r[BESIDE].writes >= 1 - FEW && r[BESIDE].dropped < FEW,
               "a write to data beside code is seen, but drops nothing");
}

static void tell(struct json_object *report, const struct result *r)
{
    for (unsigned i = 0; i < STEPS; i++)
        if (!r[i].right || r[i].cycles <= 0)
            return;
    lab_say(report,
            "Translating makes the first call %.0f times as dear as later ones, which take %.1f cycles; the "
            "interpreter needs %.0f for each, so translating has paid after %.0f calls.",
            r[COLD].cycles / r[WARM].cycles, r[WARM].cycles, r[INTERPRETED].cycles,
            r[INTERPRETED].cycles > r[WARM].cycles ? r[COLD].cycles / (r[INTERPRETED].cycles - r[WARM].cycles)
                                                   : 0);
    lab_say(report, "A jump takes %.2f cycles chained and %.0f without; a call through a register %.1f and %.0f.",
            r[CHAINED].cycles, r[UNCHAINED].cycles, r[CACHED].cycles, r[UNCACHED].cycles);
    lab_say(report,
            "Code whose operand changes before each call takes %.0f cycles translated anew each time, and %.0f "
            "once the translator has noticed and loads the operand; written with its own bytes %.0f; data beside "
            "it %.0f.",
            r[RETRANSLATED].cycles, r[PATCHED].cycles, r[REVIVED].cycles, r[BESIDE].cycles);
}

static int run(struct json_object *report, struct error *error)
{
    static const char *const columns[] = {"what",      "engine",  "cycles",      "translated",
                                          "looked up", "dropped", "code writes", NULL};
    struct json_object *table = lab_table_add(report, "Each time", columns);
    struct result r[STEPS] = {0};
    int status = 0;

    for (unsigned i = 0; i < STEPS && !status; i++)
        status = measure(&steps[i], report, table, &r[i], error);
    lab_plot_add(report, "Cycles each time", "cycles", 2, 2);
    judge(report, r);
    tell(report, r);
    return status;
}

const struct lab_experiment lab_cache = {
    .name = "cache",
    .title = "the code cache: cold, warm, chained, invalidated",
    .question =
        "Translated code is kept, so its cost is paid once; but code has to be found again, and may change. What "
        "does each of these cost, and which of novt's ways to avoid it works?",
    .run = run,
};
