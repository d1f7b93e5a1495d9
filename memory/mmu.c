/*
 * mmu.c - the software TLB over the page-table walk.
 *
 * Interface: mmu.h. Invariants: an entry's .write is valid only while ram_may_write allows it and D is set in the
 * guest's tables; every valid entry is in the table's log, unless the log has overflowed; an entry whose .write is
 * valid is among the writers of its page, or those are too many.
 */
#include "memory/mmu.h"

#include <string.h>

#include "memory/host.h"
#include "memory/walk.h"

static void clear_entry(struct mmu_table *t, uint32_t index)
{
    t->entry[index].read = t->entry[index].write = MMU_TLB_NEVER(index);
    t->flags[index] = 0;
}

static void clear_table(struct mmu_table *t)
{
    for (uint32_t i = 0; i < MMU_TLB_SIZE; i++)
        clear_entry(t, i);
    t->log_count[0] = t->log_count[1] = 0;
}

/* An entry's number in struct mmu_writers: from 1. */
#define WRITERS_MANY UINT16_MAX /* in the first place: more than there is room for */
_Static_assert(MMU_CONTEXTS *MMU_TLB_SIZE < WRITERS_MANY, "16 bits for a number");

static uint16_t writer_number(unsigned context, uint32_t index)
{
    return (uint16_t)(context * MMU_TLB_SIZE + index + 1);
}

static struct mmu_table *writer_table(struct mmu *mmu, uint16_t number)
{
    return &mmu->table[(number - 1u) / MMU_TLB_SIZE];
}

static uint32_t writer_index(uint16_t number)
{
    return (number - 1u) % MMU_TLB_SIZE;
}

bool mmu_init(struct mmu *mmu, struct ram *ram)
{
    memset(mmu, 0, sizeof *mmu);
    mmu->ram = ram;
    mmu->writers = host_allocate((ram->size >> PAGE_SHIFT) * sizeof *mmu->writers);
    if (!mmu->writers)
        return false;
    mmu->reserved_high = 0x000fffffffffffffull & ~((1ull << MMU_PHYS_BITS) - 1);
    for (unsigned c = 0; c < MMU_CONTEXTS; c++)
        clear_table(&mmu->table[c]);
    for (unsigned c = 0; c < MMU_CONTEXTS; c++)
        for (unsigned i = 0; i < MMU_FETCH_SIZE; i++)
            mmu->table[c].fetch[i].page = 1;
    return true;
}

void mmu_destroy(struct mmu *mmu)
{
    host_unmap(mmu->writers, (mmu->ram->size >> PAGE_SHIFT) * sizeof *mmu->writers);
}

/* Empties what one log remembers. An entry that has since been filled with a page of the other kind stays. */
static void flush_logged(struct mmu_table *t, unsigned global)
{
    for (uint32_t i = 0; i < t->log_count[global]; i++) {
        uint32_t index = t->log[global][i];

        if ((t->flags[index] & MMU_ENTRY_GLOBAL) == global)
            clear_entry(t, index);
    }
    t->log_count[global] = 0;
}

static void flush_table(struct mmu_table *t, bool global_too)
{
    t->fetch_generation[0]++;
    t->fetch_generation[1] += global_too;
    if (t->log_count[0] > MMU_LOG_SIZE || (global_too && t->log_count[1] > MMU_LOG_SIZE)) {
        clear_table(t);
        return;
    }
    flush_logged(t, 0);
    if (global_too)
        flush_logged(t, 1);
}

static void flush_tables(struct mmu *mmu, bool global_too)
{
    mmu->stats.flushes++;
    mmu->flush_count++;
    mmu->global_flush_count += global_too;
    for (unsigned c = 0; c < MMU_CONTEXTS; c++)
        flush_table(&mmu->table[c], global_too);
}

static void flush_kwindow(struct mmu *mmu, bool global_too)
{
    if (mmu->kwindow && global_too)
        kwindow_flush(mmu->kwindow);
    else if (mmu->kwindow)
        kwindow_flush_local(mmu->kwindow);
}

static void flush_all(struct mmu *mmu, bool global_too)
{
    flush_tables(mmu, global_too);
    if (mmu->window)
        window_flush(mmu->window);
    flush_kwindow(mmu, global_too);
    if (global_too)
        memset(mmu->large, 0, sizeof mmu->large);
}

void mmu_flush(struct mmu *mmu, bool global_too)
{
    trace_tell(&mmu->ram->trace, TRACE_FLUSH, global_too, 0, 0, 0);
    flush_all(mmu, global_too);
}

void mmu_flush_for_cr3(struct mmu *mmu, uint64_t cr3, bool keep)
{
    struct window *w = mmu->window;

    trace_tell(&mmu->ram->trace, TRACE_FLUSH_CR3, cr3, keep, 0, 0);
    flush_tables(mmu, false);
    flush_kwindow(mmu, false);
    if (w && !keep && (!mmu->pcid || ((cr3 ^ w->owner) & MMU_PCID_MASK) == 0))
        window_flush(w);
}

static uint32_t region_of(gva_t linear)
{
    return (uint32_t)(linear >> 21) % (MMU_LARGE_REGIONS / 2) + (linear >> 63 ? MMU_LARGE_REGIONS / 2 : 0);
}

static bool is_large(const struct mmu *mmu, gva_t linear)
{
    return mmu->large[region_of(linear) / 8] >> region_of(linear) % 8 & 1;
}

/* A leaf of this level has been used: 2 or 4 MiB, or 1 GiB. */
static void note_large(struct mmu *mmu, gva_t page, unsigned level)
{
    uint32_t first = region_of(page), count = 1;

    if (level == 3) {
        first &= ~511u;
        count = 512;
    } else if (!mmu->pae) {
        first &= ~1u;
        count = 2;
    }
    for (uint32_t i = first; i < first + count; i++)
        mmu->large[i / 8] |= (uint8_t)(1u << i % 8);
}

void mmu_flush_other_pcid(struct mmu *mmu, uint64_t pcid, const gva_t *linear)
{
    struct window *w = mmu->window;

    trace_tell(&mmu->ram->trace, TRACE_FLUSH_PCID, pcid, 0, 0, 0);
    if (!w || (w->owner & MMU_PCID_MASK) != pcid)
        return;
    if (linear && !is_large(mmu, *linear))
        window_flush_page(w, *linear & PAGE_MASK);
    else
        window_flush(w);
}

void mmu_flush_page(struct mmu *mmu, gva_t linear)
{
    mmu->stats.page_flushes++;
    trace_tell(&mmu->ram->trace, TRACE_FLUSH_PAGE, linear, is_large(mmu, linear), 0, 0);
    if (is_large(mmu, linear)) {
        flush_all(mmu, true);
        return;
    }
    linear &= PAGE_MASK;
    mmu->flushed_page[mmu->page_flush_count++ % MMU_FLUSHED_PAGES] = linear;
    if (mmu->window)
        window_flush_page(mmu->window, linear);
    if (mmu->kwindow)
        kwindow_flush_page(mmu->kwindow, linear);
    for (unsigned c = 0; c < MMU_CONTEXTS; c++) {
        struct mmu_table *t = &mmu->table[c];
        uint32_t index = (linear >> PAGE_SHIFT) & (MMU_TLB_SIZE - 1);
        struct mmu_fetch_entry *f = &t->fetch[(linear >> PAGE_SHIFT) & (MMU_FETCH_SIZE - 1)];

        if (t->entry[index].read == 0 - linear || t->entry[index].write == 0 - linear)
            clear_entry(t, index); /* its log entry stays: clearing twice does no harm */
        if (f->page == linear)
            f->page = 1;
    }
}

static void protect_entry(struct mmu_table *t, uint32_t index, const uint8_t *host_page)
{
    if (t->entry[index].host == (uintptr_t)host_page)
        t->entry[index].write = MMU_TLB_NEVER(index);
}

static void protect_everywhere(struct mmu *mmu, const uint8_t *host_page)
{
    for (unsigned c = 0; c < MMU_CONTEXTS; c++)
        for (uint32_t i = 0; i < MMU_TLB_SIZE; i++)
            protect_entry(&mmu->table[c], i, host_page);
}

static void protect_writers(struct mmu *mmu, const struct mmu_writers *w, const uint8_t *host_page)
{
    for (unsigned i = 0; i < MMU_WRITERS && w->entry[i]; i++)
        protect_entry(writer_table(mmu, w->entry[i]), writer_index(w->entry[i]), host_page);
}

void mmu_protect_host_page(struct mmu *mmu, const uint8_t *host_page)
{
    uint64_t offset = (uint64_t)(host_page - mmu->ram->host);
    struct mmu_writers *w = &mmu->writers[offset >> PAGE_SHIFT];

    if (mmu->window)
        window_protect(mmu->window, offset);
    if (mmu->kwindow)
        kwindow_protect(mmu->kwindow, offset);
    if (w->entry[0] == WRITERS_MANY)
        protect_everywhere(mmu, host_page);
    else
        protect_writers(mmu, w, host_page);
    *w = (struct mmu_writers){{0}};
}

/* The modes that translations depend on, as one number. (Not a copy of struct mmu: that holds the tables.) */
static unsigned paging_modes(const struct mmu *mmu)
{
    return mmu->paging | mmu->long_mode << 1 | mmu->pae << 2 | mmu->pse << 3 | mmu->pge << 4 | mmu->wp << 5 |
           mmu->nx << 6 | mmu->smep << 7 | mmu->smap << 8 | mmu->pcid << 9;
}

void mmu_configure(struct mmu *mmu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    unsigned old = paging_modes(mmu);

    mmu->paging = cr0 >> 31 & 1;
    mmu->wp = cr0 >> 16 & 1;
    mmu->long_mode = mmu->paging && efer >> 8 & 1;
    mmu->pae = cr4 >> 5 & 1;
    mmu->pse = cr4 >> 4 & 1;
    mmu->pge = cr4 >> 7 & 1;
    mmu->smep = cr4 >> 20 & 1;
    mmu->smap = cr4 >> 21 & 1;
    mmu->pcid = cr4 >> 17 & 1;
    mmu->nx = efer >> 11 & 1;
    mmu->root = cr3 & 0x000ffffffffff000ull;
    if (paging_modes(mmu) != old) {
        trace_tell(&mmu->ram->trace, TRACE_FLUSH_MODES, old, paging_modes(mmu), 0, 0);
        flush_all(mmu, true);
    }
    if (mmu->window)
        mmu->window->active = mmu->paging && mmu->window->owner == cr3;
}

bool mmu_load_pdptes(struct mmu *mmu, gpa_t cr3)
{
    uint64_t pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *host = ram_host(mmu->ram, ((cr3 & 0xffffffe0) + i * 8) & mmu->ram->a20_mask);

        pdpte[i] = host ? *(const uint64_t *)(const void *)host : 0;
        if (pdpte[i] & 1 && pdpte[i] & (0xfff00000000001e6ull | mmu->reserved_high))
            return false;
    }
    memcpy(mmu->pdpte, pdpte, sizeof pdpte);
    return true;
}

static void log_index(struct mmu_table *t, uint32_t index, unsigned global)
{
    if (t->log_count[global] < MMU_LOG_SIZE)
        t->log[global][t->log_count[global]] = index;
    if (t->log_count[global] <= MMU_LOG_SIZE)
        t->log_count[global]++;
}

static bool still_writes(struct mmu *mmu, uint16_t number, const uint8_t *host_page)
{
    const struct mmu_tlb_entry *e = &writer_table(mmu, number)->entry[writer_index(number)];

    return e->host == (uintptr_t)host_page && e->write != MMU_TLB_NEVER(writer_index(number));
}

/* The entry may write to the page from now on. */
static void note_writer(struct mmu *mmu, enum mmu_context context, uint32_t index, const uint8_t *host_page)
{
    struct mmu_writers *w = &mmu->writers[(uint64_t)(host_page - mmu->ram->host) >> PAGE_SHIFT];
    uint16_t number = writer_number(context, index);

    if (w->entry[0] == WRITERS_MANY)
        return;
    for (unsigned i = 0; i < MMU_WRITERS; i++)
        if (!w->entry[i] || w->entry[i] == number || !still_writes(mmu, w->entry[i], host_page)) {
            w->entry[i] = number;
            return;
        }
    w->entry[0] = WRITERS_MANY;
}

static void fill(struct mmu *mmu, enum mmu_context context, gva_t page, uint8_t *host_page,
                 const struct walk_result *walk, bool may_write)
{
    struct mmu_table *t = &mmu->table[context];
    uint32_t index = (page >> PAGE_SHIFT) & (MMU_TLB_SIZE - 1);
    struct mmu_tlb_entry *e = &t->entry[index];
    bool used = e->read != MMU_TLB_NEVER(index) || e->write != MMU_TLB_NEVER(index);

    if (!used || (t->flags[index] & MMU_ENTRY_GLOBAL) != walk->global)
        log_index(t, index, walk->global);
    e->read = walk->readable ? 0 - page : MMU_TLB_NEVER(index);
    e->write = MMU_TLB_NEVER(index);
    if (may_write && walk->writable) {
        note_writer(mmu, context, index, host_page);
        e->write = 0 - page;
    }
    e->host = (uintptr_t)host_page;
    e->addend = (uintptr_t)host_page - page;
    t->flags[index] = walk->global ? MMU_ENTRY_GLOBAL : 0;
    mmu->stats.fills++;
    trace_tell(&mmu->ram->trace, TRACE_FILL, context, page, walk->page,
               (walk->readable ? TRACE_RIGHT_READ : 0) | (e->write == 0 - page ? TRACE_RIGHT_WRITE : 0) |
                   (walk->global ? TRACE_RIGHT_GLOBAL : 0));
}

static enum mmu_result fetch_translate(struct mmu *mmu, enum mmu_context context, gva_t page, gpa_t *gpa)
{
    struct mmu_table *t = &mmu->table[context];
    const struct mmu_fetch_entry *hit = mmu_fetch_hit(mmu, context, page);
    struct walk_result walk = {.page = page};
    enum mmu_result result;

    if (hit) {
        *gpa = hit->gpa;
        return MMU_OK;
    }
    if (mmu->paging) {
        result = walk_page(mmu, context, page, MMU_FETCH, &walk);
        if (result != MMU_OK)
            return result;
        if (walk.level > 1)
            note_large(mmu, page, walk.level);
    }
    *gpa = walk.page & mmu->ram->a20_mask;
    t->fetch[(page >> PAGE_SHIFT) & (MMU_FETCH_SIZE - 1)] =
        (struct mmu_fetch_entry){page, *gpa, walk.global ? MMU_ENTRY_GLOBAL : 0, t->fetch_generation[walk.global]};
    trace_tell(&mmu->ram->trace, TRACE_FILL, context, page, *gpa,
               TRACE_RIGHT_FETCH | (walk.global ? TRACE_RIGHT_GLOBAL : 0));
    return MMU_OK;
}

static bool is_canonical(const struct mmu *mmu, gva_t linear)
{
    return !mmu->long_mode || (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

enum mmu_result mmu_translate(struct mmu *mmu, enum mmu_context context, gva_t linear, enum mmu_access access,
                              uint8_t **host, gpa_t *gpa)
{
    gva_t page = linear & PAGE_MASK;
    uint64_t offset = linear & ~PAGE_MASK;
    struct walk_result walk = {.page = page, .readable = true, .writable = true};
    enum mmu_result result;
    uint8_t *host_page;
    uint64_t number;

    if (!is_canonical(mmu, linear))
        return MMU_NONCANONICAL;
    if (access == MMU_FETCH) {
        result = fetch_translate(mmu, context, page, &walk.page);
        if (result != MMU_OK)
            return result;
    } else if (mmu->paging) {
        result = walk_page(mmu, context, page, access, &walk);
        if (result != MMU_OK)
            return result;
        if (walk.level > 1)
            note_large(mmu, page, walk.level);
    }
    walk.page &= mmu->ram->a20_mask;
    *gpa = walk.page | offset;
    host_page = access == MMU_WRITE ? ram_host(mmu->ram, walk.page)
                                    : (uint8_t *)(uintptr_t)ram_host_readable(mmu->ram, walk.page);
    if (!host_page) {
        *host = NULL;
        return MMU_MMIO;
    }
    *host = host_page + offset;
    if (access == MMU_FETCH)
        return MMU_OK;
    if (ram_host(mmu->ram, walk.page) != host_page) { /* ROM */
        walk.writable = false;
        fill(mmu, context, page, host_page, &walk, false);
        return MMU_OK;
    }
    if (access == MMU_WRITE)
        ram_note_written(mmu->ram, host_page);
    number = (uint64_t)(host_page - mmu->ram->host) >> PAGE_SHIFT;
    fill(mmu, context, page, host_page, &walk, ram_may_write(mmu->ram, number));
    return access == MMU_WRITE && mmu->ram->page_flags[number] & RAM_PAGE_CODE ? MMU_CODE : MMU_OK;
}

bool mmu_probe(struct mmu *mmu, gva_t linear, gpa_t *gpa)
{
    if (!is_canonical(mmu, linear))
        return false;
    if (!mmu->paging) {
        *gpa = linear & mmu->ram->a20_mask;
        return true;
    }
    return walk_probe(mmu, linear, gpa);
}
