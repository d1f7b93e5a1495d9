/*
 * mapping.c - memory/mmu.h, mmu_find_mapping: going from mapping to mapping finds exactly what single walks find,
 * in random page tables of each kind.
 */
#include "memory/mmu.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define RAM_SIZE (16ull << 20)
#define TABLES 64u /* pages of RAM that may be tables; [0] is the root */
#define PROBES 20000u
#define MAPPINGS_MAX 400000u
#define PTE_PS 0x80u

static struct ram ram;
static struct mmu *mmu;
static struct mmu_mapping *found;
static size_t count;

static void open_mmu(void)
{
    struct error error;

    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    cr_assert((mmu = calloc(1, sizeof *mmu)));
    cr_assert((found = calloc(MAPPINGS_MAX, sizeof *found)));
    cr_assert(mmu_init(mmu, &ram));
    srandom(7);
}

static void close_mmu(void)
{
    free(found);
    mmu_destroy(mmu);
    free(mmu);
    ram_destroy(&ram);
}

TestSuite(mapping, .init = open_mmu, .fini = close_mmu);

static uint64_t some(void)
{
    return (uint64_t)random() << 62 ^ (uint64_t)random() << 31 ^ (uint64_t)random();
}

/* A few entries of each table: to a lower table, to a page, a large page; some lead out of RAM. A table's level is
   its number modulo 4, so that there are no loops. */
static void fill_tables(unsigned entry_size, unsigned levels)
{
    memset(ram.host, 0, TABLES * PAGE_SIZE);
    for (unsigned table = 0; table < TABLES; table++) {
        unsigned level = table == 0 ? levels : 1 + table % levels;

        for (unsigned i = 0; i < (table == 0 ? 64u : 24u); i++) {
            uint64_t place = some() % (PAGE_SIZE / entry_size);
            uint64_t target = 1 + some() % (TABLES - 1), entry = some() & 7;

            while (level > 1 && 1 + target % levels >= level)
                target = 1 + some() % (TABLES - 1);
            entry |= (level > 1 ? target : some() % 0x8000) << PAGE_SHIFT;
            if (level > 1 && level < 4 && random() % 8 == 0)
                entry = (entry & 7) | PTE_PS | (some() % 4) << 30;
            memcpy(ram.host + table * PAGE_SIZE + place * entry_size, &entry, entry_size);
        }
    }
}

static void collect(void)
{
    uint64_t walks = UINT64_MAX;
    struct mmu_mapping m;
    gva_t at = 0;

    for (count = 0; mmu_find_mapping(mmu, at, &m, &walks); at = m.next) {
        cr_assert_lt(count, MAPPINGS_MAX);
        cr_assert_geq(m.linear, count ? found[count - 1].linear + found[count - 1].size : 0);
        found[count++] = m;
        if (!m.next)
            break;
    }
    cr_assert_gt(count, 10u);
}

static const struct mmu_mapping *around(gva_t linear)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (linear < found[middle].linear)
            high = middle;
        else if (linear - found[middle].linear >= found[middle].size)
            low = middle + 1;
        else
            return &found[middle];
    }
    return NULL;
}

static void check(gva_t linear)
{
    const struct mmu_mapping *m = around(linear);
    gpa_t gpa;

    cr_assert_eq(mmu_probe(mmu, linear, &gpa), m != NULL, "%llx", (unsigned long long)linear);
    if (m)
        cr_assert_eq(gpa, m->gpa + (linear - m->linear), "%llx", (unsigned long long)linear);
}

/* At every edge, and at random. */
static void compare(uint64_t mask)
{
    for (size_t i = 0; i < count; i++) {
        check(found[i].linear);
        check(found[i].linear + found[i].size - 1);
        check((found[i].linear - 1) & mask);
        check((found[i].linear + found[i].size) & mask);
    }
    for (unsigned i = 0; i < PROBES; i++)
        check(some() & mask);
}

Test(mapping, four_levels)
{
    fill_tables(8, 4);
    mmu_configure(mmu, 0x80000001, 0, 0x20, 0xd00);
    collect();
    compare(~0ull);
    cr_assert_geq(found[count - 1].linear, ~0ull << 47, "nothing in the upper half");
}

Test(mapping, pae)
{
    uint64_t pdpte = 1;

    fill_tables(8, 2);
    for (unsigned i = 0; i < 4; i++) {
        pdpte = i == 2 ? 0 : (2 * i + 1) << PAGE_SHIFT | 1; /* odd numbers are directories */
        memcpy(ram.host + 8 * i, &pdpte, 8);
    }
    mmu_configure(mmu, 0x80000001, 0, 0x20, 0x800);
    cr_assert(mmu_load_pdptes(mmu, 0));
    collect();
    compare(UINT32_MAX);
}

Test(mapping, two_levels)
{
    fill_tables(4, 2);
    mmu_configure(mmu, 0x80000001, 0, 0x10, 0);
    collect();
    compare(UINT32_MAX);
}

Test(mapping, ends)
{
    uint64_t walks = 1;
    struct mmu_mapping m;

    cr_assert(!mmu_find_mapping(mmu, 0, &m, &walks), "without paging");
    fill_tables(8, 4);
    memset(ram.host, 0, PAGE_SIZE); /* an empty root */
    mmu_configure(mmu, 0x80000001, 0, 0x20, 0xd00);
    walks = 100;
    cr_assert(!mmu_find_mapping(mmu, 0, &m, &walks));
    cr_assert_eq(walks, 0u, "a walk for each entry of the root, as far as they go");
    walks = 10000;
    cr_assert(!mmu_find_mapping(mmu, 0, &m, &walks));
    cr_assert_eq(walks, 10000u - 512u);
    cr_assert(!mmu_find_mapping(mmu, 1ull << 60, &m, &walks), "from where nothing can be");
}
