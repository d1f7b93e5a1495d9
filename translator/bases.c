/*
 * bases.c - FS bases of user code and GS bases of supervisors, in windows for 64-bit code: an access near one
 * needs no probe.
 *
 *   mov r11, gs:[sure_fs];  the instruction, with [r11 + disp]
 *
 * Interface: internal.h. Invariant: where translated code runs, each of these is the base itself, which
 * may be reached without a probe (and so may WINDOW_GUARD around it), or BASE_UNSURE, which no offset makes
 * canonical: the access faults, and the interpreter does it. C looks before it enters translated code, and behind
 * what may have changed a base; SWAPGS exchanges two (system.c); other emitted code that changes bases is not
 * 64-bit code, and goes there by way of C. What the windows may have changes between entries only. Compiled
 * without SIMD.
 */
#include "translator/tier.h"

static uint64_t sure_of_user(const struct vcpu *v, uint64_t base)
{
    const struct window *w = v->mmu.window;

    return w && !w->narrow && window_allows(w, base) ? base : BASE_UNSURE;
}

static uint64_t sure_of_supervisor(const struct vcpu *v, uint64_t base)
{
    const struct kwindow *w = v->mmu.kwindow;

    return w && w->wide && kwindow_allows(w, base) ? base : BASE_UNSURE;
}

void bases_look(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);

    tv->sure_fs = sure_of_user(v, v->seg[SEG_FS].base);
    tv->sure_gs = sure_of_supervisor(v, v->seg[SEG_GS].base);
    tv->sure_kernel_gs = sure_of_supervisor(v, v->kernel_gs_base);
}

static bool may_be(uint64_t sure, uint64_t base)
{
    return sure == base || sure == BASE_UNSURE;
}

void bases_follow(struct vcpu *v)
{
    const struct translator_vcpu *tv = translator_of(v);

    if (!may_be(tv->sure_fs, v->seg[SEG_FS].base) || !may_be(tv->sure_gs, v->seg[SEG_GS].base) ||
        !may_be(tv->sure_kernel_gs, v->kernel_gs_base))
        bases_look(v);
}

enum tier_fault bases_resolve(struct vcpu *v)
{
    struct kwindow *w = v->mmu.kwindow;
    uint64_t gs = v->seg[SEG_GS].base;

    if (v->cpl == 3)
        return sure_of_user(v, v->seg[SEG_FS].base) == BASE_UNSURE ? TIER_MISPLACED : TIER_MAPPED;
    if (w && kwindow_may_claim(w, gs))
        translator_of(v)->tier.claim = gs;
    else if (sure_of_supervisor(v, gs) == BASE_UNSURE)
        return TIER_UNSUITABLE;
    return TIER_MAPPED;
}
