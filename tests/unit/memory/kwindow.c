/* kwindow.c - memory/kwindow.h: the runs against a model of single pages, and what the host lets through. */
#include "memory/kwindow.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define RAM_SIZE (64ull << 20)
#define PAGES 512u         /* of linear addresses under test */
#define BASE 0x40000000ull /* the first */
#define RAM_PAGES (unsigned)(RAM_SIZE >> PAGE_SHIFT)

static struct ram ram;
static struct kwindow *window;
static struct {
    unsigned page; /* of RAM */
    bool mapped, writable;
} model[PAGES];

static uint8_t *table;

static void open_window(void)
{
    struct error error;

    table = mmap(NULL, WINDOW_TABLE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(table, MAP_FAILED);
    cr_assert_eq(ram_create(&ram, RAM_SIZE, &error), 0);
    for (unsigned i = 0; i < RAM_PAGES; i++)
        *(uint32_t *)(void *)(ram.host + i * PAGE_SIZE) = i;
    cr_assert_eq(kwindow_create(&window, &ram, table, false), 0);
    cr_assert(kwindow_open(window));
    srand(1);
}

static void close_window(void)
{
    kwindow_destroy(window);
    munmap(table, WINDOW_TABLE_SIZE);
    ram_destroy(&ram);
}

TestSuite(kwindow, .init = open_window, .fini = close_window, .disabled = NO_KWINDOW);

/* One word at a linear address by the kernel's hand, which reports what the processor would fault on. */
static bool transfer(gva_t at, uint32_t *value, bool write)
{
    struct iovec ours = {value, 4}, theirs = {(void *)(uintptr_t)at, 4};

    return (write ? process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0)
                  : process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0)) == 4;
}

static void compare(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        gva_t at = BASE + i * PAGE_SIZE;
        uint32_t value;
        bool there = transfer(at, &value, false);

        cr_assert_eq(there, model[i].mapped, "page %u", i);
        cr_assert_eq(kwindow_holds(window, at), model[i].mapped, "page %u", i);
        if (!there)
            continue;
        cr_assert_eq(value, model[i].page, "page %u", i);
        cr_assert_eq(transfer(at, &value, true), model[i].writable, "page %u", i);
    }
}

static void map(unsigned first, unsigned count, unsigned page, bool writable)
{
    cr_assert_eq(kwindow_map(window, BASE + first * PAGE_SIZE, BASE + (first + count) * PAGE_SIZE,
                             page * PAGE_SIZE, writable, true),
                 0);
    for (unsigned i = 0; i < count; i++) {
        model[first + i].mapped = true;
        model[first + i].page = page + i;
        model[first + i].writable = writable && !(ram.page_flags[page + i] & RAM_PAGE_CODE);
    }
}

static void protect(unsigned page)
{
    ram.page_flags[page] |= RAM_PAGE_CODE;
    kwindow_protect(window, page * PAGE_SIZE);
    for (unsigned i = 0; i < PAGES; i++)
        if (model[i].page == page)
            model[i].writable = false;
}

Test(kwindow, agrees_with_single_pages)
{
    for (unsigned step = 0; step < 4000; step++) {
        unsigned first = (unsigned)rand() % PAGES, count = 1 + (unsigned)rand() % (rand() % 8 ? 4 : PAGES - first);

        if (count > PAGES - first)
            count = PAGES - first;
        switch (rand() % 8) {
        case 0:
            kwindow_flush_page(window, BASE + first * PAGE_SIZE);
            model[first].mapped = false;
            break;
        case 1:
            protect((unsigned)rand() % 1024);
            break;
        case 2:
            ram.page_flags[rand() % 1024] = 0;
            break;
        default: /* in half of the cases what continues the neighbours */
            map(first, count, rand() % 2 ? first : (unsigned)rand() % 512, rand() % 2);
        }
        if (step % 100 == 0)
            compare();
    }
    compare();
    kwindow_flush(window);
    for (unsigned i = 0; i < PAGES; i++)
        model[i].mapped = false;
    compare();
    cr_assert_eq(window->count, 0u);
}

Test(kwindow, neighbours_become_one_run)
{
    for (unsigned i = 0; i < 64; i++)
        map(i * 2, 1, i * 2, true);
    cr_assert_eq(window->count, 64u);
    for (unsigned i = 0; i < 64; i++)
        map(i * 2 + 1, 1, i * 2 + 1, true);
    cr_assert_eq(window->count, 1u);
    compare();
}

/* The second one follows a run that is merged away under it. */
Test(kwindow, every_alias_is_protected)
{
    map(0, 1, 4, false);
    map(1, 1, 5, true);
    map(2, 1, 5, true);
    protect(5);
    compare();
}

/* What makes room for a page that is not global does not make it one. */
Test(kwindow, a_local_page_is_one_when_full)
{
    window->limit = 8;
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(kwindow_map(window, BASE + 2 * i * PAGE_SIZE, BASE + (2 * i + 1) * PAGE_SIZE, 0, true, false),
                     0);
    cr_assert_eq(kwindow_map(window, BASE + PAGE_SIZE * 100, BASE + PAGE_SIZE * 101, 0, true, false), 0);
    cr_assert_gt(window->stats.evictions, 0u);
    kwindow_flush_local(window);
    compare();
}

/* More runs than there is room for, and more mappings than a process may have. */
Test(kwindow, is_emptied_when_full)
{
    for (unsigned i = 0; i < 40000; i++) {
        gva_t at = BASE + i * 2 * PAGE_SIZE;
        uint32_t value;

        cr_assert_eq(kwindow_map(window, at, at + PAGE_SIZE, i % 999 * PAGE_SIZE, true, true), 0);
        cr_assert(transfer(at, &value, false));
        cr_assert_eq(value, i % 999);
    }
    cr_assert_gt(window->stats.evictions, 0u);
    cr_assert_leq(window->count, KWINDOW_RUNS);
}

Test(kwindow, local_pages_go_with_cr3)
{
    map(0, 4, 10, true);
    kwindow_flush_local(window);
    compare();
    cr_assert_eq(kwindow_map(window, BASE, BASE + PAGE_SIZE, 0, true, false), 0);
    kwindow_flush_local(window);
    for (unsigned i = 0; i < 4; i++)
        model[i].mapped = false;
    compare();
    for (unsigned i = 0; i < KWINDOW_LOCAL_FLUSHES; i++) {
        kwindow_map(window, BASE, BASE + PAGE_SIZE, 0, true, false);
        kwindow_flush_local(window);
    }
    cr_assert(kwindow_is_volatile(window, BASE, false));
    cr_assert(!kwindow_is_volatile(window, BASE, true));
}

Test(kwindow, ends_where_it_should)
{
    uint32_t value = 0;

    cr_assert_eq(kwindow_map(window, 0, RAM_SIZE, 0, true, true), 0);
    cr_assert(!transfer(WINDOW_LOWEST - 4, &value, false));
    cr_assert(transfer(WINDOW_LOWEST, &value, false));
    cr_assert_eq(value, WINDOW_LOWEST >> PAGE_SHIFT);
    cr_assert_eq(kwindow_map(window, KWINDOW_END - PAGE_SIZE, KWINDOW_END, 5 * PAGE_SIZE, true, true), 0);
    cr_assert(transfer(KWINDOW_END - 4, &value, false));
    cr_assert(!transfer(KWINDOW_END - 2, &value, false), "nothing can be reached behind it");
    kwindow_close(window);
    cr_assert(!transfer(WINDOW_LOWEST, &value, false));
    cr_assert(kwindow_open(window));
    cr_assert(!transfer(WINDOW_LOWEST, &value, false));
}

/* The lowest 4 GiB are the user's then. */
Test(kwindow, moves)
{
    uint64_t moved = (uintptr_t)table;
    uint32_t value = 0;
    void *page;

    cr_assert_eq(kwindow_map(window, 0, RAM_SIZE, 0, true, true), 0);
    cr_assert(kwindow_move(window));
    cr_assert(window->active && window->base == moved && !window->count);
    page = mmap((void *)(uintptr_t)BASE, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                -1, 0);
    cr_assert_eq((uintptr_t)page, BASE, "it has left them");
    munmap(page, PAGE_SIZE);
    cr_assert(!transfer(moved + BASE, &value, false));
    cr_assert_eq(kwindow_map(window, BASE, BASE + 2 * PAGE_SIZE, 5 * PAGE_SIZE, true, true), 0);
    cr_assert(transfer(moved + BASE + PAGE_SIZE, &value, false));
    cr_assert_eq(value, 6u);
    cr_assert(!transfer(moved + KWINDOW_END, &value, false), "nothing can be reached behind it");
    cr_assert(!kwindow_move(window), "only once");
    kwindow_close(window);
    cr_assert(!transfer(moved + BASE, &value, false));
    cr_assert(kwindow_open(window));
}

Test(kwindow, gives_way_to_what_is_there)
{
    void *page;

    kwindow_close(window);
    page = mmap((void *)(uintptr_t)BASE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    cr_assert(!kwindow_open(window));
    cr_assert(!window->active);
    munmap(page, PAGE_SIZE);
    cr_assert(kwindow_open(window));
}
