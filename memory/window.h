/*
 * window.h - guest linear memory in the host process's own page tables: what user code of one address space
 * reaches.
 *
 * A narrow window, for 32-bit code, is the lowest 4 GiB of novt's own address space, reserved for it: linear
 * address L is at host address L. An access of translated code is the guest's own, with an address-size prefix,
 * and cannot leave them but for the guard behind them.
 *
 * A wide one, for 64-bit code, is the user half at the guest's own addresses (host linear address = guest linear
 * address). What novt itself has mapped, with a guard around it, is forbidden: the guest's pages there are never
 * mapped, and translated code never goes there. It probes first:
 *
 *   read the byte at table + ((linear >> 16) mod 2^32)
 *
 * which faults where `linear` lies in a forbidden part or in the kernel's half. (Linear addresses that differ in
 * bits 48 to 63 alone are not canonical: the processor itself faults on them.) An access up to WINDOW_GUARD bytes
 * away from a probed address is safe as well.
 *
 * Rules of the architecture (SDM vol. 3, 4.10): a window is a TLB. It holds the pages of one CR3 and PCID, its
 * owner's, until they are flushed; another address space does not see it, because it runs other code.
 */
#ifndef NOVT_MEMORY_WINDOW_H
#define NOVT_MEMORY_WINDOW_H

#include "memory/ram.h"

#define WINDOW_NARROW_SIZE 0x100000000ull
/* Bytes of address space of a narrow window with its guard; a probe table takes the first 4 GiB of as much. */
#define WINDOW_TABLE_SIZE (WINDOW_NARROW_SIZE + 0x10000)
/* The same in the lowest 4 GiB: addresses there are also made as 32 bits and a signed 32-bit offset. */
#define WINDOW_LOWEST_END (WINDOW_TABLE_SIZE + 0x80000000)
#define WINDOW_PROBE_SHIFT 16
#define WINDOW_PROBE_UNIT (PAGE_SIZE << WINDOW_PROBE_SHIFT) /* bytes that a page of the table stands for */
#define WINDOW_GUARD 0x100000                               /* bytes */
#define WINDOW_SLACK 0x2000                                 /* of RSP (translator/rsp_sure.c) */
#define WINDOW_SLOTS 65536u
#define WINDOW_PAGES 24576u /* mapped at most: a process may have 65530 mappings */
#define WINDOW_PARTS 64u
#define WINDOW_NO_OWNER UINT64_MAX
#define WINDOW_LOWEST 0x10000ull /* address that may be mapped (vm.mmap_min_addr) */

struct window_page {
    gva_t page;      /* with window.generation in its low bits; of another one: a free slot */
    uint64_t offset; /* in the memfd; WINDOW_WRITABLE */
};
#define WINDOW_WRITABLE 1u

struct window_part {
    uint64_t from, to;  /* allowed addresses */
    uint64_t low, high; /* what has been mapped of it; low == high: nothing */
};

struct window_stats {
    uint64_t fills, flushes, page_flushes, evictions, promotions, demotions;
};

struct window {
    struct ram *ram;
    uint64_t owner; /* CR3: root and PCID; or WINDOW_NO_OWNER */
    bool active;    /* the current address space is the owner */
    bool narrow;
    bool reserved;       /* the lowest 4 GiB are, while it is narrow */
    uint8_t *table;      /* of probes, while it is wide */
    bool spoiled;        /* something of novt's has got into an allowed part: no owner any more */
    uint32_t count;      /* of pages mapped */
    uint32_t limit;      /* of count, at most WINDOW_PAGES; tests lower it */
    uint32_t generation; /* 1 to 4095: grows with each flush */
    unsigned part_count, wide_count;
    struct window_part part[WINDOW_PARTS], wide[WINDOW_PARTS]; /* of the window as it is; of a wide one */
    struct window_page slot[WINDOW_SLOTS];
    struct window_stats stats;
};

/* Nothing can be reached there from now on, and nothing else gets there. false: it would be a mapping too many. */
bool window_close_range(void *from, uint64_t size);

/* Takes free address space, so that nothing can be reached there (false: something is there); and gives it back.
 */
bool window_reserve(uint64_t at, uint64_t size);
void window_give_back(uint64_t at, uint64_t size);
/* The lowest 4 GiB and the guard behind them, but for what the host never maps. */
bool window_reserve_lowest(void);
void window_give_back_lowest(void);

/* `table`: WINDOW_TABLE_SIZE bytes of reserved address space (PROT_NONE). Errors: -errno. */
int window_create(struct window **window, struct ram *ram, uint8_t *table);
void window_destroy(struct window *w); /* NULL is fine */
/* It becomes empty, of nobody. */
void window_release(struct window *w);
/* The same for its next owner, and narrow or wide. false: it cannot be that: something else is in the lowest 4
   GiB; or it cannot be a wide one any more. Clobbers SIMD registers. */
bool window_take(struct window *w, bool narrow);
/* The guest's address of a host address in the window; UINT64_MAX: it is outside. */
gva_t window_linear(const struct window *w, const void *host);

/* May [linear, linear + WINDOW_GUARD) be reached without a probe? */
bool window_allows(const struct window *w, gva_t linear);
/* Maps a page of RAM, in place of what was there. Errors: -EFAULT (not an allowed address, or not RAM), or of
   mmap. */
int window_map(struct window *w, gva_t page, const uint8_t *host_page, bool writable);

/* Takes [from, to), whole units of WINDOW_PROBE_UNIT, away from what a wide window may have; it becomes empty.
   false: there are too many parts, or the host has no more mappings to give: no wide window any more. Code that
   has been made for one may rely on what it allowed, and must go. */
bool window_forbid(struct window *w, uint64_t from, uint64_t to);
/* Finds those of a wide window; none if /proc/self/maps is not what it should be. */
void window_find_parts(struct window *w);
/* Splits what window_find_parts has found. false: too many. */
bool window_parts_split(struct window *w, uint64_t from, uint64_t to);
/* Of an empty wide window: is nothing else in the allowed parts? */
bool window_is_ours(struct window *w);
/* Flushes: a page; all of them; the pages that map one page of RAM writable (its offset in the memfd). */
void window_flush_page(struct window *w, gva_t page);
void window_flush(struct window *w);
void window_protect(struct window *w, uint64_t offset);

#endif
