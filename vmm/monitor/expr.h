/*
 * expr.h - the monitor's expressions: $rsp + 8, 0x1000 | 4, names of symbols.
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

#endif
