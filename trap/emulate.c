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

enum cpu_status emulate_trapped(struct trap *t, enum trap_counter reason)
{
    const struct trap_row *row = trap_row_at(t->v);

    if (row && reason == COUNT_OTHER_TRAPS)
        t->traps[row - trap_table]++;
    else
        t->count[reason]++;
    return emulate_step(t);
}
