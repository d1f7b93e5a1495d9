/*
 * trace.h - what memory and translated code tell of what they do, for -d mmu and -d smc: facts, which somebody
 * above makes words of.
 *
 * Told in slow paths only, behind one branch. Whoever listens saves what SIMD state is in the host's registers.
 */
#ifndef NOVT_MEMORY_TRACE_H
#define NOVT_MEMORY_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* With each the values that come with it. `why` is the address of a static text. Pages of RAM are offsets in the
   memfd; linear ranges end before `to`. */
enum trace_kind {
    TRACE_FILL,         /* context, linear page, physical page, TRACE_RIGHT_* */
    TRACE_FAULT,        /* context, linear address, error code */
    TRACE_FLUSH,        /* 1: global pages too */
    TRACE_FLUSH_CR3,    /* new CR3, 1: it keeps the translations of its PCID */
    TRACE_FLUSH_MODES,  /* of paging: before, after (mmu.c) */
    TRACE_FLUSH_PAGE,   /* linear address, 1: it may lie in a large page, so all goes */
    TRACE_FLUSH_PCID,   /* another PCID */
    TRACE_PROMOTE,      /* CR3, 1: a narrow window */
    TRACE_DEMOTE,       /* CR3, why */
    TRACE_WINDOW_MAP,   /* linear page, RAM, 1: writable */
    TRACE_WINDOW_DROP,  /* linear page */
    TRACE_WINDOW_EMPTY, /* how many pages were in it */
    TRACE_KERNEL_OPEN,  /* 1: for 64-bit code */
    TRACE_KERNEL_CLAIM, /* linear from, to: may be mapped from now on */
    TRACE_KERNEL_MAP,   /* linear from, to, RAM, 1: writable */
    TRACE_KERNEL_DROP,  /* linear page */
    TRACE_KERNEL_EMPTY, /* how many runs were in it */
    TRACE_CODE_WRITE,   /* RAM address, bytes, blocks dropped, 1: the page holds no code any more */
    TRACE_CODE_BACK,    /* linear address of a block, RAM page */
    TRACE_CODE_FLUSH,   /* how many blocks were in the cache */
    TRACE_KINDS
};
#define TRACE_RIGHT_READ 1u
#define TRACE_RIGHT_WRITE 2u /* at once: the page is dirty already, and holds no code */
#define TRACE_RIGHT_FETCH 4u
#define TRACE_RIGHT_GLOBAL 8u
#define TRACE_VALUES 4

struct trace_hook {
    void (*tell)(void *opaque, enum trace_kind kind,
                 const uint64_t value[TRACE_VALUES]); /* NULL: nobody listens */
    void *opaque;
};

static inline void trace_tell(const struct trace_hook *hook, enum trace_kind kind, uint64_t a, uint64_t b,
                              uint64_t c, uint64_t d)
{
    if (__builtin_expect(hook->tell != NULL, 0))
        hook->tell(hook->opaque, kind, (const uint64_t[TRACE_VALUES]){a, b, c, d});
}

#endif
