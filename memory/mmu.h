/*
 * mmu.h - a vCPU's view of memory: the guest page-table walk and the software TLB.
 *
 * The TLB is direct-mapped, one table a context (privilege). Emitted code reads it inline:
 *
 *   d = linear + entry.read (or .write)     entry = table[(linear >> 12) % MMU_TLB_SIZE]
 *   hit if d <= 4096 - size (unsigned)      d is the offset in the page
 *   host address = d + entry.host = linear + entry.addend
 *
 * so entry.read and entry.write hold minus the page's linear address, or MMU_TLB_NEVER(index), and a hit proves
 * mapping, permission and that the access stays in its page at once. An entry is present in .write only
 * when D is already set in the guest's page-table entry and the page holds no translated code.
 *
 * Rules of the architecture (SDM vol. 3, 4.10): an entry may be stale until the guest flushes it.
 */
#ifndef NOVT_MEMORY_MMU_H
#define NOVT_MEMORY_MMU_H

#include "memory/kwindow.h"

#define MMU_TLB_BITS 14
#define MMU_TLB_SIZE (1u << MMU_TLB_BITS)
/* In an unused .read or .write: minus a page that no address with this index lies in, so that even a
   non-canonical address cannot hit. */
#define MMU_TLB_NEVER(index) (0 - (uint64_t)(((index) ^ 1u) << PAGE_SHIFT))
#define MMU_PCID_MASK 0xfffull /* of CR3, and of a window's owner */
#define MMU_FLUSHED_PAGES 8
#define MMU_LARGE_REGIONS 32768u /* of 2 MiB, told apart; each half of the address space has half of them */
#define MMU_LOG_SIZE 4096        /* filled entries remembered for a quick flush */

enum mmu_context {
    MMU_SUPERVISOR,    /* CPL 0-2, and EFLAGS.AC clear while CR4.SMAP is set */
    MMU_SUPERVISOR_AC, /* CPL 0-2 with CR4.SMAP and EFLAGS.AC set */
    MMU_USER,          /* CPL 3 */
    MMU_CONTEXTS
};

enum mmu_access { MMU_READ, MMU_WRITE, MMU_FETCH };

/* Page-fault error code bits (SDM vol. 3, 4.7). */
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_RESERVED 8u
#define PF_FETCH 16u

enum mmu_result {
    MMU_OK,    /* mapped: host address given, TLB entry filled where it can be */
    MMU_MMIO,  /* no RAM there: *gpa says where */
    MMU_CODE,  /* a write to a page that holds translated code: do it, then tell */
    MMU_FAULT, /* page fault: mmu->error_code */
    MMU_NONCANONICAL
};

struct mmu_tlb_entry {
    uint64_t read, write; /* minus the linear page address, or MMU_TLB_NEVER */
    uint64_t host;        /* host address of the page */
    uint64_t addend;      /* host - the linear page address */
};
#define MMU_ENTRY_GLOBAL 1u

struct mmu_fetch_entry {
    uint64_t page; /* linear page address, or 1 */
    gpa_t gpa;
    uint32_t flags;
    uint32_t generation; /* valid while it is the table's (of the entry's kind) */
};
#define MMU_FETCH_SIZE 1024u

struct mmu_table {
    struct mmu_tlb_entry entry[MMU_TLB_SIZE];
    uint8_t flags[MMU_TLB_SIZE]; /* of each entry: MMU_ENTRY_* */
    struct mmu_fetch_entry fetch[MMU_FETCH_SIZE];
    /* Indices of filled entries, those of global pages in log[1]; a count above MMU_LOG_SIZE: it overflowed. */
    uint32_t log[2][MMU_LOG_SIZE];
    uint32_t log_count[2];
    uint32_t fetch_generation[2]; /* of entries that are not global, and that are */
};

/* The TLB entries that may write to a page of RAM (mmu.c). */
#define MMU_WRITERS 4
struct mmu_writers {
    uint16_t entry[MMU_WRITERS]; /* 0: none, behind the others */
};

struct mmu_stats {
    uint64_t fills, faults, flushes, page_flushes, walks;
};

struct mmu {
    /* derived from the control registers by mmu_configure */
    bool paging, long_mode, pae, pse, pge, wp, nx, smep, smap, la57;
    bool pcid;
    gpa_t root;
    uint64_t pdpte[4];      /* PAE paging: loaded with CR3 */
    uint64_t reserved_high; /* physical-address bits above MAXPHYADDR */
    /* result of the last MMU_FAULT */
    uint32_t error_code;
    struct ram *ram;
    struct window *window;       /* of user code; NULL: none. Flushed with the TLB. */
    struct kwindow *kwindow;     /* of supervisor code; likewise */
    struct mmu_writers *writers; /* by page of RAM */
    /* What has been flushed, for those that keep translations of their own: they compare the counts with the
       ones they saw last. flushed_page[] holds the last pages flushed singly. */
    uint32_t flush_count, global_flush_count, page_flush_count;
    gva_t flushed_page[MMU_FLUSHED_PAGES];
    /* Bit per linear address / 2 MiB: a large page there may be in the TLB or a window, since the last flush of
       everything. INVLPG drops all of such a page (SDM vol. 3, 4.10.4.1). */
    uint8_t large[MMU_LARGE_REGIONS / 8];
    struct mmu_stats stats;
    struct mmu_table table[MMU_CONTEXTS];
};

#define MMU_PHYS_BITS 40 /* MAXPHYADDR shown in CPUID 0x80000008 */

/* false: out of memory. Ends with mmu_destroy. */
bool mmu_init(struct mmu *mmu, struct ram *ram);
void mmu_destroy(struct mmu *mmu);
/* Takes over the paging mode. Flushes everything if it changed in a way that demands it.
   PAE PDPTEs are read by mmu_load_pdptes (false: a reserved bit was set, the guest gets #GP). */
void mmu_configure(struct mmu *mmu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer);
bool mmu_load_pdptes(struct mmu *mmu, gpa_t cr3);

/* Flushes: whole with or without global entries, one page in every context. */
void mmu_flush(struct mmu *mmu, bool global_too);
void mmu_flush_page(struct mmu *mmu, gva_t linear);
/* Behind a load of CR3 (and mmu_configure). keep: translations of its PCID stay good (bit 63, SDM vol.
   3, 4.10.4.1); the TLB, which has no tags, is emptied all the same, but a window may stay. */
void mmu_flush_for_cr3(struct mmu *mmu, uint64_t cr3, bool keep);
/* INVPCID of a PCID that is not the current one: nothing but a window can hold pages of it. linear NULL: all. */
void mmu_flush_other_pcid(struct mmu *mmu, uint64_t pcid, const gva_t *linear);
/* Dirty logging, for migration: from now on it is noted which pages of RAM are written, or no longer. Whoever
   writes through the TLB or a window is found out by its first write to a page since the last ask. */
void mmu_log_dirty(struct mmu *mmu, bool on);
/* Which ones were, since logging began or the last ask: a bit for each page of RAM, from bit 0 of bitmap[0] on.
   How many. The vCPU must not be running. */
uint64_t mmu_take_dirty(struct mmu *mmu, uint8_t *bitmap);
/* Drops the write permission of every entry that maps the page of RAM at this memfd offset. */
void mmu_protect_host_page(struct mmu *mmu, const uint8_t *host_page);

/*
 * Translates the page of `linear`, sets A (and D), fills the TLB. *host: address of the byte in host
 * memory for MMU_OK and MMU_CODE; *gpa: the guest-physical address. Access rights are those of the
 * context; MMU_FAULT leaves the error code in mmu->error_code. No trace is left by a fault.
 */
enum mmu_result mmu_translate(struct mmu *mmu, enum mmu_context context, gva_t linear, enum mmu_access access,
                              uint8_t **host, gpa_t *gpa);

/* Behind an mmu_translate for data that gave MMU_OK: the pages around it that are in RAM as they are in the linear
   address space, and that the same holds of. false: none, not even this one. */
struct mmu_run {
    gva_t from, to;
    uint64_t offset; /* of `from` in the memfd */
    bool user;       /* user pages (never without paging) */
    bool global;     /* good in every address space */
    bool writable;   /* by this context, D is set */
};
bool mmu_find_run(struct mmu *mmu, enum mmu_context context, gva_t linear, struct mmu_run *run);

/* Entry that maps a page for fetching, or NULL. */
static inline const struct mmu_fetch_entry *mmu_fetch_hit(const struct mmu *mmu, enum mmu_context context,
                                                          gva_t page)
{
    const struct mmu_table *t = &mmu->table[context];
    const struct mmu_fetch_entry *f = &t->fetch[(page >> PAGE_SHIFT) & (MMU_FETCH_SIZE - 1)];

    return f->page == page && f->generation == t->fetch_generation[f->flags & MMU_ENTRY_GLOBAL] ? f : NULL;
}

/* For debuggers: translates without setting A/D and without permission checks. */
bool mmu_probe(struct mmu *mmu, gva_t linear, gpa_t *gpa);

/* For debuggers: one leaf entry of the page tables. */
struct mmu_mapping {
    gva_t linear;
    uint64_t size; /* bytes */
    gpa_t gpa;
    uint64_t entry;                  /* as it is in memory */
    bool user, writable, executable; /* by all the entries on the way */
    gva_t next;                      /* where to look on; 0: nowhere */
};
/* The first one that reaches to `from` or begins behind it; false: none, no paging, or *walks, how many table
   walks the search may still take, has come down to 0. Sets no A and D. */
bool mmu_find_mapping(struct mmu *mmu, gva_t from, struct mmu_mapping *mapping, uint64_t *walks);

static inline struct mmu_tlb_entry *mmu_entry(struct mmu *mmu, enum mmu_context context, gva_t linear)
{
    return &mmu->table[context].entry[(linear >> PAGE_SHIFT) & (MMU_TLB_SIZE - 1)];
}

/* Host address when the TLB has it and [linear, linear + size) stays in the page, else NULL. */
static inline uint8_t *mmu_hit(struct mmu *mmu, enum mmu_context context, gva_t linear, unsigned size, bool write)
{
    struct mmu_tlb_entry *e = mmu_entry(mmu, context, linear);
    uint64_t d = linear + (write ? e->write : e->read);

    return d <= PAGE_SIZE - size ? (uint8_t *)(uintptr_t)(e->host + d) : NULL;
}

#endif
