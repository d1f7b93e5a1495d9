/*
 * translator.c - life of a translator, and of its part of a vCPU.
 *
 * Interface: translator.h. Invariant: a flush happens only while no translated code runs.
 */
#include "translator/translator.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/guard.h"
#include "translator/lockstep.h"
#include "translator/lower.h"
#include "translator/tier.h"

struct translator *translator_create(struct ram *ram, const struct translator_options *options,
                                     struct error *error)
{
    struct translator *t = calloc(1, sizeof *t);
    int status;

    if (!t || !(t->lower = calloc(1, sizeof *t->lower)) || !(t->templates = template_table())) {
        error_set(error, ENOMEM, "out of memory");
        goto fail;
    }
    t->options = *options;
    if (options->lockstep && !(t->lockstep = lockstep_create())) {
        error_set(error, ENOMEM, "out of memory");
        goto fail;
    }
    t->ram = ram;
    t->leave_each_block = options->lockstep || (options->enters && !options->enters_at.count);
    if (t->leave_each_block)
        t->options.chain = t->options.jump_cache = false;
    lower_index_rows(t->first_row);
    t->has_rorx = __builtin_cpu_supports("bmi2");
    ZydisDecoderInit(&t->decoder64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&t->decoder16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&t->decoder32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    decode_learn(t);
    status = cache_create(&t->cache, options->tb_size << 20, ram->size >> PAGE_SHIFT);
    if (status) {
        error_set(error, -status, "-accel bt: tb-size=%llu: cannot map a code cache of so many MiB: %s; give less",
                  (unsigned long long)options->tb_size, strerror(-status));
        goto fail;
    }
    thunks_emit(t);
    if (options->keys)
        guard_begin(&t->cache);
    ram->code_written = written_note;
    ram->code_written_opaque = t;
    return t;
fail:
    if (t) {
        free(t->templates);
        free(t->lower);
        lockstep_destroy(t->lockstep);
    }
    free(t);
    return NULL;
}

void translator_destroy(struct translator *t)
{
    if (!t)
        return;
    t->ram->code_written = NULL;
    cache_destroy(&t->cache);
    lockstep_destroy(t->lockstep);
    free(t->templates);
    free(t->lower);
    free(t);
}

/* Without them it is slower, not wrong. */
static void create_windows(struct translator *t, struct vcpu *v)
{
    uint32_t limit = (uint32_t)t->options.window_pages;

    v->mmu.window = NULL;
    v->mmu.kwindow = NULL;
    if (t->options.tier == TIER_TLB)
        return;
    if (t->options.kernel_window && !kwindow_create(&v->mmu.kwindow, t->ram, (const uint8_t *)(v + 1),
                                                    t->has_rorx && signals_host_has_fsgsbase()))
        v->mmu.kwindow->limit = limit < KWINDOW_RUNS ? limit : KWINDOW_RUNS;
    if (t->has_rorx && !window_create(&v->mmu.window, t->ram, (uint8_t *)(v + 1)))
        v->mmu.window->limit = limit;
    if (v->mmu.kwindow)
        kwindow_open(v->mmu.kwindow); /* now: the user's window has looked at what is mapped */
}

int translator_attach(struct translator *t, struct vcpu *v, struct error *error)
{
    struct translator_vcpu *tv = translator_of(v);

    if (t->vcpu)
        return error_set(error, EBUSY, "the translator runs one vCPU");
    t->vcpu = v;
    features_find_lacking(t->lacking, v->model);
    tv->self = (uintptr_t)v;
    tv->vcpu = v;
    tv->translator = t;
    create_windows(t, v);
    lookup_forget_descriptors(v);
    lookup_forget_code_segments(tv);
    if (!stack_create(t, tv))
        return error_set(
            error, ENOMEM,
            "cannot protect the page below a return stack: the host has no memory for it; close other programs");
    return 0;
}

void translator_detach(struct translator *t, struct vcpu *v)
{
    if (t->vcpu != v)
        return;
    t->vcpu = NULL;
    window_destroy(v->mmu.window);
    v->mmu.window = NULL;
    kwindow_destroy(v->mmu.kwindow);
    v->mmu.kwindow = NULL;
}

int translator_thread_enter(struct translator *t, struct vcpu *v, struct error *error)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)(v + 1)))
        return error_set(error, errno, "cannot set the GS base: %s", strerror(errno));
    syscall(SYS_arch_prctl, ARCH_GET_FS, &translator_of(v)->host_fs);
    translator_of(v)->thread = gettid();
    signals_set_current(v);
    return 0;
}

void translator_thread_leave(struct translator *t, struct vcpu *v)
{
    signals_set_current(NULL);
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0ul);
}

void translator_flush(struct translator *t, struct vcpu *v)
{
    struct translator_vcpu *tv = translator_of(v);

    trace_tell(&t->ram->trace, TRACE_CODE_FLUSH, t->cache.order_count, 0, 0, 0);
    cache_flush(&t->cache);
    t->recipe_count = 0;
    memset(t->ungrouped, 0, sizeof t->ungrouped);
    memset(t->fixed, 0, sizeof t->fixed);
    tier_forget(tv);
    memset(t->recipe_slot, 0, sizeof t->recipe_slot);
    tv->cells_used = tv->linked_count[0] = tv->linked_count[1] = 0;
    memset(tv->cell_pages, 0, sizeof tv->cell_pages);
    memset(tv->site_pages, 0, sizeof tv->site_pages);
    memset(tv->callee_pages, 0, sizeof tv->callee_pages);
    lookup_forget_all(v);
    lookup_forget_code_segments(tv);
    stack_forget(t, tv);
    stop_forget(tv);
    for (unsigned i = 0; i < JUMP_MODES; i++)
        tv->jump_mode[i].used = false;
    t->stats.cache_flushes++;
    if (t->options.flushed)
        t->options.flushed(t->options.hooks_opaque);
}

void translator_invalidate(struct translator *t, gpa_t gpa, uint64_t size)
{
    while (size) {
        uint64_t offset = ram_offset(t->ram, gpa), part = PAGE_SIZE - (gpa & ~PAGE_MASK);

        if (part > size)
            part = size;
        if (offset != UINT64_MAX && t->ram->page_flags[offset >> PAGE_SHIFT] & RAM_PAGE_CODE)
            written_note(t, offset, (unsigned)part);
        gpa += part, size -= part;
    }
}

const void *translator_permanent_code(const struct translator *t, size_t *size)
{
    *size = t->cache.code_base;
    return t->cache.execute_view;
}

const struct translator_stats *translator_get_stats(const struct translator *t)
{
    return &t->stats;
}
