/*
 * shadow.c - the experiment `shadow`: what page faults, context switches and changes of page tables cost, by the
 * way an engine keeps its own translations.
 *
 * Interface: experiments.h; its guest is guest/shadow.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"
#include "lab/shadow_tables.h"

#define FEW 0.01
#define SPACE_PAGES 8 /* a program uses in its turn (guest/shadow.c) */

enum { LOAD, FAULT, SWITCH, PTE_FLUSH, PTE_STORE, EVENTS };
enum { INTERP, TLB, WINDOW, TRAP, TIERS };

static const struct {
    const char *name, *engine;
    const char *mappings, *host_faults; /* counters; NULL: there is no such thing */
    unsigned share;                     /* of the operations: what is dear is done less often */
} tiers[TIERS] = {
    [INTERP] = {"interp", "interp", NULL, NULL, 4},
    [TLB] = {"tier=tlb", "bt,tier=tlb", NULL, "window_signals", 1},
    [WINDOW] = {"tier=window", "bt,tier=window", "window_fills", "window_signals", 1},
    [TRAP] = {"trap", "trap", "trap_pages_mapped", "trap_native_runs", 2},
};

static const struct event {
    const char *task, *label;
    unsigned operations;
} events[EVENTS] = {
    [LOAD] = {"load", "a load from a known page, in a chain", 6400},
    [FAULT] = {"fault", "a page fault, handled by the guest", 48},
    [SWITCH] = {"switch", "a switch of address spaces, 8 pages each", 8},
    [PTE_FLUSH] = {"pte-flush", "an entry changed, INVLPG, a load", 48},
    [PTE_STORE] = {"pte-store", "an entry changed, nothing flushed", 4000},
};

struct result {
    bool right;
    double cycles, faults, walks, fills, mappings, host_faults;
};

/* --- costs --- */

static double count(const struct lab_measured *m, const char *counter)
{
    return counter ? lab_measured_count(m, counter) : -1;
}

static int measure(unsigned event, unsigned tier, struct json_object *report, struct result *r,
                   struct error *error)
{
    const struct event *e = &events[event];
    const struct lab_task_spec spec = {"shadow", tiers[tier].engine, e->task, e->operations / tiers[tier].share,
                                       false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status)
        *r = (struct result){m.right,
                             m.right ? m.cycles : -1,
                             count(&m, "exception_pf"),
                             count(&m, "page_walks"),
                             count(&m, "tlb_fills"),
                             count(&m, tiers[tier].mappings),
                             count(&m, tiers[tier].host_faults)};
    lab_measured_free(&m);
    return status;
}

static void put_number(struct json_object *row, double value)
{
    if (value >= 0)
        lab_row_number(row, value);
    else
        lab_row_none(row);
}

static void add_costs(struct json_object *report, struct result (*r)[TIERS])
{
    static const char *const columns[] = {"event", "interp", "tier=tlb", "tier=window", "trap", NULL};
    struct json_object *table = lab_table_add(report, "Cycles an event", columns);

    for (unsigned e = 0; e < EVENTS; e++) {
        struct json_object *row = lab_row_add(table, events[e].label);

        for (unsigned t = 0; t < TIERS; t++)
            put_number(row, r[e][t].cycles);
    }
    lab_plot_add(report, "Cycles an event", "cycles", 1, TIERS);
}

static void add_counts(struct json_object *report, struct result (*r)[TIERS])
{
    static const char *const columns[] = {"event",     "engine",        "guest's faults", "walks",
                                          "TLB fills", "host mappings", "host faults",    NULL};
    struct json_object *table = lab_table_add(report, "What happened, an event", columns);

    for (unsigned e = 0; e < EVENTS; e++)
        for (unsigned t = 0; t < TIERS; t++) {
            struct json_object *row = lab_row_add(table, events[e].label);

            lab_row_text(row, tiers[t].name);
            put_number(row, r[e][t].faults);
            put_number(row, r[e][t].walks);
            put_number(row, r[e][t].fills);
            put_number(row, r[e][t].mappings);
            put_number(row, r[e][t].host_faults);
        }
}

static void judge_costs(struct json_object *report, struct result (*r)[TIERS])
{
    bool once = true, walked = true, unwatched = true, filled = true;

    for (unsigned t = 0; t < TIERS; t++) {
        once = once && r[FAULT][t].faults == 1 && r[PTE_FLUSH][t].faults < FEW && r[SWITCH][t].faults < FEW;
        walked = walked && r[PTE_FLUSH][t].walks >= 1;
        unwatched = unwatched && r[PTE_STORE][t].right && r[PTE_STORE][t].walks < FEW;
        filled = filled && r[SWITCH][t].fills >= SPACE_PAGES;
    }
    lab_expect(report, once,
               "the guest's handler runs once for a missing page, and for nothing else, in every tier");
    lab_expect(report, walked, "an entry is read again behind INVLPG");
    lab_expect(report, unwatched, "a store to an entry, by itself, is nobody's business");
    lab_expect(report, filled, "behind a switch of address spaces each page is filled again");
    lab_expect(
        report,
        r[FAULT][WINDOW].host_faults >= 1 && r[FAULT][TRAP].host_faults >= 1 && r[FAULT][TLB].host_faults < FEW,
        "a missing page is found by the host's processor in a window and under trap, by a lookup in the TLB tier");
    lab_expect(report,
               r[SWITCH][WINDOW].mappings >= SPACE_PAGES && r[SWITCH][TRAP].mappings >= SPACE_PAGES &&
                   r[LOAD][WINDOW].right && r[LOAD][WINDOW].mappings < FEW,
               "host mappings are made page by page behind a switch, and none for loads from known pages");
}

static bool known(const struct result *r)
{
    return r->right && r->cycles > 0;
}

static void tell_costs(struct json_object *report, struct result (*r)[TIERS])
{
    const struct result *fault = r[FAULT], *change = r[SWITCH], *flush = r[PTE_FLUSH], *store = r[PTE_STORE];

    if (known(&r[LOAD][WINDOW]) && known(&r[LOAD][TLB]) && known(&r[LOAD][INTERP]))
        lab_say(report,
                "A load from a known page in a chain takes %.1f cycles in a window, %.1f through the TLB's lookup "
                "and %.0f interpreted.",
                r[LOAD][WINDOW].cycles, r[LOAD][TLB].cycles, r[LOAD][INTERP].cycles);
    if (known(&fault[TLB]) && known(&change[TLB]) && known(&flush[TLB]))
        lab_say(report,
                "A page fault costs %.1f times as much with a window as without, a switch of address spaces %.0f "
                "times, a changed entry %.0f times.",
                fault[WINDOW].cycles / fault[TLB].cycles, change[WINDOW].cycles / change[TLB].cycles,
                flush[WINDOW].cycles / flush[TLB].cycles);
    if (change[WINDOW].right && store[WINDOW].right)
        lab_say(
            report,
            "Behind a switch the host's processor faulted %.0f times, and its kernel made %.0f mappings; behind a "
            "store to an entry %.0f times, and %.0f: novt does not watch the guest's tables, as the architecture "
            "lets it keep old entries until the guest flushes them.",
            change[WINDOW].host_faults, change[WINDOW].mappings, store[WINDOW].host_faults,
            store[WINDOW].mappings);
}

static int run(struct json_object *report, struct error *error)
{
    struct result r[EVENTS][TIERS] = {0};
    int status = 0;

    for (unsigned e = 0; e < EVENTS && !status; e++)
        for (unsigned t = 0; t < TIERS && !status; t++)
            status = measure(e, t, report, &r[e][t], error);
    if (status)
        return status;
    add_costs(report, r);
    add_counts(report, r);
    judge_costs(report, r);
    tell_costs(report, r);
    for (unsigned t = TLB; t <= WINDOW && !status; t++)
        status = lab_shadow_draw(report, tiers[t].name, tiers[t].engine, t == WINDOW ? "window" : "user", error);
    return status;
}

const struct lab_experiment lab_shadow = {
    .name = "shadow",
    .title = "page tables and their shadows: faults, switches, changed entries",
    .question =
        "The guest has page tables of its own, which the processor does not use; novt keeps translations by "
        "them, in a software TLB or in the host's page tables (a window). What do a fault, a switch of address "
        "spaces and a changed entry cost in each, and what do guest and novt have for the same pages?",
    .run = run,
};
