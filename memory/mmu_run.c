/*
 * mmu_run.c - the pages around one that a window can map together with it.
 *
 * Interface: mmu.h.
 */
#include "memory/walk.h"

/* Makes [from, to) stop where `from` as a guest-physical address would leave RAM or meet a ROM. */
static bool clip_to_ram(const struct mmu *mmu, gva_t page, gpa_t gpa, struct mmu_run *run)
{
    const struct ram *ram = mmu->ram;
    gpa_t low = gpa - (page - run->from), high = gpa + (run->to - page);
    gpa_t start = gpa < RAM_HOLE_END ? 0 : RAM_HOLE_END, end = start ? ram_high_end(ram) : ram_low_size(ram);

    if (ram_offset(ram, gpa) == UINT64_MAX)
        return false;
    for (unsigned i = 0; i < ram->rom_count; i++) {
        gpa_t rom = ram->roms[i].start, rom_end = rom + ram->roms[i].size;

        if (gpa >= rom && gpa < rom_end)
            return false;
        if (rom_end <= gpa && rom_end > start)
            start = rom_end;
        if (rom > gpa && rom < end)
            end = rom;
    }
    low = low < start || low > gpa ? start : low;
    high = high > end ? end : high;
    run->from = page - (gpa - low);
    run->to = page + (high - gpa);
    run->offset = ram_offset(ram, low);
    return true;
}

bool mmu_find_run(struct mmu *mmu, enum mmu_context context, gva_t linear, struct mmu_run *run)
{
    const struct mmu_tlb_entry *e = mmu_entry(mmu, context, linear);
    gva_t page = linear & PAGE_MASK;
    struct walk_run walk = {.from = 0, .to = KWINDOW_END, .page = 0, .writable = true};
    gpa_t gpa;

    if (mmu->paging && !walk_find_run(mmu, context, page, &walk))
        return false;
    run->from = walk.from;
    run->to = walk.to;
    run->user = walk.user;
    run->global = !mmu->paging || mmu->table[context].flags[e - mmu->table[context].entry] & MMU_ENTRY_GLOBAL;
    run->writable = walk.writable;
    gpa = walk.page + (page - walk.from);
    if (mmu->ram->a20_mask != ~0ull) {
        gpa &= mmu->ram->a20_mask;
        run->from = page;
        run->to = page + PAGE_SIZE;
    }
    return clip_to_ram(mmu, page, gpa, run);
}

bool mmu_find_mapping(struct mmu *mmu, gva_t from, struct mmu_mapping *mapping, uint64_t *walks)
{
    if (!mmu->paging || (!mmu->long_mode && from >> 32))
        return false;
    if (mmu->long_mode && from >> 47 && from >> 47 != 0x1ffff)
        from = ~0ull << 47; /* not canonical */
    return walk_find_mapping(mmu, from, mapping, walks);
}
