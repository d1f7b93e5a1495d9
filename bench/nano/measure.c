/*
 * measure.c - runs benchmarks, and makes a line of each.
 *
 * Interface: nano.h. A benchmark gets SHARE_MS, whichever engine runs it: units are doubled until a batch takes
 * its part of that; then BATCHES of them are measured. Invariants: no operation but the TSC's is needed, and no
 * memory but this file's, so that it runs without an operating system; a batch that was wrong once is not measured
 * again.
 */
#include "nano.h"

#define BATCHES 9
#define EMPTY_BATCHES 3
#define SHARE_MS 50

static uint64_t slice; /* cycles that a batch may take */
static const char *choice;
static const char *running = "start";
static const char *wrong;

void nano_put_number(uint64_t value)
{
    char digits[24], *at = digits + sizeof digits - 1;

    *at = 0;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    guest_put(at);
}

void nano_check(bool right, const char *otherwise)
{
    if (!right && !wrong)
        wrong = otherwise;
}

uint64_t nano_empty(uint64_t units)
{
    return GUEST_TIMED(units, (void)0);
}

/* What follows `start` in the word at `words`, which is all of it if `start` ends where it does; else NULL. */
static const char *after(const char *words, const char *start)
{
    for (; *start; start++, words++)
        if (*words != *start)
            return NULL;
    return words;
}

static const char *next_word(const char *words)
{
    while (*words && *words != ' ')
        words++;
    while (*words == ' ')
        words++;
    return words;
}

static bool names(const char *words, const char *name)
{
    const char *rest;

    for (; *words; words = next_word(words)) {
        rest = after(words, name);
        if (rest && (!*rest || *rest == ' '))
            return true;
    }
    return false;
}

static uint64_t share_ms(const char *words)
{
    uint64_t ms = 0;
    const char *rest;

    for (; *words; words = next_word(words)) {
        rest = after(words, "time=");
        while (rest && *rest >= '0' && *rest <= '9')
            ms = ms * 10 + (uint64_t)(*rest++ - '0');
    }
    return ms ? ms : SHARE_MS;
}

void nano_begin(uint64_t hz, const char *words)
{
    choice = words;
    slice = hz / 1000 * share_ms(words) / (BATCHES + 1);
    guest_put("nano-tsc ");
    nano_put_number(hz);
    guest_put("\n");
}

void nano_put_wrong(void)
{
    guest_put("nano ");
    guest_put(running);
    guest_put(" wrong ");
}

/* All of a batch's time, preparations included: those of some take longer than what is measured. */
static uint64_t whole_time(const struct nano_bench *b, uint64_t units)
{
    uint64_t begin = guest_tsc();

    b->batch(units);
    return guest_tsc() - begin;
}

/* A batch that took long is tried again: the host may have been busy elsewhere. */
static bool takes_its_time(const struct nano_bench *b, uint64_t units)
{
    return whole_time(b, units) >= slice / 2 && whole_time(b, units) >= slice / 2;
}

static uint64_t find_units(const struct nano_bench *b)
{
    uint64_t units = 1;

    while (!takes_its_time(b, units) && !wrong && (!b->most || units * 2 <= b->most))
        units *= 2;
    return units;
}

static uint64_t empty_cycles(const struct nano_bench *b, uint64_t units)
{
    uint64_t least = UINT64_MAX, cycles;
    unsigned i;

    if (!b->empty)
        return 0;
    for (i = 0; i < EMPTY_BATCHES; i++) {
        cycles = b->empty(units);
        least = cycles < least ? cycles : least;
    }
    return least;
}

static void insert_sorted(uint64_t *sorted, unsigned count, uint64_t value)
{
    for (; count && sorted[count - 1] > value; count--)
        sorted[count] = sorted[count - 1];
    sorted[count] = value;
}

/* Cycles an operation with one digit behind the point. What is below nothing is the measurement's error. */
static void put_cycles(uint64_t cycles, uint64_t empty, uint64_t operations)
{
    uint64_t tenths = cycles > empty ? ((cycles - empty) * 10 + operations / 2) / operations : 0;

    guest_put(" ");
    nano_put_number(tenths / 10);
    guest_put(".");
    nano_put_number(tenths % 10);
}

static void put_result(const struct nano_bench *b, uint64_t units, uint64_t empty, const uint64_t *sorted)
{
    uint64_t operations = units * (b->operations ? b->operations : 1);

    if (wrong) {
        nano_put_wrong();
        guest_put(wrong);
    } else {
        guest_put("nano ");
        guest_put(b->name);
        guest_put(" ");
        nano_put_number(operations);
        put_cycles(sorted[0], empty, operations);
        put_cycles(sorted[BATCHES / 2], empty, operations);
    }
    guest_put("\n");
}

static void measure(const struct nano_bench *b)
{
    uint64_t sorted[BATCHES], units, empty;
    unsigned i;

    running = b->name;
    wrong = NULL;
    units = find_units(b);
    empty = empty_cycles(b, units);
    for (i = 0; i < BATCHES && !wrong; i++)
        insert_sorted(sorted, i, b->batch(units));
    put_result(b, units, empty, sorted);
}

/* Names that no benchmark has choose nothing: a boot loader puts the kernel's file name among the words. */
static bool chooses_any(const struct nano_bench *const *tables)
{
    const struct nano_bench *b;

    for (; *tables; tables++)
        for (b = *tables; b->name; b++)
            if (names(choice, b->name))
                return true;
    return false;
}

void nano_run(const struct nano_bench *const *tables)
{
    bool all = !chooses_any(tables);
    const struct nano_bench *b;

    for (; *tables; tables++)
        for (b = *tables; b->name; b++)
            if ((all || names(choice, b->name)) && (!b->available || b->available()))
                measure(b);
    guest_put("nano-end\n");
}
