/* window.c - memory/window.h: what is mapped, what is forbidden, and what flushes leave. */
#include "memory/window.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAM_SIZE (64ull << 20)

static struct ram ram;
static struct window *window;
static uint8_t *table;
static gva_t somewhere; /* an allowed address, 16 MiB of them */

static void open_window(void)
{
    struct error error;

    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    table = mmap(NULL, WINDOW_TABLE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(table, MAP_FAILED);
    cr_assert_eq(window_create(&window, &ram, table), 0);
    cr_assert(window_take(window, false));
    for (gva_t at = 1ull << 40; at < 1ull << 46 && !somewhere; at += 1ull << 40)
        if (window_allows(window, at) && window_allows(window, at + (16 << 20)))
            somewhere = at;
    cr_assert(somewhere);
}

static void close_window(void)
{
    window_destroy(window);
    munmap(table, WINDOW_TABLE_SIZE);
    ram_destroy(&ram);
}

TestSuite(window, .init = open_window, .fini = close_window);

/* Does `act` survive? In a child, because a fault is the answer. */
static bool survives(void (*act)(uint8_t *), gva_t at)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        act((uint8_t *)(uintptr_t)at);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status);
}

static void load(uint8_t *at)
{
    (void)*(volatile uint8_t *)at;
}

static void store(uint8_t *at)
{
    *(volatile uint8_t *)at = 1;
}

static uint8_t *ram_page(unsigned number)
{
    return ram.host + number * PAGE_SIZE;
}

Test(window, shows_guest_ram)
{
    volatile uint8_t *seen = (uint8_t *)(uintptr_t)somewhere;

    ram_page(5)[100] = 42;
    cr_assert_eq(window_map(window, somewhere, ram_page(5), true), 0);
    cr_assert_eq(seen[100], 42);
    seen[101] = 43;
    cr_assert_eq(ram_page(5)[101], 43);
    /* another page in its place, without a flush between */
    ram_page(6)[100] = 44;
    cr_assert_eq(window_map(window, somewhere, ram_page(6), false), 0);
    cr_assert_eq(seen[100], 44);
    cr_assert(!survives(store, somewhere));
    cr_assert_eq(window->count, 1u);
}

Test(window, flushed_pages_are_gone)
{
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(window_map(window, somewhere + i * PAGE_SIZE, ram_page(i), true), 0);
    window_flush_page(window, somewhere + 50 * PAGE_SIZE);
    cr_assert(survives(load, somewhere + 49 * PAGE_SIZE));
    cr_assert(!survives(load, somewhere + 50 * PAGE_SIZE));
    cr_assert(survives(load, somewhere + 51 * PAGE_SIZE));
    window_flush_page(window, somewhere + 200 * PAGE_SIZE); /* was not there */
    cr_assert_eq(window->count, 99u);
    window_flush(window);
    for (unsigned i = 0; i < 100; i += 33)
        cr_assert(!survives(load, somewhere + i * PAGE_SIZE));
    cr_assert_eq(window->count, 0u);
}

/* The hash table must find every page after others are gone. */
Test(window, any_order_of_flushes)
{
    enum { PAGES = 3000 };

    for (unsigned i = 0; i < PAGES; i++)
        cr_assert_eq(window_map(window, somewhere + i * PAGE_SIZE, ram_page(i % 8), true), 0);
    for (unsigned i = 0; i < PAGES; i++)
        window_flush_page(window, somewhere + i * 1237u % PAGES * PAGE_SIZE);
    cr_assert_eq(window->count, 0u);
    for (unsigned i = 0; i < PAGES; i += 500)
        cr_assert(!survives(load, somewhere + i * PAGE_SIZE));
}

Test(window, many_flushes)
{
    for (unsigned i = 0; i < 9000; i++) {
        cr_assert_eq(window_map(window, somewhere + i % 7 * PAGE_SIZE, ram_page(i % 8), true), 0);
        cr_assert_eq(window->count, 1u);
        window_flush(window);
        cr_assert_eq(window->count, 0u);
    }
    cr_assert(!survives(load, somewhere));
}

Test(window, code_is_not_writable)
{
    ram.page_flags[7] |= RAM_PAGE_CODE;
    cr_assert_eq(window_map(window, somewhere, ram_page(7), true), -EFAULT);
    cr_assert_eq(window_map(window, somewhere, ram_page(7), false), 0);
    /* two places of a page that becomes code */
    cr_assert_eq(window_map(window, somewhere + PAGE_SIZE, ram_page(8), true), 0);
    cr_assert_eq(window_map(window, somewhere + 9 * PAGE_SIZE, ram_page(8), true), 0);
    window_protect(window, 8 * PAGE_SIZE);
    cr_assert(!survives(store, somewhere + PAGE_SIZE));
    cr_assert(!survives(store, somewhere + 9 * PAGE_SIZE));
    cr_assert(survives(load, somewhere));
}

Test(window, what_is_ours_is_forbidden)
{
    static uint8_t data;
    uint8_t stack, *heap = malloc(1);
    const void *ours[] = {&data, &stack, heap, ram.host, window, table, (const void *)(uintptr_t)window_create};

    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++) {
        gva_t at = (gva_t)(uintptr_t)ours[i] & PAGE_MASK;

        for (int k = -1; k <= 1; k++)
            cr_assert(!window_allows(window, at + (uint64_t)(k * (int64_t)WINDOW_GUARD)), "%u %d", i, k);
        cr_assert_eq(window_map(window, at, ram_page(1), false), -EFAULT, "%u", i);
        cr_assert(!survives(load, (gva_t)(uintptr_t)(table + (uint32_t)(at >> WINDOW_PROBE_SHIFT))), "%u", i);
    }
    free(heap);
    cr_assert(survives(load, (gva_t)(uintptr_t)(table + (uint32_t)(somewhere >> WINDOW_PROBE_SHIFT))));
}

Test(window, the_kernels_half_is_forbidden)
{
    static const gva_t at[] = {
        0xffff800000000000, 0xffffffff81000000, 0xfffffffffffff000, 0x800000000000, 0, 4096};

    for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
        cr_assert(!window_allows(window, at[i]), "%u", i);
        cr_assert_eq(window_map(window, at[i], ram_page(1), false), -EFAULT, "%u", i);
        if (at[i] >> 47)
            cr_assert(!survives(load, (gva_t)(uintptr_t)(table + (uint32_t)(at[i] >> WINDOW_PROBE_SHIFT))));
    }
}

Test(window, notices_other_mappings)
{
    void *page;

    cr_assert(window_is_ours(window));
    page =
        mmap((void *)(uintptr_t)somewhere, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert(!window_is_ours(window));
    cr_assert_eq(window_map(window, somewhere, ram_page(1), true), -EEXIST);
    munmap(page, PAGE_SIZE);
    cr_assert(window_is_ours(window));
}

Test(window, is_lost_to_other_mappings)
{
    void *page;

    cr_assert_eq(window_map(window, somewhere, ram_page(1), true), 0);
    cr_assert(window_take(window, false));
    cr_assert_eq(window->count, 0u);
    page =
        mmap((void *)(uintptr_t)somewhere, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert(!window_take(window, false));
    munmap(page, PAGE_SIZE);
    cr_assert(!window_take(window, false), "once spoiled, always spoiled");
    cr_assert(window_take(window, true) || NO_KWINDOW, "nothing can get into a narrow one");
}

/* --- narrow ones --- */

static gva_t in_table(gva_t linear)
{
    return (gva_t)(uintptr_t)table + linear;
}

Test(window, narrow_shows_guest_ram, .disabled = NO_KWINDOW)
{
    static const gva_t at[] = {0x10000, 0x11000, 0x8048000, 0x80000000, 0xfffff000};

    cr_assert(window_take(window, true));
    for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
        const uint8_t *there = (const uint8_t *)(uintptr_t)at[i];

        ram_page(i)[10] = (uint8_t)(i + 1);
        cr_assert_eq(window_map(window, at[i], ram_page(i), i % 2), 0);
        cr_assert_eq(there[10], i + 1);
        cr_assert_eq(survives(store, at[i]), i % 2);
        cr_assert_eq(window_linear(window, there + 10), at[i] + 10);
    }
    cr_assert(!survives(load, 0x12000));
    cr_assert(!survives(load, 0x100000000), "behind it");
    cr_assert_eq(window_linear(window, table), UINT64_MAX);
    cr_assert_eq(window_linear(window, &window), UINT64_MAX);
    cr_assert_eq(window_map(window, 0x100000000, ram_page(1), false), -EFAULT);
    cr_assert_eq(window_map(window, 0, ram_page(1), false), -EFAULT, "the host maps nothing there");
}

/* What is flushed stays reserved: nothing else may get there. */
Test(window, narrow_stays_closed, .disabled = NO_KWINDOW)
{
    void *page;

    cr_assert(window_take(window, true));
    cr_assert_eq(window_map(window, 0x15000, ram_page(1), true), 0);
    cr_assert_eq(window_map(window, 0x19000, ram_page(1), true), 0);
    window_flush_page(window, 0x15000);
    cr_assert(!survives(load, 0x15000));
    cr_assert(survives(load, 0x19000));
    window_flush(window);
    for (gva_t at = 0x15000; at <= 0x19000; at += 0x4000) {
        cr_assert(!survives(load, at));
        page = mmap((void *)(uintptr_t)at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                    -1, 0);
        cr_assert_eq(page, MAP_FAILED);
    }
}

Test(window, changes_its_kind, .disabled = NO_KWINDOW)
{
    gva_t probe = in_table((uint32_t)(somewhere >> WINDOW_PROBE_SHIFT));

    cr_assert(survives(load, probe));
    cr_assert(window_take(window, true));
    cr_assert(!survives(load, probe), "a guest's page may be there now");
    cr_assert_eq(window_map(window, 0x15000, ram_page(1), true), 0);
    cr_assert(window_take(window, false));
    cr_assert(survives(load, probe));
    cr_assert(!survives(load, in_table((uint32_t)((gva_t)(uintptr_t)ram.host >> WINDOW_PROBE_SHIFT))));
}

Test(window, only_ram)
{
    cr_assert_eq(window_map(window, somewhere, ram.host + RAM_SIZE, false), -EFAULT);
    cr_assert_eq(window_map(window, somewhere, ram.host - PAGE_SIZE, false), -EFAULT);
}

Test(window, full)
{
    for (unsigned i = 0; i <= WINDOW_PAGES; i++)
        cr_assert_eq(window_map(window, somewhere + 2 * i * PAGE_SIZE, ram_page(i % 2), false), 0);
    cr_assert_eq(window->stats.evictions, 1u);
    cr_assert_eq(window->count, 1u);
    cr_assert(survives(load, somewhere + 2 * WINDOW_PAGES * PAGE_SIZE));
    cr_assert(!survives(load, somewhere));
}

/* All mappings of the process but a few are taken: a window goes on with those. */
Test(window, no_more_mappings)
{
    enum { TAKEN = 140000 };
    uint8_t *taken = mmap(NULL, TAKEN * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned i = 0;

    cr_assert_neq(taken, MAP_FAILED);
    cr_assert_eq(window_map(window, somewhere, ram_page(0), true), 0);
    while (i < TAKEN && !mprotect(taken + i * PAGE_SIZE, PAGE_SIZE, PROT_READ))
        i += 2;
    if (i >= TAKEN)
        cr_skip_test("the host lets a process have more mappings than this test takes");
    for (unsigned k = 0; k < 5; k++) /* some room for what goes on besides */
        mprotect(taken + (i - 2 - 2 * k) * PAGE_SIZE, PAGE_SIZE, PROT_NONE);
    for (unsigned k = 0; k < 500; k++) {
        gva_t at = somewhere + 2 * k * PAGE_SIZE;

        cr_assert_eq(window_map(window, at, ram_page(k % 8), true), 0);
        *(volatile uint8_t *)(uintptr_t)at = (uint8_t)k;
        cr_assert_eq(ram_page(k % 8)[0], (uint8_t)k);
    }
    cr_assert_gt(window->stats.evictions, 0u);
    munmap(taken, TAKEN * PAGE_SIZE);
}
