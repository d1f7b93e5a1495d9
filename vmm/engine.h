/*
 * engine.h - the ways to run guest code, behind one table: -accel NAME.
 */
#ifndef NOVT_VMM_ENGINE_H
#define NOVT_VMM_ENGINE_H

#include "cpu/vcpu.h"
#include "memory/error.h"
#include "translator/translator.h"
#include "trap/trap.h"
#include "vmm/stats.h"

struct machine;

struct engine_options {
    struct translator_options bt;
    struct trap_options trap;
};

struct engine {
    const char *name, *help;
    /* What follows the name and a comma in -accel; "" for nothing. */
    int (*parse)(struct engine_options *options, const char *properties, struct error *error);
    int (*create)(struct machine *machine, struct error *error); /* the vCPU is there */
    void (*destroy)(struct machine *machine);
    int (*enter)(struct machine *machine, struct error *error); /* on the vCPU thread, first and last */
    void (*leave)(struct machine *machine);
    /* Runs until the machine is needed; v->exit.reason says what for. SIMD state is saved on return. */
    void (*run)(struct machine *machine, struct vcpu *v);
    void (*kick)(struct vcpu *v);            /* any thread, after v->exit_request was set; may be NULL */
    void (*forget)(struct machine *machine); /* all code may have changed behind its back; may be NULL */
    void (*stats)(const struct machine *machine, struct stats *stats); /* may be NULL */
    /* From now on `run` comes back in front of these linear addresses, in place of the last ones. On the vCPU's
       thread. NULL: it cannot. */
    int (*set_breakpoints)(struct machine *machine, const gva_t *address, unsigned count);
    /* As translator_next_block; NULL: it has no blocks. */
    bool (*next_block)(const struct machine *machine, size_t *index, struct translator_block *block);
};

/* The engine of "-accel spec" (NULL: the default one) and its options. -EINVAL with the nearest name. */
int engine_parse(const struct engine **engine, struct engine_options *options, const char *spec,
                 struct error *error);

extern const struct engine engine_interp;
extern const struct engine engine_bt;
extern const struct engine engine_trap;

#endif
