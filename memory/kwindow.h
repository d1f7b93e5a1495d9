/*
 * kwindow.h - a window (memory/window.h) for supervisor code.
 *
 * Of 32-bit code: like the user's narrow window, linear address L is at host address L, in the lowest 4 GiB of
 * novt's own address space, as long as user code does not want them. Then it moves to where a probe table would
 * be, behind the vCPU; from now on an access has a GS prefix besides, since that is where the GS base is.
 *
 * Of 64-bit code it is wide: the kernel's half at L + KWINDOW_BASE, modulo 2^64, which is in the host's user half
 * for all but the lowest 4 TiB of it. Translated code has KWINDOW_BASE in the FS base; an access is the guest's
 * own with the FS prefix, behind a probe of its own:
 *
 *   read the byte at KWINDOW_BASE + ((L >> 16) mod 2^32)
 *
 * which faults unless L lies in a unit of the kernel's half that has been claimed for it. A claim is good for
 * ever: it takes the unit, and a guard around it, away from what user code's wide window may have, so that neither
 * reaches the other's; and it is only had where novt itself has nothing. As with the user's, up to WINDOW_GUARD
 * bytes around a probed address are safe as well.
 *
 * What supervisor code reaches is mostly one to one and in large pages, so the window holds runs: many pages that
 * one call has mapped. User pages are never in it.
 *
 * Rules of the architecture (SDM vol. 3, 4.10): the window is a TLB without tags, emptied by a load of CR3 if it
 * holds a page that is not global.
 */
#ifndef NOVT_MEMORY_KWINDOW_H
#define NOVT_MEMORY_KWINDOW_H

#include "memory/window.h"

#define KWINDOW_END WINDOW_NARROW_SIZE /* of a narrow one */
#define KWINDOW_BASE 0x7c0000000000ull /* where few programs are; the probe table of 4 GiB is there */
#define KWINDOW_HALF 0xffff800000000000ull
#define KWINDOW_UNIT (16ull << 30) /* bytes that are claimed at a time */
#define KWINDOW_CLAIMS 32u
#define KWINDOW_VOLATILE 4u      /* times that a page has been flushed alone before it is not worth mapping */
#define KWINDOW_LOCAL_FLUSHES 8u /* of late, before pages that are not global are not worth it either */
#define KWINDOW_RUNS 4096u       /* each is one mapping of the host's, and may leave a hole behind it */

struct kwindow_run {
    uint64_t from, to; /* page numbers of linear addresses */
    uint32_t page;     /* of RAM, at `from` */
    bool writable;
};

struct kwindow_stats {
    uint64_t maps, pages, flushes, page_flushes, evictions;
};

struct kwindow {
    struct ram *ram;
    bool active;                           /* supervisor code runs in it; its address space is reserved */
    bool wide;                             /* 64-bit code */
    bool has_table;                        /* of probes, for a wide one: reserved */
    uint64_t base;                         /* host address - linear address: 0, of `table`, or KWINDOW_BASE */
    uint64_t table;                        /* where it moves to: WINDOW_TABLE_SIZE bytes that are reserved */
    struct window_part part[WINDOW_PARTS]; /* where units may be claimed: not novt's own */
    unsigned part_count, claim_count;
    gva_t claim[KWINDOW_CLAIMS]; /* linear addresses of units */
    bool local;                  /* some page is not global */
    unsigned local_flushes;      /* loads of CR3 that have emptied it: for the one who counts time to lower */
    unsigned count, limit;       /* limit: of count, at most KWINDOW_RUNS and 4 at least; tests lower it */
    struct kwindow_run run[KWINDOW_RUNS]; /* ascending, apart */
    uint8_t flushed[1024];                /* pages flushed alone while they were mapped, by page number */
    struct kwindow_stats stats;
};

/* Not active yet. wide: it is to be possible as a wide one, too (before the user's window is created). `table`:
   the user's window's. Errors: -errno. */
int kwindow_create(struct kwindow **window, struct ram *ram, const uint8_t *table, bool wide);
void kwindow_destroy(struct kwindow *w); /* NULL is fine */
/* Reserves the address space; false: something else is there. */
bool kwindow_open(struct kwindow *w);
/* A narrow one leaves the lowest 4 GiB to the user's window, which must not be a wide one; it is empty then. Code
   that has been made for it must go. false: it has moved already. */
bool kwindow_move(struct kwindow *w);
/* It becomes a wide one, empty and with nothing claimed; it stays one. `user`: the window of user code, whose
   allowed parts are where units may be. false: it cannot be, and supervisor code has none. */
bool kwindow_open_wide(struct kwindow *w, const struct window *user);
/* The unit of this linear address is the window's from now on, and not the user's (window_forbid). false: it
   cannot be had, or is had already; kwindow_may_claim asks first. */
bool kwindow_claim(struct kwindow *w, struct window *user, gva_t linear);
bool kwindow_may_claim(const struct kwindow *w, gva_t linear);
/* May there be pages? Of a wide one: has it been claimed? */
bool kwindow_allows(const struct kwindow *w, gva_t linear);
/* The linear address that a probe at this host address was for, in 64 KiB; 0: it is no probe's. */
gva_t kwindow_probed(const struct kwindow *w, uint64_t host);
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
