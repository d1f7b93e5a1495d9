/*
 * walk.h - the guest page-table walk (SDM vol. 3, 4.3-4.5). Private to memory/.
 */
#ifndef NOVT_MEMORY_WALK_H
#define NOVT_MEMORY_WALK_H

#include "memory/mmu.h"

struct walk_result {
    gpa_t page;      /* guest-physical address of the 4 KiB page */
    bool writable;   /* a write by this context would be allowed, with D already set */
    bool readable;   /* a read by this context would be allowed */
    bool executable; /* likewise a fetch */
    bool global;
    uint8_t level; /* 1: 4 KiB, 2: 2 or 4 MiB, 3: 1 GiB */
};

/* Walks for one access; sets A and D. MMU_OK or MMU_FAULT (mmu->error_code). */
enum mmu_result walk_page(struct mmu *mmu, enum mmu_context context, gva_t linear, enum mmu_access access,
                          struct walk_result *result);
/* Behind a walk of the page that succeeded, with paging: the pages around it that one leaf entry maps, or entries
   of one table that differ in nothing but the address, which goes on as the linear one does. */
struct walk_run {
    gva_t from, to;
    gpa_t page;          /* at `from` */
    bool user, writable; /* pages of U/S; as in struct walk_result */
};
bool walk_find_run(struct mmu *mmu, enum mmu_context context, gva_t page, struct walk_run *run);
/* mmu_find_mapping, with paging. */
bool walk_find_mapping(struct mmu *mmu, gva_t from, struct mmu_mapping *mapping, uint64_t *walks);
/* Without permission checks and without setting A and D; false when not present. */
bool walk_probe(struct mmu *mmu, gva_t linear, gpa_t *gpa);

#endif
