/*
 * walk.c - the guest page-table walk: 4-level, PAE and 32-bit tables, and no paging.
 *
 * Interface: walk.h. A and D are set with a compare-and-swap on guest memory, and only after every check has
 * passed; a fault leaves no trace. Paging-structure entries that point outside of RAM read as all ones on real
 * machines, here as not present.
 */
#include "memory/walk.h"

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

struct step {
    uint8_t *host; /* the entry, in host memory */
    uint64_t value;
};

struct path {
    struct step step[4];
    unsigned count;
    uint64_t rights; /* AND of W and U, OR of NX */
    unsigned level;  /* level of the leaf */
    gpa_t page;
    bool reserved;
};

static bool load_entry(struct mmu *mmu, struct path *p, gpa_t at, bool wide)
{
    uint8_t *host = ram_host(mmu->ram, at & mmu->ram->a20_mask);

    if (!host)
        return false;
    p->step[p->count].host = host;
    p->step[p->count].value = wide ? *(volatile uint64_t *)host : *(volatile uint32_t *)host;
    return p->step[p->count++].value & PTE_P;
}

static void add_rights(struct path *p, uint64_t entry, bool nx)
{
    p->rights = (p->rights & entry & (PTE_W | PTE_U)) | (p->rights & PTE_NX) | (nx ? entry & PTE_NX : 0);
}

/* PAE and 4-level: 8-byte entries of 9 index bits each. */
static bool path_wide(struct mmu *mmu, gva_t linear, struct path *p)
{
    gpa_t table = mmu->root;
    unsigned level = 4;

    if (!mmu->long_mode) {
        uint64_t pdpte = mmu->pdpte[(linear >> 30) & 3];

        linear &= 0xffffffff;
        if (!(pdpte & PTE_P))
            return false;
        table = pdpte & PTE_ADDRESS;
        level = 2;
    }
    for (;; level--) {
        unsigned shift = PAGE_SHIFT + 9 * (level - 1);
        uint64_t entry, bad = mmu->reserved_high | (mmu->nx ? 0 : PTE_NX);
        bool leaf;

        if (!load_entry(mmu, p, table + ((linear >> shift) & 511) * 8, true))
            return false;
        entry = p->step[p->count - 1].value;
        leaf = level == 1 || (level <= 3 && entry & PTE_PS);
        if (level == 4)
            bad |= PTE_PS;
        else if (leaf && level > 1) /* bit 12 is PAT, the rest below the frame is reserved */
            bad |= ((1ull << shift) - 1) & ~0x1fffull;
        if (!mmu->long_mode)
            bad |= 0x7ff0000000000000ull;
        if (entry & bad) {
            p->reserved = true;
            return true;
        }
        add_rights(p, entry, mmu->nx);
        if (leaf) {
            uint64_t below = (1ull << shift) - 1;

            p->level = level;
            p->page = (entry & PTE_ADDRESS & ~below) | (linear & below & PAGE_MASK);
            return true;
        }
        table = entry & PTE_ADDRESS;
    }
}

/* 32-bit paging: 4-byte entries of 10 index bits each, 4 MiB pages with CR4.PSE (PSE-36 too). */
static bool path_narrow(struct mmu *mmu, gva_t linear, struct path *p)
{
    uint64_t entry;

    linear &= 0xffffffff;
    if (!load_entry(mmu, p, (mmu->root & 0xfffff000) + (linear >> 22) * 4, false))
        return false;
    entry = p->step[0].value;
    add_rights(p, entry, false);
    if (mmu->pse && entry & PTE_PS) {
        p->level = 2;
        p->page = (entry & 0xffc00000) | ((entry & 0x1fe000) << 19) | (linear & 0x3ff000);
        p->reserved = entry & (1u << 21) || p->page & mmu->reserved_high;
        return true;
    }
    if (!load_entry(mmu, p, (entry & 0xfffff000) + ((linear >> 12) & 1023) * 4, false))
        return false;
    entry = p->step[1].value;
    add_rights(p, entry, false);
    p->level = 1;
    p->page = entry & 0xfffff000;
    return true;
}

static bool walk_path(struct mmu *mmu, gva_t linear, struct path *p)
{
    p->count = 0;
    p->rights = PTE_W | PTE_U;
    p->reserved = false;
    return mmu->pae ? path_wide(mmu, linear, p) : path_narrow(mmu, linear, p);
}

/* Permission of the page for a context (SDM vol. 3, 4.6.1). */
static void decide(const struct mmu *mmu, enum mmu_context context, struct path *p, struct walk_result *r)
{
    bool user_page = p->rights & PTE_U, write = p->rights & PTE_W, nx = p->rights & PTE_NX;

    if (context == MMU_USER) {
        r->readable = user_page;
        r->writable = user_page && write;
        r->executable = user_page && !nx;
        return;
    }
    r->readable = !(user_page && mmu->smap && context == MMU_SUPERVISOR);
    r->writable = r->readable && (write || !mmu->wp);
    r->executable = !nx && !(user_page && mmu->smep);
}

/* Sets A in every entry used and D in the leaf for a write. false: an entry changed meanwhile, walk again. */
static bool mark(struct mmu *mmu, struct path *p, bool write)
{
    for (unsigned i = 0; i < p->count; i++) {
        uint64_t old = p->step[i].value;
        uint64_t new = old | PTE_A | (write && i == p->count - 1 ? PTE_D : 0);

        if (new == old)
            continue;
        ram_note_written(mmu->ram, p->step[i].host);
        if (mmu->pae) {
            if (!__sync_bool_compare_and_swap((uint64_t *)(void *)p->step[i].host, old, new))
                return false;
        } else if (!__sync_bool_compare_and_swap((uint32_t *)(void *)p->step[i].host, (uint32_t)old,
                                                 (uint32_t) new)) {
            return false;
        }
        p->step[i].value = new;
    }
    return true;
}

static enum mmu_result page_fault(struct mmu *mmu, enum mmu_context context, gva_t linear, enum mmu_access access,
                                  uint32_t bits)
{
    mmu->error_code = bits | (access == MMU_WRITE ? PF_WRITE : 0) | (context == MMU_USER ? PF_USER : 0);
    if (access == MMU_FETCH && ((mmu->nx && mmu->pae) || mmu->smep))
        mmu->error_code |= PF_FETCH;
    mmu->stats.faults++;
    trace_tell(&mmu->ram->trace, TRACE_FAULT, context, linear, mmu->error_code, 0);
    return MMU_FAULT;
}

enum mmu_result walk_page(struct mmu *mmu, enum mmu_context context, gva_t linear, enum mmu_access access,
                          struct walk_result *result)
{
    struct path p;
    bool allowed;

    mmu->stats.walks++;
    do {
        if (!walk_path(mmu, linear, &p))
            return page_fault(mmu, context, linear, access, 0);
        if (p.reserved)
            return page_fault(mmu, context, linear, access, PF_PRESENT | PF_RESERVED);
        decide(mmu, context, &p, result);
        allowed = access == MMU_FETCH   ? result->executable
                  : access == MMU_WRITE ? result->writable
                                        : result->readable;
        if (!allowed)
            return page_fault(mmu, context, linear, access, PF_PRESENT);
    } while (!mark(mmu, &p, access == MMU_WRITE));
    result->writable &= !!(p.step[p.count - 1].value & PTE_D);
    result->global = mmu->pge && p.step[p.count - 1].value & PTE_G;
    result->page = p.page;
    result->level = (uint8_t)p.level;
    return MMU_OK;
}

/* How far one table's entries go on from the i-th, in steps of 1 or -1. */
static unsigned count_like(const struct mmu *mmu, const uint8_t *table, unsigned i, int step)
{
    unsigned end = step < 0 ? 0 : (mmu->pae ? 511 : 1023), n = 0;
    const uint64_t *wide = (const uint64_t *)(const void *)table;
    const uint32_t *narrow = (const uint32_t *)(const void *)table;
    uint64_t next = mmu->pae ? wide[i] : narrow[i];

    for (; i != end; n++) {
        i += (unsigned)step;
        next += (uint64_t)((int64_t)step * (int64_t)PAGE_SIZE);
        if ((mmu->pae ? wide[i] : narrow[i]) != next)
            break;
    }
    return n;
}

bool walk_find_run(struct mmu *mmu, enum mmu_context context, gva_t page, struct walk_run *run)
{
    struct walk_result rights;
    unsigned shift, down, up, entry_size = mmu->pae ? 8 : 4;
    uint8_t *leaf, *table;
    struct path p;

    if (!walk_path(mmu, page, &p) || p.reserved)
        return false;
    decide(mmu, context, &p, &rights);
    run->user = p.rights & PTE_U;
    run->writable = rights.writable && p.step[p.count - 1].value & PTE_D;
    if (p.level > 1) {
        shift = mmu->pae ? PAGE_SHIFT + 9 * (p.level - 1) : 22;
        run->from = page >> shift << shift;
        run->to = run->from + (1ull << shift);
        run->page = p.page - (page - run->from);
        return true;
    }
    leaf = p.step[p.count - 1].host;
    table = (uint8_t *)((uintptr_t)leaf & PAGE_MASK);
    down = count_like(mmu, table, (unsigned)(leaf - table) / entry_size, -1);
    up = count_like(mmu, table, (unsigned)(leaf - table) / entry_size, 1);
    run->from = page - down * PAGE_SIZE;
    run->to = page + (up + 1) * PAGE_SIZE;
    run->page = p.page - down * PAGE_SIZE;
    return true;
}

bool walk_probe(struct mmu *mmu, gva_t linear, gpa_t *gpa)
{
    struct path p;

    if (!walk_path(mmu, linear, &p) || p.reserved)
        return false;
    *gpa = p.page | (linear & ~PAGE_MASK);
    return true;
}
