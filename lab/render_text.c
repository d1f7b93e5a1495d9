/*
 * render_text.c - a report on a terminal: sentences are broken at WIDTH, tables have columns as wide as they need.
 *
 * Interface: lab_render_heading, lab_render_text, lab_render_cell.
 */
#include "lab/render.h"

#include <string.h>

#include "lab/report.h"

#define WIDTH 100
#define COLUMNS 16

void lab_render_cell(struct json_object *cell, char *text, size_t size)
{
    if (!cell)
        snprintf(text, size, "-");
    else if (json_object_is_type(cell, json_type_double))
        lab_format_number(text, size, json_object_get_double(cell));
    else
        snprintf(text, size, "%s", json_object_get_string(cell));
}

/* Words in lines of WIDTH; the first line begins with `mark`, the others are indented as far. */
static void put_wrapped(const char *mark, const char *text, FILE *to)
{
    int at = fprintf(to, "%s", mark), indent = at;
    size_t length;

    for (; *text; text += length, text += strspn(text, " ")) {
        length = strcspn(text, " ");
        if (at > indent && at + 1 + (int)length > WIDTH)
            at = fprintf(to, "\n%*s", indent, "") - 1;
        at += fprintf(to, "%s%.*s", at > indent ? " " : "", (int)length, text);
    }
    fputc('\n', to);
}

static struct json_object *row_of(struct json_object *rows, size_t i)
{
    return json_object_array_get_idx(rows, i);
}

static int width_of(struct json_object *columns, struct json_object *rows, size_t column)
{
    size_t width = strlen(json_object_get_string(json_object_array_get_idx(columns, column)));
    char text[200];

    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        lab_render_cell(json_object_array_get_idx(row_of(rows, i), column), text, sizeof text);
        width = strlen(text) > width ? strlen(text) : width;
    }
    return (int)width;
}

/* Names are on the left of their column, all else on the right. */
static void put_row(struct json_object *row, const int *width, size_t columns, FILE *to)
{
    char text[200];

    for (size_t i = 0; i < columns; i++) {
        lab_render_cell(json_object_array_get_idx(row, i), text, sizeof text);
        fprintf(to, i ? "  %*s" : "  %-*s", width[i], text);
    }
    fputc('\n', to);
}

static void put_table(struct json_object *table, FILE *to)
{
    struct json_object *columns = json_object_object_get(table, "columns");
    struct json_object *rows = json_object_object_get(table, "rows");
    size_t count = json_object_array_length(columns);
    int width[COLUMNS] = {0};

    count = count < COLUMNS ? count : COLUMNS;
    for (size_t i = 0; i < count; i++)
        width[i] = width_of(columns, rows, i);
    fprintf(to, "\n  %s\n", json_object_get_string(json_object_object_get(table, "title")));
    put_row(columns, width, count, to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %.*s", width[i],
                "----------------------------------------------------------------------------------------");
    fputc('\n', to);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        put_row(row_of(rows, i), width, count, to);
}

static void put_expectation(struct json_object *e, FILE *to)
{
    bool held = json_object_get_boolean(json_object_object_get(e, "held"));

    put_wrapped(held ? "  as expected: " : "  NOT AS EXPECTED: ",
                json_object_get_string(json_object_object_get(e, "text")), to);
}

void lab_render_heading(struct json_object *report, FILE *to)
{
    fprintf(to, "%s: %s\n", json_object_get_string(json_object_object_get(report, "name")),
            json_object_get_string(json_object_object_get(report, "title")));
    put_wrapped("  ", json_object_get_string(json_object_object_get(report, "question")), to);
}

void lab_render_text(struct json_object *report, FILE *to)
{
    struct json_object *tables = json_object_object_get(report, "tables");
    struct json_object *findings = json_object_object_get(report, "findings");
    struct json_object *expectations = json_object_object_get(report, "expectations");

    for (size_t i = 0; i < json_object_array_length(tables); i++)
        put_table(json_object_array_get_idx(tables, i), to);
    fputc('\n', to);
    for (size_t i = 0; i < json_object_array_length(findings); i++)
        put_wrapped("  ", json_object_get_string(json_object_array_get_idx(findings, i)), to);
    if (json_object_array_length(findings))
        fputc('\n', to);
    for (size_t i = 0; i < json_object_array_length(expectations); i++)
        put_expectation(json_object_array_get_idx(expectations, i), to);
    fputc('\n', to);
}
