/*
 * emulate.c - the "emulate" of trap-and-emulate: one instruction by the interpreter of cpu/, which knows them all.
 *
 * Interface: internal.h. The guest's SIMD state stays in the child as long as no instruction needs it;
 * v->simd_live says so to the interpreter.
 */
#include "cpu/system.h"
#include "trap/internal.h"

enum cpu_status emulate_step(struct trap *t)
{
    struct vcpu *v = t->v;
    enum cpu_status status = CPU_NEED_FULL;

    /* The log of exceptions is written in the middle of their delivery. */
    if (!(v->log_topics & VCPU_LOG_INT))
        status = cpu_step(v);
    if (status != CPU_NEED_FULL)
        return status;
    if (state_fetch_simd(t)) { /* the child is gone: whoever runs it next will see */
        v->exit = (struct vcpu_exit){.reason = EXIT_REQUEST};
        return CPU_EXIT;
    }
    return cpu_step(v);
}

/* No instruction of the table works on SIMD state; so it may stay where it is, whatever the interpreter thinks. */
static enum cpu_status step_without_simd(struct trap *t)
{
    enum cpu_status status;

    t->v->simd_live = false;
    status = cpu_step(t->v);
    t->v->simd_live = t->simd != NULL;
    return status;
}

enum cpu_status emulate_trapped(struct trap *t, enum trap_counter reason)
{
    const struct trap_row *row = trap_row_at(t->v);

    if (!row || reason != COUNT_OTHER_TRAPS) {
        t->count[reason]++;
        return emulate_step(t);
    }
    t->traps[row - trap_table]++;
    return step_without_simd(t);
}
