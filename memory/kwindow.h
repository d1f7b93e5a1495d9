/*
 * kwindow.h - a window (memory/window.h) for 32-bit supervisor code: linear address L is at host address L.
 *
 * The lowest 4 GiB of novt's own address space are reserved for it; an access of translated code is the guest's
 * own, with an address-size prefix, and cannot leave them. What supervisor code reaches is mostly one to one and
 * in large pages, so the window holds runs: many pages that one call has mapped.
 *
 * Rules of the architecture (SDM vol. 3, 4.10): the window is a TLB without tags, emptied by a load of CR3 if it
 * holds a page that is not global.
 */
#ifndef NOVT_MEMORY_KWINDOW_H
#define NOVT_MEMORY_KWINDOW_H

#include "memory/window.h"

#define KWINDOW_END WINDOW_NARROW_SIZE
#define KWINDOW_VOLATILE 4u      /* times that a page has been flushed alone before it is not worth mapping */
#define KWINDOW_LOCAL_FLUSHES 8u /* of late, before pages that are not global are not worth it either */
#define KWINDOW_RUNS 4096u       /* each is one mapping of the host's, and may leave a hole behind it */

struct kwindow_run {
    uint32_t from, to; /* page numbers of linear addresses */
    uint32_t page;     /* of RAM, at `from` */
    bool writable;
};

struct kwindow_stats {
    uint64_t maps, pages, flushes, page_flushes, evictions;
};

struct kwindow {
    struct ram *ram;
    bool active;            /* 32-bit supervisor code runs in it; its address space is reserved */
    bool local;             /* some page is not global */
    unsigned local_flushes; /* loads of CR3 that have emptied it: for the one who counts time to lower */
    unsigned count, limit;  /* limit: of count, at most KWINDOW_RUNS and 4 at least; tests lower it */
    struct kwindow_run run[KWINDOW_RUNS]; /* ascending, apart */
    uint8_t flushed[1024];                /* pages flushed alone while they were mapped, by page number */
    struct kwindow_stats stats;
};

/* Not active yet. Errors: -errno. */
int kwindow_create(struct kwindow **window, struct ram *ram);
void kwindow_destroy(struct kwindow *w); /* NULL is fine */
/* Reserves the address space; false: something else is there. */
bool kwindow_open(struct kwindow *w);
/* Empties it and gives the address space back. */
void kwindow_close(struct kwindow *w);

/* Maps the pages from `from` up to `to` to RAM from this offset in the memfd on, in place of what was there; those
   that ram_may_write does not allow for reading alone. What lies below WINDOW_LOWEST is left out. Errors: of mmap,
   when emptying the window did not help. */
int kwindow_map(struct kwindow *w, gva_t from, gva_t to, uint64_t offset, bool writable, bool global);
bool kwindow_holds(const struct kwindow *w, gva_t linear);
/* Is it not worth the while, because the page would have to be mapped anew all the time? */
bool kwindow_is_volatile(const struct kwindow *w, gva_t linear, bool global);
void kwindow_flush_page(struct kwindow *w, gva_t page);
void kwindow_flush(struct kwindow *w);
/* CR3 has been loaded. */
void kwindow_flush_local(struct kwindow *w);
/* The page of RAM at this offset is not to be written through the window any more. */
void kwindow_protect(struct kwindow *w, uint64_t offset);

#endif
