/*
 * writer.h - text into a buffer of a fixed size, for reports: nothing is allocated, and what does not fit is cut
 * off.
 */
#ifndef NOVT_VMM_WRITER_H
#define NOVT_VMM_WRITER_H

#include <stddef.h>

struct writer {
    char *text;
    size_t size, used; /* bytes; the text ends with a zero that does not count */
};

__attribute__((format(printf, 2, 3))) void writer_put(struct writer *w, const char *format, ...);

#endif
