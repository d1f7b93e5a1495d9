/*
 * format.h - formats of the monitor's commands: /10xg.
 */
#ifndef NOVT_VMM_MONITOR_FORMAT_H
#define NOVT_VMM_MONITOR_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "memory/error.h"

#define FORMAT_COUNT_MAX 65536u

struct format {
    unsigned count; /* how many units */
    char kind;      /* x, d, u, o, c, i (instructions), s (strings) */
    unsigned size;  /* bytes of a unit: 1, 2, 4 or 8 */
};

/* "10xg" in any order of its parts, over the defaults in *format; up to a blank or the text's end, behind which
 *text is moved. Errors: -EINVAL, -ERANGE. */
int format_read(const char **text, struct format *format, struct error *error);

/* One unit's value in this format (not i, s), as wide as the size's widest: into `to`, at least 32 bytes. */
void format_value(char *to, size_t room, const struct format *format, uint64_t value);

#endif
