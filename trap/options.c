/*
 * options.c - what follows "-accel trap,", and the counters' names.
 *
 * Interface: trap.h.
 */
#include <errno.h>
#include <string.h>

#include "trap/internal.h"

int trap_parse_options(struct trap_options *options, const char *properties, struct error *error)
{
    static const char *const values[] = {[TRAP_CHECK_OFF] = "off",
                                         [TRAP_CHECK_STOP] = "on",
                                         [TRAP_CHECK_CONTINUE] = "continue",
                                         [TRAP_CHECK_SENSITIVE] = "sensitive"};

    options->check = TRAP_CHECK_OFF;
    if (!*properties)
        return 0;
    if (strncmp(properties, "check=", 6))
        return error_set(error, EINVAL,
                         "-accel trap,%s: no such property; there is only check=off|on|continue|sensitive",
                         properties);
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        if (!strcmp(properties + 6, values[i])) {
            options->check = (enum trap_check)i;
            return 0;
        }
    return error_set(error, EINVAL, "-accel trap,%s: unknown value; give check=off, on, continue or sensitive",
                     properties);
}

/* Of all rows of this name. */
static uint64_t sum(const uint64_t *counts, const char *name)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < trap_table_size; i++)
        if (!strcmp(trap_table[i].name, name))
            total += counts[i];
    return total;
}

void trap_count(const struct trap *t, void (*add)(void *opaque, const char *name, uint64_t value), void *opaque)
{
    static const char *const names[COUNTERS] = {[COUNT_RUNS] = "trap_native_runs",
                                                [COUNT_PAGE_FAULTS] = "trap_page_faults",
                                                [COUNT_EXCEPTIONS] = "trap_exceptions",
                                                [COUNT_KICKS] = "trap_kicks",
                                                [COUNT_OTHER_TRAPS] = "trap_other",
                                                [COUNT_MAPPED] = "trap_pages_mapped",
                                                [COUNT_FLUSHES] = "trap_flushes",
                                                [COUNT_PAGE_FLUSHES] = "trap_page_flushes",
                                                [COUNT_HELD] = "trap_interpreted",
                                                [COUNT_HELD_MODE] = "trap_interpreted_mode",
                                                [COUNT_HELD_SEGMENTS] = "trap_interpreted_segments",
                                                [COUNT_HELD_ADDRESS] = "trap_interpreted_address",
                                                [COUNT_HELD_SINGLE] = "trap_interpreted_single",
                                                [COUNT_HELD_OTHER] = "trap_interpreted_other",
                                                [COUNT_CHECKED] = "checked_instructions",
                                                [COUNT_DIFFERENCES] = "checked_differences"};

    add(opaque, "trap_native_us", t->child[CHILD_SUPERVISOR].user_us + t->child[CHILD_USER].user_us);
    for (unsigned i = 0; i < COUNTERS; i++)
        add(opaque, names[i], t->count[i]);
    for (unsigned i = 0; i < trap_table_size; i++)
        if (i == 0 || strcmp(trap_table[i].name, trap_table[i - 1].name)) {
            add(opaque, trap_table[i].traps, sum(t->traps, trap_table[i].name));
            if (trap_table[i].class == TRAP_SENSITIVE && t->check)
                add(opaque, trap_table[i].differs, sum(t->differs, trap_table[i].name));
        }
}
