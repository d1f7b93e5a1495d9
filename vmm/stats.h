/*
 * stats.h - counters for --stats, as text or JSON.
 */
#ifndef NOVT_VMM_STATS_H
#define NOVT_VMM_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define STATS_ROWS 160

struct stats {
    struct {
        const char *name; /* static text, lower_case */
        uint64_t value;
    } row[STATS_ROWS];
    unsigned count;
};

/* Rows beyond the last are dropped. */
void stats_add(struct stats *stats, const char *name, uint64_t value);
void stats_print(const struct stats *stats, bool json, FILE *to);

struct machine;
/* Everything the machine counts. */
void stats_collect(struct stats *stats, const struct machine *machine);

#endif
