/*
 * run.c - the engine: its life, and its loop.
 *
 * Interface: trap.h. Invariants: the vCPU's registers are exact whenever no child runs; SIMD state may stay in the
 * child that used it last (t->simd) until trap_run returns. Another thread sets v->exit_request, then kicks; the
 * loop says which child it runs, then looks at exit_request: one of the two sees the other.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>

#include "cpu/simd.h"
#include "cpu/system.h"
#include "trap/internal.h"

#define KICK SIGUSR1

int trap_create(struct trap **trap, struct vcpu *v, const struct trap_options *options, struct error *error)
{
    struct trap *t = aligned_alloc(_Alignof(struct trap), sizeof *t);
    bool whole = t != NULL;

    *trap = t;
    if (!t)
        goto fail;
    memset(t, 0, sizeof *t);
    t->v = v;
    t->options = *options;
    t->simd_size = simd_area_size();
    for (unsigned i = 0; i < CHILDREN; i++) {
        t->child[i].pidfd = -1;
        whole &= !space_create(&t->child[i]);
    }
    if (options->check != TRAP_CHECK_OFF)
        whole &= (t->check = check_create()) != NULL;
    if (!whole)
        goto fail;
    v->engine = t;
    return 0;
fail:
    trap_destroy(t);
    *trap = NULL;
    return error_set(error, ENOMEM, "-accel trap: no memory for it; close other programs");
}

void trap_destroy(struct trap *t)
{
    if (!t)
        return;
    t->v->engine = NULL;
    for (unsigned i = 0; i < CHILDREN; i++) {
        child_end(&t->child[i]);
        space_destroy(&t->child[i]);
    }
    check_destroy(t->check);
    free(t);
}

int trap_enter(struct trap *t, struct error *error)
{
    int status = 0;

    for (unsigned i = 0; i < CHILDREN && !status; i++)
        status = child_start(&t->child[i], t->v->mmu.ram->fd, error);
    if (status)
        trap_leave(t);
    return status;
}

/* The file descriptors stay, for a kick that comes late. */
void trap_leave(struct trap *t)
{
    for (unsigned i = 0; i < CHILDREN; i++)
        child_kill(&t->child[i]);
}

void trap_kick(struct vcpu *v)
{
    struct trap *t = v->engine;
    struct child *c = t ? atomic_load(&t->running) : NULL;

    if (c)
        pidfd_send_signal(c->pidfd, KICK, NULL, 0);
}

/* Must the run loop look at something? */
static bool is_wanted(struct vcpu *v)
{
    if (atomic_load(&v->exit_request))
        return true;
    return (atomic_load_explicit(&v->interrupt_line, memory_order_relaxed) ||
            atomic_load_explicit(&v->nmi_pending, memory_order_relaxed)) &&
           cpu_interrupt_ready(v);
}

int run_child(struct trap *t, struct child *c, int request, int *wait_status)
{
    int failed = 0;

    *wait_status = 0;
    if (state_to_child(t, c))
        return stop_lost(t, c);
    atomic_store(&t->running, c);
    if (!atomic_load(&t->v->exit_request)) {
        t->count[COUNT_RUNS]++;
        failed = child_run(c, request, wait_status);
    }
    atomic_store(&t->running, NULL);
    return failed ? stop_lost(t, c) : 0;
}

static int run_native(struct trap *t, struct child *c, enum cpu_status *status)
{
    int wait_status, failed = run_child(t, c, PTRACE_SYSEMU, &wait_status);

    if (failed || !wait_status)
        return failed;
    state_from_child(t, c);
    return stop_handle(t, c, wait_status, status);
}

/* Maps the page at RIP: 1, or 0 if the child cannot have it (ROM, a page fault). */
static int prepare(struct trap *t, struct child *c)
{
    int status = space_follow(t, c);

    if (!status)
        status = space_rights(c, t->v->rip) & RIGHT_EXECUTE ? 1 : space_resolve(t, c, t->v->rip);
    return status < 0 ? stop_lost(t, c) : status;
}

static int run_some(struct trap *t, enum cpu_status *status)
{
    struct child *c = &t->child[t->v->cpl == 3 ? CHILD_USER : CHILD_SUPERVISOR];
    int ready = 0;

    *status = CPU_OK;
    if (state_is_native(t)) {
        ready = prepare(t, c);
        if (ready < 0)
            return ready;
    }
    if (!ready) {
        t->count[COUNT_HELD]++;
        *status = emulate_step(t);
        return 0;
    }
    return t->check ? check_step(t, c, status) : run_native(t, c, status);
}

int trap_run(struct trap *t, struct error *error)
{
    struct vcpu *v = t->v;
    enum cpu_status status = CPU_OK;
    int failed = 0;

    t->error = error;
    v->exit.reason = EXIT_REQUEST;
    while (!failed && status == CPU_OK && !is_wanted(v))
        failed = run_some(t, &status);
    if (!failed && t->simd && state_fetch_simd(t))
        failed = stop_lost(t, &t->child[0]);
    v->simd_live = false;
    return failed;
}
