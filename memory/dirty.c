/*
 * dirty.c - which pages of RAM have been written since the last ask.
 *
 * Interface: mmu.h. While it is on, ram_may_write lets no page be written unseen that has not been noted (mmu.c,
 * the page walk, kwindow.c, ram_copy_to). So behind each ask no permission to write may be left in the TLB or a
 * window.
 */
#include <string.h>

#include "memory/mmu.h"

void mmu_log_dirty(struct mmu *mmu, bool on)
{
    mmu->ram->log_dirty = on;
    for (uint64_t i = 0; i < mmu->ram->size >> PAGE_SHIFT; i++)
        mmu->ram->page_flags[i] &= (uint8_t)~RAM_PAGE_DIRTY;
    mmu_flush(mmu, true);
}

uint64_t mmu_take_dirty(struct mmu *mmu, uint8_t *bitmap)
{
    uint64_t count = 0, pages = mmu->ram->size >> PAGE_SHIFT;

    memset(bitmap, 0, (pages + 7) / 8);
    for (uint64_t i = 0; i < pages; i++)
        if (mmu->ram->page_flags[i] & RAM_PAGE_DIRTY) {
            mmu->ram->page_flags[i] &= (uint8_t)~RAM_PAGE_DIRTY;
            bitmap[i / 8] |= (uint8_t)(1u << i % 8);
            count++;
        }
    mmu_flush(mmu, true);
    return count;
}
