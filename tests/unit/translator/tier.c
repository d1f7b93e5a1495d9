/*
 * tier.c - translator/tier.h: whose fault it is that a window does not serve an access, the block's or the address
 * space's.
 */
#include "translator/tier.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RAM_SIZE (16ull << 20)
#define CR3 0x100000ull
#define MANY 200 /* accesses, between two ticks */

static struct translator t;
static struct ram ram;
static struct vcpu *v;
static struct block block;

/* User code of a 64-bit guest runs with the window. */
static void begin(enum translator_tier tier)
{
    struct error error;
    void *table;

    v = aligned_alloc(PAGE_SIZE, (sizeof *v + PAGE_SIZE - 1) & PAGE_MASK);
    cr_assert(v);
    memset(v, 0, sizeof *v);
    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    cr_assert_eq(cache_create(&t.cache, 1 << 20, RAM_SIZE >> PAGE_SHIFT), 0);
    t.vcpu = v;
    t.options.tier = tier;
    translator_of(v)->translator = &t;
    table = mmap(NULL, WINDOW_TABLE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(table, MAP_FAILED);
    cr_assert_eq(window_create(&v->mmu.window, &ram, table), 0);
    v->mmu.ram = &ram;
    v->mmu.paging = v->mmu.pae = v->mmu.long_mode = true;
    v->cr3 = CR3;
    v->cpl = 3;
    v->mode = MODE_CODE64 | 3;
    tier_force(v);
    if (!v->mmu.window->active)
        cr_skip_test("no wide window here");
    block.gpa = 0x5000;
}

static void note(enum tier_fault fault, unsigned times)
{
    while (times--)
        tier_note_unsuitable(v, &block, fault);
}

static void expect_the_blocks_fault(enum tier_fault fault)
{
    note(fault, MANY);
    cr_assert(tier_is_unsuitable(translator_of(v), block.gpa));
    cr_assert(!translator_of(v)->tier.due);
}

Test(tier, a_misplaced_address_space_is_not_the_blocks_fault)
{
    begin(TIER_AUTO);
    note(TIER_MISPLACED, MANY);
    cr_assert(!tier_is_unsuitable(translator_of(v), block.gpa));
    cr_assert(translator_of(v)->tier.due);
    tier_take_turn(v);
    cr_assert(!v->mmu.window->active, "it has lost the window");
    cr_assert(!translator_of(v)->tier.due);
    cr_assert(!tier_is_due(v), "and does not get it back at once");
    /* another address space does */
    v->cr3 += PAGE_SIZE;
    for (unsigned i = 0; i < 5; i++)
        tier_tick(v);
    cr_assert(v->mmu.window->active);
    cr_assert_eq(v->mmu.window->owner, v->cr3);
}

Test(tier, a_few_misplaced_accesses_do_not_matter)
{
    begin(TIER_AUTO);
    for (unsigned i = 0; i < 100; i++) {
        note(TIER_MISPLACED, 10);
        cr_assert(!translator_of(v)->tier.due);
        tier_tick(v);
        cr_assert(v->mmu.window->active);
    }
    cr_assert(!tier_is_unsuitable(translator_of(v), block.gpa));
}

Test(tier, what_no_window_serves_is_the_blocks_fault)
{
    begin(TIER_AUTO);
    expect_the_blocks_fault(TIER_UNSUITABLE);
}

/* Blocks that share slots of the table do not drive each other out, as long as not too many are unsuitable. */
Test(tier, many_blocks)
{
    unsigned lost = 0;

    begin(TIER_AUTO);
    for (unsigned i = 0; i < 1500; i++) {
        block.gpa = 0x100000 + 0x137ull * i;
        note(TIER_UNSUITABLE, 4);
    }
    for (unsigned i = 0; i < 1500; i++)
        lost += !tier_is_unsuitable(translator_of(v), 0x100000 + 0x137ull * i);
    cr_assert_leq(lost, 5);
}

/* There is no other tier to go to. */
Test(tier, forced_windows_adapt_block_by_block)
{
    begin(TIER_WINDOW);
    expect_the_blocks_fault(TIER_MISPLACED);
}

/* A supervisor's block that reads such a process's memory: it has its own window, and stays in it. */
Test(tier, supervisor_code_adapts_block_by_block)
{
    begin(TIER_AUTO);
    v->cpl = 0;
    expect_the_blocks_fault(TIER_MISPLACED);
}
