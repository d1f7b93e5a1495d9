/*
 * report.c - makes the tree that report.h describes.
 *
 * Interface: report.h. Invariant: every list is there from the start, so that whoever prints need not ask.
 */
#include "lab/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct json_object *list(struct json_object *report, const char *name)
{
    return json_object_object_get(report, name);
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

struct json_object *lab_report_create(const struct lab_experiment *experiment)
{
    static const char *const lists[] = {"tables", "plots", "drawings", "findings", "expectations", "runs"};
    struct json_object *report = json_object_new_object();

    put_text(report, "name", experiment->name);
    put_text(report, "title", experiment->title);
    put_text(report, "question", experiment->question);
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
        json_object_object_add(report, lists[i], json_object_new_array());
    return report;
}

struct json_object *lab_table_add(struct json_object *report, const char *title, const char *const *columns)
{
    struct json_object *table = json_object_new_object(), *names = json_object_new_array();

    put_text(table, "title", title);
    for (; *columns; columns++)
        json_object_array_add(names, json_object_new_string(*columns));
    json_object_object_add(table, "columns", names);
    json_object_object_add(table, "rows", json_object_new_array());
    json_object_array_add(list(report, "tables"), table);
    return table;
}

struct json_object *lab_row_add(struct json_object *table, const char *label)
{
    struct json_object *row = json_object_new_array();

    json_object_array_add(list(table, "rows"), row);
    lab_row_text(row, label);
    return row;
}

void lab_row_text(struct json_object *row, const char *text)
{
    json_object_array_add(row, json_object_new_string(text));
}

void lab_row_number(struct json_object *row, double value)
{
    json_object_array_add(row, json_object_new_double(value));
}

void lab_row_none(struct json_object *row)
{
    json_object_array_add(row, NULL);
}

void lab_plot_add(struct json_object *report, const char *title, const char *unit, unsigned from, unsigned to)
{
    struct json_object *plot = json_object_new_object();

    put_text(plot, "title", title);
    put_text(plot, "unit", unit);
    json_object_object_add(plot, "table",
                           json_object_new_int64((int64_t)json_object_array_length(list(report, "tables")) - 1));
    json_object_object_add(plot, "from", json_object_new_int64(from));
    json_object_object_add(plot, "to", json_object_new_int64(to));
    json_object_array_add(list(report, "plots"), plot);
}

/* --- sentences --- */

void lab_say(struct json_object *report, const char *format, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    json_object_array_add(list(report, "findings"), json_object_new_string(text));
}

void lab_expect(struct json_object *report, bool held, const char *format, ...)
{
    struct json_object *expectation = json_object_new_object();
    char text[1024];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    put_text(expectation, "text", text);
    json_object_object_add(expectation, "held", json_object_new_boolean(held));
    json_object_array_add(list(report, "expectations"), expectation);
}

unsigned lab_report_broken(struct json_object *report)
{
    struct json_object *all = list(report, "expectations");
    unsigned broken = 0;

    for (size_t i = 0; i < json_object_array_length(all); i++)
        broken += !json_object_get_boolean(json_object_object_get(json_object_array_get_idx(all, i), "held"));
    return broken;
}

/* --- runs --- */

static struct json_object *record_text(const struct lab_record *r)
{
    char text[1024];
    int at = snprintf(text, sizeof text, "%.100s", r->kind);

    for (unsigned i = 0; i < r->count; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, " %.20s=%.50s", r->field[i].key, r->field[i].value);
    return json_object_new_string(text);
}

void lab_run_add(struct json_object *report, const struct lab_child *child, const struct lab_run *run)
{
    struct json_object *o = json_object_new_object(), *lines = json_object_new_array();

    put_text(o, "guest", child->guest ? child->guest : "");
    put_text(o, "engine", child->engine);
    put_text(o, "words", child->words);
    put_text(o, "failure", run->failure);
    for (size_t i = 0; i < run->guest.count; i++)
        json_object_array_add(lines, record_text(&run->guest.record[i]));
    json_object_object_add(o, "lines", lines);
    json_object_object_add(o, "stats", json_object_get(run->stats));
    json_object_array_add(list(report, "runs"), o);
}

/* --- numbers --- */

static void group_digits(char *text, size_t size, const char *digits)
{
    size_t left = strlen(digits), at = 0;

    for (; *digits && at + 2 < size; digits++, left--) {
        text[at++] = *digits;
        if (left > 1 && left % 3 == 1 && *digits != '-')
            text[at++] = ',';
    }
    text[at] = '\0';
}

void lab_format_number(char *text, size_t size, double value)
{
    double size_of = fabs(value);
    char digits[64];

    if (size_of >= 100 || value == round(value)) {
        snprintf(digits, sizeof digits, "%.0f", value);
        group_digits(text, size, digits);
    } else {
        snprintf(text, size, "%.*f", size_of >= 10 ? 1 : size_of >= 0.9995 ? 2 : 3, value);
    }
}
