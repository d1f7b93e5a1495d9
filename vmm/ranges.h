/*
 * ranges.h - sets of guest addresses, in QEMU's notation: -dfilter RANGE[,RANGE...].
 */
#ifndef NOVT_VMM_RANGES_H
#define NOVT_VMM_RANGES_H

#include <stdbool.h>

#include "memory/error.h"
#include "memory/ram.h"

#define RANGES_MAX 32

struct ranges {
    struct {
        gva_t first, last;
    } range[RANGES_MAX];
    unsigned count; /* 0: nothing has been asked for, and every address is in it */
};

/* "START+LENGTH", "START-LENGTH" (the LENGTH addresses up to START), "FIRST..LAST", with commas; adds to what is
   there. Errors: -EINVAL. */
int ranges_parse(struct ranges *ranges, const char *text, struct error *error);
bool ranges_hold(const struct ranges *ranges, gva_t address);

#endif
