/*
 * error.h - a host or user error: what failed, the value, and what to do.
 *
 * Functions that can fail for such a reason return 0 or a negative errno and fill a
 * `struct error` that the caller owns. Guest faults do not use this; see cpu/vcpu.h.
 */
#ifndef NOVT_MEMORY_ERROR_H
#define NOVT_MEMORY_ERROR_H

#include <stdarg.h>
#include <stdio.h>

struct error {
    char text[512]; /* one line, no newline at the end */
};

/* Stores the formatted text and returns -errnum, so that `return error_set(e, EINVAL, ...)` reads well.
   `e` may be NULL. */
__attribute__((format(printf, 3, 4))) static inline int error_set(struct error *e, int errnum, const char *format,
                                                                  ...)
{
    if (e) {
        va_list ap;

        va_start(ap, format);
        vsnprintf(e->text, sizeof e->text, format, ap);
        va_end(ap);
    }
    return -errnum;
}

#endif
