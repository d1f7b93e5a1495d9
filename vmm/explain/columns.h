/*
 * columns.h - text in two columns beside one another, wrapped to their widths.
 */
#ifndef NOVT_VMM_EXPLAIN_COLUMNS_H
#define NOVT_VMM_EXPLAIN_COLUMNS_H

#include <stdbool.h>
#include <stdio.h>

#define COLUMN_MOST 256 /* characters of a line */
#define COLUMN_PLAIN "\033[0m"

struct column_line {
    const char *color; /* an escape sequence, or "" */
    char text[COLUMN_MOST];
};

/* Begins as zeros but for the width, below COLUMN_MOST; free line. */
struct column {
    struct column_line *line;
    unsigned count, room, width;
};

/* Formatted text as lines of the column's width, those behind the first indented by as many blanks.
   A line that there is no memory for is left out. */
__attribute__((format(printf, 4, 5))) void column_add(struct column *c, const char *color, unsigned indent,
                                                      const char *format, ...);
/* Side by side, with their colours if wanted; both are empty then. */
void column_print(struct column *left, struct column *right, bool color, FILE *to);

#endif
