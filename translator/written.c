/*
 * written.c - guest memory that holds translated code has been written; and what has become of it is told.
 *
 * Interface: internal.h, translator.h. Called from wherever guest memory is reached; compiled without SIMD,
 * because the guest's SIMD state may be live. A page whose code is gone stays protected for some more writes: code
 * that modifies itself comes back at once, and protecting a page is dear.
 */
#include "translator/internal.h"

#include "cpu/simd.h"

static void invalidate(void *translator, struct block *b)
{
    lookup_invalidate(translator, b);
}

void written_note(void *opaque, uint64_t offset, unsigned size)
{
    struct translator *t = opaque;
    uint8_t *flags = &t->ram->page_flags[offset >> PAGE_SHIFT];
    unsigned count;
    bool empty;

    count = cache_written(&t->cache, offset, size, invalidate, t, &empty);
    t->stats.invalidated_blocks += count;
    trace_tell(&t->ram->trace, TRACE_CODE_WRITE, offset, size, count, empty);
    if (count)
        patch_note(t, offset, size);
    if (count || !empty)
        *flags &= (uint8_t)~RAM_PAGE_QUIET_MASK;
    else if ((*flags & RAM_PAGE_QUIET_MASK) == RAM_PAGE_QUIET_MASK)
        *flags &= (uint8_t) ~(RAM_PAGE_CODE | RAM_PAGE_QUIET_MASK);
    else
        *flags += RAM_PAGE_QUIET;
}

__attribute__((no_stack_protector)) void translator_tell(void *v, enum trace_kind kind,
                                                         const uint64_t value[TRACE_VALUES])
{
    uint64_t fs = translator_signal_enter();

    simd_tell(v, kind, value);
    translator_signal_leave(fs);
}
