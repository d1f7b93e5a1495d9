/*
 * recent.h - the last exceptions, interrupts and ends of translated code of a vCPU, for reports: a few stores
 * each, so that it is always on.
 */
#ifndef NOVT_CPU_RECENT_H
#define NOVT_CPU_RECENT_H

#include <stdint.h>

#define RECENT_EVENTS 32u

enum recent_kind {
    RECENT_NONE,      /* an entry that has not been used yet */
    RECENT_EXCEPTION, /* number: its vector; detail: the error code, or 0 */
    RECENT_INTERRUPT, /* number: its vector; from outside, or by INT n */
    RECENT_EXIT       /* from translated code; number: enum vcpu_exit_reason */
};

struct recent_event {
    uint64_t rip;
    uint32_t detail;
    uint16_t number;
    uint8_t kind, cpl;
    uint32_t times; /* that it came in a row */
};

struct recent {
    uint32_t count; /* of all; the next one goes to event[count % RECENT_EVENTS] */
    struct recent_event event[RECENT_EVENTS];
};

static inline void recent_note(struct recent *r, enum recent_kind kind, unsigned number, uint32_t detail,
                               uint64_t rip, unsigned cpl)
{
    struct recent_event *e = &r->event[(r->count - 1) % RECENT_EVENTS];

    if (e->rip == rip && e->detail == detail && e->number == number && e->kind == kind && e->cpl == cpl) {
        e->times++;
        return;
    }
    e = &r->event[r->count++ % RECENT_EVENTS];
    e->rip = rip;
    e->detail = detail;
    e->number = (uint16_t)number;
    e->kind = (uint8_t)kind;
    e->cpl = (uint8_t)cpl;
    e->times = 1;
}

#endif
