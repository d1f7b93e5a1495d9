/*
 * kwindow_wide.c - what of the kernel's half a wide window has claimed.
 *
 * Interface: kwindow.h. Invariants: a claimed unit, and a guard of WINDOW_PROBE_UNIT around it, is in no allowed
 * part of the user's window; but for the guests' pages nothing is mapped in it that can be reached; and of the
 * probe table those pages are readable that stand for claimed units.
 */
#include "memory/host.h"
#include "memory/kwindow.h"

#include <string.h>
#include <sys/mman.h>

bool kwindow_open_wide(struct kwindow *w, const struct window *user)
{
    if (w->wide)
        return w->active;
    kwindow_close(w);
    w->wide = true;
    w->base = KWINDOW_BASE;
    memcpy(w->part, user->wide, sizeof w->part);
    w->part_count = user->wide_count;
    w->active = w->has_table && w->part_count && !user->spoiled;
    if (w->active)
        trace_tell(&w->ram->trace, TRACE_KERNEL_OPEN, true, 0, 0, 0);
    return w->active;
}

static bool is_claimed(const struct kwindow *w, gva_t unit)
{
    for (unsigned i = 0; i < w->claim_count; i++)
        if (w->claim[i] == unit)
            return true;
    return false;
}

bool kwindow_allows(const struct kwindow *w, gva_t linear)
{
    if (!w->wide)
        return linear >= WINDOW_LOWEST && linear < KWINDOW_END;
    return is_claimed(w, linear & ~(KWINDOW_UNIT - 1));
}

/* The kernel's last unit ends where the probe table begins, whose first half is a hole. */
static uint64_t guard_end(uint64_t host)
{
    return host + KWINDOW_UNIT == KWINDOW_BASE ? KWINDOW_BASE : host + KWINDOW_UNIT + WINDOW_PROBE_UNIT;
}

static bool is_free(const struct kwindow *w, uint64_t host)
{
    for (unsigned i = 0; i < w->part_count; i++)
        if (w->part[i].from <= host - WINDOW_PROBE_UNIT && guard_end(host) <= w->part[i].to)
            return true;
    return false;
}

static void open_table(const struct kwindow *w, gva_t unit)
{
    uint64_t at = w->base + (unit >> WINDOW_PROBE_SHIFT & UINT32_MAX);

    host_protect((void *)(uintptr_t)at, KWINDOW_UNIT >> WINDOW_PROBE_SHIFT, PROT_READ);
}

bool kwindow_may_claim(const struct kwindow *w, gva_t linear)
{
    gva_t unit = linear & ~(KWINDOW_UNIT - 1);

    return w->wide && w->active && linear >= KWINDOW_HALF && w->claim_count < KWINDOW_CLAIMS &&
           !is_claimed(w, unit) && unit + w->base >= KWINDOW_UNIT && is_free(w, unit + w->base);
}

bool kwindow_claim(struct kwindow *w, struct window *user, gva_t linear)
{
    gva_t unit = linear & ~(KWINDOW_UNIT - 1);
    uint64_t host = unit + w->base;

    if (!kwindow_may_claim(w, linear))
        return false;
    if (user->spoiled || !window_forbid(user, host - WINDOW_PROBE_UNIT, guard_end(host)) ||
        !window_reserve(host, KWINDOW_UNIT)) {
        w->part_count = 0; /* no use in trying others */
        return false;
    }
    trace_tell(&w->ram->trace, TRACE_KERNEL_CLAIM, unit, unit + KWINDOW_UNIT, 0, 0);
    w->claim[w->claim_count++] = unit;
    open_table(w, unit); /* or the probe will keep faulting: slow, not wrong */
    return true;
}

gva_t kwindow_probed(const struct kwindow *w, uint64_t host)
{
    uint64_t at = host - KWINDOW_BASE;

    return w->wide && at < WINDOW_NARROW_SIZE && at >= WINDOW_NARROW_SIZE / 2
               ? KWINDOW_HALF | at << WINDOW_PROBE_SHIFT
               : 0;
}
