/*
 * engine.c - the table of engines, and the plain one: the interpreter.
 *
 * Interface: engine.h. The first row is the default of -accel. Invariant of run: it comes back soon after
 * v->exit_request is set, and whenever an interrupt can be taken.
 */
#include "vmm/engine.h"

#include <errno.h>
#include <string.h>

#include "cpu/system.h"
#include "vmm/debug.h"
#include "vmm/machine.h"
#include "vmm/text.h"

static const struct engine *const engine_table[] = {
    &engine_bt,
    &engine_interp,
    &engine_trap,
};
#define ENGINES (sizeof engine_table / sizeof engine_table[0])

int engine_parse(const struct engine **engine, struct engine_options *options, const char *spec,
                 struct error *error)
{
    const char *names[ENGINES], *near;
    char name[64];

    translator_default_options(&options->bt);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(spec ? spec : "", ","), spec ? spec : "");
    *engine = spec ? NULL : engine_table[0];
    for (unsigned i = 0; i < ENGINES; i++) {
        names[i] = engine_table[i]->name;
        if (!strcmp(names[i], name))
            *engine = engine_table[i];
    }
    if (!*engine) {
        near = text_nearest(name, names, ENGINES, sizeof names[0]);
        return error_set(error, EINVAL,
                         "-accel %s: no such engine%s%s; use bt (binary translation), interp or trap", name,
                         near ? "; did you mean " : "", near ? near : "");
    }
    return (*engine)->parse(options, spec && strchr(spec, ',') ? strchr(spec, ',') + 1 : "", error);
}

/* --- the interpreter --- */

#define INTERP_BATCH 4096

static int interp_parse(struct engine_options *options, const char *properties, struct error *error)
{
    if (*properties)
        return error_set(error, EINVAL, "-accel interp,%s: the interpreter has no properties; use -accel interp",
                         properties);
    return 0;
}

static int interp_create(struct machine *machine, struct error *error)
{
    return 0;
}

static void interp_destroy(struct machine *machine)
{
}

static int interp_enter(struct machine *machine, struct error *error)
{
    return 0;
}

static void interp_run(struct machine *machine, struct vcpu *v)
{
    bool has_breakpoints = machine->debug.count;
    const bool told = tracer_wants_enters(&machine->tracer);

    v->exit.reason = EXIT_REQUEST;
    for (unsigned i = 0; i < INTERP_BATCH; i++) {
        if (told)
            tracer_enters(&machine->tracer, v);
        if (cpu_step(v) == CPU_EXIT)
            return;
        if (atomic_load_explicit(&v->exit_request, memory_order_relaxed))
            return;
        if (has_breakpoints && debug_is_at_breakpoint(machine))
            return;
        /* It was held off by IF or a shadow when it came; now it may be due. */
        if ((atomic_load_explicit(&v->interrupt_line, memory_order_relaxed) ||
             atomic_load_explicit(&v->nmi_pending, memory_order_relaxed)) &&
            cpu_interrupt_ready(v))
            return;
    }
}

/* interp_run looks at machine->debug itself. */
static int interp_set_breakpoints(struct machine *machine, const gva_t *address, unsigned count)
{
    return 0;
}

const struct engine engine_interp = {
    .name = "interp",
    .help = "an interpreter: slow, simple, the reference",
    .parse = interp_parse,
    .create = interp_create,
    .destroy = interp_destroy,
    .enter = interp_enter,
    .leave = interp_destroy,
    .run = interp_run,
    .set_breakpoints = interp_set_breakpoints,
};
