/*
 * ranges.h - sets of guest addresses in QEMU's notation: -dfilter RANGE[,RANGE...].
 */
#ifndef NOVT_VMM_TRACE_RANGES_H
#define NOVT_VMM_TRACE_RANGES_H

#include "memory/error.h"
#include "memory/ranges.h"

/* "START+LENGTH", "START-LENGTH" (the LENGTH addresses up to START), "FIRST..LAST", with commas; adds to what is
   there. Errors: -EINVAL. */
int ranges_parse(struct ranges *ranges, const char *text, struct error *error);

#endif
