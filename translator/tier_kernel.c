/*
 * tier_kernel.c - the supervisor's window: what it is given, and what user code must not rely on any more.
 *
 * Interface: tier.h. Invariant: no code is left that goes without a probe to an address of the user half that has
 * been taken away from the user's window. Compiled without SIMD.
 */
#include "translator/tier.h"

enum tier_fault tier_resolve_kernel(struct vcpu *v, gva_t linear, bool write)
{
    struct kwindow *w = v->mmu.kwindow;
    gva_t page = linear & PAGE_MASK;
    enum tier_fault fault;
    struct mmu_run run;
    uint8_t *host;

    if (!kwindow_allows(w, linear))
        return TIER_UNSUITABLE;
    fault = tier_translate(v, linear, write, &host);
    if (fault != TIER_MAPPED)
        return fault;
    if (!mmu_find_run(&v->mmu, v->data_context, linear, &run) || run.user ||
        kwindow_is_volatile(w, linear, run.global))
        return TIER_UNSUITABLE;
    if (kwindow_holds(w, linear)) {
        run.offset += page - run.from;
        run.from = page;
        run.to = page + PAGE_SIZE;
    }
    return kwindow_map(w, run.from, run.to, run.offset, run.writable, run.global) ? TIER_UNSUITABLE : TIER_MAPPED;
}

bool tier_wants_claim(struct vcpu *v, const void *address)
{
    struct kwindow *w = v->mmu.kwindow;
    gva_t linear = w && v->cpl < 3 ? kwindow_probed(w, (uintptr_t)address) : 0;

    if (!linear || !kwindow_may_claim(w, linear))
        return false;
    translator_of(v)->tier.claim = linear;
    return true;
}

/* 64-bit code of a kernel's that lives in its half of the address space. */
static bool is_wide_kernel(const struct vcpu *v)
{
    return v->cpl < 3 && v->mode & MODE_CODE64 && v->rip >= KWINDOW_HALF;
}

static unsigned fixed_unit(gva_t linear)
{
    return (unsigned)(linear / KWINDOW_UNIT % TIER_FIXED_UNITS);
}

void tier_note_fixed(struct translator *t, gva_t linear)
{
    t->fixed[fixed_unit(linear) / 8] |= (uint8_t)(1u << fixed_unit(linear) % 8);
}

static bool is_fixed_near(const struct translator *t, gva_t linear)
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned unit = fixed_unit(linear - KWINDOW_UNIT + i * KWINDOW_UNIT);

        if (t->fixed[unit / 8] >> unit % 8 & 1)
            return true;
    }
    return false;
}

void tier_catch_up(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    struct kwindow *w = v->mmu.kwindow;
    gva_t claim = tv->tier.claim;

    if (!w || !v->mmu.window)
        return;
    if (!w->wide && w->has_table && is_wide_kernel(v)) {
        kwindow_open_wide(w, v->mmu.window);
        tv->unlinked = NULL; /* it belongs to code without the window */
    }
    tv->tier.claim = 0;
    if (!claim)
        return;
    kwindow_claim(w, v->mmu.window, claim);             /* if not, the user may have lost it all the same */
    if (is_fixed_near(tv->translator, claim + w->base)) /* user code relies on what it has no more */
        translator_flush(tv->translator, v);
    tv->unlinked = NULL;
}
