/*
 * report.h - what an experiment has found, as one tree of JSON that is printed as text, as JSON, or as a page.
 *
 *   {"name", "title", "question",
 *    "tables":       [{"title", "columns": [TEXT...], "rows": [[TEXT | NUMBER | null...]...]}...],
 *    "plots":        [{"title", "unit", "table": INDEX, "from": COLUMN, "to": COLUMN}...],   bars; labels: column
 * 0 "drawings":     [{"title", "kind", ...}...],                                           see drawing.h
 *    "findings":     [TEXT...],
 *    "expectations": [{"text", "held": BOOLEAN}...],
 *    "runs":         [{"guest", "engine", "words", "failure", "lines": [TEXT...], "stats": {...}}...]}
 */
#ifndef NOVT_LAB_REPORT_H
#define NOVT_LAB_REPORT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "lab/child.h"

struct lab_experiment {
    const char *name;     /* one word, for the command line */
    const char *title;    /* a line */
    const char *question; /* two sentences */
    /* Runs it, and fills the report. A guest that goes wrong is a finding; errors, -errno, are the host's. */
    int (*run)(struct json_object *report, struct error *error);
};

/* Freed by json_object_put. */
struct json_object *lab_report_create(const struct lab_experiment *experiment);

/* Columns end with NULL; the first names the rows. The table and its rows belong to the report. */
struct json_object *lab_table_add(struct json_object *report, const char *title, const char *const *columns);
struct json_object *lab_row_add(struct json_object *table, const char *label);
void lab_row_text(struct json_object *row, const char *text);
void lab_row_number(struct json_object *row, double value);
void lab_row_none(struct json_object *row); /* nothing was measured */

/* Bars of the columns `from` to `to` of the report's latest table; their headings are the series. */
void lab_plot_add(struct json_object *report, const char *title, const char *unit, unsigned from, unsigned to);

/* A sentence that the figures support. */
__attribute__((format(printf, 2, 3))) void lab_say(struct json_object *report, const char *format, ...);
/* What was to be expected; the report tells whether it held. */
__attribute__((format(printf, 3, 4))) void lab_expect(struct json_object *report, bool held, const char *format,
                                                      ...);
unsigned lab_report_broken(struct json_object *report); /* expectations that did not hold */

void lab_run_add(struct json_object *report, const struct lab_child *child, const struct lab_run *run);

/* A number as people read it: three significant digits, or all of a whole number, in groups. */
void lab_format_number(char *text, size_t size, double value);

#endif
