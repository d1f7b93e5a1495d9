/*
 * monitor_expr.h - the monitor's expressions ($rsp + 8, 0x1000 | 4, names of symbols) and formats (/10xg).
 */
#ifndef NOVT_VMM_MONITOR_EXPR_H
#define NOVT_VMM_MONITOR_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/error.h"

/* What names stand for. */
struct expr_names {
    /* Behind a $. Errors with a text. */
    int (*find_register)(void *opaque, const char *name, uint64_t *value, struct error *error);
    int (*find_symbol)(void *opaque, const char *name, uint64_t *value, struct error *error);
    void *opaque;
};

/*
 * Reads an expression at *text and moves *text behind it: numbers (decimal, 0x, 0 octal), $registers, symbols,
 * parentheses, unary - ~ +, and * / % + - << >> & ^ | with C's precedence, in 64 bits, unsigned. Errors: -EINVAL.
 */
int expr_read(const char **text, const struct expr_names *names, uint64_t *value, struct error *error);

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
