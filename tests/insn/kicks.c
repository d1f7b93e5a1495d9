/*
 * kicks.c - a thread that stops an engine's translated code again and again, wherever it is.
 */
#include "tests/insn/insn.h"
#include "tests/insn/state.h"
#include "translator/translator.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LONGEST 30000u /* nanoseconds between two kicks */

struct insn_kicks {
    pthread_t thread;
    struct vcpu *vcpu;
    atomic_bool wanted, busy, end;
};

static void *kick(void *opaque)
{
    struct insn_kicks *k = opaque;
    struct insn_random r = {7};

    prctl(PR_SET_TIMERSLACK, 1ul);
    while (!atomic_load(&k->end)) {
        struct timespec pause = {.tv_nsec = insn_below(&r, LONGEST)};

        atomic_store(&k->busy, true);
        if (atomic_load(&k->wanted)) {
            atomic_store(&k->vcpu->exit_request, 1);
            translator_kick(k->vcpu);
        }
        atomic_store(&k->busy, false);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

struct insn_kicks *insn_kicks_start(struct vcpu *v)
{
    struct insn_kicks *k = calloc(1, sizeof *k);

    if (!k)
        abort();
    k->vcpu = v;
    if (pthread_create(&k->thread, NULL, kick, k))
        abort();
    return k;
}

void insn_kicks_want(struct insn_kicks *k, bool wanted)
{
    atomic_store(&k->wanted, wanted);
    while (!wanted && atomic_load(&k->busy))
        sched_yield();
    if (!wanted)
        syscall(SYS_getppid); /* a signal that has been sent comes when this returns */
}

void insn_kicks_stop(struct insn_kicks *k)
{
    atomic_store(&k->end, true);
    pthread_join(k->thread, NULL);
    free(k);
}
