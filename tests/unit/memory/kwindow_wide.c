/* kwindow_wide.c - memory/kwindow.h, of 64-bit kernels: what is claimed, who loses it, and what flushes leave. */
#include "memory/kwindow.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define RAM_SIZE (64ull << 20)

static struct ram ram;
static struct window *user;
static struct kwindow *window;
static uint8_t *table;

static void open_window(void)
{
    struct error error;

    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    for (unsigned i = 0; i < RAM_SIZE >> PAGE_SHIFT; i++)
        *(uint32_t *)(void *)(ram.host + i * PAGE_SIZE) = i;
    table = mmap(NULL, WINDOW_TABLE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_eq(kwindow_create(&window, &ram, table, true), 0);
    cr_assert(window->has_table);
    cr_assert_eq(window_create(&user, &ram, table), 0);
    cr_assert(kwindow_open_wide(window, user));
    srand(1);
}

static void close_window(void)
{
    kwindow_destroy(window);
    window_destroy(user);
    munmap(table, WINDOW_TABLE_SIZE);
    ram_destroy(&ram);
}

TestSuite(kwindow_wide, .init = open_window, .fini = close_window, .disabled = NO_KWINDOW);

static bool readable(uint64_t at)
{
    uint32_t value;
    struct iovec ours = {&value, 1}, theirs = {(void *)(uintptr_t)at, 1};

    return process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) == 1;
}

static uint64_t probe_of(gva_t linear)
{
    return KWINDOW_BASE + (linear >> WINDOW_PROBE_SHIFT & UINT32_MAX);
}

static uint64_t host_of(gva_t linear)
{
    return linear + KWINDOW_BASE;
}

static gva_t some_unit(void)
{
    return KWINDOW_HALF | ((uint64_t)rand() << 31 | (uint64_t)rand()) % (1ull << 47) / KWINDOW_UNIT * KWINDOW_UNIT;
}

static void check_unit(gva_t unit)
{
    bool claimed = kwindow_allows(window, unit);

    cr_assert_eq(readable(probe_of(unit)), claimed, "%llx", (unsigned long long)unit);
    cr_assert_eq(readable(probe_of(unit + KWINDOW_UNIT - 1)), claimed, "%llx", (unsigned long long)unit);
    for (uint64_t at = host_of(unit) - WINDOW_GUARD; claimed && at < host_of(unit) + KWINDOW_UNIT + WINDOW_GUARD;
         at += WINDOW_GUARD * 64)
        cr_assert(!window_allows(user, at), "%llx", (unsigned long long)at);
}

Test(kwindow_wide, claims_what_it_may)
{
    unsigned claims = 0;
    gva_t unit[200];

    cr_assert(window_take(user, false));
    for (unsigned i = 0; i < 200; i++) {
        bool may, had;

        unit[i] = some_unit();
        if (i % 4 == 3 && unit[i - 1] != KWINDOW_HALF)
            unit[i] = unit[i - 1] + (i % 8 == 3 ? KWINDOW_UNIT : 0 - KWINDOW_UNIT);
        if (unit[i] < KWINDOW_HALF)
            unit[i] = KWINDOW_HALF;
        may = kwindow_may_claim(window, unit[i] + 12345);
        had = kwindow_allows(window, unit[i]);
        cr_assert_eq(kwindow_claim(window, user, unit[i] + 12345), may);
        cr_assert_eq(kwindow_allows(window, unit[i] + KWINDOW_UNIT - 1), may || had);
        claims += may;
        cr_assert(claims < KWINDOW_CLAIMS || !kwindow_may_claim(window, some_unit()));
    }
    cr_assert_gt(claims, 10u);
    for (unsigned i = 0; i < 200; i++)
        check_unit(unit[i]);
    cr_assert(!readable(probe_of(0)), "the user's half is not the kernel's");
    cr_assert(!readable(probe_of(0x7fffffffffff)));
}

Test(kwindow_wide, what_novt_has_is_not_to_be_had)
{
    static uint8_t data;
    uint8_t local, *heap = malloc(1 << 24);
    const void *ours[] = {&data,
                          &local,
                          heap,
                          ram.host,
                          table,
                          window,
                          user,
                          (const void *)(uintptr_t)readable,
                          (const void *)(uintptr_t)rand,
                          (const void *)(uintptr_t)KWINDOW_BASE};

    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        cr_assert(!kwindow_claim(window, user, (uintptr_t)ours[i] - KWINDOW_BASE), "%p", ours[i]);
    cr_assert(!kwindow_claim(window, user, KWINDOW_HALF), "below what the host's addresses reach");
    cr_assert(!kwindow_claim(window, user, 0x400000));
    cr_assert_eq(window->claim_count, 0u);
    free(heap);
}

Test(kwindow_wide, the_last_unit_is_to_be_had)
{
    gva_t text = 0xffffffff81000000;

    cr_assert(kwindow_claim(window, user, text));
    cr_assert_eq(kwindow_map(window, text, text + 8 * PAGE_SIZE, 5 * PAGE_SIZE, false, true), 0);
    cr_assert_eq(*(uint32_t *)(uintptr_t)(host_of(text) + 3 * PAGE_SIZE), 8u);
    cr_assert(kwindow_holds(window, text + 7 * PAGE_SIZE));
    cr_assert(!readable(host_of(text) + 8 * PAGE_SIZE));
}

/* Runs of two units, something of somebody else's between them. */
Test(kwindow_wide, a_flush_leaves_what_is_between)
{
    gva_t low = 0xffff888000000000, high = 0xffffc90000000000;
    uint8_t *between = mmap((void *)(uintptr_t)host_of(0xffffa00000000000), PAGE_SIZE, PROT_READ,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    cr_assert_eq((uintptr_t)between, host_of(0xffffa00000000000));
    cr_assert(kwindow_claim(window, user, low));
    cr_assert(kwindow_claim(window, user, high));
    cr_assert_eq(kwindow_map(window, low, low + RAM_SIZE, 0, true, true), 0);
    cr_assert_eq(kwindow_map(window, high, high + 4 * PAGE_SIZE, 0, true, true), 0);
    cr_assert_eq(kwindow_map(window, high + 8 * PAGE_SIZE, high + 9 * PAGE_SIZE, 0, true, false), 0);
    cr_assert_eq(window->count, 3u);
    kwindow_flush_page(window, low + 7 * PAGE_SIZE);
    cr_assert(!readable(host_of(low) + 7 * PAGE_SIZE));
    cr_assert(readable(host_of(low) + 8 * PAGE_SIZE));
    kwindow_protect(window, 3 * PAGE_SIZE);
    kwindow_flush_local(window);
    cr_assert_eq(window->count, 0u);
    cr_assert(!readable(host_of(low)) && !readable(host_of(low) + RAM_SIZE - 1) && !readable(host_of(high)));
    cr_assert(readable((uintptr_t)between));
    munmap(between, PAGE_SIZE);
}

/* The user's pages there are gone, and do not come back. */
Test(kwindow_wide, the_user_loses_what_is_claimed)
{
    gva_t unit = 0xffffa00000000000, at = host_of(unit) + 64 * PAGE_SIZE;

    cr_assert(window_take(user, false));
    user->owner = 0x1000;
    cr_assert_eq(window_map(user, at, ram.host, true), 0);
    cr_assert(readable(at) && readable((uintptr_t)table + (at >> WINDOW_PROBE_SHIFT)));
    cr_assert(kwindow_claim(window, user, unit));
    cr_assert(!readable(at) && !readable((uintptr_t)table + (at >> WINDOW_PROBE_SHIFT)));
    cr_assert_eq(user->owner, WINDOW_NO_OWNER);
    cr_assert(window_take(user, false), "what is claimed is none of its business");
    cr_assert_neq(window_map(user, at, ram.host, true), 0);
    cr_assert_eq(window_map(user, 0x500000000000, ram.host, true), 0);
}
