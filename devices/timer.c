/*
 * timer.c - the queue of device timers: a list sorted by deadline (a machine has about ten timers).
 *
 * Interface: timer_queue_init, timer_now, timer_arm, timer_cancel, timer_next_deadline, timer_run_expired.
 * Invariants: a timer is in the list exactly while its deadline is not TIMER_NEVER; equal deadlines run in
 * the order they were armed; `announced` is never later than the first deadline, except within a run.
 */
#include <stddef.h>
#include <time.h>

#include "devices/timer.h"

/* Callbacks in one run: a guest that programs very short periods must not keep the machine's lock. */
#define RUN_LIMIT 256

void timer_queue_init(struct timer_queue *queue, uint64_t (*clock)(void *), void (*rearm)(void *, uint64_t),
                      void *opaque)
{
    *queue = (struct timer_queue){.clock = clock, .rearm = rearm, .opaque = opaque, .announced = TIMER_NEVER};
}

uint64_t timer_now(const struct timer_queue *queue)
{
    struct timespec now;

    if (queue->clock)
        return queue->clock(queue->opaque);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void timer_init(struct timer *timer, void (*callback)(void *, uint64_t), void *opaque)
{
    *timer = (struct timer){.callback = callback, .opaque = opaque, .deadline = TIMER_NEVER};
}

static void announce(struct timer_queue *queue)
{
    queue->announced = timer_next_deadline(queue);
    if (queue->rearm)
        queue->rearm(queue->opaque, queue->announced);
}

void timer_arm(struct timer_queue *queue, struct timer *timer, uint64_t deadline_ns)
{
    struct timer **link = &queue->first;

    timer_cancel(queue, timer);
    if (deadline_ns == TIMER_NEVER)
        return;
    timer->deadline = deadline_ns;
    while (*link && (*link)->deadline <= deadline_ns)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
    if (!queue->running && deadline_ns < queue->announced)
        announce(queue);
}

void timer_cancel(struct timer_queue *queue, struct timer *timer)
{
    struct timer **link = &queue->first;

    if (!timer_is_armed(timer))
        return;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->next = NULL;
    timer->deadline = TIMER_NEVER;
}

uint64_t timer_next_deadline(const struct timer_queue *queue)
{
    return queue->first ? queue->first->deadline : TIMER_NEVER;
}

void timer_run_expired(struct timer_queue *queue, uint64_t now)
{
    queue->running = true;
    for (int i = 0; i < RUN_LIMIT && queue->first && queue->first->deadline <= now; i++) {
        struct timer *timer = queue->first;

        timer_cancel(queue, timer);
        timer->callback(timer->opaque, now);
    }
    queue->running = false;
    announce(queue);
}
