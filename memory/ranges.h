/*
 * ranges.h - sets of guest addresses that somebody wants to watch.
 */
#ifndef NOVT_MEMORY_RANGES_H
#define NOVT_MEMORY_RANGES_H

#include <stdbool.h>

#include "memory/ram.h"

#define RANGES_MAX 32

struct ranges {
    struct {
        gva_t first, last;
    } range[RANGES_MAX];
    unsigned count; /* 0: nothing has been asked for, and every address is in it */
};

static inline bool ranges_hold(const struct ranges *ranges, gva_t address)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (address >= ranges->range[i].first && address <= ranges->range[i].last)
            return true;
    return !ranges->count;
}

#endif
