/*
 * render.h - a report (report.h) for people: as text for a terminal, as a page for a browser.
 */
#ifndef NOVT_LAB_RENDER_H
#define NOVT_LAB_RENDER_H

#include <json-c/json.h>
#include <stdio.h>

/* The heading is known before anything has been run: it has the experiment's question. */
void lab_render_heading(struct json_object *report, FILE *to);
void lab_render_text(struct json_object *report, FILE *to);

/* One page that needs nothing from elsewhere. root: {"host": {...}, "experiments": [REPORT...]}. */
void lab_render_html(struct json_object *root, FILE *to);

/* Pieces of the page: a table's or a drawing's data as inline SVG. */
void lab_render_plot(struct json_object *report, struct json_object *plot, FILE *to);
void lab_render_drawing(struct json_object *drawing, FILE *to);

/* Text with what HTML gives a meaning to escaped. */
void lab_render_escaped(const char *text, FILE *to);

/* The text of a cell: "" for null. */
void lab_render_cell(struct json_object *cell, char *text, size_t size);

#endif
