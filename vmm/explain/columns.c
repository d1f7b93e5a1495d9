/*
 * columns.c - two columns of text.
 *
 * Interface: columns.h. Lines are collected column by column, and printed row by row.
 */
#include "vmm/explain/columns.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add_line(struct column *c, const char *color, const char *text, size_t length)
{
    if (c->count == c->room) {
        unsigned room = c->room ? 2 * c->room : 64;
        struct column_line *line = reallocarray(c->line, room, sizeof *line);

        if (!line) /* it is left out */
            return;
        c->line = line;
        c->room = room;
    }
    c->line[c->count].color = color;
    snprintf(c->line[c->count++].text, COLUMN_MOST, "%.*s", (int)length, text);
}

/* How much of the text fits: up to a blank if there is one. */
static size_t fitting(const char *text, size_t width)
{
    size_t length = strlen(text), at = width;

    if (length <= width)
        return length;
    while (at > width / 2 && text[at] != ' ')
        at--;
    return text[at] == ' ' ? at : width;
}

/* Lines of the column's width, those behind the first indented by as many blanks more. */
static void add_wrapped(struct column *c, const char *color, const char *text, unsigned indent)
{
    char line[COLUMN_MOST];
    unsigned blanks = 0;

    do {
        size_t length = fitting(text, c->width - blanks);

        snprintf(line, sizeof line, "%*s%.*s", (int)blanks, "", (int)length, text);
        add_line(c, color, line, strlen(line));
        text += length;
        text += strspn(text, " ");
        blanks = indent;
    } while (*text);
}

void column_add(struct column *c, const char *color, unsigned indent, const char *format, ...)
{
    char *text;
    va_list ap;
    int length;

    va_start(ap, format);
    length = vasprintf(&text, format, ap);
    va_end(ap);
    if (length < 0)
        return;
    add_wrapped(c, color, text, indent);
    free(text);
}

static void print_cell(const struct column *c, unsigned i, bool colored, unsigned pad, FILE *to)
{
    const struct column_line *line = i < c->count ? &c->line[i] : NULL;
    const char *color = line && colored ? line->color : "";
    unsigned length = line ? (unsigned)strlen(line->text) : 0;

    fprintf(to, "%s%s%s", color, line ? line->text : "", *color ? COLUMN_PLAIN : "");
    if (pad > length)
        fprintf(to, "%*s", (int)(pad - length), "");
}

void column_print(struct column *left, struct column *right, bool color, FILE *to)
{
    for (unsigned i = 0; i < left->count || i < right->count; i++) {
        bool both = i < right->count;

        print_cell(left, i, color, both ? left->width : 0, to);
        if (both) {
            fputs(" | ", to);
            print_cell(right, i, color, 0, to);
        }
        fputc('\n', to);
    }
    left->count = right->count = 0;
}
