/*
 * engine_trap.c - trap-and-emulate as an engine.
 *
 * Interface: engine.h. Everything of substance is in trap/.
 */
#include "vmm/engine.h"

#include <errno.h>

#include "translator/dump.h"
#include "translator/effects.h"
#include "vmm/machine.h"

#define TOLD 16 /* differences that are printed of each instruction; those behind them are counted */

static int parse(struct engine_options *options, const char *properties, struct error *error)
{
    return trap_parse_options(&options->trap, properties, error);
}

/* Of each kind of instruction the first time, with check=continue. */
static void report(void *opaque, const struct trap_difference *d)
{
    if (d->count > (d->name ? 1 : TOLD))
        return;
    fprintf(stderr, "novt: under trap-and-emulate the guest goes wrong here, at CPL %u:\n", d->cpl);
    dump_code(stderr, d->code, d->size, d->address, d->bits);
    fprintf(stderr, "%s", d->text);
    if (d->name)
        fprintf(stderr, "  %s is sensitive, and does not trap: %s\n", d->name, d->why);
}

static int create(struct machine *m, struct error *error)
{
    struct trap_options *o = &m->engine_options.trap;
    struct trap *t;
    int status;

    o->undefined_flags = effects_undefined_flags;
    o->memory_effects = effects_memory;
    o->report = report;
    o->opaque = m;
    status = trap_create(&t, m->vcpu, o, error);
    m->engine_state = t;
    return status;
}

static void destroy(struct machine *m)
{
    trap_destroy(m->engine_state);
    m->engine_state = NULL;
}

static int enter(struct machine *m, struct error *error)
{
    return trap_enter(m->engine_state, error);
}

static void leave(struct machine *m)
{
    trap_leave(m->engine_state);
}

static void run(struct machine *m, struct vcpu *v)
{
    if (trap_run(m->engine_state, &m->error))
        machine_fail(m, NULL);
}

static void add(void *stats, const char *name, uint64_t value)
{
    stats_add(stats, name, value);
}

static void stats(const struct machine *m, struct stats *to)
{
    trap_count(m->engine_state, add, to);
}

const struct engine engine_trap = {
    .name = "trap",
    .help = "trap-and-emulate: wrong where x86 is not virtualizable",
    .parse = parse,
    .create = create,
    .destroy = destroy,
    .enter = enter,
    .leave = leave,
    .run = run,
    .kick = trap_kick,
    .stats = stats,
};
