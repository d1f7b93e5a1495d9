/*
 * lapic_timer.c - the local APIC's timer (SDM vol. 3, 11.5.4).
 *
 * Interface: lapic_internal.h. The count is computed from the clock when asked.
 * Invariants: after each change of its registers the queue's timer is armed for the next expiry, if that
 * can have an effect (lapic_timer_rearm).
 */
#include "devices/lapic_internal.h"

#define NS_PER_TICK (NS_PER_SECOND / LAPIC_HZ)
/* A guest that asks for a shorter period gets this one, so that it cannot keep the machine's lock. */
#define MIN_PERIOD_NS 20000u

static uint64_t tick_ns(const struct lapic *lapic)
{
    uint32_t divide = lapic->state.divide, code = (divide & 3) | (divide >> 1 & 4);

    return NS_PER_TICK << ((code + 1) & 7); /* 000 is by 2, 110 by 128, 111 by 1 */
}

static unsigned timer_mode(const struct lapic *lapic)
{
    return LVT_TIMER_MODE(lapic->state.lvt[LAPIC_LVT_TIMER]);
}

static uint64_t ticks_at(const struct lapic *lapic, uint64_t now)
{
    return now > lapic->state.timer_start ? (now - lapic->state.timer_start) / tick_ns(lapic) : 0;
}

static uint32_t count_at(const struct lapic *lapic, uint64_t now)
{
    uint32_t initial = lapic->state.initial_count;
    uint64_t ticks;

    if (initial == 0 || timer_mode(lapic) == TIMER_DEADLINE)
        return 0;
    ticks = ticks_at(lapic, now);
    if (timer_mode(lapic) == TIMER_PERIODIC)
        return initial - (uint32_t)(ticks % initial);
    return ticks < initial ? initial - (uint32_t)ticks : 0;
}

uint32_t lapic_timer_count(const struct lapic *lapic)
{
    return count_at(lapic, timer_now(lapic->apics->timers));
}

static uint64_t next_expiry(const struct lapic *lapic, uint64_t now)
{
    const struct lapic_state *state = &lapic->state;
    uint64_t period = state->initial_count * tick_ns(lapic), next;

    if (period == 0)
        return TIMER_NEVER;
    if (timer_mode(lapic) == TIMER_ONE_SHOT)
        return state->timer_start + period > now ? state->timer_start + period : TIMER_NEVER;
    if (state->lvt[LAPIC_LVT_TIMER] & LVT_MASKED)
        return TIMER_NEVER;
    next = state->timer_start + (ticks_at(lapic, now) / state->initial_count + 1) * period;
    return next < now + MIN_PERIOD_NS ? now + MIN_PERIOD_NS : next;
}

void lapic_timer_rearm(struct lapic *lapic)
{
    struct apic_bus *apics = lapic->apics;
    uint64_t now = timer_now(apics->timers), deadline;

    if (timer_mode(lapic) != TIMER_DEADLINE)
        deadline = next_expiry(lapic, now);
    else if (lapic->state.tsc_deadline && apics->hooks.tsc_to_ns)
        deadline = apics->hooks.tsc_to_ns(apics->hooks.opaque, lapic->cpu, lapic->state.tsc_deadline);
    else
        deadline = TIMER_NEVER;
    if (timer_mode(lapic) == TIMER_DEADLINE && deadline <= now)
        lapic_timer_expire(lapic, now); /* spares the way through the host's timer */
    else
        timer_arm(apics->timers, &lapic->timer, deadline);
}

void lapic_timer_expire(void *opaque, uint64_t now)
{
    struct lapic *lapic = opaque;

    if (timer_mode(lapic) == TIMER_DEADLINE) {
        lapic->state.tsc_deadline = 0;
        timer_cancel(lapic->apics->timers, &lapic->timer);
    } else if (timer_mode(lapic) == TIMER_PERIODIC) {
        lapic_timer_rearm(lapic);
    }
    lapic_trigger(lapic, LAPIC_LVT_TIMER);
}

void lapic_timer_start(struct lapic *lapic, uint32_t initial_count)
{
    if (timer_mode(lapic) == TIMER_DEADLINE)
        return;
    lapic->state.initial_count = initial_count;
    lapic->state.timer_start = timer_now(lapic->apics->timers);
    lapic_timer_rearm(lapic);
}

/* The count goes on from where it is, at the new speed. */
void lapic_timer_set_divide(struct lapic *lapic, uint32_t divide)
{
    struct lapic_state *state = &lapic->state;
    uint64_t now = timer_now(lapic->apics->timers), done = 0, elapsed;

    if (state->initial_count && timer_mode(lapic) != TIMER_DEADLINE)
        done = state->initial_count - count_at(lapic, now);
    state->divide = divide & 0xb;
    elapsed = done * tick_ns(lapic);
    state->timer_start = elapsed < now ? now - elapsed : 0;
    lapic_timer_rearm(lapic);
}

void lapic_timer_set_lvt(struct lapic *lapic, uint32_t lvt)
{
    unsigned old = timer_mode(lapic);

    lapic->state.lvt[LAPIC_LVT_TIMER] = lvt;
    if ((old == TIMER_DEADLINE) != (timer_mode(lapic) == TIMER_DEADLINE)) {
        lapic->state.tsc_deadline = 0;
        lapic->state.initial_count = 0;
    }
    lapic_timer_rearm(lapic);
}

void lapic_timer_set_deadline(struct lapic *lapic, uint64_t tsc)
{
    if (timer_mode(lapic) != TIMER_DEADLINE)
        return;
    lapic->state.tsc_deadline = tsc;
    lapic_timer_rearm(lapic);
}
