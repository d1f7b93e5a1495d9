/* pause.c - cpu/pause.c: a spin sleeps, what is none does not. */
#include <criterion/criterion.h>
#include <time.h>

#include "tests/unit/cpu/machine.h"

/* Pauses for this long, with `work` cycles of something else in between. */
static void spin(struct vcpu *v, long ms, uint64_t work)
{
    struct timespec begin, now;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        uint64_t until = __builtin_ia32_rdtsc() + work;

        cpu_pause(v);
        while (__builtin_ia32_rdtsc() < until)
            ;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}

Test(pause, a_spin_sleeps)
{
    struct machine *m = machine_create("max");
    clock_t used = clock();

    spin(m->v, 200, 0);
    used = clock() - used;
    cr_assert_gt(m->v->stats.pauses, 10u);
    cr_assert_lt(used, CLOCKS_PER_SEC / 5);
    machine_destroy(m);
}

Test(pause, pauses_between_work_do_not)
{
    struct machine *m = machine_create("max");

    spin(m->v, 20, 200000);
    cr_assert_eq(m->v->stats.pauses, 0u);
    machine_destroy(m);
}

Test(pause, nor_when_somebody_waits)
{
    struct machine *m = machine_create("max");

    atomic_store(&m->v->exit_request, 1);
    spin(m->v, 20, 0);
    cr_assert_eq(m->v->stats.pauses, 0u);
    machine_destroy(m);
}
