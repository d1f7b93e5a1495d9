/*
 * shadow.c - a user program and a kernel that changes its page tables: what an engine's copies of them cost, and
 * hold.
 *
 * The program uses the pages of GUEST_AREA at CPL 3; the entries of guest_area_table are what the guest has
 * for them. Invariants: a batch leaves the area unmapped and the TLB without it; what is loaded is checked: frame
 * i holds i + 1 in its first word, and in its second one the address of another page's, for a chain.
 */
#include "lab/guest/lab.h"

#define P_P 1u
#define P_W 2u
#define P_U 4u
#define FRAMES ((uint64_t *)0x1000000) /* 16 MiB: beyond the image */
#define WORDS 512u                     /* of a page */
#define KNOWN_PAGES 64u
#define SPACE_PAGES 8u /* that a program touches in its turn */
#define USER (P_P | P_W | P_U)

static uint64_t frame(unsigned i)
{
    return (uint64_t)(FRAMES + (uint64_t)i * WORDS);
}

static void prepare_frames(void)
{
    unsigned i;

    for (i = 0; i < GUEST_AREA_PAGES; i++)
        FRAMES[(uint64_t)i * WORDS] = i + 1;
}

/* Of the first `pages` pages; to frames of their number, with these bits. 0 unmaps them. */
static void map_area(volatile uint64_t *table, unsigned pages, unsigned first_frame, uint64_t bits)
{
    unsigned i;

    for (i = 0; i < pages; i++)
        table[i] = bits ? frame(first_frame + i) | bits : 0;
    write_cr3(read_cr3());
}

/* --- what runs at CPL 3 --- */

static uint64_t sum_of_pages;

/* A load from each of n pages. */
static uint64_t touch(uint64_t n)
{
    const uint8_t *at = (const uint8_t *)GUEST_AREA;
    uint64_t total = 0, cycles = GUEST_TIMED(n, total += *(const volatile uint64_t *)(const void *)at; at += 4096);

    sum_of_pages = total;
    return cycles;
}

/* n loads from KNOWN_PAGES pages, each of which has the address of the next one. */
static uint64_t chase(uint64_t n)
{
    uint64_t at = GUEST_AREA + 8, cycles = GUEST_TIMED(n, at = *(const volatile uint64_t *)at);

    sum_of_pages = at;
    return cycles;
}

static uint64_t sum_to(uint64_t n)
{
    return n * (n + 1) / 2;
}

/* --- tasks --- */

/* 5 i + 1 modulo KNOWN_PAGES goes through all pages, and comes back to the first. */
static void link_pages(void)
{
    uint64_t i;

    for (i = 0; i < KNOWN_PAGES; i++)
        FRAMES[i * WORDS + 1] = GUEST_AREA + 8 + 4096 * ((5 * i + 1) % KNOWN_PAGES);
}

static uint64_t load(uint64_t n)
{
    uint64_t cycles;

    n -= n % KNOWN_PAGES;
    link_pages();
    map_area(guest_area_table, KNOWN_PAGES, 0, USER);
    guest_at_user(chase, KNOWN_PAGES); /* all pages are known from here on */
    cycles = guest_at_user(chase, n);
    lab_check(sum_of_pages == GUEST_AREA + 8, "the-chain-does-not-close");
    map_area(guest_area_table, KNOWN_PAGES, 0, 0);
    return cycles;
}

static uint64_t user_empty(uint64_t n)
{
    return guest_at_user(lab_empty, n);
}

/* The handler (entries.S) maps the page that is missing: always the same frame. */
static uint64_t fault(uint64_t n)
{
    uint64_t cycles = 0, total = 0, done, pages;

    prepare_frames();
    guest_area_entry = frame(0) | USER;
    guest_count = 0;
    for (done = 0; done < n; done += pages) {
        pages = n - done < GUEST_AREA_PAGES ? n - done : GUEST_AREA_PAGES;
        cycles += guest_at_user(touch, pages);
        total += sum_of_pages;
        map_area(guest_area_table, GUEST_AREA_PAGES, 0, 0);
    }
    lab_check(guest_count == n, "the-handler-ran-another-number-of-times");
    lab_check(total == n, "a-load-read-something-else");
    return cycles;
}

/* n turns of the program: a change of privilege there and back, and a load. */
static uint64_t turns(uint64_t n, uint64_t entry, uint64_t change, bool flush, bool store)
{
    uint64_t total = 0, cycles = 0, begin, i;

    for (i = 0; i < n; i++) {
        begin = guest_tsc();
        if (store)
            guest_area_table[0] = entry;
        if (flush)
            invlpg(GUEST_AREA);
        guest_at_user(touch, 1);
        cycles += guest_tsc() - begin;
        total += sum_of_pages;
        entry ^= change;
    }
    sum_of_pages = total;
    return cycles;
}

/* The first page's entry alternates between frames 0 and 1. */
static uint64_t pte_flush(uint64_t n)
{
    uint64_t cycles;

    prepare_frames();
    map_area(guest_area_table, 1, 1, USER);
    cycles = turns(n, frame(0) | USER, frame(0) ^ frame(1), true, true);
    lab_check(sum_of_pages == (n + 1) / 2 + 2 * (n / 2), "a-load-read-the-page-of-an-old-entry");
    map_area(guest_area_table, 1, 0, 0);
    return cycles;
}

static uint64_t pte_empty(uint64_t n)
{
    uint64_t cycles;

    prepare_frames();
    map_area(guest_area_table, 1, 0, USER);
    cycles = turns(n, 0, 0, false, false);
    lab_check(sum_of_pages == n, "a-load-read-something-else");
    map_area(guest_area_table, 1, 0, 0);
    return cycles;
}

/* Entries are written, and nothing is flushed: the architecture asks nothing of anyone. */
static uint64_t pte_store(uint64_t n)
{
    uint64_t i = 0, cycles;

    cycles = GUEST_TIMED(n, guest_area_table[i & 63] = frame(0) | P_P | P_W; i++);
    map_area(guest_area_table, GUEST_AREA_PAGES, 0, 0);
    return cycles;
}

/* --- two address spaces --- */

static _Alignas(4096) volatile uint64_t other[4][512];

/* Of the entry that leads to GUEST_AREA (1 GiB) in PML4, page-directory-pointer table, and page directory. */
static const unsigned area_index[3] = {0, 1, 0};

/* Another address space: the same but for the pages of the area. Its CR3. */
static uint64_t make_other(void)
{
    const volatile uint64_t *from[3] = {(const volatile uint64_t *)read_cr3(), NULL, NULL};
    unsigned level, i;

    for (level = 0; level < 3; level++) {
        for (i = 0; i < 512; i++)
            other[level][i] = from[level][i];
        if (level < 2)
            from[level + 1] = (const volatile uint64_t *)(from[level][area_index[level]] & ~0xfffull);
        other[level][area_index[level]] = (uint64_t)other[level + 1] | USER;
    }
    return (uint64_t)other[0];
}

static uint64_t alternate(uint64_t n, uint64_t change)
{
    uint64_t cr3 = read_cr3(), begin = guest_tsc(), total = 0, i;

    for (i = 0; i < n; i++) {
        cr3 ^= change;
        if (change)
            write_cr3(cr3);
        guest_at_user(touch, SPACE_PAGES);
        total += sum_of_pages;
    }
    begin = guest_tsc() - begin;
    sum_of_pages = total;
    return begin;
}

/* Programs of two address spaces take turns, each with pages of its own. */
static uint64_t context_switch(uint64_t n)
{
    uint64_t first = read_cr3(), second = make_other(), cycles;

    prepare_frames();
    map_area(other[3], SPACE_PAGES, SPACE_PAGES, USER);
    map_area(guest_area_table, SPACE_PAGES, 0, USER);
    cycles = alternate(n, first ^ second);
    write_cr3(first);
    lab_check(sum_of_pages ==
                  (n / 2) * sum_to(SPACE_PAGES) + (n + 1) / 2 * (sum_to(2 * SPACE_PAGES) - sum_to(SPACE_PAGES)),
              "a-program-read-the-other-one's-page");
    map_area(guest_area_table, SPACE_PAGES, 0, 0);
    return cycles;
}

static uint64_t context_empty(uint64_t n)
{
    uint64_t cycles;

    prepare_frames();
    map_area(guest_area_table, SPACE_PAGES, 0, USER);
    cycles = alternate(n, 0);
    lab_check(sum_of_pages == n * sum_to(SPACE_PAGES), "a-load-read-something-else");
    map_area(guest_area_table, SPACE_PAGES, 0, 0);
    return cycles;
}

/* --- the tables, to be drawn --- */

#define DRAWN 8u

static const struct {
    uint64_t bits;
    unsigned frame;
    char used; /* 'r', 'w', 'k' by the kernel, ' ' not at all */
} drawn[DRAWN] = {
    {USER, 0, 'w'},      {USER, 1, 'r'}, {P_P | P_U, 2, 'r'}, {USER, 3, ' '},
    {P_P | P_W, 4, 'k'}, {USER, 0, 'r'}, {USER, 5, 'r'},      {USER, 6, 'r'},
};

static uint64_t use_pages(uint64_t n)
{
    volatile uint8_t *at = (volatile uint8_t *)GUEST_AREA;
    unsigned i;

    for (i = 0; i < n; i++, at += 4096) {
        if (drawn[i].used == 'w')
            at[8] = 1;
        else if (drawn[i].used == 'r')
            (void)at[8];
    }
    return 0;
}

/* Pages of several rights are used in several ways; of the last two, which have been read, the entries change
 * then: the first one's with INVLPG, the last one's without. */
static uint64_t draw(uint64_t n)
{
    static bool drawn_once;
    unsigned i;

    (void)n;
    if (drawn_once)
        return 0;
    drawn_once = true;
    for (i = 0; i < DRAWN; i++)
        guest_area_table[i] = frame(drawn[i].frame) | drawn[i].bits;
    write_cr3(read_cr3());
    guest_at_user(use_pages, DRAWN);
    *(volatile uint8_t *)(GUEST_AREA + 4 * 4096 + 8) = 1;
    guest_area_table[6] = frame(7) | USER;
    invlpg(GUEST_AREA + 6 * 4096);
    guest_area_table[7] = frame(8) | USER;
    for (i = 0; i < DRAWN; i++) {
        lab_begin("entry");
        lab_number("linear", GUEST_AREA + (uint64_t)i * 4096);
        lab_number("entry", guest_area_table[i]);
        lab_end();
    }
    return 0;
}

const struct lab_task lab_tasks[] = {
    {"load", load, NULL},
    {"fault", fault, user_empty},
    {"switch", context_switch, context_empty},
    {"pte-flush", pte_flush, pte_empty},
    {"pte-store", pte_store, lab_empty},
    {"draw", draw, NULL},
    {NULL},
};
