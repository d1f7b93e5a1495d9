/*
 * shadow.c - the experiment `shadow`: what page faults, context switches and changes of page tables cost, by the way an
 * engine keeps its own translations.
 *
 * Interface: experiments.h; its guest is guest/shadow.c.
 */
#include "lab/experiments.h"
#include "lab/measure.h"
#include "lab/shadow_tables.h"

#define FEW 0.01
#define SPACE_PAGES 8    /* a program uses in its turn (guest/shadow.c) */

enum { LOAD, FAULT, SWITCH, PTE_FLUSH, PTE_STORE, EVENTS };
enum { INTERP, TLB, WINDOW, TIERS };

static const struct {
    const char *name, *engine;
} tiers[TIERS] = {[INTERP] = {"interp", "interp"}, [TLB] = {"tier=tlb", "bt,tier=tlb"}, [WINDOW] = {"tier=window", "bt,tier=window"}};

static const struct event {
    const char *task, *label;
    unsigned operations;
} events[EVENTS] = {
    [LOAD] = {"load", "a load from a known page, in a chain", 64000},
    [FAULT] = {"fault", "a page fault, handled by the guest", 500},
    [SWITCH] = {"switch", "a switch of address spaces, 8 pages each", 50},
    [PTE_FLUSH] = {"pte-flush", "an entry changed, INVLPG, a load", 200},
    [PTE_STORE] = {"pte-store", "an entry changed, nothing flushed", 20000},
};

struct result {
    bool right;
    double cycles, faults, walks, tlb_fills, window_fills, host_faults;
};

/* --- costs --- */

static int measure(unsigned event, unsigned tier, struct json_object *report, struct result *r,
                   struct error *error)
{
    const struct event *e = &events[event];
    const struct lab_task_spec spec = {"shadow", tiers[tier].engine, e->task, e->operations, false};
    struct lab_measured m;
    int status = lab_measure(&m, &spec, report, error);

    if (!status)
        *r = (struct result){m.right, m.right ? m.cycles : -1, lab_measured_count(&m, "exception_pf"),
                             lab_measured_count(&m, "page_walks"), lab_measured_count(&m, "tlb_fills"),
                             tier == WINDOW ? lab_measured_count(&m, "window_fills") : -1,
                             tier == INTERP ? -1 : lab_measured_count(&m, "window_signals")};
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

static void add_costs(struct json_object *report, struct result r[EVENTS][TIERS])
{
    static const char *const columns[] = {"event", "interp", "tier=tlb", "tier=window", NULL};
    struct json_object *table = lab_table_add(report, "Cycles an event", columns);

    for (unsigned e = 0; e < EVENTS; e++) {
        struct json_object *row = lab_row_add(table, events[e].label);

        for (unsigned t = 0; t < TIERS; t++)
            put_number(row, r[e][t].cycles);
    }
    lab_plot_add(report, "Cycles an event", "cycles", 1, TIERS);
}

static void add_counts(struct json_object *report, struct result r[EVENTS][TIERS])
{
    static const char *const columns[] = {"event", "engine", "guest's faults", "walks", "TLB fills", "window fills",
                                          "host's faults", NULL};
    struct json_object *table = lab_table_add(report, "What happened, an event", columns);

    for (unsigned e = 0; e < EVENTS; e++)
        for (unsigned t = 0; t < TIERS; t++) {
            struct json_object *row = lab_row_add(table, events[e].label);

            lab_row_text(row, tiers[t].name);
            put_number(row, r[e][t].faults);
            put_number(row, r[e][t].walks);
            put_number(row, r[e][t].tlb_fills);
            put_number(row, r[e][t].window_fills);
            put_number(row, r[e][t].host_faults);
        }
}

static void judge_costs(struct json_object *report, struct result r[EVENTS][TIERS])
{
    for (unsigned t = 0; t < TIERS; t++) {
        lab_expect(report, r[FAULT][t].faults == 1 && r[PTE_FLUSH][t].faults < FEW && r[SWITCH][t].faults < FEW,
                   "%s: the guest's handler runs once for a missing page, and for nothing else", tiers[t].name);
        lab_expect(report, r[PTE_FLUSH][t].walks >= 1 && r[PTE_STORE][t].walks < FEW,
                   "%s: an entry is read again when it has been flushed, and a store to it alone costs no walk",
                   tiers[t].name);
        lab_expect(report, r[SWITCH][t].tlb_fills >= SPACE_PAGES,
                   "%s: behind a switch of address spaces each page is filled again", tiers[t].name);
    }
    lab_expect(report, r[FAULT][WINDOW].host_faults >= 1 && r[FAULT][TLB].host_faults < FEW,
               "a page that is missing is found by the host's processor in a window, by a lookup in the TLB tier");
    lab_expect(report, r[SWITCH][WINDOW].window_fills >= SPACE_PAGES && r[LOAD][WINDOW].window_fills < FEW,
               "a window is filled page by page behind a switch, and not touched by loads from known pages");
}

static void tell_costs(struct json_object *report, struct result r[EVENTS][TIERS])
{
    for (unsigned e = 0; e < EVENTS; e++)
        for (unsigned t = 0; t < TIERS; t++)
            if (!r[e][t].right || (e != PTE_STORE && r[e][t].cycles <= 0))
                return;
    lab_say(report,
            "A load from a known page in a chain takes %.1f cycles in a window, %.1f through the TLB's lookup and %.0f "
            "interpreted.",
            r[LOAD][WINDOW].cycles, r[LOAD][TLB].cycles, r[LOAD][INTERP].cycles);
    lab_say(report,
            "A page fault costs %.1f times as much with a window as without, a switch of address spaces %.0f times, a "
            "changed entry %.0f times: a window's pages are the host's mappings, each made by a call of the host's kernel "
            "behind a fault of the host's processor.",
            r[FAULT][WINDOW].cycles / r[FAULT][TLB].cycles, r[SWITCH][WINDOW].cycles / r[SWITCH][TLB].cycles,
            r[PTE_FLUSH][WINDOW].cycles / r[PTE_FLUSH][TLB].cycles);
    lab_say(report,
            "A store to a page-table entry takes %.0f cycles with a window: no engine watches the tables, as the "
            "architecture lets it keep old entries until the guest flushes them.",
            r[PTE_STORE][WINDOW].cycles);
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
    for (unsigned t = TLB; t < TIERS && !status; t++)
        status = lab_shadow_draw(report, tiers[t].name, tiers[t].engine, t == WINDOW ? "window" : "user", error);
    return status;
}

const struct lab_experiment lab_shadow = {
    .name = "shadow",
    .title = "page tables and their shadows: faults, switches, changed entries",
    .question = "The guest has page tables of its own, which the processor does not use; novt keeps translations by them, "
                "in a software TLB or in the host's page tables (a window). What do a fault, a switch of address spaces "
                "and a changed entry cost in each, and what do guest and novt have for the same pages?",
    .run = run,
};
