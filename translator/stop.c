/*
 * stop.c - stopping translated code that runs: what it costs nothing to wait for.
 *
 * Interface: internal.h, translator_kick. Translated code does not look for requests. Who has one sends the vCPU's
 * thread a signal, whose handler finds out where translated code is, and bars the ways out of that block: direct
 * exits go to their stubs, which are callouts; and where else control would leave it, or go round in it
 * (insn_map.stop_at), there is an INT3 until one has been met. So translated code stops soon, where the guest's
 * state is exact.
 *
 *   signal in a block        bar it
 *   in permanent code        single-step (TF) to a block, or to C
 *   in C                     note it: callouts look at `stopping` before they go on
 *
 * Invariants: all of this happens on the vCPU's thread; while a block is barred, `stopping` says so, and callouts
 * and returns without a call bar the next block before they go on there. Handlers of other signals hold this one
 * off, so that it finds either translated code or C that returns to it by a callout. What has been barred is open
 * again before C goes on outside of a run (stop_end).
 */
#include <signal.h>
#include <ucontext.h>

#include "cache/guard.h"
#include "memory/host.h"
#include "translator/internal.h"

#define INT3 0xcc
#define FLAG_TRAP 0x100 /* TF */

static uint8_t *writable(const struct translator *t, const uint8_t *code)
{
    return (uint8_t *)(uintptr_t)code - cache_execute_delta(&t->cache);
}

static void open_again(struct translator_vcpu *tv)
{
    struct translator *t = tv->translator;
    struct block *b = tv->barred;
    uint32_t rights;

    if (!b)
        return;
    rights = guard_open(&t->cache);
    for (unsigned i = 0; i < b->exit_count; i++)
        cache_undivert(&t->cache, &b->exits[i]);
    for (unsigned i = 0; i < b->instructions; i++)
        if (block_map(b)[i].stop_at != STOP_NOWHERE)
            *writable(t, b->code + block_map(b)[i].stop_at) = tv->barred_byte[i];
    guard_close(&t->cache, rights);
    tv->barred = NULL;
}

static void bar(struct translator_vcpu *tv, struct block *b)
{
    struct translator *t = tv->translator;
    uint32_t rights;

    if (tv->barred == b)
        return;
    open_again(tv);
    rights = guard_open(&t->cache);
    for (unsigned i = 0; i < b->exit_count; i++)
        cache_divert(&t->cache, &b->exits[i]);
    for (unsigned i = 0; i < b->instructions; i++) {
        uint8_t *at;

        if (block_map(b)[i].stop_at == STOP_NOWHERE)
            continue;
        at = writable(t, b->code + block_map(b)[i].stop_at);
        tv->barred_byte[i] = *at;
        *at = INT3;
    }
    guard_close(&t->cache, rights);
    tv->barred = b;
    __atomic_fetch_or(&tv->stopping, STOPPING_BARRED, __ATOMIC_SEQ_CST);
}

void stop_begin(struct translator_vcpu *tv)
{
    __atomic_store_n(&tv->stopping, 0, __ATOMIC_SEQ_CST);
}

void stop_end(struct translator_vcpu *tv)
{
    if (__builtin_expect(!tv->barred && !tv->stopping, 1))
        return;
    open_again(tv);
    stop_begin(tv);
}

void stop_forget(struct translator_vcpu *tv)
{
    tv->barred = NULL;
}

void stop_go_on(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);
    struct block *b = cache_find_host(&tv->translator->cache, (const uint8_t *)(uintptr_t)tv->resume);

    __atomic_fetch_and(&tv->stopping, (uint8_t)~STOPPING_SIGNALLED, __ATOMIC_SEQ_CST);
    if (b && atomic_load(&v->exit_request)) {
        bar(tv, b);
        return;
    }
    open_again(tv);
    __atomic_fetch_and(&tv->stopping, (uint8_t)~STOPPING_BARRED, __ATOMIC_SEQ_CST);
}

void stop_signalled(struct vcpu *v, void *context)
{
    struct translator_vcpu *tv = translator_of(v);
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *host = (const uint8_t *)regs[REG_RIP];
    struct block *b;

    regs[REG_EFL] &= ~FLAG_TRAP;
    if (!atomic_load(&tv->in_guest))
        return;
    if (!cache_holds(&tv->translator->cache, host)) {
        __atomic_fetch_or(&tv->stopping, STOPPING_SIGNALLED, __ATOMIC_SEQ_CST);
    } else if ((b = cache_find_host(&tv->translator->cache, host))) {
        if (atomic_load(&v->exit_request))
            bar(tv, b);
    } else {
        regs[REG_EFL] |= FLAG_TRAP;
    }
}

const struct insn_map *stop_place(const struct translator_vcpu *tv, const uint8_t *host)
{
    const struct block *b = tv->barred;

    for (unsigned i = 0; b && i < b->instructions; i++)
        if (block_map(b)[i].stop_at != STOP_NOWHERE && host == b->code + block_map(b)[i].stop_at)
            return &block_map(b)[i];
    return NULL;
}

void translator_kick(struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);

    if (atomic_load(&tv->in_guest))
        host_signal(tv->thread, TRANSLATOR_SIGNAL);
}
