/*
 * render_plot.c - bars on a logarithmic axis, as inline SVG: one group for each row of a table, one bar for each
 * of its columns.
 *
 * Interface: lab_render_plot. Colours are the page's (classes c0 to c4), so that they follow light and dark.
 */
#include "lab/render.h"

#include <math.h>
#include <string.h>

#include "lab/report.h"

#define WIDTH 960
#define LEFT 330  /* labels end here */
#define RIGHT 880 /* bars end here, at most */
#define BAR 13    /* height of one, with the gap to the next */
#define GAP 9     /* between groups */
#define TOP 46    /* legend and axis */
#define SERIES 5u

struct axis {
    int low, high; /* powers of ten */
};

struct plot {
    struct json_object *rows, *columns;
    size_t from, to;
    struct axis axis;
};

static double value_at(const struct plot *p, size_t row, size_t column)
{
    struct json_object *cell = json_object_array_get_idx(json_object_array_get_idx(p->rows, row), column);

    return json_object_is_type(cell, json_type_double) ? json_object_get_double(cell) : 0;
}

static void find_axis(struct plot *p)
{
    double low = INFINITY, high = 0;

    for (size_t r = 0; r < json_object_array_length(p->rows); r++)
        for (size_t c = p->from; c <= p->to; c++) {
            double v = value_at(p, r, c);

            if (v > 0 && v < low)
                low = v;
            if (v > high)
                high = v;
        }
    p->axis = (struct axis){0, 1};
    if (high <= 0)
        return;
    p->axis.low = (int)floor(log10(low));
    p->axis.high = (int)ceil(log10(high));
    p->axis.high += p->axis.high == p->axis.low;
}

static double place(const struct axis *a, double value)
{
    double share = (log10(value) - a->low) / (a->high - a->low);

    return LEFT + (RIGHT - LEFT) * (share < 0 ? 0 : share);
}

static void put_axis(const struct axis *a, int height, FILE *to)
{
    for (int power = a->low; power <= a->high; power++) {
        double x = place(a, pow(10, power));
        char text[40];

        lab_format_number(text, sizeof text, pow(10, power));
        fprintf(to, "<line class=grid x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", x, TOP - 6, x, height);
        fprintf(to, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%s</text>\n", x, TOP - 10, text);
    }
}

/* Only of several series: a single one is what the title says. */
static void put_legend(const struct plot *p, FILE *to)
{
    int x = LEFT;

    for (size_t c = p->from; c <= p->to && p->from != p->to; c++) {
        const char *name = json_object_get_string(json_object_array_get_idx(p->columns, c));

        fprintf(to, "<rect class=\"c%zu\" x=\"%d\" y=\"4\" width=\"12\" height=\"12\" rx=\"2\"/>",
                (c - p->from) % SERIES, x);
        fprintf(to, "<text class=tick x=\"%d\" y=\"14\">", x + 17);
        lab_render_escaped(name, to);
        fputs("</text>\n", to);
        x += 40 + 8 * (int)strlen(name);
    }
}

static void put_bar(const struct plot *p, size_t column, double value, int y, FILE *to)
{
    double end = value > 0 ? place(&p->axis, value) : LEFT;
    char text[40];

    lab_format_number(text, sizeof text, value);
    fprintf(to, "<rect class=\"c%zu\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\"><title>",
            (column - p->from) % SERIES, LEFT, y, end - LEFT > 1.5 ? end - LEFT : 1.5, BAR - 3);
    lab_render_escaped(json_object_get_string(json_object_array_get_idx(p->columns, column)), to);
    fprintf(to, ": %s</title></rect><text class=tick x=\"%.1f\" y=\"%d\">%s</text>\n", text, end + 5, y + BAR - 4,
            text);
}

/* The first column, and with it the second where that is text as well. */
static void put_label(struct json_object *row, int y, FILE *to)
{
    struct json_object *second = json_object_array_get_idx(row, 1);

    fprintf(to, "<text class=\"label end\" x=\"%d\" y=\"%d\">", LEFT - 8, y);
    lab_render_escaped(json_object_get_string(json_object_array_get_idx(row, 0)), to);
    if (json_object_is_type(second, json_type_string)) {
        fputs(" <tspan class=dim>", to);
        lab_render_escaped(json_object_get_string(second), to);
        fputs("</tspan>", to);
    }
    fputs("</text>\n", to);
}

static void put_group(const struct plot *p, size_t row, int y, FILE *to)
{
    struct json_object *cells = json_object_array_get_idx(p->rows, row);
    int height = (int)(p->to - p->from + 1) * BAR;
    bool named = json_object_is_type(json_object_array_get_idx(cells, p->from), json_type_string);

    put_label(cells, y + height / 2 + 3, to);
    for (size_t c = p->from; c <= p->to && !named; c++, y += BAR)
        if (json_object_array_get_idx(cells, c))
            put_bar(p, c, value_at(p, row, c), y, to);
}

void lab_render_plot(struct json_object *report, struct json_object *plot, FILE *to)
{
    struct json_object *table = json_object_array_get_idx(
        json_object_object_get(report, "tables"), json_object_get_uint64(json_object_object_get(plot, "table")));
    struct plot p = {.rows = json_object_object_get(table, "rows"),
                     .columns = json_object_object_get(table, "columns"),
                     .from = json_object_get_uint64(json_object_object_get(plot, "from")),
                     .to = json_object_get_uint64(json_object_object_get(plot, "to"))};
    size_t rows = json_object_array_length(p.rows);
    int group = (int)(p.to - p.from + 1) * BAR + GAP, height = TOP + (int)rows * group;

    find_axis(&p);
    fputs("<figure class=plot><figcaption>", to);
    lab_render_escaped(json_object_get_string(json_object_object_get(plot, "title")), to);
    fputs(", logarithmic</figcaption>\n", to);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=img>\n", WIDTH, height);
    put_axis(&p.axis, height, to);
    put_legend(&p, to);
    for (size_t r = 0; r < rows; r++)
        put_group(&p, r, TOP + (int)r * group, to);
    fputs("</svg></figure>\n", to);
}
