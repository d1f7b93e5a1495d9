/*
 * writer.c - text into a buffer of a fixed size.
 *
 * Interface: writer.h. Invariant: used < size, if size is not 0.
 */
#include "vmm/writer.h"

#include <stdarg.h>
#include <stdio.h>

void writer_put(struct writer *w, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(w->text + w->used, w->size - w->used, format, ap);
    va_end(ap);
    if (n > 0)
        w->used += (size_t)n < w->size - w->used ? (size_t)n : w->size - w->used - 1;
}
