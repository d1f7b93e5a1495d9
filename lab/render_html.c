/*
 * render_html.c - all reports as one page: sentences, drawings, plots and tables, and the runs they come from.
 *
 * Interface: lab_render_html, lab_render_escaped. The page fetches nothing; its style is page.css, which is part
 * of the program. Invariant: whatever comes from a guest is escaped.
 */
#include "lab/render.h"

#include <string.h>

#include "lab/report.h"

/* guests.S */
extern const char lab_page_css[], lab_page_css_end[];

void lab_render_escaped(const char *text, FILE *to)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
}

static struct json_object *get(struct json_object *object, const char *key)
{
    return json_object_object_get(object, key);
}

static const char *text_of(struct json_object *object, const char *key)
{
    return json_object_get_string(get(object, key));
}

/* <TAG ATTRIBUTES>TEXT</TAG> */
static void put(const char *tag, const char *attributes, const char *text, FILE *to)
{
    fprintf(to, "<%s%s>", tag, attributes);
    lab_render_escaped(text, to);
    fprintf(to, "</%s>", tag);
}

/* A verdict of the experiment `sensitive` has a colour. */
static const char *class_of(const char *text)
{
    if (!strcmp(text, "right"))
        return " class=good";
    return strstr(text, ", not ") ? " class=bad" : "";
}

static void put_row(const char *tag, struct json_object *cells, FILE *to)
{
    char text[200];

    fputs("<tr>", to);
    for (size_t i = 0; i < json_object_array_length(cells); i++) {
        lab_render_cell(json_object_array_get_idx(cells, i), text, sizeof text);
        put(tag, class_of(text), text, to);
    }
    fputs("</tr>\n", to);
}

static void put_table(struct json_object *table, FILE *to)
{
    struct json_object *rows = get(table, "rows");

    put("h3", "", text_of(table, "title"), to);
    fputs("<div class=wide><table>", to);
    put_row("th", get(table, "columns"), to);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        put_row("td", json_object_array_get_idx(rows, i), to);
    fputs("</table></div>\n", to);
}

static void put_findings(struct json_object *report, FILE *to)
{
    struct json_object *findings = get(report, "findings"), *all = get(report, "expectations");

    for (size_t i = 0; i < json_object_array_length(findings); i++)
        put("p", " class=says", json_object_get_string(json_object_array_get_idx(findings, i)), to);
    fputs("<ul class=checks>", to);
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *e = json_object_array_get_idx(all, i);

        put("li", json_object_get_boolean(get(e, "held")) ? "" : " class=no", text_of(e, "text"), to);
    }
    fputs("</ul>\n", to);
}

/* What was run, and what each guest printed. */
static void put_runs(struct json_object *runs, FILE *to)
{
    fprintf(to, "<details><summary>%zu runs, and what each has printed</summary><pre>",
            json_object_array_length(runs));
    for (size_t i = 0; i < json_object_array_length(runs); i++) {
        struct json_object *run = json_object_array_get_idx(runs, i), *lines = get(run, "lines");

        fputs("-accel ", to);
        lab_render_escaped(text_of(run, "engine"), to);
        fputs(", ", to);
        lab_render_escaped(text_of(run, "words"), to);
        fputc('\n', to);
        for (size_t k = 0; k < json_object_array_length(lines); k++) {
            fputs("    ", to);
            lab_render_escaped(json_object_get_string(json_object_array_get_idx(lines, k)), to);
            fputc('\n', to);
        }
    }
    fputs("</pre></details>\n", to);
}

static void put_report(struct json_object *report, FILE *to)
{
    struct json_object *drawings = get(report, "drawings"), *plots = get(report, "plots"),
                       *tables = get(report, "tables");

    fputs("<section id=\"", to);
    lab_render_escaped(text_of(report, "name"), to);
    fputs("\">\n", to);
    put("h2", "", text_of(report, "title"), to);
    put("p", " class=question", text_of(report, "question"), to);
    put_findings(report, to);
    for (size_t i = 0; i < json_object_array_length(drawings); i++)
        lab_render_drawing(json_object_array_get_idx(drawings, i), to);
    for (size_t i = 0; i < json_object_array_length(plots); i++)
        lab_render_plot(report, json_object_array_get_idx(plots, i), to);
    for (size_t i = 0; i < json_object_array_length(tables); i++)
        put_table(json_object_array_get_idx(tables, i), to);
    put_runs(get(report, "runs"), to);
    fputs("</section>\n", to);
}

static void put_heading(struct json_object *root, FILE *to)
{
    struct json_object *host = get(root, "host"), *all = get(root, "experiments");

    fputs("<header><h1>The virtual machine, measured</h1>\n<p>", to);
    json_object_object_foreach(host, key, value)
    {
        lab_render_escaped(key, to);
        fputs(": ", to);
        lab_render_escaped(json_object_get_string(value), to);
        fputs(". ", to);
    }
    fputs(
        "Cycles are those of the processor's time-stamp counter; each is the best of several batches.</p>\n<nav>",
        to);
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        const char *name = text_of(json_object_array_get_idx(all, i), "name");

        fprintf(to, "<a href=\"#%s\">%s</a>", name, name);
    }
    fputs("</nav></header>\n", to);
}

void lab_render_html(struct json_object *root, FILE *to)
{
    struct json_object *all = get(root, "experiments");

    fputs("<!doctype html>\n<html lang=en><meta charset=utf-8><title>novt lab</title>\n"
          "<meta name=viewport content=\"width=device-width\">\n<style>\n",
          to);
    fwrite(lab_page_css, 1, (size_t)(lab_page_css_end - lab_page_css), to);
    fputs("</style>\n", to);
    put_heading(root, to);
    fputs("<main>\n", to);
    for (size_t i = 0; i < json_object_array_length(all); i++)
        put_report(json_object_array_get_idx(all, i), to);
    fputs("</main></html>\n", to);
}
