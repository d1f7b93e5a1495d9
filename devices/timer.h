/*
 * timer.h - timers of the devices, in nanoseconds of one clock (the host's CLOCK_MONOTONIC; a fake one
 * in tests). The caller holds the machine's lock.
 *
 * The machine owns the queue and a host timer: `rearm` tells it each new earliest deadline, and when the
 * host timer rings it calls timer_run_expired(queue, timer_now(queue)), which calls rearm again.
 */
#ifndef NOVT_DEVICES_TIMER_H
#define NOVT_DEVICES_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX
#define NS_PER_SECOND 1000000000ull

struct timer {
    void (*callback)(void *opaque, uint64_t now);
    void *opaque;
    uint64_t deadline; /* TIMER_NEVER when not armed */
    struct timer *next;
};

struct timer_queue {
    uint64_t (*clock)(void *opaque); /* NULL: CLOCK_MONOTONIC */
    /* The earliest deadline became earlier, or timers ran: the host timer must ring at deadline_ns
       (TIMER_NEVER: not at all). A timer cancelled leaves the host timer alone: it rings for nothing. */
    void (*rearm)(void *opaque, uint64_t deadline_ns);
    void *opaque; /* for both */
    struct timer *first;
    uint64_t announced; /* what rearm was told last */
    bool running;
};

void timer_queue_init(struct timer_queue *queue, uint64_t (*clock)(void *), void (*rearm)(void *, uint64_t),
                      void *opaque);
uint64_t timer_now(const struct timer_queue *queue);

void timer_init(struct timer *timer, void (*callback)(void *, uint64_t), void *opaque);
/* Arms, or moves when already armed. TIMER_NEVER cancels. */
void timer_arm(struct timer_queue *queue, struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer_queue *queue, struct timer *timer);

static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->deadline != TIMER_NEVER;
}

uint64_t timer_next_deadline(const struct timer_queue *queue);
/* Calls back each timer whose deadline is not after now, earliest first; callbacks may arm and cancel.
   Ends after a bounded number of callbacks even if they arm in the past. */
void timer_run_expired(struct timer_queue *queue, uint64_t now);

/* value * numerator / denominator without overflow in between. */
static inline uint64_t timer_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    return (uint64_t)((unsigned __int128)value * numerator / denominator);
}

#endif
