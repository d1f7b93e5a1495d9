/* dirty.c - memory/mmu.h, mmu_log_dirty: every way of writing guest RAM is seen once between two asks. */
#include "memory/mmu.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define RAM_SIZE (16ull << 20)
#define PAGES (unsigned)(RAM_SIZE >> PAGE_SHIFT)
#define P_W 3u

static struct ram ram;
static struct mmu *mmu;
static uint8_t bitmap[PAGES / 8];

static void open_mmu(void)
{
    struct error error;

    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    cr_assert((mmu = calloc(1, sizeof *mmu)));
    cr_assert(mmu_init(mmu, &ram));
}

static void close_mmu(void)
{
    mmu_destroy(mmu);
    free(mmu);
    ram_destroy(&ram);
}

TestSuite(dirty, .init = open_mmu, .fini = close_mmu);

static void touch(gva_t linear, enum mmu_access access)
{
    uint8_t *host;
    gpa_t gpa;

    if (access == MMU_WRITE && mmu_hit(mmu, MMU_SUPERVISOR, linear, 1, true))
        return;
    cr_assert_eq(mmu_translate(mmu, MMU_SUPERVISOR, linear, access, &host, &gpa), MMU_OK);
}

/* The pages written since the last ask are these, and no others. */
static void expect(unsigned count, const unsigned *pages)
{
    uint8_t want[PAGES / 8] = {0};

    for (unsigned i = 0; i < count; i++)
        want[pages[i] / 8] |= (uint8_t)(1u << pages[i] % 8);
    cr_assert_eq(mmu_take_dirty(mmu, bitmap), count);
    cr_assert_arr_eq(bitmap, want, sizeof want);
}
#define EXPECT(...) expect(sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned), (unsigned[]){__VA_ARGS__})

Test(dirty, writes_are_seen_and_reads_are_not)
{
    touch(5 * PAGE_SIZE, MMU_WRITE);
    mmu_log_dirty(mmu, true);
    expect(0, NULL);
    touch(3 * PAGE_SIZE, MMU_READ);
    touch(4 * PAGE_SIZE, MMU_READ);
    touch(4 * PAGE_SIZE, MMU_WRITE);
    touch(5 * PAGE_SIZE, MMU_WRITE);
    touch(5 * PAGE_SIZE, MMU_WRITE);
    EXPECT(4, 5);
    cr_assert_null(mmu_hit(mmu, MMU_SUPERVISOR, 4 * PAGE_SIZE, 1, true), "no write goes unseen behind an ask");
    touch(4 * PAGE_SIZE, MMU_WRITE);
    EXPECT(4);
    expect(0, NULL);
}

Test(dirty, costs_nothing_when_off)
{
    mmu_log_dirty(mmu, true);
    touch(4 * PAGE_SIZE, MMU_WRITE);
    mmu_log_dirty(mmu, false);
    touch(6 * PAGE_SIZE, MMU_READ);
    cr_assert_not_null(mmu_hit(mmu, MMU_SUPERVISOR, 6 * PAGE_SIZE, 1, true));
    mmu_log_dirty(mmu, true);
    expect(0, NULL);
}

Test(dirty, devices_write_too)
{
    static const uint8_t bytes[2 * PAGE_SIZE];

    mmu_log_dirty(mmu, true);
    cr_assert(ram_copy_to(&ram, 7 * PAGE_SIZE + 100, bytes, PAGE_SIZE));
    EXPECT(7, 8);
}

Test(dirty, so_does_the_page_walk)
{
    uint32_t *directory = (uint32_t *)(void *)(ram.host + 16 * PAGE_SIZE);
    uint32_t *table = (uint32_t *)(void *)(ram.host + 17 * PAGE_SIZE);

    directory[0] = 17 << PAGE_SHIFT | P_W;
    table[3] = 9 << PAGE_SHIFT | P_W;
    mmu_configure(mmu, 1u << 31 | 1, 16 << PAGE_SHIFT, 0, 0);
    mmu_log_dirty(mmu, true);
    touch(3 * PAGE_SIZE, MMU_READ);
    EXPECT(16, 17); /* A */
    touch(3 * PAGE_SIZE, MMU_WRITE);
    EXPECT(9, 17); /* D */
    touch(3 * PAGE_SIZE, MMU_WRITE);
    EXPECT(9);
}

Test(dirty, windows_let_written_pages_be_written, .disabled = NO_KWINDOW)
{
    struct mmu_run run;

    cr_assert_eq(kwindow_create(&mmu->kwindow, &ram, NULL, false), 0);
    cr_assert(kwindow_open(mmu->kwindow));
    mmu_log_dirty(mmu, true);
    touch(40 * PAGE_SIZE, MMU_WRITE);
    cr_assert(mmu_find_run(mmu, MMU_SUPERVISOR, 40 * PAGE_SIZE, &run));
    cr_assert(run.writable);
    cr_assert_eq(kwindow_map(mmu->kwindow, run.from, run.to, run.offset, run.writable, run.global), 0);
    cr_assert_eq(mmu->kwindow->count, 3u);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(mmu->kwindow->run[i].writable, i == 1);
    cr_assert_eq(mmu->kwindow->run[1].from, 40u);
    cr_assert_eq(mmu->kwindow->run[1].to, 41u);
    EXPECT(40);
    cr_assert_eq(mmu->kwindow->count, 0u);
    kwindow_destroy(mmu->kwindow);
    mmu->kwindow = NULL;
}
