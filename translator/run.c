/*
 * run.c - the inner run loop: find or make the block at RIP, enter it, see why it came back.
 *
 * Interface: translator.h. Compiled without SIMD, because the guest's SIMD state is live until simd_save. Stopping
 * a running vCPU: another thread sets exit_request and, if translated code may be running, sends a signal
 * (stop.c).
 */
#include "translator/internal.h"
#include "translator/lockstep.h"

#include "cpu/simd.h"
#include "cpu/system.h"
#include "translator/tier.h"

/* Something to do before any translated code runs. */
static bool must_stop(struct vcpu *v)
{
    const struct translator *t = translator_of(v)->translator;
    bool interrupt = atomic_load(&v->interrupt_line) || atomic_load(&v->nmi_pending);

    if (atomic_load(&v->exit_request) || cpu_interrupt_ready(v))
        v->exit.reason = EXIT_REQUEST;
    else if (t->breakpoint_count && translator_breaks_at(t, lookup_linear(v, v->rip)))
        v->exit.reason = EXIT_STEP;
    else if (v->mode & MODE_SINGLE || !translator_handles(t, v->mode) || (interrupt && v->interrupt_shadow))
        v->exit.reason = EXIT_INTERPRET;
    else
        return false;
    return true;
}

/* Meanwhile the FS base is the supervisor's wide window's (memory/kwindow.h). */
static void run_code(struct translator *t, struct vcpu *v, const uint8_t *entry)
{
    const struct kwindow *w = v->mmu.kwindow;
    bool wide = w && w->wide && w->active;

    if (wide)
        __asm__ volatile("wrfsbase %0" : : "r"(KWINDOW_BASE) : "memory");
    t->code.enter(v, entry);
    if (wide)
        __asm__ volatile("wrfsbase %0" : : "r"(translator_of(v)->host_fs) : "memory");
}

/* false: a request came first, nothing has run. */
static bool enter(struct translator *t, struct vcpu *v, const struct block *b)
{
    struct translator_vcpu *tv = translator_of(v);
    bool entered = false;

    t->stats.entries++;
    crossing_forget(tv);
    stop_begin(tv);
    atomic_store(&tv->in_guest, true);
    if (atomic_load(&v->exit_request)) {
        v->exit.reason = EXIT_REQUEST;
    } else {
        if (b->no_simd)
            v->simd_live = true; /* whatever it is: callouts are to do as they always do */
        else
            simd_load(v);
        flags_decompose(v);
        v->interrupt_shadow = false;
        stack_choose(v);
        bases_look(v);
        run_code(t, v, b->entry_saved);
        v->simd_live &= !b->no_simd;
        entered = true;
    }
    atomic_store(&tv->in_guest, false);
    stop_end(tv);
    if (v->exit.reason == EXIT_REQUEST) {
        tier_tick(v);
        tv->came_with_flags = true; /* as is likely in the middle of things */
    }
    t->stats.exits[v->exit.reason]++;
    recent_note(&v->recent, RECENT_EXIT, v->exit.reason, 0, v->rip, v->cpl);
    return entered;
}

/* A block whose group check failed goes on without groups: up to the same end, for the comparison's sake. */
static void finish_without_groups(struct translator *t, struct vcpu *v, const struct block *b)
{
    struct translator_vcpu *tv = translator_of(v);

    while (tv->no_group && v->exit.reason == EXIT_TRANSLATE) {
        unsigned left = lockstep_instructions_left(b, v->rip);
        struct block *rest = lookup_block(t, v);

        simd_save(v);
        if (rest && rest->instructions > left)
            lookup_invalidate(t, rest);
        if (!rest || !rest->valid) {
            t->max_instructions = left;
            rest = translator_build(t, v);
            t->max_instructions = 0;
        }
        tv->no_group = false;
        if (rest)
            enter(t, v, rest);
    }
}

/* Lock-step: the interpreter first, then the translated block, then the comparison. */
static void enter_compared(struct translator *t, struct vcpu *v, const struct block *b)
{
    const char *text;

    uint64_t flushes = t->stats.cache_flushes;

    simd_save(v);
    lockstep_before(t->lockstep, v, b);
    if (!enter(t, v, b))
        return;
    finish_without_groups(t, v, b);
    simd_save(v);
    if (t->stats.cache_flushes != flushes)
        return; /* what b was is gone */
    t->stats.lockstep_blocks++;
    if (!lockstep_after(t, v, b, &text))
        lockstep_report(t, v, b, text);
    t->stats.lockstep_instructions += lockstep_compared(t->lockstep);
    if (t->options.lockstep_limit && t->stats.lockstep_instructions >= t->options.lockstep_limit &&
        v->exit.reason == EXIT_TRANSLATE)
        v->exit.reason = EXIT_LIMIT;
}

/* The block at RIP; `from`: the exit that has just looked for it in vain, and is linked to it. NULL: none can be
   made. */
static struct block *find_block(struct translator *t, struct vcpu *v, struct block_exit *from)
{
    struct block *b = from ? NULL : lookup_block(t, v);
    uint64_t flushes = t->stats.cache_flushes;

    if (b)
        return b;
    simd_save(v);
    b = translator_build(t, v);
    if (b && from && flushes == t->stats.cache_flushes)
        lookup_link(v, from, b);
    return b;
}

static void tell_enters(const struct translator *t, struct vcpu *v)
{
    if (!t->options.enters)
        return;
    simd_save(v);
    t->options.enters(t->options.hooks_opaque, v);
}

void translator_run(struct translator *t, struct vcpu *v)
{
    do {
        struct translator_vcpu *tv = translator_of(v);
        struct block_exit *from;
        struct block *b;

        tier_catch_up(v);
        from = tv->unlinked;
        tv->unlinked = NULL;
        lookup_catch_up(v);
        if (must_stop(v)) {
            if (v->exit.reason == EXIT_INTERPRET)
                tell_enters(t, v);
            break;
        }
        if (t->options.tier == TIER_WINDOW) {
            tier_force(v);
            from = NULL;
        }
        if (tv->tier.due) {
            tier_take_turn(v);
            from = NULL; /* it belongs to code without the window */
        }
        b = find_block(t, v, from);
        tell_enters(t, v);
        tv->no_group = false;
        tv->came_with_flags = false;
        if (!b) {
            v->exit.reason = EXIT_INTERPRET;
            break;
        }
        if (t->options.lockstep)
            enter_compared(t, v, b);
        else
            enter(t, v, b);
    } while (v->exit.reason == EXIT_TRANSLATE);
    simd_save(v);
}
