/*
 * pause.c - a guest that spins in PAUSE: its host CPU is better given to others.
 *
 * Interface: system.h. Hardware virtualization calls it pause-loop exiting (SDM vol. 3, 25.1.3). PAUSEs that
 * follow one another within SPIN_GAP are one spin; behind SPIN_GRACE of it each one sleeps. A delay that the guest
 * measures and an interrupt may come late by that much; a spin that is shorter never does.
 */
#include "cpu/system.h"
#include "memory/host.h"

#define SPIN_GAP 20000ull   /* cycles of the TSC */
#define SPIN_GRACE 60000ull /* likewise */
#define SLEEP_NS 100000u

void cpu_pause(struct vcpu *v)
{
    uint64_t now = __builtin_ia32_rdtsc();

    if (now - v->spin.last > SPIN_GAP)
        v->spin.since = now;
    v->spin.last = now;
    if (now - v->spin.since < SPIN_GRACE || atomic_load(&v->exit_request) || v->write_log)
        return;
    host_sleep(SLEEP_NS);
    v->stats.pauses++;
    v->spin.last = __builtin_ia32_rdtsc();
}
